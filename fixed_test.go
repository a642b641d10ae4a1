package connect_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestFixedCallbackFinishesFlowsInAnyOrder(t *testing.T) {
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

func TestFixedCallbackHonorsAStateInThePath(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	s := newSite(t, func(c *connect.Config) { c.Store, c.FixedCallbackURL = store, true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	ada.refused(connect.ErrNoStateCookie, ada.get(strings.Replace(callback, "/identity-callback?", "/identity-callback/ABCDEFGHIJKLMNOPQRSTUVWXYZ?", 1)))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}

func TestFixedCallbackExplainsTheNewestFlow(t *testing.T) {
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

// Behind a fixed address the account that a user has already comes back to a
// start of its own application, whatever else is open.
func TestFixedCallbackIgnoresAnAbandonedFlowOfAnotherApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.FixedCallbackURL = true })
	id := identityIn(s.signedIn("ada").connect())
	s.clock.advance(time.Minute)
	ada := s.signedIn("ada")
	require.Equal(t, http.StatusSeeOther, ada.post("/connect/calendar", nil).status)
	s.clock.advance(time.Minute)
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(id))
	require.Equal(t, http.StatusSeeOther, ada.get(again).status)
	require.WithinDuration(t, s.clock.now(), s.connection("ada").ConnectedAt, time.Minute/2)
}

// A stranger's identity costs no more calls for all the starts that are open.
func TestFixedCallbackAsksTheListOnceForManyFlows(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	ada := s.signedIn("ada")
	for range 5 {
		ada.start()
		s.clock.advance(time.Second)
	}
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar})
	ada.refused(connect.ErrWrongApplication, ada.get("/identity-callback?status=success&identity_id="+foreign.ID))
	require.LessOrEqual(t, s.fake.CountCalls("GET", "/v1/applications/"+s.fake.ApplicationID()+"/identities"), 2)
}

func TestFixedCallbackOfAnotherUserEndsEveryFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	b := s.signedIn("ada")
	first := s.approve(b.start())
	s.clock.advance(time.Second)
	second := s.approve(b.start())
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(second))
	b.signIn("ada")
	b.refused(connect.ErrStateSpent, b.get(first))
	b.refused(connect.ErrStateSpent, b.get(second))
	require.Zero(t, s.connection("ada"))
}

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

// Behind a fixed address nothing says whose sign-in comes back. So a browser that
// holds an open start of another user finishes none, and neither does a reload.
func TestFixedCallbackInABrowserOfTwoUsersIsRefused(t *testing.T) {
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
func TestFixedCallbackAfterAnotherUserIsRefused(t *testing.T) {
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
func TestFixedCallbackSeesAnotherUserAmongManyCookies(t *testing.T) {
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
func TestFixedCallbackOfAnotherApplicationsIdentityEndsNoFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second)})
	ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(callback, foreign.ID)))
	s.finished(ada.get(callback))
}
