package connect_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

var popupScript = regexp.MustCompile(`(?s)<script data-popup="([^"]*)" data-outcome="([^"]*)">(.*)</script>`)

// ended checks that an answer ends the popup with this outcome.
func (b *browser) ended(flow popupFlow, outcome string, a answer) {
	t := b.site.t
	t.Helper()
	script := popupScript.FindStringSubmatch(a.body)
	require.NotNil(t, script, "%d %s", a.status, a.body)
	require.Equal(t, flow.Popup, script[1])
	require.Equal(t, outcome, script[2])
	require.Equal(t, 1, strings.Count(a.body, "<script"))
	require.Empty(t, a.location)
	sum := sha256.Sum256([]byte(script[3]))
	require.Contains(t, a.header.Get("Content-Security-Policy"), "; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; ")
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
}

// notEnded checks that an answer reports nothing to the page that opened the popup.
func (b *browser) notEnded(a answer) {
	b.site.t.Helper()
	require.NotContains(b.site.t, a.body, "<script")
	require.NotContains(b.site.t, a.header.Get("Content-Security-Policy"), "script-src")
}

func TestPopupThatConnectsReportsIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("lovelace")
	flow := ada.startInPopup("/connect")
	callback := s.approve(flow.RedirectURL)
	for range 2 { // And a reload.
		a := ada.get(callback)
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.body, "<h1>Your account is connected</h1>")
		ada.ended(flow, "connected", a)
		require.Equal(t, identityIn(callback), s.connection("lovelace").IdentityID)
		u, err := url.Parse(callback)
		require.NoError(t, err)
		require.NotContains(t, a.body, strings.TrimPrefix(u.Path, "/identity-callback/"), "no script learns the state")
		require.NotContains(t, a.body, identityIn(callback))
		require.NotContains(t, a.body, "lovelace")
	}

	other := ada.startInPopup("/connect/calendar")
	require.NotEqual(t, flow.Popup, other.Popup)
	ada.ended(other, "connected", ada.get(s.approve(other.RedirectURL)))
}

func TestPopupThatDoesNotConnectReportsTheOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		want    error
		outcome string
		back    func(s *site, ada *browser, hosted string) answer
	}{
		{"the user cancels", connect.ErrCancelled, "cancelled", func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Cancel(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the sign-in fails", connect.ErrSignInFailed, "failed", func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Fail(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the flow has expired", connect.ErrStateExpired, "failed", func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}},
		{"another user is signed in", connect.ErrAnotherUser, "failed", func(s *site, ada *browser, hosted string) answer {
			ada.signIn("eve")
			return ada.get(s.approve(hosted))
		}},
		{"the flow was swept", connect.ErrStateUnknown, "failed", func(s *site, ada *browser, hosted string) answer {
			_, err := s.store.Sweep(context.Background(), time.Now().Add(24*time.Hour), 100)
			require.NoError(s.t, err)
			return ada.get(s.approve(hosted))
		}},
		{"the identity is refused", connect.ErrIdentityTaken, "failed", func(s *site, ada *browser, hosted string) answer {
			return ada.get(s.approve(hosted, anchortest.WithMetadata(map[string]any{"externalUserId": "grace"})))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// The app's ErrorHandler does not answer in popups.
			s := newSite(t, func(c *connect.Config) {
				c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, "mine", http.StatusTeapot) }
			})
			ada := s.signedIn("ada")
			flow := ada.startInPopup("/connect")
			a := test.back(s, ada, flow.RedirectURL)
			ada.refused(test.want, a)
			ada.ended(flow, test.outcome, a)
			require.Zero(t, s.connection("ada"))
		})
	}
}

// As long as something in the popup can still lead to success, its opener gets no
// outcome.
func TestPopupThatCanStillSucceedReportsNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store, c.SignInURL = store, "/login" })
	ada := s.signedIn("ada")
	flow := ada.startInPopup("/connect")
	u, err := url.Parse(s.approve(flow.RedirectURL))
	require.NoError(t, err)
	callback := u.String()

	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503})
	a := ada.get(callback)
	ada.refused(connect.ErrUpstreamUnavailable, a)
	ada.notEnded(a)
	s.fake.ClearFaults()

	store.set("Complete", errors.New("the disk is full"))
	a = ada.get(callback)
	ada.refused(connect.ErrStoreFailed, a)
	ada.notEnded(a)
	store.set("Complete", nil)

	a = ada.get(u.Scheme + "://" + u.Host + u.Path)
	ada.refused(connect.ErrNotFinished, a)
	ada.notEnded(a)

	ada.signIn("")
	a = ada.get(callback)
	require.Equal(t, http.StatusOK, a.status, "the page for a Strict cookie")
	ada.notEnded(a)
	a = ada.get(follow(t, callback, a.body))
	ada.refused(connect.ErrNotSignedIn, a)
	ada.notEnded(a)

	ada.signIn("ada")
	ada.ended(flow, "connected", ada.get(callback))
}

// Whether a callback ends a popup is sealed in the state cookie. Nothing in an address or
// a form can change it.
func TestPopupIsKnownOnlyByItsSealedState(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	plain := s.approve(ada.start())
	flow := ada.startInPopup("/connect")
	inPopup := s.approve(flow.RedirectURL)
	u, err := url.Parse(plain)
	require.NoError(t, err)
	state := strings.TrimPrefix(u.Path, "/identity-callback/")

	for _, address := range []string{
		strings.Replace(plain, state, "popup-"+state, 1),
		strings.Replace(inPopup, "popup-", "", 1),
		"/identity-callback/popup-ABCDEFGHIJKLMNOPQRSTUVWXYZ?status=cancelled",
		"/identity-callback/popup-?status=cancelled&popup=" + flow.Popup,
	} {
		a := ada.get(address)
		ada.refused(connect.ErrNoStateCookie, a)
		ada.notEnded(a)
	}
	eve := s.signedIn("eve")
	a := eve.get(inPopup)
	eve.refused(connect.ErrNoStateCookie, a)
	eve.notEnded(a)

	a = ada.get(plain + "&popup=" + flow.Popup + "&outcome=connected")
	require.Equal(t, http.StatusSeeOther, a.status)
	ada.notEnded(a)

	for _, path := range []string{"/connect/done", "/connect/popup", "/connect/popup.js", "/connect/popup.html", "/connect/connect.js/"} {
		require.Equal(t, http.StatusNotFound, ada.get(path).status, "%s: there is no page to open", path)
	}
	ada.ended(flow, "connected", ada.get(inPopup))

	// A form has no popup, whatever its fields, nor has a script that asks for a page.
	a = ada.post("/connect", url.Values{"popup": {"true"}})
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, http.StatusSeeOther, ada.get(s.approve(a.location)).status)
	a = ada.do(http.MethodPost, "/connect", "application/json", `{"popup":true}`)
	require.Equal(t, http.StatusSeeOther, a.status, "it accepts no JSON, so would not learn the id")
	s.finished(ada.get(s.approve(a.location)))

	// A page of another origin cannot start a flow in a popup.
	evil := s.signedIn("ada")
	evil.header = http.Header{"Accept": {"*/*"}, "Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}
	s.fake.ForgetCalls()
	evil.refused(connect.ErrCrossOrigin, evil.do(http.MethodPost, "/connect", "application/json", `{"popup":true}`))
	require.Empty(t, s.fake.Calls())
}

func TestPopupIsNotNamedWithoutOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.header.Set("Accept", "application/json")
	a := ada.do(http.MethodPost, "/connect", "application/json", `{"popup":false}`)
	require.Equal(t, http.StatusOK, a.status)
	require.NotContains(t, a.body, "popup")
	var flow popupFlow
	require.NoError(t, json.Unmarshal([]byte(a.body), &flow))
	ada.header.Set("Accept", "text/html")
	require.Equal(t, http.StatusSeeOther, ada.get(s.approve(flow.RedirectURL)).status)
}

func TestPopupCallbackAnswersAScriptInJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	cancelled, err := s.fake.Cancel(t.Context(), ada.startInPopup("/connect").RedirectURL)
	require.NoError(t, err)
	connected := s.approve(ada.startInPopup("/connect").RedirectURL)
	ada.header.Set("Accept", "application/json")
	require.Contains(t, ada.get(cancelled).body, `"error":"cancelled"`)
	require.Equal(t, "/reports", ada.get(connected).location)
}

// With a fixed address several flows may be pending. The popup of the completed flow ends.
func TestPopupBehindAFixedCallback(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"popup", "form"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
			ada := s.signedIn("ada")
			var flow popupFlow
			var form string
			for _, kind := range map[string][]string{"popup": {"popup", "form"}, "form": {"form", "popup"}}[first] {
				if kind == "popup" {
					flow = ada.startInPopup("/connect")
				} else {
					form = ada.start()
				}
				s.clock.advance(time.Second)
			}
			// Each is approved before the other's time, so that they can be told apart.
			hosted := map[string][2]string{"popup": {flow.RedirectURL, form}, "form": {form, flow.RedirectURL}}[first]
			late := s.approve(hosted[1])
			check := map[bool]func(answer){
				true:  func(a answer) { ada.ended(flow, "connected", a) },
				false: func(a answer) { require.Equal(t, http.StatusSeeOther, a.status); ada.notEnded(a) },
			}
			check[first == "form"](ada.get(late))
			early := s.approve(hosted[0])
			check[first == "popup"](ada.get(early))
			check[first == "form"](ada.get(late)) // A reload.
		})
	}
}

func TestModuleIsServed(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.ApplicationID = "" })
	nobody := s.browser()
	a := nobody.get("/connect/connect.js")
	require.Equal(t, http.StatusOK, a.status)
	require.Less(t, len(a.body), 5632, "under 5.5 KB as served")
	require.Contains(t, a.body, "export async function connect(")
	require.Equal(t, "text/javascript; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-cache", a.header.Get("Cache-Control"))
	require.Equal(t, "same-origin", a.header.Get("Cross-Origin-Resource-Policy"), "no page of another site runs it")
	require.Empty(t, a.header.Values("Set-Cookie"))
	require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
	tag := a.header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{16}"$`, tag)

	nobody.header.Set("If-None-Match", tag)
	again := nobody.get("/connect/connect.js")
	require.Equal(t, http.StatusNotModified, again.status)
	require.Empty(t, again.body)
	nobody.header.Set("If-None-Match", `"another"`)
	require.Equal(t, http.StatusOK, nobody.get("/connect/connect.js").status)
	head := nobody.do(http.MethodHead, "/connect/connect.js", "", "")
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
	require.Equal(t, fmt.Sprint(len(a.body)), head.header.Get("Content-Length"))
	post := nobody.post("/connect/connect.js", nil)
	require.Equal(t, http.StatusMethodNotAllowed, post.status)
	require.Equal(t, "GET, HEAD", post.header.Get("Allow"))
}

func TestModuleIsServedUnderAPrefixStrippedOrNot(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(*http.ServeMux, *connect.Handler){
		"registered":       func(mux *http.ServeMux, h *connect.Handler) { h.Register(mux) },
		"mounted whole":    func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", h) },
		"mounted stripped": func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", http.StripPrefix("/tools", h)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mux := http.NewServeMux()
			app := httptest.NewServer(mux)
			t.Cleanup(app.Close)
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: app.URL + "/tools", Store: s.store,
				User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets: [][]byte{[]byte("a secret of the tests, not random")},
			})
			require.NoError(t, err)
			mount(mux, h)
			require.Contains(t, s.browser().get(app.URL+"/tools/connect/connect.js").body, "export async function connect(")
		})
	}
}

// The module's own logic runs in Node.js, on fakes of the browser's APIs.
func TestModuleRunsInNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is not installed")
	}
	s := newSite(t)
	ada := s.signedIn("ada")
	callback, err := s.fake.Cancel(t.Context(), ada.startInPopup("/connect").RedirectURL)
	require.NoError(t, err)
	popup := popupScript.FindStringSubmatch(ada.get(callback).body)
	require.NotNil(t, popup)

	served := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(served, "tools", "connect"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(served, "tools", "connect", "connect.mjs"), []byte(ada.get("/connect/connect.js").body), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(served, "popup.js"), []byte(popup[3]), 0o644))
	cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=tap", "pages/connect_test.mjs")
	cmd.Env = append(os.Environ(), "SERVED="+served)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Regexp(t, `(?m)^# pass [1-9]\d$`, string(output))
}
