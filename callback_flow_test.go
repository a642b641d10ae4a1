package connect_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestAUserConnectsAnAccount(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")

	a := ada.post("/connect", nil)
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "map[Bind:1 Connections:1]", store.count(), "a start is one store write")
	require.Len(t, s.fake.Calls(), 1, "a start is one call")
	require.Len(t, a.header.Values("Set-Cookie"), 1)

	var sent struct {
		CallbackURL string `json:"callbackUrl"`
	}
	require.NoError(t, json.Unmarshal(s.fake.Calls()[0].Body, &sent))
	require.Regexp(t, `^`+s.server.URL+`/identity-callback/[A-Z2-7]{32}$`, sent.CallbackURL)

	callback := s.approve(a.location)
	require.True(t, strings.HasPrefix(callback, sent.CallbackURL+"?"))
	require.Zero(t, s.connection("ada"), "nothing is connected before the callback")

	s.fake.ForgetCalls()
	a = ada.get(callback)
	s.finished(a)
	require.Equal(t, "/dashboard?connected=true", a.location)

	id := identityIn(callback)
	require.Equal(t, id, s.connection("ada").IdentityID)
	require.WithinDuration(t, time.Now(), s.connection("ada").ConnectedAt, time.Minute)
	identity, _ := s.fake.Identity(id)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	require.Equal(t, s.connection("ada").ConnectedAt.UTC().Format(time.RFC3339), identity.Metadata["connectedAt"])
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("PUT", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications"))
	require.Len(t, s.fake.Calls(), 3, "the application's site is asked for once")
	for _, call := range s.fake.Calls() {
		require.NotContains(t, string(call.Body), "credentials")
	}

	tasks, err := store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
	require.NoError(t, err)
	require.Empty(t, tasks, "what was tagged at once is owed no more")

	// The second flow knows the application's site.
	grace := s.signedIn("grace")
	callback = s.approve(grace.start())
	s.fake.ForgetCalls()
	s.finished(grace.get(callback))
	require.Len(t, s.fake.Calls(), 2, "a callback is two calls")
}

func TestTheIdentityIsNamedAfterTheUser(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada & Søn <ada@example.com>"
			return u, err
		}
	})
	hosted, err := url.Parse(s.signedIn("ada").start())
	require.NoError(t, err)
	require.Equal(t, "Ada & Søn <ada@example.com>", hosted.Query().Get("userName"))
}

func TestOnlyAPOSTIssuesAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		a := ada.do(method, "/connect", "", "")
		require.Empty(t, a.header.Get("Set-Cookie"), method)
		if method != "GET" && method != "HEAD" {
			require.Equal(t, http.StatusMethodNotAllowed, a.status, method)
			require.Equal(t, "GET, HEAD, POST", a.header.Get("Allow"))
		}
	}
	// A POST is answered by the mux, which takes HEAD for a GET.
	for method, allow := range map[string]string{"HEAD": "GET", "POST": "GET, HEAD"} {
		a := ada.do(method, "/identity-callback/STATE?identityId=x", "", "")
		require.Equal(t, http.StatusMethodNotAllowed, a.status)
		require.Equal(t, allow, a.header.Get("Allow"))
	}
	require.Equal(t, http.StatusMethodNotAllowed, ada.get("/disconnect").status)
	require.Equal(t, http.StatusMethodNotAllowed, ada.post("/connect/status", nil).status)
	require.Empty(t, s.fake.Calls())
}

func TestTheConnectPageHasAFormThatStarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	a := ada.get("/connect?return_to=" + url.QueryEscape(`/reports?a=b&c="d"`))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `<form method="post" action="/connect">`)
	require.Contains(t, a.body, `name="return_to" value="/reports?a=b&amp;c=&#34;d&#34;"`)
	require.Contains(t, a.header.Get("Content-Security-Policy"), "form-action 'self' "+s.fake.URL(), "Chromium holds redirects to it too")
	require.Equal(t, "same-origin", a.header.Get("Referrer-Policy"), "or the form's Origin is null")
	require.NotContains(t, a.body, "Connect again")

	ada.connect()
	require.Contains(t, ada.get("/connect").body, "Connect again")
}

func TestAStartFromAnotherOriginIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct {
		name   string
		header http.Header
		want   error
	}{
		{"a page of this origin", http.Header{"Origin": {s.server.URL}, "Sec-Fetch-Site": {"same-origin"}}, nil},
		{"an older browser's page of this origin", http.Header{"Origin": {s.server.URL}}, nil},
		{"an app's page under no-referrer", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"same-origin"}}, nil},
		{"typed or bookmarked", http.Header{"Sec-Fetch-Site": {"none"}}, nil},
		{"no browser", http.Header{}, nil},
		{"a page of another site", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, connect.ErrCrossOrigin},
		{"a page of a sibling domain", http.Header{"Origin": {"https://evil.app.example"}, "Sec-Fetch-Site": {"same-site"}}, connect.ErrCrossOrigin},
		{"an older browser's page of another site", http.Header{"Origin": {"https://evil.test"}}, connect.ErrCrossOrigin},
		{"a sandboxed frame in an older browser", http.Header{"Origin": {"null"}}, connect.ErrCrossOrigin},
		{"a sandboxed frame", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, connect.ErrCrossOrigin},
		{"this app at another address", http.Header{"Origin": {"https://localhost:1"}, "Sec-Fetch-Site": {"same-origin"}}, connect.ErrWrongOrigin},
		{"this app without TLS", http.Header{"Origin": {strings.Replace(s.server.URL, "https", "http", 1)}, "Sec-Fetch-Site": {"same-origin"}}, connect.ErrWrongOrigin},
	}
	for _, test := range tests {
		for _, path := range []string{"/connect", "/disconnect"} {
			t.Run(test.name+path, func(t *testing.T) {
				t.Parallel()
				b := s.signedIn("ada " + test.name + path)
				b.header = test.header.Clone()
				a := b.post(path, nil)
				if test.want == nil {
					require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
					return
				}
				b.refused(test.want, a)
				require.Empty(t, a.header.Get("Set-Cookie"))
				if errors.Is(test.want, connect.ErrWrongOrigin) {
					require.Contains(t, a.body, test.header.Get("Origin"), "the message names both")
					require.Contains(t, a.body, s.server.URL)
				}
			})
		}
	}
}

func TestTheHostHeaderIsNeverBelieved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/connect", nil)
	require.NoError(t, err)
	r.Host = "evil.test"
	r.Header.Set("X-Forwarded-Host", "evil.test")
	for _, cookie := range ada.client.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	r.Header.Set("Origin", s.server.URL) // An older browser behind a proxy that rewrites Host.
	res, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.NotContains(t, string(s.fake.Calls()[0].Body), "evil")
}

func TestAStartInJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.header.Set("Accept", "application/json")
	a := ada.do(http.MethodPost, "/connect", "application/json", `{"return_to":"/reports"}`)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var body struct {
		RedirectURL string `json:"redirectUrl"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body))
	require.Equal(t, "/reports", ada.get(s.approve(body.RedirectURL)).location)

	for name, body := range map[string]string{
		"no JSON": `{`, "another type": `{"return_to":7}`, "too large": `{"return_to":"/` + strings.Repeat("a", 20<<10) + `"}`,
	} {
		a := ada.do(http.MethodPost, "/connect", "application/json", body)
		require.Equal(t, http.StatusBadRequest, a.status, name)
		require.Contains(t, a.body, `"error":"bad_request"`, name)
	}
	a = ada.do(http.MethodPost, "/connect", "application/json", "")
	require.Equal(t, http.StatusOK, a.status, "a body is not needed")

	nobody := s.browser()
	nobody.header.Set("Accept", "application/json")
	a = nobody.do(http.MethodPost, "/connect", "application/json", "{}")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Contains(t, a.body, `"error":"not_signed_in"`)
}

func TestAStartReturnsToALocalPathOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")

	a := ada.post("/connect", url.Values{"return_to": {"/reports?x=y"}})
	a = ada.get(s.approve(a.location))
	require.Equal(t, "/reports?x=y", a.location)
	s.finished(a)

	a = ada.do(http.MethodPost, "/connect", "multipart/form-data; boundary=X",
		"--X\r\nContent-Disposition: form-data; name=\"return_to\"\r\n\r\n/multipart\r\n--X--\r\n")
	a = ada.get(s.approve(a.location))
	require.Equal(t, "/multipart", a.location)
	s.finished(a)

	s.fake.ForgetCalls()
	for _, bad := range []string{"//evil.test", "https://evil.test", `/\evil.test`, "javascript:alert(1)", "/\t/evil.test", "/a\r\nX: y"} {
		ada.refused(connect.ErrReturnTo, ada.post("/connect", url.Values{"return_to": {bad}}))
		ada.refused(connect.ErrReturnTo, ada.get("/connect?return_to="+url.QueryEscape(bad)))
		ada.refused(connect.ErrReturnTo, ada.post("/disconnect", url.Values{"return_to": {bad}}))
	}
	for name, body := range map[string][2]string{
		"a bad multipart": {"multipart/form-data; boundary=X", "--Y"},
		"a bad form":      {"application/x-www-form-urlencoded", "return_to=%zz"},
		"a large form":    {"application/x-www-form-urlencoded", strings.Repeat("a", 20<<10)},
	} {
		require.Equal(t, http.StatusBadRequest, ada.do(http.MethodPost, "/connect", body[0], body[1]).status, name)
	}
	require.Empty(t, s.fake.Calls())
}

// Each of the eight proofs, through real HTTP: the refusal is its own, and
// leaves no trace in the store or at Anchor.
func TestEveryProofRefusesAndWritesNothing(t *testing.T) {
	t.Parallel()
	stranger := "99999999-9999-4999-8999-999999999999"
	tests := []struct {
		name string
		want error
		// back brings the browser to the callback, or another one.
		back func(s *site, ada *browser, hosted string) answer
	}{
		{"1: nobody is signed in", connect.ErrNotSignedIn, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			ada.signIn("")
			return ada.get(callback + "&repeated=1")
		}},
		{"2: the state is missing", connect.ErrStateMissing, func(s *site, ada *browser, hosted string) answer {
			return ada.get("/identity-callback?identity_id=" + identityIn(s.approve(hosted)))
		}},
		{"2: the state is another one", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return ada.get("/identity-callback/ABCDEFGHIJKLMNOPQRSTUVWXYZ?identity_id=" + identityIn(s.approve(hosted)))
		}},
		{"2: the state is another one, which only ends like ours", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			before, state, _ := strings.Cut(s.approve(hosted), "/identity-callback/")
			first := "A"
			if state[:1] == first {
				first = "B"
			}
			return ada.get(before + "/identity-callback/" + first + state[1:])
		}},
		{"3: another browser of the same user comes back", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return s.signedIn("ada").get(s.approve(hosted))
		}},
		{"3: a victim opens an attacker's callback", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return s.signedIn("victim").get(s.approve(hosted))
		}},
		{"3: the cookie is forged", connect.ErrStateInvalid, func(s *site, ada *browser, hosted string) answer {
			forged := s.signedIn("ada")
			u, _ := url.Parse(s.server.URL)
			for _, cookie := range ada.client.Jar.Cookies(u) {
				if strings.HasPrefix(cookie.Name, "__Host-connect-") {
					forged.client.Jar.SetCookies(u, []*http.Cookie{{Name: cookie.Name, Value: "MTIzNHxhYmM" + cookie.Value[11:], Path: "/", Secure: true}})
				}
			}
			return forged.get(s.approve(hosted))
		}},
		{"4: another user comes back in the same browser", connect.ErrAnotherUser, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			ada.signIn("eve")
			return ada.get(callback)
		}},
		{"4: it has expired", connect.ErrStateExpired, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			s.clock.advance(15*time.Minute + time.Second)
			return ada.get(callback)
		}},
		{"4: it was swept", connect.ErrStateUnknown, func(s *site, ada *browser, hosted string) answer {
			_, err := s.store.Sweep(context.Background(), time.Now().Add(24*time.Hour), 100)
			require.NoError(s.t, err)
			return ada.get(s.approve(hosted))
		}},
		{"the person cancelled", connect.ErrCancelled, func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Cancel(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the sign-in failed", connect.ErrSignInFailed, func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Fail(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the hosted page came back with nothing", connect.ErrNotFinished, func(s *site, ada *browser, hosted string) answer {
			s.fake.SetSilentFailure(true)
			callback, err := s.fake.Cancel(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the identity is no UUID", connect.ErrBadIdentityID, func(s *site, ada *browser, hosted string) answer {
			return ada.get(withIdentity(s.approve(hosted), "../applications"))
		}},
		{"5: Anchor does not know the identity", connect.ErrIdentityNotFound, func(s *site, ada *browser, hosted string) answer {
			return ada.get(withIdentity(s.approve(hosted), stranger))
		}},
		{"5: the identity failed", connect.ErrIdentityFailed, func(s *site, ada *browser, hosted string) answer {
			return ada.get(s.approve(hosted, anchortest.WithStatus(anchortest.StatusFailed)))
		}},
		{"6: the identity is another application's", connect.ErrWrongApplication, func(s *site, ada *browser, hosted string) answer {
			other := s.fake.AddApplication("Other", "https://other.example")
			identity := s.fake.PutIdentity(anchortest.Identity{ApplicationID: other, CreatedAt: s.clock.now().Add(time.Second)})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
		{"7: the identity is older than the token", connect.ErrIdentityTooOld, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
		{"7: the identity is older, though our clock says otherwise", connect.ErrIdentityTooOld, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			callback := withIdentity(s.approve(hosted), identity.ID)
			s.clock.advance(-10 * time.Minute)
			return ada.get(callback)
		}},
		{"8: the identity is tagged as another user's", connect.ErrIdentityTaken, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(time.Second), Metadata: map[string]any{"externalUserId": "grace"}})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ada := s.signedIn("ada")
			hosted := ada.start()
			a := test.back(s, ada, hosted)

			ada.refused(test.want, a)
			for _, user := range []string{"ada", "eve", "victim", "grace"} {
				require.Zero(t, s.connection(user))
			}
			require.Zero(t, s.fake.CountCalls("PUT", ""))
			<-a.over
			deleted := 0
			if errors.Is(test.want, connect.ErrStateExpired) {
				deleted = 1 // The sign-in that came too late.
			}
			require.Equal(t, deleted, s.fake.CountCalls("DELETE", ""))
			tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
			require.NoError(t, err)
			require.Empty(t, tasks)
			require.Equal(t, "no-store", a.header.Get("Cache-Control"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
			_, style, _ := strings.Cut(a.body, "<style>")
			style, _, _ = strings.Cut(style, "</style>")
			sum := sha256.Sum256([]byte(style))
			require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
				"'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'", a.header.Get("Content-Security-Policy"))
		})
	}
}

// Proof 8 against the store: the identity is another user's though it bears no
// mark yet, as while Anchor is down.
func TestAnIdentityThatIsAnotherUsersInTheStoreIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, eve := s.signedIn("ada"), s.signedIn("eve")
	adaHosted, eveHosted := ada.start(), eve.start()

	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	callback := s.approve(adaHosted)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Nil(t, s.tag(identityIn(callback)), "not tagged yet")

	eve.refused(connect.ErrIdentityTaken, eve.get(withIdentity(s.approve(eveHosted), identityIn(callback))))
	require.Zero(t, s.connection("eve"))
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestARefusalLeavesTheFlowOpenForTheRightIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: time.Now().Add(-time.Hour)})
	ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestAStartThatAnotherUserComesBackWithIsSpent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn("ada")
	callback := s.approve(b.start())
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(callback))
	b.signIn("ada")
	b.refused(connect.ErrStateSpent, b.get(callback))
	require.Zero(t, s.connection("ada"))
	require.Zero(t, s.connection("eve"))
}

func TestWhatAnotherUserFinishedStaysFinished(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn("ada")
	callback := b.connect()
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(callback))
	b.signIn("ada")
	require.Equal(t, http.StatusSeeOther, b.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestAnotherSiteOfTheSameApplicationIsLookedUpInItsList(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithSource("https://accounts.elsewhere.example"))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Positive(t, s.fake.CountCalls("GET", "/v1/applications/*/identities"))
}

func TestBothNamesOfTheParameterAreTaken(t *testing.T) {
	t.Parallel()
	for _, style := range []anchortest.CallbackStyle{anchortest.CurrentCallback, anchortest.OlderCallback, anchortest.BothCallback} {
		for _, shape := range []anchortest.TokenShape{anchortest.WrappedToken, anchortest.FlatToken, anchortest.HashlessToken} {
			t.Run(fmt.Sprint(style, shape), func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.fake.SetCallbackStyle(style)
				s.fake.SetTokenShape(shape)
				ada := s.signedIn("ada")
				ada.connect()
				require.NotZero(t, s.connection("ada"))
			})
		}
	}
}

func TestMetadataIsMergedWhateverTheServiceDoes(t *testing.T) {
	t.Parallel()
	for _, merge := range []bool{false, true} {
		t.Run(fmt.Sprint("merge ", merge), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.fake.SetMetadataMerge(merge)
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			identity, _ := s.fake.Identity(identityIn(callback))
			identity.Metadata = map[string]any{"plan": "pro"}
			s.fake.PutIdentity(identity)
			s.finished(ada.get(callback))
			identity, _ = s.fake.Identity(identity.ID)
			require.Equal(t, "pro", identity.Metadata["plan"])
			require.Equal(t, "ada", identity.Metadata["externalUserId"])
		})
	}
}

func TestTwoTabsBothFinishAndTheLaterOneStands(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	first, second := ada.start(), ada.start()
	firstCallback, secondCallback := s.approve(first), s.approve(second)

	require.Equal(t, http.StatusSeeOther, ada.get(secondCallback).status)
	require.Equal(t, identityIn(secondCallback), s.connection("ada").IdentityID)
	require.Equal(t, http.StatusSeeOther, ada.get(firstCallback).status)
	require.Equal(t, identityIn(firstCallback), s.connection("ada").IdentityID)

	s.run()
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(secondCallback))
		return !there
	}, 10*time.Second, 20*time.Millisecond, "the replaced identity is deleted")
	require.Equal(t, "ada", s.tag(identityIn(firstCallback)))
}

func TestAReloadShowsSuccessAndChangesNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	callback := ada.connect()
	at := s.connection("ada").ConnectedAt
	before := store.count()
	s.fake.ForgetCalls()
	for range 3 {
		a := ada.get(callback)
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/dashboard?connected=true", a.location)
	}
	require.Empty(t, s.fake.Calls())
	require.Equal(t, strings.ReplaceAll(before, "Pending:1", "Pending:4"), store.count(), "a reload only reads")
	require.Equal(t, at, s.connection("ada").ConnectedAt)

	// With another identity it is no reload.
	other := s.approve(s.signedIn("ada").start())
	ada.refused(connect.ErrStateSpent, ada.get(withIdentity(callback, identityIn(other))))
}

func TestFortyRacingReturnsMakeOneConnectionAndOneTag(t *testing.T) {
	t.Parallel()
	statuses := make([]int, 40)
	meeting := &meetingStore{Store: connect.NewMemoryStore()}
	meeting.arriving.Add(len(statuses))
	s := newSite(t, func(c *connect.Config) { c.Store = meeting })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	var racing sync.WaitGroup
	for i := range statuses {
		racing.Go(func() {
			a, err := ada.try(http.MethodGet, callback, "", "")
			if err == nil {
				statuses[i] = a.status
			}
		})
	}
	racing.Wait()
	for _, status := range statuses {
		require.Equal(t, http.StatusSeeOther, status)
	}
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Equal(t, "ada", s.tag(identityIn(callback)))
	require.Equal(t, 1, s.fake.CountCalls("PUT", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications"))
}

func TestUpstreamTroubleLeavesTheFlowOpen(t *testing.T) {
	t.Parallel()
	markup := http.Header{"Content-Type": {"text/html"}}
	tests := []struct {
		name  string
		fault anchortest.Fault
		want  error
	}{
		{"down", anchortest.Fault{Status: 503}, connect.ErrUpstreamUnavailable},
		{"broken", anchortest.Fault{Status: 500}, connect.ErrUpstreamUnavailable},
		{"busy", anchortest.Fault{Status: 429}, connect.ErrUpstreamUnavailable},
		{"cut off", anchortest.Fault{Drop: true}, connect.ErrUpstreamUnavailable},
		{"cut off in the middle", anchortest.Fault{Drop: true, Body: `{"data":`}, connect.ErrUpstreamUnavailable},
		{"slow", anchortest.Fault{Latency: time.Minute}, connect.ErrUpstreamTimeout},
		{"its gateway gave up", anchortest.Fault{Status: 504}, connect.ErrUpstreamTimeout},
		{"markup", anchortest.Fault{Body: "<html><script>alert(1)</script>", Header: markup}, connect.ErrUpstreamInvalid},
		{"garbage", anchortest.Fault{Body: "\x00\xff{"}, connect.ErrUpstreamInvalid},
		{"nothing", anchortest.Fault{Status: 200}, connect.ErrUpstreamInvalid},
		{"null", anchortest.Fault{Body: "null"}, connect.ErrUpstreamInvalid},
		{"an endless body", anchortest.Fault{Endless: true}, connect.ErrUpstreamInvalid},
		{"a redirect to another host", anchortest.Fault{Status: 307, Header: http.Header{"Location": {"https://evil.test/"}}}, connect.ErrUpstreamInvalid},
		{"our key refused", anchortest.Fault{Status: 401}, connect.ErrUpstreamInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ada := s.signedIn("ada")

			struck := func(method, path string, send func() answer) {
				fault := test.fault
				fault.Method, fault.Path = method, path
				s.fake.Fault(fault)
				a := send()
				ada.refused(test.want, a)
				require.NotContains(t, a.body, "<script>alert")
				require.NotContains(t, a.body, "evil.test")
				require.Contains(t, []int{502, 503, 504}, a.status)
				require.Zero(t, s.connection("ada"))
				s.fake.ClearFaults()
			}
			struck("POST", "/v1/applications/*/tokens", func() answer { return ada.post("/connect", nil) })
			callback := s.approve(ada.start())
			struck("GET", "/v1/identities/", func() answer { return ada.get(callback) })
			struck("GET", "/v1/applications", func() answer { return ada.get(callback) })

			require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "it finishes once upstream is back")
			require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
		})
	}
}

func TestAPageThatFailedOffersTheSameReturnAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503, Times: 1})
	a := ada.get(callback)
	ada.refused(connect.ErrUpstreamUnavailable, a)
	require.Equal(t, http.StatusSeeOther, ada.get(follow(t, callback, a.body)).status)
	require.NotZero(t, s.connection("ada"))
}

// follow returns where the page's one link leads.
func follow(t *testing.T, page, body string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `class="button" href="`)
	require.True(t, ok, body)
	href, _, _ := strings.Cut(rest, `"`)
	base, err := url.Parse(page)
	require.NoError(t, err)
	to, err := base.Parse(html.UnescapeString(href))
	require.NoError(t, err)
	return to.String()
}

func TestAStoreThatFailsLeavesTheFlowOpen(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	full := errors.New("the disk is full")
	failing := func(method string, send func() answer) {
		store.set(method, full)
		a := send()
		ada.refused(connect.ErrStoreFailed, a)
		require.NotContains(t, a.body, "disk", "the cause is for the log")
		require.Contains(t, s.log.String(), "the disk is full")
		store.set(method, nil)
	}
	failing("Bind", func() answer {
		a := ada.post("/connect", nil)
		require.Empty(t, a.header.Get("Set-Cookie"))
		return a
	})
	callback := s.approve(ada.start())
	failing("Pending", func() answer { return ada.get(callback) })
	failing("Complete", func() answer { return ada.get(callback) })
	failing("Connections", func() answer { return ada.get("/connect") })
	failing("Connections", func() answer { return ada.get("/connect/status") })
	failing("Disconnect", func() answer { return ada.post("/disconnect", nil) })
	require.Zero(t, s.connection("ada"))
	require.Zero(t, s.fake.CountCalls("PUT", ""))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NotZero(t, s.connection("ada"))
}

func TestAUserFunctionThatFailsLeavesTheFlowOpen(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			if failing.Load() {
				return connect.User{}, errors.New("redis is down")
			}
			return user(r)
		}
	})
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	failing.Store(true)
	for _, a := range []answer{ada.get(callback), ada.post("/connect", nil), ada.get("/connect/status"), ada.post("/disconnect", nil), ada.get("/connect")} {
		ada.refused(connect.ErrUserLookup, a)
		require.NotContains(t, a.body, "redis")
	}
	failing.Store(false)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}

func TestATagThatFailedIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	callback := ada.connect()
	require.NotZero(t, s.connection("ada"), "the connection stands without its tag")
	require.Nil(t, s.tag(identityIn(callback)))

	s.run()
	time.Sleep(2 * taskInterval)
	require.Nil(t, s.tag(identityIn(callback)))
	s.fake.ClearFaults()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
		return err == nil && len(tasks) == 0
	}, 5*time.Second, 20*time.Millisecond)
}

// taskInterval is how often Run looks.
const taskInterval = time.Second

// owed puts a task into the store as a process leaves it behind that died
// between the commit and the tag.
func (s *site) owed(user, identityID string) {
	ctx, now := context.Background(), time.Now()
	hash := "hash of " + user
	require.NoError(s.t, s.store.Bind(ctx, connect.Pending{
		TokenHash: hash, ApplicationID: s.fake.ApplicationID(), UserID: user, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	}, 5))
	completed, err := s.store.Complete(ctx, hash, connect.Connection{
		ID:            "connection of " + user,
		ApplicationID: s.fake.ApplicationID(), UserID: user, IdentityID: identityID, ConnectedAt: now, Health: connect.HealthOK,
	}, connect.Completion{TagAfter: now})
	require.NoError(s.t, err)
	require.True(s.t, completed.First)
}

func TestWhatADeadProcessOwesIsWorkedOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	plain := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"plan": "pro"}})
	s.owed("ada", plain.ID)
	others := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "grace"}})
	s.owed("eve", others.ID)
	s.owed("gone", "88888888-8888-4888-8888-888888888888")
	for i := range 25 {
		s.owed(fmt.Sprint("user", i), s.fake.PutIdentity(anchortest.Identity{}).ID)
	}
	done := s.fake.PutIdentity(anchortest.Identity{})
	s.owed("done", done.ID)
	done.Metadata = map[string]any{"externalUserId": "done", "connectedAt": s.connection("done").ConnectedAt.UTC().Format(time.RFC3339)}
	s.fake.PutIdentity(done)

	s.run()
	require.Eventually(t, func() bool {
		tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 100)
		return err == nil && len(tasks) == 0
	}, 10*time.Second, 50*time.Millisecond)

	identity, _ := s.fake.Identity(plain.ID)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	require.Equal(t, "pro", identity.Metadata["plan"])
	require.Equal(t, "grace", s.tag(others.ID), "another's mark is never overwritten")
	for _, identity := range s.fake.Identities() {
		require.NotNil(t, s.tag(identity.ID))
	}
	require.Equal(t, 26, s.fake.CountCalls("PUT", ""), "what was tagged before is not tagged again")
}

func TestRunSweepsWhatExpiredLongAgo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	hosted := ada.start()
	callback := s.approve(hosted)
	s.clock.advance(16 * time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.handler.Run(ctx), context.DeadlineExceeded)
	ada.refused(connect.ErrStateExpired, ada.get(callback)) // Not unknown: it is kept a while.

	s.clock.advance(2 * time.Hour)
	s.run()
	require.Eventually(t, func() bool {
		return strings.Contains(ada.get(callback).body, connect.Explain(connect.ErrStateUnknown).Title)
	}, 5*time.Second, 20*time.Millisecond)
}

func TestDisconnecting(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, grace := s.signedIn("ada"), s.signedIn("grace")
	callback := ada.connect()
	gracesCallback := grace.connect()

	a := ada.post("/disconnect", url.Values{"return_to": {"/bye"}})
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "/bye", a.location)
	require.Zero(t, s.connection("ada"))
	_, there := s.fake.Identity(identityIn(callback))
	require.False(t, there, "it is deleted at Anchor at once")
	require.Equal(t, identityIn(gracesCallback), s.connection("grace").IdentityID)

	require.Equal(t, "/connect", ada.post("/disconnect", nil).location, "twice is fine")
	ada.header.Set("Accept", "application/json")
	a = ada.post("/disconnect", nil)
	require.JSONEq(t, noConnection(s.fake.ApplicationID()), a.body)
	ada.header.Set("Accept", "text/html")
	ada.refused(connect.ErrStateSpent, ada.get(callback))
	require.Zero(t, s.connection("ada"), "an old return brings nothing back")
	require.Equal(t, 1, s.fake.CountCalls("DELETE", ""))

	nobody := s.browser()
	nobody.refused(connect.ErrNotSignedIn, nobody.post("/disconnect", nil))
}

func TestDisconnectingWhileAnchorIsDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := ada.connect()
	s.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)
	require.Zero(t, s.connection("ada"))
	_, there := s.fake.Identity(identityIn(callback))
	require.True(t, there)

	// What is about to be deleted cannot be connected again.
	again := s.approve(ada.start())
	identity, _ := s.fake.Identity(identityIn(callback))
	identity.CreatedAt, identity.Metadata = time.Now().Add(time.Second), nil
	s.fake.PutIdentity(identity)
	ada.refused(connect.ErrIdentityRetired, ada.get(withIdentity(again, identity.ID)))

	s.fake.ClearFaults()
	s.run()
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(callback))
		return !there
	}, 10*time.Second, 20*time.Millisecond)
}

// noConnection is the status of a user without a connection.
func noConnection(applicationID string) string {
	return fmt.Sprintf(`{"connected":false,"applicationId":%q,"connections":[],"maxConnections":1}`, applicationID)
}

func TestTheStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	require.JSONEq(t, noConnection(s.fake.ApplicationID()), ada.get("/connect/status").body)
	callback := ada.connect()
	a := ada.get("/connect/status")
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	c := s.connection("ada")
	at := c.ConnectedAt.UTC().Format(time.RFC3339)
	require.JSONEq(t, fmt.Sprintf(`{"connected":true,"applicationId":%q,"maxConnections":1,
		"connectionId":%q,"identityId":%q,"createdAt":%q,"connectedAt":%q,"health":"ok",
		"connections":[{"id":%[2]q,"label":"","identityId":%[3]q,"createdAt":%[4]q,"connectedAt":%[5]q,"health":"ok"}]}`,
		s.fake.ApplicationID(), c.ID, identityIn(callback), at, at), a.body)
	require.Contains(t, s.signedIn("eve").get("/connect/status").body, `"connected":false`, "another user's is never shown")

	nobody := s.browser()
	a = nobody.get("/connect/status")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Contains(t, a.body, `"error":"not_signed_in"`, "it is JSON whatever is asked for")
}

// A session cookie that is SameSite=Strict stays behind on the way back from
// another site and comes along when the app's own page repeats the request.
func TestAStrictSessionCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())

	// The browser comes back without its session.
	fromAnchor := s.browser()
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	for _, cookie := range ada.client.Jar.Cookies(u) {
		if cookie.Name != "session" {
			cookie.Path, cookie.Secure = "/", true
			fromAnchor.client.Jar.SetCookies(u, []*http.Cookie{cookie})
		}
	}
	a := fromAnchor.get(callback)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `<meta http-equiv="refresh" content="0;url=?`)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Zero(t, s.connection("ada"))

	again := follow(t, callback, a.body)
	require.Equal(t, http.StatusSeeOther, ada.get(again).status, "with the session it finishes")
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestWhoIsNotSignedInOnTheWayBackSignsInAndFinishes(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login?from=connect" })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	ada.signIn("")

	a := ada.get(callback)
	require.Equal(t, http.StatusOK, a.status, "once, for a Strict cookie")
	again := follow(t, callback, a.body)
	a = ada.get(again)
	ada.refused(connect.ErrNotSignedIn, a)
	signIn, err := url.Parse(follow(t, callback, a.body))
	require.NoError(t, err)
	require.Equal(t, "/login", signIn.Path)
	require.Equal(t, "connect", signIn.Query().Get("from"))
	back := signIn.Query().Get("return_to")
	require.Regexp(t, `^/identity-callback/[A-Z2-7]{32}$`, back, "the sign-in page is not told what came back")

	ada.signIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503})
	a = ada.get(back)
	ada.refused(connect.ErrUpstreamUnavailable, a)
	s.fake.ClearFaults()
	require.Equal(t, http.StatusSeeOther, ada.get(follow(t, s.server.URL+back, a.body)).status, "after signing in the same address completes it, in the end")
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)

	// Without a state cookie there is nothing to repeat.
	stranger := s.browser()
	stranger.refused(connect.ErrNotSignedIn, stranger.get(callback))
	// A script is told at once.
	ada.signIn("")
	ada.header.Set("Accept", "application/json")
	require.Equal(t, http.StatusUnauthorized, ada.get(callback).status)
}

func TestAFixedCallbackAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	ada := s.signedIn("ada")

	hosted := ada.start()
	require.Contains(t, string(s.fake.Calls()[0].Body), `"`+s.server.URL+`/identity-callback"`)
	callback := s.approve(hosted)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "a reload")

	// Two tabs, the first approved before the second has begun, in any order.
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		tab := s.signedIn("grace hopper")
		var callbacks [2]string
		for i := range callbacks {
			callbacks[i] = s.approve(tab.start())
			s.clock.advance(time.Minute)
		}
		for _, i := range order {
			require.Equal(t, http.StatusSeeOther, tab.get(callbacks[i]).status)
			require.Equal(t, identityIn(callbacks[i]), s.connection("grace hopper").IdentityID)
		}
		require.Equal(t, http.StatusSeeOther, tab.get(callbacks[0]).status, "a reload")
	}

	// No cookie, no flow.
	other := s.signedIn("ada")
	other.refused(connect.ErrNoStateCookie, other.get(callback))

	// What a user left open in this browser neither stops nor serves the next.
	shared := s.signedIn("ada2")
	abandoned := s.approve(shared.start())
	shared.signIn("grace")
	shared.refused(connect.ErrBrowserInUse, shared.post("/connect", nil))
	shared.refused(connect.ErrAnotherUser, shared.get(abandoned))
	shared.refused(connect.ErrBrowserInUse, shared.post("/connect", nil))
	require.Zero(t, s.connection("grace"))
	require.Zero(t, s.connection("ada2"))
	gracesOwn := s.signedIn("grace")
	gracesOwn.connect()
}

func TestEightAbandonedStartsDoNoHarm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	for range 8 {
		ada.start()
		s.clock.advance(time.Second)
	}
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	require.LessOrEqual(t, len(ada.client.Jar.Cookies(u)), 5+1, "five and the session")
	ada.connect()
	require.NotZero(t, s.connection("ada"))
}

func TestSecretsRotateUnderAnOpenFlow(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	older, newer := []byte("the older secret of the tests, 32 bytes"), []byte("the newer secret of the tests, 32 bytes")
	s := newSite(t, func(c *connect.Config) { c.Store, c.Secrets = store, [][]byte{older} })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())

	rotated, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{newer, older},
	})
	require.NoError(t, err)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, u.RequestURI(), nil)
	for _, cookie := range ada.client.Jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	rotated.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "/", w.Header().Get("Location"), "the default success address")
	require.NotZero(t, s.connection("ada"))
}

// Replicas are rolled one by one. So a new secret goes last everywhere, and then
// first: whichever replica a person comes back to opens what another has sealed.
func TestSecretsRotateInTwoStepsOnSeveralReplicas(t *testing.T) {
	t.Parallel()
	older, newer := []byte("the older secret of the tests, 32 bytes"), []byte("the newer secret of the tests, 32 bytes")
	comesBack := func(seals, opens [][]byte) int {
		s := newSite(t)
		var replicas [2]*connect.Handler
		var ada *browser
		for i, secrets := range [][][]byte{seals, opens} {
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: s.store,
				User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets: secrets, Logger: s.logger(),
			})
			require.NoError(t, err)
			replicas[i] = h
		}
		ada = s.browser()
		s.server.Config.Handler = replicas[0]
		callback := s.approve(ada.start())
		s.server.Config.Handler = replicas[1]
		return ada.get(callback).status
	}
	both := [][][]byte{{older}, {older, newer}, {newer, older}}
	for step := range both[:2] {
		require.Equal(t, http.StatusSeeOther, comesBack(both[step], both[step+1]), "step %d", step)
		require.Equal(t, http.StatusSeeOther, comesBack(both[step+1], both[step]), "step %d, back on the old replica", step)
	}
	require.Equal(t, http.StatusForbidden, comesBack([][]byte{newer, older}, [][]byte{older}), "in one step it breaks flows")
}

func TestUnderAPrefixStrippedOrNot(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(*http.ServeMux, *connect.Handler){
		"registered":       func(mux *http.ServeMux, h *connect.Handler) { h.Register(mux) },
		"mounted whole":    func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", h) },
		"mounted stripped": func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", http.StripPrefix("/tools", h)) },
		"registered on a mux that is mounted stripped": func(mux *http.ServeMux, h *connect.Handler) {
			inner := http.NewServeMux()
			h.Register(inner)
			mux.Handle("/tools/", http.StripPrefix("/tools", inner))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mux := http.NewServeMux()
			app := httptest.NewServer(mux)
			t.Cleanup(app.Close)
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: app.URL + "/tools/", Store: s.store,
				User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets: [][]byte{[]byte("a secret of the tests, not random")},
			})
			require.NoError(t, err)
			mount(mux, h)

			ada := s.browser()
			a := ada.post(app.URL+"/tools/connect", nil)
			require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
			require.Regexp(t, `^connect-`, a.header.Get("Set-Cookie"), "without TLS there is no __Host-")
			require.NotContains(t, a.header.Get("Set-Cookie"), "Secure")
			callback := s.approve(a.location)
			require.True(t, strings.HasPrefix(callback, app.URL+"/tools/identity-callback/"), callback)
			require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
			require.NotZero(t, s.connection("ada"))
			require.Contains(t, ada.get(app.URL+"/tools/connect").body, `action="/tools/connect"`)
			require.Equal(t, http.StatusOK, ada.get(app.URL+"/tools/connect/status").status)
			require.Equal(t, "/tools/connect", ada.post(app.URL+"/tools/disconnect", nil).location)
		})
	}
}

func TestAnErrorHandlerOfTheAppsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			e := connect.Explain(err)
			http.Error(w, "mine: "+e.Title, e.Status)
		}
	})
	ada := s.signedIn("ada")
	a := ada.get("/identity-callback/NONE?identityId=x")
	ada.refused(connect.ErrNoStateCookie, a)
	require.True(t, strings.HasPrefix(a.body, "mine: "))
}

func TestNothingThatArrivesBreaksAnything(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	u, err := url.Parse(callback)
	require.NoError(t, err)
	nasty := []string{
		`"><script>alert(1)</script>`, `';alert(1)//`, "\r\nSet-Cookie: a=b", "\x00", "%00", "../../etc/passwd", "..%2f..%2f",
		strings.Repeat("A", 4000), "\xff\xfe", "{{.}}", "javascript:alert(1)", "//evil.test", "?identityId=x", "#", "💥", "%zz", ";",
	}
	for _, text := range nasty {
		escaped := url.QueryEscape(text)
		for _, address := range []string{
			"/identity-callback/" + url.PathEscape(text),
			"/identity-callback/" + url.PathEscape(text) + "?identity_id=" + escaped,
			"/identity-callback?identityId=" + escaped,
			u.Path + "?identity_id=" + escaped,
			u.Path + "?identityId=" + escaped + "&status=" + escaped,
			u.Path + "?status=" + escaped,
			u.Path + "?error=" + escaped + "&error_description=" + escaped,
			u.Path + "?" + escaped,
			u.Path + "?repeated=" + escaped,
			"/connect?return_to=" + escaped,
			"/connect/status?" + escaped,
		} {
			for _, b := range []*browser{ada, s.browser()} {
				a := b.get(address)
				require.Less(t, a.status, 500, "%s", address)
				require.NotContains(t, a.body, "<script")
				require.NotContains(t, a.body, "onerror")
				require.Empty(t, a.header.Values("Set-Cookie"))
				require.NotContains(t, a.location, "evil.test")
			}
		}
		a := ada.do(http.MethodPost, "/connect", "application/x-www-form-urlencoded", "return_to="+escaped)
		require.Less(t, a.status, 500)
		require.NotContains(t, a.body, "<script")

		forged := s.signedIn("eve")
		forged.header.Set("Cookie", "__Host-connect-0000000000-0000000000000000="+strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return -1
			}
			return c
		}, text))
		require.Less(t, forged.get(callback).status, 500)
	}
	for _, call := range s.fake.Calls() {
		require.Regexp(t, `^/(v1/applications/[0-9a-f-]{36}/tokens|identity/create)$`, call.Path, "no path that we did not mean")
	}
	require.Zero(t, s.connection("ada"))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "and the flow is still open")
}

// bindingStore keeps what the handler has bound.
type bindingStore struct {
	connect.Store
	bound connect.Pending
}

func (s *bindingStore) Bind(ctx context.Context, p connect.Pending, limit int) error {
	s.bound = p
	return s.Store.Bind(ctx, p, limit)
}

func TestTheStoreGetsATokensHashAndNeverTheToken(t *testing.T) {
	t.Parallel()
	store := &bindingStore{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	hosted, err := url.Parse(s.signedIn("ada").start())
	require.NoError(t, err)
	token := hosted.Query().Get("token")
	require.NotEmpty(t, token)
	require.NotEmpty(t, store.bound.TokenHash)
	require.NotContains(t, fmt.Sprintf("%#v", store.bound), token)
}

func TestNoAnswerIsKeptOrTellsOtherSitesItsAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	answers := everyPage(s)
	answers["start"] = ada.post("/connect", nil)
	answers["callback"] = ada.get(s.approve(ada.start()))
	answers["status"] = ada.get("/connect/status")
	answers["disconnect"] = ada.post("/disconnect", nil)
	for name, a := range answers {
		require.Equal(t, "no-store", a.header.Get("Cache-Control"), name)
		if name != "connect" { // Its form's Origin would be null.
			require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"), name)
		}
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	var secrets []string
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	note := func(hosted, callback string) {
		h, err := url.Parse(hosted)
		require.NoError(t, err)
		c, err := url.Parse(callback)
		require.NoError(t, err)
		secrets = append(secrets, h.Query().Get("token"), strings.TrimPrefix(c.Path, "/identity-callback/"))
		for _, cookie := range ada.client.Jar.Cookies(u) {
			secrets = append(secrets, cookie.Value)
		}
	}
	hosted := ada.start()
	callback := s.approve(hosted)
	note(hosted, callback)
	for _, fault := range []anchortest.Fault{
		{Status: 500}, {Status: 400}, {Drop: true}, {Body: "x"}, {Status: 302, Header: http.Header{"Location": {callback}}},
		{Status: 400, Body: fmt.Sprintf(`{"error":{"message":"the key %s is blocked"}}`, s.fake.APIKey())},
	} {
		fault.Times = 1
		s.fake.Fault(fault)
		ada.post("/connect", nil)
		s.fake.Fault(fault)
		ada.get(callback)
		s.fake.ClearFaults()
	}
	ada.get(withIdentity(callback, "x"))
	s.signedIn("eve").get(callback)
	ada.get(callback)
	ada.post("/disconnect", nil)
	log := s.log.String()
	require.Contains(t, log, "connect: connected")
	require.Regexp(t, `"connect: refused" code=bad_identity_id .* application=`+s.fake.ApplicationID(), log)
	for _, secret := range append(secrets, s.fake.APIKey(), "a secret of the tests, not random") {
		require.NotEmpty(t, secret)
		require.NotContains(t, log, secret)
	}
}

// A gateway between here and Anchor that answers 404 with a page of its own
// (while it is being deployed, say) must not make a deletion or a tag forgotten.
func TestAGatewaysNotFoundIsNotTakenForAnchors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, grace := s.signedIn("ada"), s.signedIn("grace")
	callback := ada.connect()
	page := anchortest.Fault{Status: 404, Body: "<html>default backend - 404</html>", Header: http.Header{"Content-Type": {"text/html"}}}

	put := page
	put.Method = "PUT"
	s.fake.Fault(put)
	gracesCallback := grace.connect()
	s.fake.ClearFaults()
	waiting := s.approve(grace.start())
	s.fake.Fault(page)
	grace.refused(connect.ErrUpstreamInvalid, grace.get(waiting))
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)

	s.run()
	time.Sleep(2 * taskInterval)
	s.fake.ClearFaults()
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(callback))
		return !there && s.tag(identityIn(gracesCallback)) == "grace"
	}, 10*time.Second, 20*time.Millisecond)
}

func TestSigningInLeadsBackToWhatWasWanted(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
	nobody := s.browser()
	for _, test := range []struct{ method, path, back string }{
		{"GET", "/connect?return_to=%2Freports", "/connect?return_to=%2Freports"},
		{"POST", "/connect", "/connect"},
		{"POST", "/disconnect", "/connect"},
		{"GET", "/identity-callback/STATE?identity_id=x&status=success&other=y", "/identity-callback/STATE"},
		{"GET", "/identity-callback?identityId=x", "/identity-callback"},
	} {
		a := nobody.do(test.method, test.path, "", "")
		nobody.refused(connect.ErrNotSignedIn, a)
		u, err := url.Parse(follow(t, s.server.URL, a.body))
		require.NoError(t, err)
		require.Equal(t, "/login", u.Path)
		require.Equal(t, test.back, u.Query().Get("return_to"), test.method+test.path)
	}
}

func TestACallbackWithAClosingSlashIsTheSame(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = fixed })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		address, query, _ := strings.Cut(callback, "?")
		s.finished(ada.get(address + "/?" + query))
		require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
		if !fixed {
			require.Equal(t, http.StatusNotFound, ada.get(address+"/more/?"+query).status)
		}
	}
}

func TestAStateInThePathCountsThoughTheAddressIsFixed(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	s := newSite(t, func(c *connect.Config) { c.Store, c.FixedCallbackURL = store, true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	ada.refused(connect.ErrNoStateCookie, ada.get(strings.Replace(callback, "/identity-callback?", "/identity-callback/ABCDEFGHIJKLMNOPQRSTUVWXYZ?", 1)))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}

func TestAFixedAddressTellsOfTheNewestStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	b := s.signedIn("ada")
	b.connect()
	s.clock.advance(time.Second)
	callback := s.approve(b.start())
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(callback))
	b.signIn("ada")
	b.refused(connect.ErrStateSpent, b.get(callback))

	late := s.signedIn("grace")
	late.connect()
	s.clock.advance(time.Second)
	callback = s.approve(late.start())
	s.clock.advance(20 * time.Minute)
	late.refused(connect.ErrStateExpired, late.get(callback))
}

func TestATokenThatHasExpiredWhenItIsIssuedStartsNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "POST", Header: http.Header{"Date": {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat)}}})
	a := ada.post("/connect", nil)
	ada.refused(connect.ErrUpstreamInvalid, a)
	require.Empty(t, a.header.Get("Set-Cookie"))
	require.Equal(t, "map[Connections:1]", store.count())
}

func TestAnUnusableIdentityIsWorthNoFurtherCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithStatus(anchortest.StatusFailed), anchortest.WithSource("https://elsewhere.example"))
	s.fake.ForgetCalls()
	ada.refused(connect.ErrIdentityFailed, ada.get(callback))
	require.Len(t, s.fake.Calls(), 1)
}

// Two apps, each with a key of its own, may share a store. What one owes is
// invisible under the other's key, and must not be taken for done.
func TestHandlersOfOtherApplicationsLeaveEachOthersTasksAlone(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	first := newSite(t, func(c *connect.Config) { c.Store = store })
	second, err := anchortest.Start(anchortest.WithApplicationID("77777777-7777-4777-8777-777777777777"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, second.Close()) })
	other, err := connect.New(connect.Config{
		Anchor: second.Client(), ApplicationID: second.ApplicationID(), PublicURL: "https://other.example", Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")},
	})
	require.NoError(t, err)

	first.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	first.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	ada, grace := first.signedIn("ada"), first.signedIn("grace")
	adas, graces := ada.connect(), grace.connect()
	require.Equal(t, http.StatusSeeOther, grace.post("/disconnect", nil).status)

	ctx, cancel := context.WithTimeout(context.Background(), 3*taskInterval)
	defer cancel()
	require.ErrorIs(t, other.Run(ctx), context.DeadlineExceeded)
	require.Empty(t, second.Calls())

	first.fake.ClearFaults()
	first.run()
	require.Eventually(t, func() bool {
		_, there := first.fake.Identity(identityIn(graces))
		return !there && first.tag(identityIn(adas)) == "ada"
	}, 10*time.Second, 20*time.Millisecond)
}

func TestALongSweepHoldsNoTaskUp(t *testing.T) {
	t.Parallel()
	store := &endlessSweep{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	identity := s.fake.PutIdentity(anchortest.Identity{})
	s.owed("ada", identity.ID)
	s.run()
	require.Eventually(t, func() bool { return s.tag(identity.ID) == "ada" }, 5*time.Second, 20*time.Millisecond)
}

// endlessSweep always has more to sweep.
type endlessSweep struct{ connect.Store }

func (endlessSweep) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return limit, nil
}

func TestManyWaitForOneAnswerAboutTheApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := "/v1/applications"
	hold := s.fake.Hold("GET", path)
	const people = 6
	answers := make(chan answer, people)
	var first context.CancelFunc
	for i := range people {
		b := s.signedIn(fmt.Sprint("user", i))
		callback := s.approve(b.start())
		if i == 0 {
			// The first to ask goes away before there is an answer.
			ctx, cancel := context.WithCancel(context.Background())
			first = cancel
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
			require.NoError(t, err)
			go func() {
				if res, err := b.client.Do(r); err == nil {
					_ = res.Body.Close()
				}
			}()
			require.NoError(t, hold.Wait(t.Context(), 1))
			continue
		}
		go func() {
			a, _ := b.try(http.MethodGet, callback, "", "")
			answers <- a
		}()
	}
	require.Eventually(t, func() bool { return s.fake.CountCalls("GET", "/v1/identities/") == people }, 5*time.Second, 5*time.Millisecond)
	first()
	hold.Release()
	for range people - 1 {
		require.Equal(t, http.StatusSeeOther, (<-answers).status)
	}
	require.Equal(t, 1, s.fake.CountCalls("GET", path))
}

func TestATokenThatPromisesDaysStartsNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "POST", Header: http.Header{"Date": {time.Now().Add(-48 * time.Hour).UTC().Format(http.TimeFormat)}}})
	ada.refused(connect.ErrUpstreamInvalid, ada.post("/connect", nil))
	require.Equal(t, "map[Connections:1]", store.count())
}

func TestTheTagIsMadeThoughThePersonLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	hold := s.fake.Hold("PUT", "/v1/identities/")
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NoError(t, hold.Wait(t.Context(), 1))
	s.server.CloseClientConnections()
	time.Sleep(100 * time.Millisecond) // The server notices.
	hold.Release()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 3*time.Second, 10*time.Millisecond)
}

func TestApplicationsWithoutASiteAreToldApartByTheirLists(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ours, other := s.fake.AddApplication("Ours", ""), s.fake.AddApplication("Other", "")
	h, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: ours, PublicURL: s.server.URL, Store: s.store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")},
	})
	require.NoError(t, err)
	app := httptest.NewTLSServer(h)
	t.Cleanup(app.Close)
	ada := s.browser()
	a := ada.post(app.URL+"/connect", nil)
	require.Equal(t, http.StatusSeeOther, a.status)
	callback := strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: other, CreatedAt: time.Now().Add(time.Second)})
	require.Equal(t, http.StatusForbidden, ada.get(withIdentity(callback, foreign.ID)).status)
	require.Equal(t, http.StatusConflict, ada.get(callback).status, "what has cost a list once is spent")
	a = ada.post(app.URL+"/connect", nil)
	callback = strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}

func TestAConnectedUserCannotClaimAnOldIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	mine := ada.connect()
	old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: time.Now().Add(-time.Hour)})
	callback := s.approve(ada.start())
	ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
	require.Equal(t, identityIn(mine), s.connection("ada").IdentityID)

	// What is this user's already passes, however old.
	identity, _ := s.fake.Identity(identityIn(mine))
	identity.CreatedAt = time.Now().Add(-time.Hour)
	s.fake.PutIdentity(identity)
	require.Equal(t, http.StatusSeeOther, ada.get(withIdentity(callback, identity.ID)).status)
	require.Equal(t, identity.ID, s.connection("ada").IdentityID)
}

func TestAnchorsClockNeedNotAgreeWithOurs(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.Now = time.Now })
			s.clock.advance(offset) // The fake's clock alone.
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
			require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
			require.NotZero(t, s.connection("ada"))
		})
	}
}

func TestTheWholeListIsReadBeforeAnIdentityIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithSource("https://accounts.elsewhere.example"), anchortest.WithName("Ada"))
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/*/identities", Times: 1, Body: `{"identities":[]}`})
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "the search found nothing, the list has it")
	require.NotZero(t, s.connection("ada"))
}

func TestAStartThatCannotBeSpentIsAFault(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	b := s.signedIn("ada")
	callback := s.approve(b.start())
	b.signIn("eve")
	store.set("Spend", errors.New("the disk is full"))
	b.refused(connect.ErrStoreFailed, b.get(callback))
}

// meetingStore has every call of Complete wait until all have come, so that
// none of them is a reload that was told so beforehand.
type meetingStore struct {
	connect.Store
	arriving sync.WaitGroup
}

func (s *meetingStore) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	s.arriving.Done()
	s.arriving.Wait()
	return s.Store.Complete(ctx, tokenHash, c, how)
}
