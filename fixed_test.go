package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// ways are the ways to start, each returning the hosted page's address.
var ways = map[string]func(b *browser) string{
	"form": func(b *browser) string { return b.start() },
	"json": func(b *browser) string {
		script := *b
		script.header = http.Header{"Accept": {"application/json"}}
		a := script.do(http.MethodPost, "/connect", "application/json", "{}")
		_, rest, _ := strings.Cut(a.body, `"redirectUrl":"`)
		hosted, _, _ := strings.Cut(rest, `"`)
		return strings.ReplaceAll(hosted, `\u0026`, "&")
	},
	"popup": func(b *browser) string { return b.startInPopup("/connect").RedirectURL },
	"htmx":  func(b *browser) string { return b.withHTMX("/").post("/connect", nil).header.Get("HX-Redirect") },
}

// takeStateCookies gives this browser the state cookies of another one, as starts
// that race for one browser do.
func (b *browser) takeStateCookies(from *browser) {
	u, err := url.Parse(b.site.server.URL)
	require.NoError(b.site.t, err)
	for _, cookie := range from.client.Jar.Cookies(u) {
		if strings.HasPrefix(cookie.Name, "__Host-connect-") {
			cookie.Path, cookie.Secure = "/", true
			b.client.Jar.SetCookies(u, []*http.Cookie{cookie})
		}
	}
}

// Behind a fixed address nothing says whose sign-in comes back. So a browser that
// holds an open start of another user finishes none, and neither does a reload.
func TestFixedCallbackInABrowserOfTwoUsers(t *testing.T) {
	t.Parallel()
	for way, start := range ways {
		for _, bobFirst := range []bool{false, true} {
			t.Run(way+map[bool]string{false: ", alice first", true: ", bob first"}[bobFirst], func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
				shared, bobs := s.signedIn("alice"), s.signedIn("bob")
				var hosted string
				if bobFirst {
					start(bobs)
					s.clock.advance(time.Second)
					hosted = start(shared)
				} else {
					hosted = start(shared)
					s.clock.advance(time.Second)
					start(bobs)
				}
				shared.takeStateCookies(bobs)
				s.clock.advance(time.Second)
				callback := s.approve(hosted)

				shared.signIn("bob")
				for range 2 { // The second time is a reload.
					a := shared.get(callback)
					require.Equal(t, http.StatusForbidden, a.status, "%s", a.body)
					require.Contains(t, a.body, connect.Explain(connect.ErrAnotherUser).Title)
				}
				require.Zero(t, s.connection("bob"))
				require.Zero(t, s.connection("alice"))

				// Alice's cookie may go: bob's start is over all the same.
				bobs.refused(connect.ErrStateSpent, bobs.get(callback))
				shared.signIn("alice")
				require.NotEqual(t, http.StatusSeeOther, shared.get(callback).status)
				require.Zero(t, s.connection("bob"))
			})
		}
	}
}

// Nothing says which of a user's hosted pages has come back, nor what became of
// the others. So another user waits until the state cookie has ended.
func TestFixedCallbackAfterAnotherUser(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(s *site, alice *browser) (hosted string){
		"who has a page open": func(s *site, alice *browser) string { return alice.start() },
		"who has finished":    func(s *site, alice *browser) string { alice.connect(); return "" },
		"whose start was completed by an old identity, while its page is open": func(s *site, alice *browser) string {
			id := identityIn(s.signedIn("alice").connect())
			s.clock.advance(time.Minute)
			hosted := alice.start()
			s.finished(alice.get("/identity-callback?status=success&identity_id=" + id))
			return hosted
		},
		"whose later start was completed by the earlier page": func(s *site, alice *browser) string {
			first := alice.start()
			s.clock.advance(14 * time.Minute)
			second := alice.start()
			s.finished(alice.get(s.approve(first)))
			s.clock.advance(2 * time.Minute)
			return second
		},
		"whose start has made room": func(s *site, alice *browser) string {
			hosted := alice.start()
			for range 12 {
				s.clock.advance(time.Second)
				s.signedIn("alice").start()
			}
			return hosted
		},
		"whose start was swept": func(s *site, alice *browser) string {
			hosted := alice.start()
			_, err := s.store.Sweep(s.t.Context(), s.clock.now().Add(time.Hour), 100)
			require.NoError(s.t, err)
			return hosted
		},
		"who has disconnected": func(s *site, alice *browser) string {
			hosted := alice.start()
			require.NoError(s.t, s.handler.Disconnect(s.t.Context(), "alice"))
			return hosted
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
			shared := s.signedIn("alice")
			hosted := before(s, shared)
			shared.signIn("bob")
			s.fake.ForgetCalls()
			for way, a := range map[string]answer{
				"form": shared.post("/connect", nil),
				"json": shared.do(http.MethodPost, "/connect", "application/json", "{}"),
				"htmx": shared.withHTMX("/").post("/connect", nil),
			} {
				require.Equal(t, http.StatusConflict, a.status, way)
				require.Contains(t, a.body, connect.Explain(connect.ErrBrowserInUse).Title, way)
			}
			require.Empty(t, s.fake.Calls(), "no token is issued")

			// A start of bob's that this browser has all the same finishes nothing.
			bobs := s.signedIn("bob")
			bobs.start()
			shared.takeStateCookies(bobs)
			callback := "/identity-callback?status=success&identity_id=" + s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(time.Second)}).ID
			if hosted != "" {
				callback = s.approve(hosted)
			}
			for range 2 {
				shared.refused(connect.ErrAnotherUser, shared.get(callback))
			}
			require.Zero(t, s.connection("bob"))
		})
	}
}

// However many cookies there are, the one of another user is seen.
func TestFixedCallbackWithManyStateCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	shared := s.signedIn("alice")
	callback := s.approve(shared.start())
	for range 25 {
		bobs := s.signedIn("bob")
		s.clock.advance(time.Second)
		bobs.start()
		shared.takeStateCookies(bobs)
	}
	shared.signIn("bob")
	shared.refused(connect.ErrAnotherUser, shared.get(callback))
	shared.refused(connect.ErrBrowserInUse, shared.post("/connect", nil))
	require.Zero(t, s.connection("bob"))
}

// A link that a stranger made ends no flow for good.
func TestFixedCallbackOfAnotherApplicationsIdentitySpendsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second)})
	ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(callback, foreign.ID)))
	s.finished(ada.get(callback))
}

// What came back is a claim ticket as long as nobody owns it: it is told to nobody
// before proofs 1 to 4 hold.
func TestAnUnfinishedReturnTellsNobodyTheIdentity(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		for name, unfinished := range map[string]func(h *hook, b *browser, callback string) answer{
			"1: nobody is signed in": func(h *hook, b *browser, callback string) answer {
				b.signIn("")
				return b.get(callback + "&repeated=1")
			},
			"1: nobody is signed in, to a script": func(h *hook, b *browser, callback string) answer {
				b.signIn("")
				script := *b
				script.header = http.Header{"Accept": {"application/json"}}
				return script.get(callback)
			},
			"1: nobody is signed in, to htmx": func(h *hook, b *browser, callback string) answer {
				b.signIn("")
				u, _ := url.Parse(callback)
				htmx := b.withHTMX(u.RequestURI())
				a := htmx.get(callback + "&repeated=1")
				a.body += a.header.Get("HX-Redirect")
				return a
			},
			"2, 3: another browser": func(h *hook, b *browser, callback string) answer { return h.signedIn("ada").get(callback) },
			"4: another user": func(h *hook, b *browser, callback string) answer {
				b.signIn("eve")
				return b.get(callback)
			},
			"4: too late": func(h *hook, b *browser, callback string) answer {
				h.clock.advance(16 * time.Minute)
				return b.get(callback)
			},
		} {
			t.Run(map[bool]string{false: "", true: "fixed, "}[fixed]+name, func(t *testing.T) {
				t.Parallel()
				h := newHook(t, func(c *connect.Config) { c.FixedCallbackURL, c.SignInURL = fixed, "/login" })
				b := h.signedIn("ada")
				callback := h.approve(b.start())
				id := identityIn(callback)
				a := unfinished(h, b, callback)
				require.GreaterOrEqual(t, a.status, 400)
				kind := connect.Refused
				if strings.Contains(name, "too late") {
					kind = connect.Expired
				}
				require.Empty(t, h.told(kind, 1)[0].IdentityID)
				require.NotContains(t, h.log.String(), id)
				require.NotContains(t, a.body, id)
				require.NotContains(t, a.location, id)
				require.NotContains(t, a.header.Get("Set-Cookie"), id, "it is sealed")
			})
		}
	}
	t.Run("the store is down", func(t *testing.T) {
		t.Parallel()
		store := newCountingStore()
		h := newHook(t, func(c *connect.Config) { c.Store = store })
		b := h.signedIn("ada")
		callback := h.approve(b.start())
		store.set("Pending", http.ErrServerClosed)
		b.refused(connect.ErrStoreFailed, b.get(callback))
		h.told(connect.Refused, 0)
		require.NotContains(t, h.log.String(), identityIn(callback))
	})
}

// Nor is another user told where somebody wanted to go.
func TestAnotherUserIsNotToldTheReturnPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shared := s.signedIn("alice")
	callback := s.approve(shared.post("/connect", url.Values{"return_to": {"/secret-report"}}).location)
	shared.signIn("bob")
	a := shared.get(callback)
	shared.refused(connect.ErrAnotherUser, a)
	require.NotContains(t, a.body, "secret-report")
}

func TestAKeptReturn(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(map[bool]string{false: "with a state", true: "fixed"}[fixed], func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL, c.SignInURL = fixed, "/login" })
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			path, _, _ := strings.Cut(callback, "?")
			ada.signIn("")
			a := ada.get(callback + "&repeated=1")
			cookie, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
			require.NoError(t, err)
			require.Regexp(t, `^__Host-connect-return-`, cookie.Name)
			require.True(t, cookie.HttpOnly && cookie.Secure && cookie.SameSite == http.SameSiteLaxMode && cookie.Path == "/" && cookie.Domain == "")
			require.Equal(t, 16*60, cookie.MaxAge)

			// It proves nothing: another user gets nothing by it.
			eve := s.signedIn("eve")
			eve.takeStateCookies(ada)
			eve.refused(connect.ErrAnotherUser, eve.get(path))
			require.Zero(t, s.connection("eve"))

			// Nor does it serve another start.
			grace := s.signedIn("grace")
			own, _, _ := strings.Cut(s.approve(grace.start()), "?")
			if !fixed {
				grace.takeStateCookies(ada)
				grace.refused(connect.ErrNotFinished, grace.get(own))
			}
		})
	}
	t.Run("what it says is over with the flow", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		path, _, _ := strings.Cut(callback, "?")
		ada.signIn("")
		ada.get(callback + "&repeated=1")
		ada.signIn("ada")
		a := ada.get(path)
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Contains(t, a.header.Get("Set-Cookie"), "Max-Age=0")
		require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
		ada.refused(connect.ErrStateSpent, ada.get(path))
	})
	t.Run("it stays as long as nobody is signed in", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		path, _, _ := strings.Cut(callback, "?")
		ada.signIn("")
		for range 3 {
			ada.refused(connect.ErrNotSignedIn, ada.get(path+"?repeated=1&"+strings.SplitN(callback, "?", 2)[1]))
			ada.refused(connect.ErrNotSignedIn, ada.get(path+"?repeated=1"))
		}
		ada.signIn("ada")
		require.Equal(t, http.StatusSeeOther, ada.get(path).status)
	})
	t.Run("it is over too when a page repeats the return", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		ada.signIn("")
		ada.get(callback + "&repeated=1")
		ada.signIn("ada")
		require.Contains(t, ada.get(callback).header.Get("Set-Cookie"), "Max-Age=0")
	})
	t.Run("it is bounded", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		path, _, _ := strings.Cut(callback, "?")
		ada.signIn("")
		junk := strings.Repeat("&error="+strings.Repeat("x", 1000), 100)
		a := ada.get(path + "?identity_id=" + strings.Repeat("y", 10000) + junk)
		require.Less(t, len(a.body), 8000, "the page that repeats")
		a = ada.get(path + "?repeated=1&identity_id=" + strings.Repeat("y", 10000) + junk)
		require.Less(t, len(a.header.Get("Set-Cookie")), 1000)
	})
	t.Run("an answer other than success is kept too", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
		ada := s.signedIn("ada")
		callback, err := s.fake.Cancel(t.Context(), ada.start())
		require.NoError(t, err)
		path, _, _ := strings.Cut(callback, "?")
		ada.signIn("")
		ada.get(callback + "&repeated=1")
		ada.signIn("ada")
		a := ada.get(path)
		ada.refused(connect.ErrCancelled, a)
		require.Contains(t, a.header.Get("Set-Cookie"), "Max-Age=0")
	})
}
