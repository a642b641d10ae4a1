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

	// Without a cookie there is no flow.
	other := s.signedIn("ada")
	other.refused(connect.ErrNoStateCookie, other.get(callback))

	// A flow that one user left pending in this browser cannot be finished by the next.
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

// Behind a fixed address, an account that the user has already completes a flow of its
// own application, whatever other flows are pending.
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

// A stranger's identity costs no more calls if several flows are pending.
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

// ways are the ways to start a flow. Each returns the hosted page's address.
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

// A callback at a fixed address does not say whose flow it belongs to. So a browser that
// holds a pending flow of another user finishes none, and neither does a reload.
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

				// Bob's flow is over even without alice's cookie.
				bobs.refused(connect.ErrStateSpent, bobs.get(callback))
				shared.signIn("alice")
				require.NotEqual(t, http.StatusSeeOther, shared.get(callback).status)
				require.Zero(t, s.connection("bob"))
			})
		}
	}
}

// The callback does not say which of a user's hosted pages it comes from, nor whether
// others are still open. So another user has to wait until the state cookie expires.
func TestFixedCallbackAfterAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(s *site, alice *browser) (hosted string){
		"who has a page open": func(s *site, alice *browser) string { return alice.start() },
		"who has finished":    func(s *site, alice *browser) string { alice.connect(); return "" },
		"whose flow was completed by an old identity, while its page is open": func(s *site, alice *browser) string {
			id := identityIn(s.signedIn("alice").connect())
			s.clock.advance(time.Minute)
			hosted := alice.start()
			s.finished(alice.get("/identity-callback?status=success&identity_id=" + id))
			return hosted
		},
		"whose later flow was completed by the earlier page": func(s *site, alice *browser) string {
			first := alice.start()
			s.clock.advance(14 * time.Minute)
			second := alice.start()
			s.finished(alice.get(s.approve(first)))
			s.clock.advance(2 * time.Minute)
			return second
		},
		"whose flow was ended by newer ones": func(s *site, alice *browser) string {
			hosted := alice.start()
			for range 12 {
				s.clock.advance(time.Second)
				s.signedIn("alice").start()
			}
			return hosted
		},
		"whose flow was swept": func(s *site, alice *browser) string {
			hosted := alice.start()
			_, err := s.store.Sweep(s.t.Context(), s.clock.now().Add(time.Hour), 100)
			require.NoError(s.t, err)
			return hosted
		},
		"who has disconnected": func(s *site, alice *browser) string {
			hosted := alice.start()
			require.NoError(s.t, s.handler.DisconnectAll(s.t.Context(), "alice"))
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

			// Even a flow of bob's whose cookie this browser has finishes nothing.
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

// Another user's cookie is found among any number of others.
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

// A stranger's link ends no flow.
func TestFixedCallbackOfAnotherApplicationsIdentityEndsNoFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second)})
	ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(callback, foreign.ID)))
	s.finished(ada.get(callback))
}

// The identity that the callback names may be a stranger's, so it is not deleted either.
func TestFixedCallbackOfAFlowThatEndedMeanwhileDeletesNothing(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store, c.FixedCallbackURL = store, true })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	store.pause = func(connect.Connection) { require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada")) }
	a := ada.get(callback)
	ada.refused(connect.ErrStateSpent, a)
	<-a.over
	_, there := s.fake.Identity(identityIn(callback))
	require.True(t, there)
	require.Empty(t, s.connections("ada"))
}

// A user may have several connections from before FixedCallbackURL was set.
func TestFixedCallbackBeginsNoFlowBesideSeveralConnections(t *testing.T) {
	t.Parallel()
	before := newSite(t, upTo(2))
	ada := before.signedIn("ada")
	ada.connect()
	ada.connect()
	s := newSite(t, func(c *connect.Config) { c.Store, c.FixedCallbackURL = before.store, true })
	ada = s.signedIn("ada")
	for _, fields := range []url.Values{nil, form("connection", before.connections("ada")[0].ID)} {
		ada.refused(connect.ErrConnectionLimit, ada.post("/connect", fields))
	}
	require.Empty(t, s.fake.Calls(), "no token is issued")

	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", before.connections("ada")[0].ID)).status)
	ada.connect() // With one connection a flow begins.
}
