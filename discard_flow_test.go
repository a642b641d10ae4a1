package connect_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// An identity that was made for a flow that is over is deleted. One that may be in use
// stays.
func TestDiscardDeletesASignInThatCameTooLate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		back    func(s *site, ada *browser, callback string) answer
		approve []anchortest.ApproveOption
		fixed   bool
		deleted bool
	}{
		"too late": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, deleted: true},
		"after a disconnect": {back: func(s *site, ada *browser, callback string) answer {
			require.NoError(s.t, s.handler.DisconnectAll(context.Background(), "ada"))
			return ada.get(callback)
		}, deleted: true},
		"with a mark": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, approve: []anchortest.ApproveOption{anchortest.WithMetadata(map[string]any{"externalUserId": "ada"})}},
		"an older identity": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, approve: []anchortest.ApproveOption{anchortest.WithCreatedAt(time.Now().Add(-time.Hour))}},
		"in another browser": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return s.signedIn("ada").get(callback)
		}},
		"with another user signed in": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			ada.signIn("eve")
			return ada.get(callback)
		}},
		"behind a fixed address": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, fixed: true},
		"of another application": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			other := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar})
			return ada.get(withIdentity(callback, other.ID))
		}},
		"while Anchor is down": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			s.fake.Fault(anchortest.Fault{Method: "GET", Status: 503})
			return ada.get(callback)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = test.fixed })
			ada := s.signedIn("ada")
			callback := s.approve(ada.start(), test.approve...)
			a := test.back(s, ada, callback)
			<-a.over
			require.GreaterOrEqual(t, a.status, 400)
			require.Empty(t, s.connections("ada"))
			require.Equal(t, test.deleted, s.fake.CountCalls("DELETE", "") == 1)
			_, there := s.fake.Identity(identityIn(callback))
			require.Equal(t, !test.deleted, there)
		})
	}
}

// The callback of an old flow cannot delete the identity of a connection.
func TestDiscardSparesAConnectedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	spent := s.approve(ada.start())
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	id := identityIn(ada.connect())
	identity, _ := s.fake.Identity(id)
	identity.Metadata, identity.CreatedAt = nil, s.clock.now().Add(time.Minute)
	s.fake.PutIdentity(identity)
	a := ada.get(withIdentity(spent, id))
	ada.refused(connect.ErrStateSpent, a)
	<-a.over
	_, there := s.fake.Identity(id)
	require.True(t, there)
	require.Equal(t, id, s.connections("ada")[0].IdentityID)
	require.NotContains(t, s.log.String(), "may be left at Anchor")
}

// The user is deleted after the proofs hold and before the connection is stored.
func TestDiscardDeletesTheSignInOfAFlowThatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	store.pause = func(connect.Connection) { require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada")) }
	a := ada.get(callback)
	ada.refused(connect.ErrStateSpent, a)
	<-a.over
	_, there := s.fake.Identity(identityIn(callback))
	require.False(t, there)
}
