package connect_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestListReturnsEveryConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	want := map[string]bool{}
	for i := range 450 { // Three pages.
		user := fmt.Sprint("user", i)
		s.connectUntagged(user, fmt.Sprintf("22222222-2222-4222-8222-%012d", i))
		want[s.connection(user).ID] = true
	}
	sick := s.connection("user7")
	_, _, err := s.store.SetHealth(t.Context(), sick.IdentityID, connect.HealthNeedsSignIn, time.Now())
	require.NoError(t, err)
	a := s.handler.Application("")
	var last string
	n := 0
	for c, err := range a.List(t.Context(), connect.ListOptions{}) {
		require.NoError(t, err)
		require.True(t, want[c.ID])
		delete(want, c.ID)
		require.Greater(t, c.ID, last)
		last = c.ID
		if n++; n == 200 {
			break // And go on from there.
		}
	}
	for c, err := range a.List(t.Context(), connect.ListOptions{After: last}) {
		require.NoError(t, err)
		require.True(t, want[c.ID])
		delete(want, c.ID)
	}
	require.Empty(t, want)
	for c, err := range a.List(t.Context(), connect.ListOptions{Health: connect.HealthNeedsSignIn}) {
		require.NoError(t, err)
		require.Equal(t, sick.ID, c.ID)
	}
	for range s.handler.Application("calendar").List(t.Context(), connect.ListOptions{}) {
		require.Fail(t, "another application has none")
	}
	for _, err := range a.List(t.Context(), connect.ListOptions{Health: "odd"}) {
		require.ErrorIs(t, err, connect.ErrStoreFailed)
	}

	bare := newSite(t, func(c *connect.Config) { c.Store = struct{ connect.Store }{connect.NewMemoryStore()} })
	for _, err := range bare.handler.Application("").List(t.Context(), connect.ListOptions{}) {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}
