package connect_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// A start waits for Anchor while its user is deleted, and is bound afterwards.
func TestDisconnectEndsAStartThatIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *site) error{
		"all applications": func(s *site) error { return s.handler.Disconnect(s.t.Context(), "ada") },
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

			ada.connect() // What begins later is another matter.
		})
	}
}

// What was this user's connection a moment ago may be deleted by now.
func TestAnIdentityThatWasReplacedMeanwhileIsNotStored(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	first := identityIn(ada.connect())
	s.clock.advance(time.Minute)
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(first))

	// Tab A has proved everything and waits for the database.
	waiting, goOn := make(chan struct{}), make(chan struct{})
	store.pause = func(c connect.Connection) {
		if c.IdentityID == first {
			close(waiting)
			<-goOn
		}
	}
	answers := make(chan answer, 1)
	go func() {
		a, _ := ada.try(http.MethodGet, again, "", "")
		answers <- a
	}()
	<-waiting
	// Tab B replaces the identity, which is then deleted at Anchor.
	second := identityIn(ada.connect())
	s.run()
	require.Eventually(t, func() bool { _, there := s.fake.Identity(first); return !there }, 10*time.Second, 10*time.Millisecond)

	close(goOn)
	ada.refused(connect.ErrIdentityTooOld, <-answers)
	require.Equal(t, second, s.connection("ada").IdentityID)
}

// pausedComplete calls pause before a connection is stored.
type pausedComplete struct {
	connect.Store
	pause func(c connect.Connection)
}

func (s *pausedComplete) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	if s.pause != nil {
		s.pause(c)
	}
	return s.Store.Complete(ctx, tokenHash, c, how)
}

// retired is a site that has served the calendar before, and the user's identity
// there. told gets its events, and may be nil.
func retired(t *testing.T, told func(context.Context, connect.Event)) (s *site, calendar string) {
	store := connect.NewMemoryStore()
	s = newSite(t, withCalendar, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	calendar = identityIn(ada.connectTo("/connect/calendar"))
	h, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")}, Logger: s.logger(), OnEvent: told,
	})
	require.NoError(t, err)
	served := *s
	served.handler = h
	return &served, calendar
}

func TestDisconnectCoversApplicationsThatAreNotServedAnyMore(t *testing.T) {
	t.Parallel()
	s, calendar := retired(t, nil)
	s.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	require.ErrorIs(t, s.handler.Disconnect(t.Context(), "ada"), connect.ErrUpstreamUnavailable, "nobody would try again")
	s.fake.ClearFaults()
	require.Len(t, s.connectionsIn(s.calendar, "ada"), 1, "it stays until it is done")

	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	_, there := s.fake.Identity(calendar)
	require.False(t, there)
	require.Empty(t, s.connectionsIn(s.calendar, "ada"))
	ids, err := s.store.Applications(t.Context())
	require.NoError(t, err)
	require.Empty(t, ids, "nothing is owed")
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"), "twice is fine")
}

// What only has a start open there is ended too.
func TestDisconnectSpendsStartsOfApplicationsThatAreNotServed(t *testing.T) {
	t.Parallel()
	s, _ := retired(t, nil)
	_, err := s.store.Disconnect(t.Context(), connect.Disconnection{ApplicationID: s.calendar, UserID: "ada", At: time.Now(), DeleteAfter: time.Now()})
	require.NoError(t, err)
	require.NoError(t, s.store.Bind(t.Context(), connect.Pending{
		TokenHash: "open", ApplicationID: s.calendar, UserID: "ada", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
	}, 5))
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	p, err := s.store.Pending(t.Context(), "open")
	require.NoError(t, err)
	require.True(t, p.Spent)
}

// Under another project's key an identity is not there, which must not be taken
// for deleted.
func TestDisconnectOfAnApplicationOfAnotherProjectSaysSo(t *testing.T) {
	t.Parallel()
	events := make(chan connect.Event, 10)
	s, calendar := retired(t, func(_ context.Context, e connect.Event) { events <- e })
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/" + s.calendar, Status: http.StatusNotFound})
	err := s.handler.Disconnect(t.Context(), "ada")
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
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"), "there is nothing left to do here")
}

func TestDisconnectWhenTheApplicationsCannotBeListedSaysSo(t *testing.T) {
	t.Parallel()
	store := &listless{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	s.signedIn("ada").connect()
	require.ErrorIs(t, s.handler.Disconnect(t.Context(), "ada"), connect.ErrStoreFailed)
	require.Zero(t, s.connection("ada"), "what can be done is done")
}

// Each deletion takes the two seconds that the site's client waits.
func TestDisconnectWaitsNoLongerForManyThanForOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(4))
	ada := s.signedIn("ada")
	for range 4 {
		ada.connect()
	}
	s.fake.Hold("DELETE", "")
	began := time.Now()
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	require.Less(t, time.Since(began), 7*time.Second)
	require.Empty(t, s.connections("ada"))
	now := s.clock.now().Add(time.Hour)
	tasks, err := s.store.Claim(t.Context(), s.fake.ApplicationID(), now, now, 10)
	require.NoError(t, err)
	require.Len(t, tasks, 4, "the rest is owed")
}

type listless struct{ connect.Store }

func (listless) ApplicationsOf(context.Context, string) ([]string, error) {
	return nil, errors.New("the disk is full")
}

func TestRunSaysLoudlyAndOnceWhatNobodyServes(t *testing.T) {
	t.Parallel()
	s, _ := retired(t, nil)
	s.run()
	logged := func() int {
		return strings.Count(s.log.String(), `level=ERROR msg="connect: the store holds connections or tasks of an application that is not in Config`)
	}
	require.Eventually(t, func() bool { return logged() == 1 }, 5*time.Second, 5*time.Millisecond)
	require.Contains(t, s.log.String(), "application="+s.calendar)
	require.NotContains(t, s.log.String(), "Config, and this handler does not work on them. If no other handler serves it, put it back until its users are disconnected\" application="+s.fake.ApplicationID())
	time.Sleep(2 * taskInterval)
	require.Equal(t, 1, logged())
}
