package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestReturnReadsBothNamesOfTheParameter(t *testing.T) {
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

// As long as no connection has an identity, anyone who knows its id may try to claim it.
// So the id is not revealed before proofs 1 to 4 hold.
func TestReturnThatIsNotProvedRevealsNoIdentity(t *testing.T) {
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
				require.Empty(t, h.waitForEvents(kind, 1)[0].IdentityID)
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
		h.waitForEvents(connect.Refused, 0)
		require.NotContains(t, h.log.String(), identityIn(callback))
	})
}

// Nor does another user learn the flow's return path.
func TestReturnPathIsHiddenFromAnotherUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shared := s.signedIn("alice")
	callback := s.approve(shared.post("/connect", url.Values{"return_to": {"/secret-report"}}).location)
	shared.signIn("bob")
	a := shared.get(callback)
	shared.refused(connect.ErrAnotherUser, a)
	require.NotContains(t, a.body, "secret-report")
}

func TestReturnIsKeptWhileTheUserSignsIn(t *testing.T) {
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

			// It proves nothing, so it is of no use to another user.
			eve := s.signedIn("eve")
			eve.takeStateCookies(ada)
			eve.refused(connect.ErrAnotherUser, eve.get(path))
			require.Zero(t, s.connection("eve"))

			// It is not used for another flow.
			grace := s.signedIn("grace")
			own, _, _ := strings.Cut(s.approve(grace.start()), "?")
			if !fixed {
				grace.takeStateCookies(ada)
				grace.refused(connect.ErrNotFinished, grace.get(own))
			}
		})
	}
	t.Run("it is removed when the flow ends", func(t *testing.T) {
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
	t.Run("it stays until a user signs in", func(t *testing.T) {
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
	t.Run("it is removed too when a page repeats the callback", func(t *testing.T) {
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
	t.Run("a cancel is kept too", func(t *testing.T) {
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
