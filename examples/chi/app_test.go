package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// logged collects the logs of all tests' apps.
var logged output

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	os.Exit(m.Run())
}

// site is the app behind TLS, with a fake of Anchor.
type site struct {
	*httptest.Server
	app  *app
	fake *anchortest.Server
}

func newSite(t *testing.T) site {
	t.Helper()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { fake.Close() })
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	a, err := newApp(config{
		db:            open(t, databases[0].newURL(t)),
		anchor:        fake.Client(),
		applicationID: fake.ApplicationID(),
		publicURL:     server.URL,
		secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		sessionSecret: []byte(strings.Repeat("s", 32)),
	})
	require.NoError(t, err)
	server.Config.Handler = a.routes()
	return site{server, a, fake}
}

// browser keeps cookies and follows no redirect.
type browser struct {
	t      *testing.T
	site   site
	client *http.Client
}

func (s site) browser(t *testing.T) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := *s.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return browser{t, s, &client}
}

// signedIn returns a browser whose user has signed in.
func (s site) signedIn(t *testing.T, name string) browser {
	t.Helper()
	b := s.browser(t)
	require.Equal(t, "/account", b.post("/login", "user", name).location(http.StatusSeeOther))
	return b
}

func (b browser) get(address string) answer { return b.send(http.MethodGet, address, "") }

func (b browser) post(address string, fields ...string) answer {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send(http.MethodPost, address, form.Encode())
}

// send sends a request. A path is relative to the site.
func (b browser) send(method, address, form string) answer {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.site.URL + address
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form))
	require.NoError(b.t, err)
	r.Header.Set("Accept", "text/html")
	if strings.Contains(address, "/api/") {
		r.Header.Set("Accept", "application/json")
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", b.site.URL)
	}
	res, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return answer{b.t, res, string(body)}
}

type answer struct {
	t    *testing.T
	res  *http.Response
	body string
}

func (a answer) requireStatus(status int) {
	a.t.Helper()
	require.Equal(a.t, status, a.res.StatusCode, a.body)
}

func (a answer) location(status int) string {
	a.t.Helper()
	a.requireStatus(status)
	return a.res.Header.Get("Location")
}

func (a answer) json(status int) map[string]any {
	a.t.Helper()
	a.requireStatus(status)
	var body map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.body), &body), a.body)
	return body
}

// connect connects an account and returns its identity.
func (b browser) connect() string {
	b.t.Helper()
	hosted := b.post("/integrations/connect").location(http.StatusSeeOther)
	callback, err := b.site.fake.Approve(b.t.Context(), hosted)
	require.NoError(b.t, err)
	require.True(b.t, strings.HasPrefix(callback, b.site.URL+"/integrations/identity-callback/"), "the callback is under the prefix: %s", callback)
	require.Equal(b.t, "/account?connected=true", b.get(callback).location(http.StatusSeeOther))
	status := b.get("/integrations/connect/status").json(http.StatusOK)
	require.Equal(b.t, true, status["connected"])
	return status["identityId"].(string)
}

func TestFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)

	// Nobody is signed in.
	require.Equal(t, "not_signed_in", b.post("/api/reports").json(http.StatusUnauthorized)["error"])
	require.Equal(t, "/", b.get("/account").location(http.StatusSeeOther))
	toSignIn := s.browser(t)
	home := toSignIn.get("/?return_to=%2Fapi%2Freports")
	require.Contains(t, home.body, `value="/api/reports"`)

	// Signed in, not connected.
	b = s.signedIn(t, "Ada")
	require.Contains(t, b.get("/account").body, "Connect your account")
	require.Equal(t, "not_connected", b.post("/api/reports").json(http.StatusForbidden)["error"])

	// Connected.
	identityID := b.connect()
	require.Contains(t, b.get("/account?connected=true").body, "Your account is connected.")
	require.Equal(t, identityID, b.get("/api/reports").json(http.StatusOK)["identityId"])
	sessionID := b.post("/api/reports").json(http.StatusCreated)["sessionId"]
	sessions := s.fake.Sessions()
	require.Len(t, sessions, 1)
	require.Equal(t, sessions[0].ID, sessionID)

	// Anchor has the display name, and the ID in the metadata.
	_, err := s.fake.WaitTagged(t.Context(), identityID)
	require.NoError(t, err)
	identity, found := s.fake.Identity(identityID)
	require.True(t, found)
	require.Equal(t, "Ada", identity.Name)
	u, err := s.app.db.userNamed(t.Context(), "Ada")
	require.NoError(t, err)
	require.Equal(t, u.ID, identity.Metadata["externalUserId"])

	// Another user sees nothing of it.
	require.Equal(t, "not_connected", s.signedIn(t, "Ben").get("/api/reports").json(http.StatusForbidden)["error"])

	// Disconnected.
	require.Equal(t, "/account", b.post("/integrations/disconnect", "return_to", "/account").location(http.StatusSeeOther))
	require.Contains(t, b.get("/account").body, "Connect your account")
	require.Equal(t, "not_connected", b.get("/api/reports").json(http.StatusForbidden)["error"])
	_, found = s.fake.Identity(identityID)
	require.False(t, found, "the identity is deleted")
}

func TestRequireIdentityRedirectsToConnectAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "Ada")
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/reports/", nil)
	require.NoError(t, err)
	res, err := b.client.Do(page)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Equal(t, "/integrations/connect?return_to=%2Fapi%2Freports%2F", res.Header.Get("Location"))
	require.Contains(t, b.get(res.Header.Get("Location")).body, `value="/api/reports/"`)

	hosted := b.post("/integrations/connect", "return_to", "/api/reports/").location(http.StatusSeeOther)
	callback, err := s.fake.Approve(t.Context(), hosted)
	require.NoError(t, err)
	require.Equal(t, "/api/reports/", b.get(callback).location(http.StatusSeeOther))
	b.get("/api/reports/").requireStatus(http.StatusOK)
}

func TestConnectIsServedUnderThePrefixOnly(t *testing.T) {
	t.Parallel()
	b := newSite(t).signedIn(t, "Ada")
	b.get("/integrations/connect").requireStatus(http.StatusOK)
	for _, path := range []string{"/connect", "/connect/status", "/identity-callback/state", "/integrations", "/integrations/", "/integrations/integrations/connect"} {
		b.get(path).requireStatus(http.StatusNotFound)
	}
}

func TestDeleteAccountDeletesTheIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "Ada")
	identityID := b.connect()

	require.Equal(t, "/", b.post("/account/delete").location(http.StatusSeeOther))
	require.Equal(t, "/", b.get("/account").location(http.StatusSeeOther))
	_, there := s.fake.Identity(identityID)
	require.False(t, there, "it is deleted at Anchor at once")

	// A cookie of the deleted user in another browser signs nobody in.
	u, err := s.app.db.userNamed(t.Context(), "Ada")
	require.NoError(t, err)
	other := s.signedIn(t, "Ada")
	require.NoError(t, s.app.db.deleteUser(t.Context(), u.ID))
	require.Equal(t, "not_signed_in", other.get("/api/reports").json(http.StatusUnauthorized)["error"])
}

func TestLogHasNoState(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "Ada")
	hosted := b.post("/integrations/connect").location(http.StatusSeeOther)
	callback, err := s.fake.Approve(t.Context(), hosted)
	require.NoError(t, err)
	b.get(callback).requireStatus(http.StatusSeeOther)

	u, err := url.Parse(callback)
	require.NoError(t, err)
	state := path.Base(u.Path)
	require.Eventually(t, func() bool { // The request is over when the identity is tagged.
		return strings.Contains(logged.String(), "route=/integrations/identity-callback/{state}")
	}, 5*time.Second, 5*time.Millisecond)
	require.NotContains(t, logged.String(), state)
}

func TestCrossOriginRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "Ada")
	for _, path := range []string{"/login", "/logout", "/account/delete", "/api/reports", "/integrations/connect", "/integrations/disconnect"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, nil)
		require.NoError(t, err)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		res, err := b.client.Do(r)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusForbidden, res.StatusCode, path)
	}
	page := b.get("/account")
	page.requireStatus(http.StatusOK)
	require.Equal(t, "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+s.fake.URL(),
		page.res.Header.Get("Content-Security-Policy"))
	require.Contains(t, b.get("/integrations/connect").res.Header.Get("Content-Security-Policy"), "sha256-", "connect's pages have their own")
}

func TestLoginRedirectsOnlyWithinTheApp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for returnTo, want := range map[string]string{
		"":                          "/account",
		"/api/reports?month=5":      "/api/reports?month=5",
		"https://evil.example":      "/account",
		"//evil.example":            "/account",
		"///evil.example":           "/account",
		"/\t/evil.example":          "/account",
		`/\evil.example`:            "/account",
		"javascript:alert(1)":       "/account",
		"account":                   "/account",
		"/integrations/connect?a=b": "/integrations/connect?a=b",
	} {
		require.Equal(t, want, s.browser(t).post("/login", "user", "Ada", "return_to", returnTo).location(http.StatusSeeOther), returnTo)
	}
	for _, name := range []string{"", " ", strings.Repeat("a", 65), "a\x00b", "a\xff"} {
		s.browser(t).post("/login", "user", name).requireStatus(http.StatusUnprocessableEntity)
	}
}
