package connect_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestAdoptConnectsTheAppsOwnMapping(t *testing.T) {
	t.Parallel()
	h := newHook(t, upTo(2))
	a := h.handler.Application("")
	old := h.fake.PutIdentity(anchortest.Identity{CreatedAt: h.clock.now().AddDate(-1, 0, 0), Metadata: map[string]any{"plan": "pro"}})
	c, err := a.Adopt(t.Context(), connect.User{ID: "ada", Name: "Ada", Actor: "bea"}, strings.ToUpper(old.ID), " work ")
	require.NoError(t, err)
	require.Equal(t, h.connection("ada"), c)
	require.Equal(t, old.ID, c.IdentityID)
	require.Equal(t, "bea", c.ActorID)
	require.Equal(t, "work", c.Label)
	require.True(t, c.HealthAt.Equal(old.UpdatedAt), "later events at Anchor count")
	require.Equal(t, "ada", h.tag(old.ID))
	identity, _ := h.fake.Identity(old.ID)
	require.Equal(t, "pro", identity.Metadata["plan"])
	e := h.waitForEvents(connect.Connected, 1)[0]
	require.Equal(t, c.ID, e.ConnectionID)
	require.Equal(t, "bea", e.ActorID)

	h.fake.ForgetCalls()
	again, err := a.Adopt(t.Context(), connect.User{ID: "ada"}, old.ID, "other")
	require.NoError(t, err)
	require.Equal(t, c, again, "idempotent")
	require.Empty(t, h.fake.Calls())

	// An existing connection stays, even if only the store knows it.
	identity.Metadata = nil
	h.fake.PutIdentity(identity)
	for name, test := range map[string]struct {
		user  connect.User
		id    string
		label string
		want  error
	}{
		"another user's in the store": {connect.User{ID: "grace"}, old.ID, "", connect.ErrIdentityTaken},
		"another user's by its mark":  {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "eve"}}).ID, "", connect.ErrIdentityTaken},
		"of another application":      {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{ApplicationID: h.calendar}).ID, "", connect.ErrWrongApplication},
		"unknown":                     {connect.User{ID: "grace"}, "99999999-9999-4999-8999-999999999999", "", connect.ErrIdentityNotFound},
		"no id":                       {connect.User{ID: "grace"}, "x", "", connect.ErrBadIdentityID},
		"failed":                      {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{Status: anchortest.StatusFailed}).ID, "", connect.ErrIdentityFailed},
		"for nobody":                  {connect.User{ID: "0"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "", connect.ErrNotSignedIn},
		"with a label of two lines":   {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "a\nb", connect.ErrBadLabel},
	} {
		_, err := a.Adopt(t.Context(), test.user, test.id, test.label)
		require.ErrorIs(t, err, test.want, name)
	}
	require.Empty(t, h.connections("grace"))
	left, err := h.store.ApplicationsOf(t.Context(), "grace")
	require.NoError(t, err)
	require.Empty(t, left, "no flow is left pending")

	for range 2 {
		_, err = a.Adopt(t.Context(), connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "")
		require.NoError(t, err)
	}
	_, err = a.Adopt(t.Context(), connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "")
	require.ErrorIs(t, err, connect.ErrConnectionLimit, "it replaces no connection")
	require.Len(t, h.connections("grace"), 2)
}

func TestAdoptTakesAnIdentityWithoutADate(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	identity := h.fake.PutIdentity(anchortest.Identity{UpdatedAt: time.Time{}.Add(time.Millisecond)})
	c, err := h.handler.Application("").Adopt(t.Context(), connect.User{ID: "ada"}, identity.ID, "")
	require.NoError(t, err)
	require.Equal(t, time.Unix(0, 0).UTC(), c.HealthAt.UTC(), "no store need keep an earlier moment")
}

// A flow that is pending when a mapping is adopted stays pending.
func TestAdoptEndsNoFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	var callbacks []string
	for range 5 {
		callbacks = append(callbacks, s.approve(ada.start()))
	}
	_, err := s.handler.Application("").Adopt(t.Context(), connect.User{ID: "ada"}, s.fake.PutIdentity(anchortest.Identity{}).ID, "")
	require.NoError(t, err)
	s.finished(ada.get(callbacks[0]))
}

func TestAdoptOvertakenByADisconnectStoresNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	identity := s.fake.PutIdentity(anchortest.Identity{})
	hold := s.fake.HoldAnswer("GET", "/v1/identities/")
	adopted := make(chan error, 1)
	go func() {
		_, err := s.handler.Application("").Adopt(context.Background(), connect.User{ID: "ada"}, identity.ID, "")
		adopted <- err
	}()
	require.NoError(t, hold.Wait(t.Context(), 1))
	s.clock.advance(time.Second)
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	hold.Release()
	require.ErrorIs(t, <-adopted, connect.ErrStateSpent)
	require.Empty(t, s.connections("ada"))
}
