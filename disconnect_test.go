package connect_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// POST /connect waits for Anchor while its user is deleted, and binds the flow afterwards.
func TestDisconnectEndsAFlowThatIsBeginning(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *site) error{
		"all applications": func(s *site) error { return s.handler.DisconnectAll(s.t.Context(), "ada") },
		"one":              func(s *site) error { return s.handler.Application("").Disconnect(s.t.Context(), "ada") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ada := s.signedIn("ada")
			hold := s.fake.Hold("POST", "/v1/applications/")
			started := make(chan answer, 1)
			go func() {
				a, _ := ada.try(http.MethodPost, "/connect", "", "")
				started <- a
			}()
			require.NoError(t, hold.Wait(t.Context(), 1))
			require.NoError(t, end(s))
			hold.Release()
			a := <-started
			require.Equal(t, http.StatusSeeOther, a.status)
			ada.refused(connect.ErrStateSpent, ada.get(s.approve(a.location)))
			require.Zero(t, s.connection("ada"))

			ada.connect() // A flow that begins later is not ended.
		})
	}
}

func TestDisconnectAllCoversApplicationsThatAreNotServedAnyMore(t *testing.T) {
	t.Parallel()
	s, calendar := retired(t, nil)
	s.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	require.ErrorIs(t, s.handler.DisconnectAll(t.Context(), "ada"), connect.ErrUpstreamUnavailable, "no handler would retry it")
	s.fake.ClearFaults()
	require.Len(t, s.connectionsIn(s.calendar, "ada"), 1, "the connection stays until the identity is deleted")

	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	_, there := s.fake.Identity(calendar)
	require.False(t, there)
	require.Empty(t, s.connectionsIn(s.calendar, "ada"))
	ids, err := s.store.Applications(t.Context())
	require.NoError(t, err)
	require.Empty(t, ids, "no task is left")
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"), "idempotent")
}

// A user who only has a pending flow in such an application.
func TestDisconnectAllEndsFlowsOfApplicationsThatAreNotServed(t *testing.T) {
	t.Parallel()
	s, _ := retired(t, nil)
	_, err := s.store.Disconnect(t.Context(), connect.Disconnection{ApplicationID: s.calendar, UserID: "ada", At: time.Now(), DeleteAfter: time.Now()})
	require.NoError(t, err)
	require.NoError(t, s.store.Bind(t.Context(), connect.Pending{
		TokenHash: "open", ApplicationID: s.calendar, UserID: "ada", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
	}, 5))
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	p, err := s.store.Pending(t.Context(), "open")
	require.NoError(t, err)
	require.True(t, p.Spent)
}

// Another project's key does not find the identity. That must not count as deleted.
func TestDisconnectAllNamesAnApplicationOfAnotherProject(t *testing.T) {
	t.Parallel()
	events := make(chan connect.Event, 10)
	s, calendar := retired(t, func(_ context.Context, e connect.Event) { events <- e })
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/" + s.calendar, Status: http.StatusNotFound})
	err := s.handler.DisconnectAll(t.Context(), "ada")
	require.ErrorContains(t, err, s.calendar)
	require.ErrorContains(t, err, "not known to this API key")
	require.ErrorContains(t, err, calendar)
	require.Empty(t, s.connectionsIn(s.calendar, "ada"))
	require.Eventually(t, func() bool { return len(events) == 1 }, 10*time.Second, 10*time.Millisecond)
	e := <-events
	require.Equal(t, []any{connect.Disconnected, s.calendar, calendar}, []any{e.Kind, e.ApplicationID, e.IdentityID})
	_, there := s.fake.Identity(calendar)
	require.True(t, there)
	tasks, err := s.store.Claim(t.Context(), s.calendar, s.clock.now().Add(time.Hour), s.clock.now(), 10)
	require.NoError(t, err)
	require.Len(t, tasks, 1, "the deletion is left to the handler that serves it")
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"), "nothing is left to do for this handler")
}

func TestDisconnectAllFailsWhenApplicationsCannotBeListed(t *testing.T) {
	t.Parallel()
	store := &listless{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	s.signedIn("ada").connect()
	require.ErrorIs(t, s.handler.DisconnectAll(t.Context(), "ada"), connect.ErrStoreFailed)
	require.Zero(t, s.connection("ada"), "the other connections are ended")
}

// Each deletion takes the two seconds that the site's client waits.
func TestDisconnectAllWaitsNoLongerForManyThanForOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(4))
	ada := s.signedIn("ada")
	for range 4 {
		ada.connect()
	}
	s.fake.Hold("DELETE", "")
	began := time.Now()
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	require.Less(t, time.Since(began), 7*time.Second)
	require.Empty(t, s.connections("ada"))
	now := s.clock.now().Add(time.Hour)
	tasks, err := s.store.Claim(t.Context(), s.fake.ApplicationID(), now, now, 10)
	require.NoError(t, err)
	require.Len(t, tasks, 4, "the rest is queued")
}

type listless struct{ connect.Store }

func (listless) ApplicationsOf(context.Context, string) ([]string, error) {
	return nil, errors.New("the disk is full")
}

func TestDisconnectOfOneAccountLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	work := identityIn(ada.connectWith("label", "work"))
	ada.connectWith("label", "home")
	connections := s.connections("ada")
	renewsWork, renewsHome := s.approve(ada.startWith("connection", connections[0].ID)), s.approve(ada.startWith("connection", connections[1].ID))
	adds := s.approve(ada.start())

	a := ada.post("/disconnect", form("connection", connections[0].ID, "return_to", "/settings"))
	require.Equal(t, "/settings", a.location)
	require.Equal(t, []string{"home"}, s.labels("ada"))
	_, there := s.fake.Identity(work)
	require.False(t, there)

	ada.refused(connect.ErrStateSpent, ada.get(renewsWork))
	require.Equal(t, []string{"home"}, s.labels("ada"), "the ended connection stays ended")
	s.finished(ada.get(renewsHome))
	s.finished(ada.get(adds))
	require.Equal(t, []string{"home", ""}, s.labels("ada"))

	a = ada.asJSON().post("/disconnect", form("connection", connections[1].ID))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"connected":true`, "one is left")
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)
	require.Empty(t, s.connections("ada"), "without an id all of them end")
	ada.refused(connect.ErrStateSpent, ada.get(adds))
}

// If only one account is allowed, its id ends the same flows as a request without an id.
func TestDisconnectOfTheOnlyAccountEndsEveryFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.connect()
	open := s.approve(ada.start())
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", s.connection("ada").ID)).status)
	ada.refused(connect.ErrStateSpent, ada.get(open))
	require.Empty(t, s.connections("ada"))
}

func TestDisconnectEndsTheConnection(t *testing.T) {
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

	require.Equal(t, "/connect", ada.post("/disconnect", nil).location, "idempotent")
	ada.header.Set("Accept", "application/json")
	a = ada.post("/disconnect", nil)
	require.JSONEq(t, noConnection(s.fake.ApplicationID()), a.body)
	ada.header.Set("Accept", "text/html")
	ada.refused(connect.ErrStateSpent, ada.get(callback))
	require.Zero(t, s.connection("ada"), "an old callback connects nothing")
	require.Equal(t, 1, s.fake.CountCalls("DELETE", ""))

	nobody := s.browser()
	nobody.refused(connect.ErrNotSignedIn, nobody.post("/disconnect", nil))
}

func TestDisconnectWhileAnchorIsDownIsFinishedByRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := ada.connect()
	s.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)
	require.Zero(t, s.connection("ada"))
	_, there := s.fake.Identity(identityIn(callback))
	require.True(t, there)

	// An identity that is to be deleted cannot be connected again.
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

func TestDisconnectAllEndsEverythingOfAUser(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	mail, calendar := ada.connect(), ada.connectTo("/connect/calendar")
	graces := s.signedIn("grace").connect()
	open := s.approve(ada.start())

	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	left, err := s.handler.AllConnections(t.Context(), "ada")
	require.NoError(t, err)
	require.Empty(t, left)
	for _, callback := range []string{mail, calendar} {
		_, there := s.fake.Identity(identityIn(callback))
		require.False(t, there)
	}
	ada.refused(connect.ErrStateSpent, ada.get(open))
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"), "idempotent")
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "nobody at all"))
	require.Equal(t, identityIn(graces), s.connection("grace").IdentityID)
}

func TestDisconnectAllReturnsTheStoresError(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.Store = store })
	s.signedIn("ada").connect()
	store.set("Disconnect", errors.New("the disk is full"))
	err := s.handler.DisconnectAll(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrStoreFailed)
	store.set("Disconnect", nil)
	require.NotZero(t, s.connection("ada"))
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
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

func TestDisconnectAllGoesAsFarAsItCan(t *testing.T) {
	t.Parallel()
	store := &brokenFor{Store: connect.NewMemoryStore()}
	s := newSite(t, withCalendar, func(c *connect.Config) { c.Store, store.applicationID = store, c.ApplicationID })
	ada := s.signedIn("ada")
	mail := ada.connect()
	ada.connectTo("/connect/calendar")
	require.ErrorIs(t, s.handler.DisconnectAll(t.Context(), "ada"), connect.ErrStoreFailed)
	left, err := s.handler.AllConnections(t.Context(), "ada")
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, identityIn(mail), left[0].IdentityID)
}

func TestDisconnectDeletesTheIdentityThoughTheCallerLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.signedIn("ada").connect()
	hold := s.fake.Hold("DELETE", "")
	ended := make(chan error, 1)
	ctx, leave := context.WithCancel(t.Context())
	go func() { ended <- s.handler.DisconnectAll(ctx, "ada") }()
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
		require.NotEqual(t, connect.DeleteIdentity, task.Kind, "the identity is deleted though the caller has left")
	}
}

func TestDisconnectDuringACallbackLeavesNothingHalfDone(t *testing.T) {
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

		// Either order is right, but not half of each.
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
