package anchortest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHold(t *testing.T) {
	t.Parallel()

	// rename has a call under way and tells how it ended.
	rename := func(ctx context.Context, t *testing.T, s *Server, id, name string) <-chan error {
		t.Helper()
		req := request(t, s, "PUT", "/v1/identities/"+id, `{"name":"`+name+`"}`)
		ended := make(chan error, 1)
		go func() {
			_, err := try(ctx, req)
			ended <- err
		}()
		return ended
	}
	nameOf := func(s *Server, id string) string {
		identity, _ := s.Identity(id)
		return identity.Name
	}

	t.Run("a held call has no effect before it is released", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		id := s.PutIdentity(Identity{Name: "old"}).ID
		hold := s.Hold("PUT", "/v1/identities/")
		ended := rename(soon(t), t, s, id, "new")
		require.NoError(t, hold.Wait(soon(t), 1))
		require.Equal(t, "old", nameOf(s, id))
		require.Zero(t, s.Calls()[0].Status)
		require.Equal(t, 200, call(t, s, "GET", "/v1/identities/"+id, "").status, "other calls pass")
		hold.Release()
		require.NoError(t, <-ended)
		require.Equal(t, "new", nameOf(s, id))
		require.Equal(t, 200, s.Calls()[0].Status)
	})

	t.Run("a held answer comes after the effect", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		id := s.PutIdentity(Identity{Name: "old"}).ID
		hold := s.HoldAnswer("PUT", "/v1/identities/*")
		ended := rename(soon(t), t, s, id, "new")
		require.NoError(t, hold.Wait(soon(t), 1))
		require.Equal(t, "new", nameOf(s, id))
		select {
		case err := <-ended:
			t.Fatal("answered while held", err)
		case <-time.After(20 * time.Millisecond):
		}
		hold.Release()
		require.NoError(t, <-ended)
	})

	t.Run("a caller who goes away undoes a held call, not a held answer", func(t *testing.T) {
		t.Parallel()
		for want, hold := range map[string]func(*Server, string, string) *Hold{"old": (*Server).Hold, "new": (*Server).HoldAnswer} {
			s := start(t)
			id := s.PutIdentity(Identity{Name: "old"}).ID
			held := hold(s, "PUT", "")
			ctx, cancel := context.WithCancel(soon(t))
			ended := rename(ctx, t, s, id, "new")
			require.NoError(t, held.Wait(soon(t), 1))
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
			require.NoError(t, s.Shutdown(soon(t)), "the call ends without a release")
			held.Release()
			require.Equal(t, want, nameOf(s, id))
		}
	})

	t.Run("several calls are held and released together", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		id := s.PutIdentity(Identity{}).ID
		hold := s.Hold("", "/v1/identities/"+id)
		a, b, c := rename(soon(t), t, s, id, "a"), rename(soon(t), t, s, id, "b"), rename(soon(t), t, s, id, "c")
		require.NoError(t, hold.Wait(soon(t), 3))
		require.NoError(t, hold.Wait(soon(t), 1))
		hold.Release()
		hold.Release()
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		require.NoError(t, <-c)
		require.NoError(t, <-rename(soon(t), t, s, id, "later"), "the hold is over")
		require.Equal(t, "later", nameOf(s, id))
		require.Empty(t, s.holds)
	})

	t.Run("waiting in vain ends with the context and tells how many came", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		id := s.PutIdentity(Identity{}).ID
		hold := s.Hold("PUT", "/v1/identities/")
		defer hold.Release()
		rename(soon(t), t, s, id, "a")
		require.NoError(t, hold.Wait(soon(t), 1))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := hold.Wait(ctx, 2)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 of 2 calls PUT /v1/identities/")
	})

	t.Run("a fault strikes after the hold", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		hold := s.Hold("GET", "/v1/applications")
		s.Fault(Fault{Times: 1, Status: 503})
		req := request(t, s, "GET", "/v1/applications", "")
		got := make(chan response, 1)
		go func() {
			r, _ := try(soon(t), req)
			got <- r
		}()
		require.NoError(t, hold.Wait(soon(t), 1))
		hold.Release()
		require.Equal(t, 503, (<-got).status)
	})
}
