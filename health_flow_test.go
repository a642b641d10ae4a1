package connect_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestCheckReadsTheStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange func(s *site, identityID string)
		before  connect.Health
		want    connect.Health
	}{
		"nothing has happened":   {func(*site, string) {}, connect.HealthOK, connect.HealthOK},
		"the identity is gone":   {func(s *site, id string) { s.remove(id) }, connect.HealthOK, connect.HealthNeedsSignIn},
		"it failed":              {func(s *site, id string) { s.fake.SetStatus(id, "failed") }, connect.HealthOK, connect.HealthNeedsSignIn},
		"it failed for an agent": {func(s *site, id string) { s.fake.SetStatus(id, "agent_invalid") }, connect.HealthOK, connect.HealthNeedsSignIn},
		"an unknown status":      {func(s *site, id string) { s.fake.SetStatus(id, "dormant") }, connect.HealthOK, connect.HealthOK},
		"it works again": {func(s *site, id string) {
			s.clock.advance(time.Hour)
			require.NoError(s.t, s.fake.Reauthenticate(context.Background(), id))
		}, connect.HealthNeedsSignIn, connect.HealthNeedsSignIn}, // A status may move for another reason.
		"nobody has noticed yet": {func(*site, string) {}, connect.HealthNeedsSignIn, connect.HealthNeedsSignIn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			id := identityIn(h.signedIn("ada").connect())
			if test.before == connect.HealthNeedsSignIn {
				h.clock.advance(time.Minute)
				_, _, err := h.store.SetHealth(t.Context(), id, connect.HealthNeedsSignIn, h.clock.now())
				require.NoError(t, err)
			}
			test.arrange(h.site, id)
			h.fake.ForgetCalls()
			c, err := h.handler.Check(t.Context(), h.connection("ada"), connect.CheckStatus)
			require.NoError(t, err)
			require.Equal(t, test.want, c.Health)
			require.Equal(t, h.connection("ada"), c)
			require.Len(t, h.fake.Calls(), 1)
			changes := 0
			if test.before != test.want {
				changes = 1
			}
			h.waitForEvents(connect.HealthChanged, changes)
		})
	}
}

func TestCheckHasAnchorSignInAgain(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]connect.Health{
		0: connect.HealthOK, 412: connect.HealthNeedsSignIn, 422: connect.HealthNeedsSignIn,
	} {
		for _, before := range []connect.Health{connect.HealthOK, connect.HealthNeedsSignIn} {
			t.Run(fmt.Sprint(status, before), func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				id := identityIn(s.signedIn("ada").connect())
				if before == connect.HealthNeedsSignIn {
					s.fake.KillSignIn(id)
					_, err := s.handler.NewSession(t.Context(), "ada")
					require.ErrorIs(t, err, connect.ErrNeedsSignIn)
				}
				if status != 0 {
					s.fake.RefuseReauthenticationOf(id, status)
				}
				c, err := s.handler.Check(t.Context(), s.connection("ada"), connect.CheckSignIn)
				require.NoError(t, err)
				require.Equal(t, want, c.Health)
				require.Equal(t, c, s.connection("ada"))
				if want == connect.HealthOK {
					_, err = s.handler.NewSession(t.Context(), "ada")
					require.NoError(t, err)
				}
			})
		}
	}
}

func TestCheckThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := identityIn(s.signedIn("ada").connect())
	c := s.connection("ada")
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503, Times: 1})
	_, err := s.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrUpstreamUnavailable)
	s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/identities/", Status: 503, Times: 1})
	_, err = s.handler.Check(t.Context(), c, connect.CheckSignIn)
	require.ErrorIs(t, err, connect.ErrUpstreamUnavailable)
	_, err = s.handler.Check(t.Context(), c, "thoroughly")
	require.ErrorContains(t, err, "thoroughly")
	require.Equal(t, c, s.connection("ada"))

	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	_, err = s.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrNotConnected, "it has ended meanwhile")
	_, there := s.fake.Identity(id)
	require.False(t, there)
}

// Another project's key finds no identity at all.
func TestVerifyApplicationSparesConnectionsOfAnotherProject(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	s.signedIn("ada").connectTo("/connect/calendar")
	c := s.connectionsIn(s.calendar, "ada")[0]
	other := newSite(t, func(c *connect.Config) { c.Store, c.ApplicationID = s.store, s.calendar })
	require.Error(t, other.handler.Verify(t.Context()))

	_, err := other.handler.Application("").Reconcile(t.Context(), connect.ReconcileOptions{Repair: true, CallsPerMinute: 1_000_000})
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	_, err = other.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	_, err = other.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	require.NotErrorIs(t, err, connect.ErrNeedsSignIn)
	require.Equal(t, c, s.connectionsIn(s.calendar, "ada")[0])
	_, err = s.handler.Application("calendar").NewSession(t.Context(), "ada")
	require.NoError(t, err)
}
