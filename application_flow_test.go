package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// The life of a connection after its first callback: sessions, reconnecting,
// ending it, several applications.

func TestABrowserSessionIsSignedInWithTheUsersIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	callback := s.signedIn("ada").connect()
	s.signedIn("grace").connect()

	session, err := s.handler.NewSession(t.Context(), "ada")
	require.NoError(t, err)
	require.Len(t, s.fake.Sessions(), 1)
	opened := s.fake.Sessions()[0]
	require.Equal(t, opened.ID, session.ID)
	require.NotEmpty(t, session.CDPURL)
	require.Equal(t, []string{identityIn(callback)}, opened.IdentityIDs)
	require.JSONEq(t, fmt.Sprintf(`{
		"identities": [{"id": %q}],
		"session": {"proxy": {"active": true}},
		"browser": {"captcha_solver": {"active": true}, "extra_stealth": {"active": true}}
	}`, identityIn(callback)), string(opened.Configuration), "the settings that Anchor recommends")

	_, err = s.handler.NewSession(t.Context(), "ada",
		func(r *anchorhttp.SessionRequest) { r.Session.InitialURL = "https://example.com/inbox" },
		func(r *anchorhttp.SessionRequest) { r.Browser.ExtraStealth = nil })
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{
		"identities": [{"id": %q}],
		"session": {"proxy": {"active": true}, "initial_url": "https://example.com/inbox"},
		"browser": {"captcha_solver": {"active": true}}
	}`, identityIn(callback)), string(s.fake.Sessions()[1].Configuration))
}

func TestWhyABrowserSessionCannotBeOpened(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		user    string
		arrange func(s *site, identityID string)
		want    error
		calls   int
	}{
		{name: "a user without a connection", user: "eve", want: connect.ErrNotConnected},
		{name: "a sign-in that does not work any more", user: "ada", arrange: func(s *site, id string) {
			_, _, err := s.store.SetHealth(context.Background(), id, connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
			require.NoError(s.t, err)
		}, want: connect.ErrNeedsSignIn},
		{name: "an identity that is gone at Anchor", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 404})
		}, want: connect.ErrNeedsSignIn, calls: 1},
		{name: "no credit", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 402})
		}, want: connect.ErrNoCredit, calls: 1},
		{name: "too many calls", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 429, Header: http.Header{"Retry-After": {"90"}}})
		}, want: connect.ErrRateLimited, calls: 1},
		{name: "Anchor is down", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 503})
		}, want: connect.ErrUpstreamUnavailable, calls: 1},
		{name: "a request that Anchor does not take", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 400})
		}, want: connect.ErrUpstreamInvalid, calls: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			callback := s.signedIn("ada").connect()
			if test.arrange != nil {
				test.arrange(s, identityIn(callback))
			}
			s.fake.ForgetCalls()
			_, err := s.handler.NewSession(t.Context(), test.user)
			require.ErrorIs(t, err, test.want)
			require.Len(t, s.fake.Calls(), test.calls)
			require.Equal(t, "/connect", connect.Explain(err).ConnectURL)
			var limit *connect.RateLimitError
			if errors.As(err, &limit) {
				require.Equal(t, 90*time.Second, limit.RetryAfter)
			}
			require.Equal(t, test.want == connect.ErrRateLimited, limit != nil)
		})
	}
	t.Run("a store that failed", func(t *testing.T) {
		t.Parallel()
		store := newCountingStore()
		s := newSite(t, func(c *connect.Config) { c.Store = store })
		store.set("Connections", errors.New("the disk is full"))
		_, err := s.handler.NewSession(t.Context(), "ada")
		require.ErrorIs(t, err, connect.ErrStoreFailed)
	})
}

func TestTheAppAnswersWithOurErrorsToo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mux := s.mux
	mux.HandleFunc("/automation", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.handler.NewSession(r.Context(), r.FormValue("user")); err != nil {
			s.handler.Error(w, r, err)
		}
	})
	ada := s.signedIn("ada")
	ada.connect()
	require.Equal(t, http.StatusOK, ada.get("/automation?user=ada").status)
	a := ada.get("/automation?user=eve")
	ada.refused(connect.ErrNotConnected, a)
	require.Contains(t, a.body, `href="/connect"`)

	s.fake.Fault(anchortest.Fault{Path: "/v1/sessions", Status: 429, Header: http.Header{"Retry-After-Ms": {"61100"}}})
	a = ada.get("/automation?user=ada")
	ada.refused(connect.ErrRateLimited, a)
	require.Equal(t, "62", a.header.Get("Retry-After"), "whole seconds, rounded up")
	require.NotContains(t, a.body, "href", "there is nothing to press")
	require.NotContains(t, a.body, "429")

	require.Equal(t, "connect: Anchor refused because of too many calls", (&connect.RateLimitError{}).Error())
}

func TestConnectingAgainReplacesTheIdentityWhenTheNewOneIsProved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run()
	ada := s.signedIn("ada")
	first := ada.connect()

	// Whatever comes of the second attempt but success, the first stays.
	hosted := ada.start()
	require.Equal(t, identityIn(first), s.connection("ada").IdentityID)
	cancelled, err := s.fake.Cancel(t.Context(), ada.start())
	require.NoError(t, err)
	ada.refused(connect.ErrCancelled, ada.get(cancelled))
	foreign := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "grace"}})
	second := s.approve(hosted)
	ada.refused(connect.ErrIdentityTaken, ada.get(withIdentity(second, foreign.ID)))
	require.Equal(t, identityIn(first), s.connection("ada").IdentityID)
	_, there := s.fake.Identity(identityIn(first))
	require.True(t, there)

	require.Equal(t, http.StatusSeeOther, ada.get(second).status)
	require.Equal(t, identityIn(second), s.connection("ada").IdentityID)
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(first))
		return !there
	}, 10*time.Second, 20*time.Millisecond, "the old one is deleted")
	require.Equal(t, "ada", s.tag(identityIn(second)))

	// The account that is connected already: success, and nothing is deleted.
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(identityIn(second)))
	require.Equal(t, identityIn(second), identityIn(again))
	require.Equal(t, http.StatusSeeOther, ada.get(again).status)
	require.Equal(t, identityIn(second), s.connection("ada").IdentityID)
	require.Equal(t, 1, s.fake.CountCalls("DELETE", ""))
}

func TestDeletingAUserEndsEverything(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	mail, calendar := ada.connect(), ada.connectTo("/connect/calendar")
	graces := s.signedIn("grace").connect()
	open := s.approve(ada.start())

	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	left, err := s.handler.Connections(t.Context(), "ada")
	require.NoError(t, err)
	require.Empty(t, left)
	for _, callback := range []string{mail, calendar} {
		_, there := s.fake.Identity(identityIn(callback))
		require.False(t, there)
	}
	ada.refused(connect.ErrStateSpent, ada.get(open))
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"), "twice is fine")
	require.NoError(t, s.handler.Disconnect(t.Context(), "nobody at all"))
	require.Equal(t, identityIn(graces), s.connection("grace").IdentityID)
}

func TestAStoreThatFailsToDisconnectSaysSo(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.Store = store })
	s.signedIn("ada").connect()
	store.set("Disconnect", errors.New("the disk is full"))
	err := s.handler.Disconnect(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrStoreFailed)
	store.set("Disconnect", nil)
	require.NotZero(t, s.connection("ada"))
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	require.Zero(t, s.connection("ada"))
}

// brokenFor is a store that fails for one application.
type brokenFor struct {
	connect.Store
	applicationID string
}

func (s *brokenFor) Disconnect(ctx context.Context, d connect.Disconnection) ([]connect.Connection, error) {
	if d.ApplicationID == s.applicationID {
		return nil, errors.New("the disk is full")
	}
	return s.Store.Disconnect(ctx, d)
}

func TestDeletingAUserGoesAsFarAsItCan(t *testing.T) {
	t.Parallel()
	store := &brokenFor{Store: connect.NewMemoryStore()}
	s := newSite(t, withCalendar, func(c *connect.Config) { c.Store, store.applicationID = store, c.ApplicationID })
	ada := s.signedIn("ada")
	mail := ada.connect()
	ada.connectTo("/connect/calendar")
	require.ErrorIs(t, s.handler.Disconnect(t.Context(), "ada"), connect.ErrStoreFailed)
	left, err := s.handler.Connections(t.Context(), "ada")
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, identityIn(mail), left[0].IdentityID)
}

func TestConnectionsThatCannotBeReadAreNotNone(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	store.set("Connections", errors.New("the disk is full"))
	_, err := s.handler.Connections(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrStoreFailed)
}

func TestAnIdentityIsDeletedByOneAndThoughThePersonLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.signedIn("ada").connect()
	hold := s.fake.Hold("DELETE", "")
	ended := make(chan error, 1)
	ctx, leave := context.WithCancel(t.Context())
	go func() { ended <- s.handler.Disconnect(ctx, "ada") }()
	require.NoError(t, hold.Wait(t.Context(), 1))
	now := s.clock.now()
	tasks, err := s.store.Claim(t.Context(), s.fake.ApplicationID(), now, now, 10)
	require.NoError(t, err)
	require.Empty(t, tasks, "the request that disconnects has the task")

	leave()
	hold.Release()
	require.NoError(t, <-ended)
	tasks, err = s.store.Claim(t.Context(), s.fake.ApplicationID(), now.Add(time.Hour), now.Add(time.Hour), 10)
	require.NoError(t, err)
	for _, task := range tasks {
		require.NotEqual(t, connect.DeleteIdentity, task.Kind, "whoever asked may leave, it is deleted all the same")
	}
}

func TestRunMakesUpForEveryApplication(t *testing.T) {
	t.Parallel()
	h := newHook(t, withCalendar)
	h.fake.Fault(anchortest.Fault{Method: "PUT", Status: http.StatusServiceUnavailable, Times: 2})
	ada := h.signedIn("ada")
	mail, calendar := identityIn(ada.connect()), identityIn(ada.connectTo("/connect/calendar"))
	require.Nil(t, h.tag(mail))
	require.Nil(t, h.tag(calendar))
	h.run()
	require.Eventually(t, func() bool { return h.tag(mail) == "ada" && h.tag(calendar) == "ada" }, 5*time.Second, 10*time.Millisecond)
	h.told(connect.Tagged, 2)
}

// connectTo goes through the whole flow of an application.
func (b *browser) connectTo(path string) string {
	b.site.t.Helper()
	a := b.post(path, nil)
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	callback := b.site.approve(a.location)
	b.site.finished(b.get(callback))
	return callback
}

func TestSeveralApplicationsInOneHandler(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	mail := ada.connect()
	require.Contains(t, ada.get("/connect/calendar").body, `action="/connect/calendar"`)
	require.Contains(t, ada.get("/connect/calendar/status").body, `"connected":false`)
	calendar := ada.connectTo("/connect/calendar")

	require.Equal(t, identityIn(mail), s.connection("ada").IdentityID, "each has its own connection")
	c, err := s.handler.Application("calendar").Connection(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, identityIn(calendar), c.IdentityID)
	require.Equal(t, s.calendar, c.ApplicationID)
	require.Equal(t, "ada", s.tag(identityIn(calendar)))
	both, err := s.handler.Connections(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, []connect.Connection{s.connection("ada"), c}, both)
	none, err := s.handler.Connections(t.Context(), "eve")
	require.NoError(t, err)
	require.Empty(t, none, "never another user's")

	var status map[string]any
	require.NoError(t, json.Unmarshal([]byte(ada.get("/connect/calendar/status").body), &status))
	require.Equal(t, "calendar", status["application"])
	require.Equal(t, s.calendar, status["applicationId"])
	require.Equal(t, identityIn(calendar), status["identityId"])

	session, err := s.handler.Application("calendar").NewSession(t.Context(), "ada")
	require.NoError(t, err)
	require.NotEmpty(t, session.ID)
	require.Equal(t, []string{identityIn(calendar)}, s.fake.Sessions()[0].IdentityIDs)

	require.Equal(t, "/connect/calendar", ada.post("/disconnect/calendar", nil).location)
	require.Contains(t, ada.get("/connect/calendar/status").body, `"connected":false`)
	require.Equal(t, identityIn(mail), s.connection("ada").IdentityID)
	require.Equal(t, http.StatusSeeOther, ada.get(mail).status, "and what was begun for it is untouched: a reload")
}

func TestAnApplicationThatIsNotNamedIsNotFoundWithoutACall(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	for _, path := range []string{"/connect/mail", "/connect/mail/status", "/connect/CALENDAR", "/connect/" + s.calendar, "/connect/calendar/", "/connect/calendar/status/"} {
		require.Equal(t, http.StatusNotFound, ada.get(path).status, path)
		require.Equal(t, http.StatusNotFound, ada.post(path, nil).status, path)
	}
	require.Equal(t, http.StatusNotFound, ada.post("/disconnect/mail", nil).status)
	require.Empty(t, s.fake.Calls())
}

func TestWithoutADefaultApplicationTheShortRoutesAreNotThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.ApplicationID = "" })
	ada := s.signedIn("ada")
	for _, path := range []string{"/connect", "/connect/status", "/disconnect"} {
		require.Equal(t, http.StatusNotFound, ada.post(path, nil).status, path)
		require.Equal(t, http.StatusNotFound, ada.get(path).status, path)
	}
	ada.connectTo("/connect/calendar")
	require.Panics(t, func() { s.handler.RequireIdentity(http.NotFoundHandler()) })
	require.Panics(t, func() { s.handler.Application("mail") })
	// An error whose application nobody knows still leads somewhere.
	a := ada.get("/identity-callback/STATE")
	ada.refused(connect.ErrNoStateCookie, a)
	require.Contains(t, a.body, `href="/"`)
}

func TestARefusedReturnLeadsBackToItsOwnApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	callback, err := s.fake.Cancel(t.Context(), ada.post("/connect/calendar", nil).location)
	require.NoError(t, err)
	a := ada.get(callback)
	ada.refused(connect.ErrCancelled, a)
	require.Contains(t, a.body, `href="/connect/calendar"`)

	callback, err = s.fake.Cancel(t.Context(), ada.post("/connect/calendar", url.Values{"return_to": {"/events?a=b"}}).location)
	require.NoError(t, err)
	require.Contains(t, ada.get(callback).body, `href="/connect/calendar?return_to=%2Fevents%3Fa%3Db"`, "and ends where it wanted to")
}

// One key sees the identities of both applications: the sign-in of one must not
// become the connection of the other.
func TestAnIdentityOfOneApplicationIsNoConnectionOfAnother(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(fmt.Sprint("fixed callback ", fixed), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, withCalendar, func(c *connect.Config) { c.FixedCallbackURL = fixed })
			ada := s.signedIn("ada")
			mail := s.approve(ada.start())
			calendar := s.approve(ada.post("/connect/calendar", nil).location)
			if fixed {
				// The address does not tell the two apart; the identity's site does.
				require.Equal(t, http.StatusSeeOther, ada.get(mail).status)
				require.Equal(t, identityIn(mail), s.connection("ada").IdentityID)
				require.Equal(t, http.StatusSeeOther, ada.get(calendar).status)
				c, err := s.handler.Application("calendar").Connection(t.Context(), "ada")
				require.NoError(t, err)
				require.Equal(t, identityIn(calendar), c.IdentityID)
				return
			}
			ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(calendar, identityIn(mail))))
			ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(mail, identityIn(calendar))))
			require.Empty(t, s.connection("ada"))
			ada.refused(connect.ErrStateSpent, ada.get(calendar))
		})
	}
}

// Two kinds of account at one site: the site does not tell their identities
// apart, the applications' lists do.
func TestApplicationsOfOneSiteAreToldApartByTheirLists(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(fmt.Sprint("fixed callback ", fixed), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: s.store,
				Applications: map[string]string{"work": s.fake.AddApplication("Work", "https://example.com/work")},
				User:         func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets:      [][]byte{[]byte("a secret of the tests, not random")}, FixedCallbackURL: fixed, Now: s.clock.now, Logger: slog.New(slog.DiscardHandler),
			})
			require.NoError(t, err)
			app := httptest.NewTLSServer(h)
			t.Cleanup(app.Close)
			ada := s.browser()
			begin := func(path string) (callback string) {
				a := ada.post(app.URL+path, nil)
				require.Equal(t, http.StatusSeeOther, a.status)
				s.clock.advance(time.Second)
				return strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
			}
			home, work := begin("/connect"), begin("/connect/work")
			if !fixed {
				a := ada.get(withIdentity(work, identityIn(home)))
				require.Equal(t, http.StatusForbidden, a.status)
				require.Contains(t, a.body, connect.Explain(connect.ErrWrongApplication).Title)
				work = begin("/connect/work")
			}
			require.Equal(t, http.StatusSeeOther, ada.get(home).status)
			require.Equal(t, http.StatusSeeOther, ada.get(work).status)
			all, err := h.Connections(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, identityIn(home), all[0].IdentityID)
			require.Equal(t, identityIn(work), all[1].IdentityID)
		})
	}
}

// What cannot be asked of one application is no trouble of another.
func TestAnApplicationThatIsGoneHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/" + s.calendar, Status: http.StatusNotFound})
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications", Status: http.StatusForbidden, Times: 1})
	ada := s.signedIn("ada")
	calendar := s.approve(ada.post("/connect/calendar", nil).location)
	require.Equal(t, http.StatusBadGateway, ada.get(calendar).status)
	ada.connect()
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications/"+s.fake.ApplicationID()+"/identities"), "its list is asked instead")
}

// Behind a fixed address the account that a user has already comes back to a
// start of its own application, whatever else is open.
func TestAnAbandonedStartDoesNotStopAnotherApplication(t *testing.T) {
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
func TestManyStartsAskTheListOnce(t *testing.T) {
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

func TestEveryStartOfAnotherUserIsSpentBehindAFixedAddress(t *testing.T) {
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

func TestTheSixthStartEndsTheFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	// Each in a browser of its own, so that no cookie makes room.
	var browsers []*browser
	var callbacks []string
	for range 6 {
		b := s.signedIn("ada")
		browsers, callbacks = append(browsers, b), append(callbacks, s.approve(b.start()))
		s.clock.advance(time.Second)
	}
	graces := s.signedIn("grace")
	gracesCallback := s.approve(graces.start())
	elsewhere := s.approve(browsers[0].post("/connect/calendar", nil).location)

	browsers[0].refused(connect.ErrStateSpent, browsers[0].get(callbacks[0]))
	require.Equal(t, http.StatusSeeOther, browsers[1].get(callbacks[1]).status, "the other five are live")
	require.Equal(t, http.StatusSeeOther, graces.get(gracesCallback).status)
	require.Equal(t, http.StatusSeeOther, browsers[0].get(elsewhere).status, "another application has starts of its own")
}

func TestTheUsersNameBecomesTheIdentitys(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada Lovelace"
			return u, err
		}
	})
	ada := s.signedIn("ada")
	// Whether the hosted page takes the name from its address is undocumented.
	callback := s.approve(ada.start(), anchortest.WithName("Unnamed Identity"))
	s.finished(ada.get(callback))
	identity, _ := s.fake.Identity(identityIn(callback))
	require.Equal(t, "Ada Lovelace", identity.Name)
}

func TestTheAppsOwnMetadataGoesIntoTheTag(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []connect.User
	fails := errors.New("the billing service is down")
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada Lovelace"
			return u, err
		}
		c.Metadata = func(ctx context.Context, u connect.User) (map[string]any, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, u)
			if len(asked) == 2 {
				return nil, fails
			}
			if len(asked) == 3 {
				panic("nobody expects this")
			}
			return map[string]any{"plan": "pro", "externalUserId": "eve", "connectedAt": "never"}, nil
		}
	})
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithMetadata(map[string]any{"plan": "free", "other": "stays"}))
	s.finished(ada.get(callback))
	identity, _ := s.fake.Identity(identityIn(callback))
	require.Equal(t, map[string]any{
		"plan": "pro", "other": "stays", "externalUserId": "ada",
		"connectedAt": s.connection("ada").ConnectedAt.UTC().Format(time.RFC3339),
	}, identity.Metadata, "the owner cannot be changed")

	// When it fails the person is connected all the same, and the tag is made up for.
	callback = ada.connect()
	require.Nil(t, s.tag(identityIn(callback)))
	require.Contains(t, s.log.String(), "the billing service is down")
	s.run()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, "pro", func() any { i, _ := s.fake.Identity(identityIn(callback)); return i.Metadata["plan"] }())
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []connect.User{
		{ID: "ada", Name: "Ada Lovelace"}, {ID: "ada", Name: "Ada Lovelace"}, {ID: "ada"}, {ID: "ada"},
	}, asked, "Run knows no name")
	s.log.forget("panic") // It was meant.
}

func TestConnectingWhileDisconnecting(t *testing.T) {
	t.Parallel()
	for range 10 {
		s := newSite(t)
		s.run()
		ada := s.signedIn("ada")
		ada.connect()
		callback := s.approve(ada.start())
		var meet sync.WaitGroup
		var returned answer
		meet.Go(func() { returned, _ = ada.try("GET", callback, "", "") })
		meet.Go(func() { _, _ = ada.try("POST", "/disconnect", "", "") })
		meet.Wait()

		// Either order is right; half of one and half of the other is not.
		c := s.connection("ada")
		if returned.status == http.StatusSeeOther && c.IdentityID != "" {
			require.Equal(t, identityIn(callback), c.IdentityID)
		}
		if c.IdentityID == "" {
			require.NotEqual(t, http.StatusSeeOther, ada.get(callback).status, "nothing begun earlier outlives a disconnect")
		}
		require.Eventually(t, func() bool {
			left := 0
			for _, identity := range s.fake.Identities() {
				if identity.Metadata["externalUserId"] == "ada" && identity.ID != c.IdentityID {
					left++
				}
			}
			return left == 0
		}, 10*time.Second, 20*time.Millisecond, "every identity that was stored and is not connected is deleted")
	}
}

func TestTwoReplicasAgree(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	first := newSite(t, func(c *connect.Config) { c.Store = store })
	var second *connect.Handler
	_ = newSite(t, func(c *connect.Config) {
		c.Store, c.Anchor, c.ApplicationID, c.PublicURL = store, first.fake.Client(), first.fake.ApplicationID(), first.server.URL
		h, err := connect.New(*c)
		require.NoError(t, err)
		second = h
	})
	first.run()
	ada := first.signedIn("ada")
	callback := ada.connect()
	c, err := second.Connection(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, identityIn(callback), c.IdentityID)
	require.NoError(t, second.Disconnect(t.Context(), "ada"))
	require.Contains(t, ada.get("/connect/status").body, `"connected":false`)
}

// Everything that can happen to one connection at once, on two replicas that
// both work tasks off.
func TestTwoReplicasRace(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	second := newSite(t, func(c *connect.Config) {
		c.Store, c.Anchor, c.ApplicationID, c.PublicURL = h.store, h.fake.Client(), h.fake.ApplicationID(), h.server.URL
	})
	h.run()
	second.run()
	ada := h.signedIn("ada")
	for round := range 8 {
		id := identityIn(ada.connect())
		h.clock.advance(6 * time.Second)
		returns := []string{h.approve(ada.start()), h.approve(ada.start())}
		at := h.clock.now()
		var meet sync.WaitGroup
		for _, callback := range returns {
			meet.Go(func() { _, _ = ada.try("GET", callback, "", "") })
		}
		meet.Go(func() { _, _ = h.trySend(webhookSecret, event(failed, id, at)) })
		meet.Go(func() { _, _ = h.trySend(webhookSecret, event(works, id, at.Add(-time.Second))) })
		meet.Go(func() { _, _ = second.handler.NewSession(t.Context(), "ada") })
		if round%2 == 0 {
			meet.Go(func() { _ = second.handler.Disconnect(t.Context(), "ada") })
		}
		meet.Wait()

		c := h.connection("ada")
		if c == (connect.Connection{}) {
			require.Zero(t, round%2, "nobody disconnected")
			continue
		}
		require.Contains(t, []string{identityIn(returns[0]), identityIn(returns[1])}, c.IdentityID)
		require.Equal(t, connect.HealthOK, c.Health, "what was said of the old identity is nothing to the new one")
		_, there := h.fake.Identity(c.IdentityID)
		require.True(t, there, "what is connected is never deleted")
	}
	require.NoError(t, second.handler.Disconnect(t.Context(), "ada"))
	require.Eventually(t, func() bool {
		for _, identity := range h.fake.Identities() {
			if identity.Metadata["externalUserId"] != nil {
				return false
			}
		}
		return true
	}, 10*time.Second, 20*time.Millisecond, "every identity that was connected is deleted")
}

func TestRequiringAConnectionThroughHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	passed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := connect.FromContext(r.Context())
		_, _ = fmt.Fprint(w, "reached with ", c.IdentityID)
	})
	mux := s.mux
	mux.Handle("/reports", s.handler.RequireIdentity(passed))
	mux.Handle("/settings", s.handler.RequireConnection(passed))
	mux.Handle("/events", s.handler.Application("calendar").RequireIdentity(passed))
	mux.Handle("/old/", http.StripPrefix("/old", s.handler.RequireIdentity(passed)))
	ada := s.signedIn("ada")
	callback := ada.connect()
	require.Equal(t, "reached with "+identityIn(callback), ada.get("/reports").body)
	require.Equal(t, "/connect/calendar?return_to=%2Fevents%3Fa%3Db", ada.get("/events?a=b").location)
	require.Equal(t, "/connect?return_to=%2Fold%2Fx%3Fy", s.signedIn("eve").get("/old/x?y").location, "the way back has what a router stripped")
	s.fake.ForgetCalls()

	_, _, err := s.store.SetHealth(t.Context(), identityIn(callback), connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, "/connect?return_to=%2Freports", ada.get("/reports").location)
	require.Equal(t, "reached with "+identityIn(callback), ada.get("/settings").body, "the app may choose to let it pass")
	require.Contains(t, ada.get("/connect").body, "does not work any more")
	require.Contains(t, ada.get("/connect/status").body, `"health":"needs_sign_in"`)
	a := ada.post("/reports", url.Values{})
	ada.refused(connect.ErrNeedsSignIn, a)
	ada.header.Set("Accept", "application/json")
	require.JSONEq(t, `{"error":"needs_sign_in","connectUrl":"/connect","message":"`+
		connect.Explain(connect.ErrNeedsSignIn).Title+". "+connect.Explain(connect.ErrNeedsSignIn).Help+`"}`, ada.get("/reports").body)
	require.Contains(t, ada.get("/events").body, `"connectUrl":"/connect/calendar"`)
	require.Empty(t, s.fake.Calls(), "no call to Anchor")

	// A new sign-in puts it right, with the very same account too.
	ada.header.Set("Accept", "text/html")
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(identityIn(callback)))
	require.Equal(t, http.StatusSeeOther, ada.get(again).status)
	require.True(t, strings.HasPrefix(ada.get("/reports").body, "reached with"))
}
