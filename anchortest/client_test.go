package anchortest

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestClient(t *testing.T) {
	t.Parallel()

	t.Run("it goes through a whole flow", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, shape := range []TokenShape{WrappedToken, FlatToken, HashlessToken} {
			s.SetTokenShape(shape)
			c := s.Client()
			token, err := c.CreateIdentityToken(t.Context(), s.ApplicationID(), callback)
			require.NoError(t, err)
			require.Len(t, token.Hash, 64)
			require.WithinDuration(t, time.Now(), token.IssuedAt, 5*time.Second)
			at, err := s.Approve(t.Context(), c.HostedPageURL(token.Token, "Ann"))
			require.NoError(t, err)
			id := identityIn(t, at)

			identity, err := c.Identity(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, "Ann", identity.Name)
			require.False(t, identity.CreatedAt.Before(token.IssuedAt))
			require.NoError(t, c.UpdateIdentity(t.Context(), id, anchorhttp.IdentityUpdate{Metadata: map[string]any{"externalUserId": "u1"}}))
			kept, _ := s.Identity(id)
			require.Equal(t, map[string]any{"externalUserId": "u1"}, kept.Metadata)
			require.NoError(t, c.DeleteIdentity(t.Context(), id))
			require.Empty(t, s.Identities())
		}
	})

	t.Run("it reads a list of several pages to its end", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for range 120 {
			s.PutIdentity(Identity{})
		}
		n := 0
		for _, err := range s.Client().ApplicationIdentities(t.Context(), s.ApplicationID(), anchorhttp.IdentityFilter{}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 120, n)
	})

	t.Run("it signs in again, or is told why not", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		c := s.Client()
		identity := s.PutIdentity(Identity{})
		require.NoError(t, s.FailIdentity(t.Context(), identity.ID))
		s.Fault(Fault{Path: "/v1/identities/*/reauthenticate", Times: 1, Status: 422})
		var refused *anchorhttp.Error
		require.ErrorAs(t, c.Reauthenticate(t.Context(), identity.ID), &refused)
		require.Equal(t, 422, refused.StatusCode)
		kept, _ := s.Identity(identity.ID)
		require.Equal(t, StatusFailed, kept.Status)

		require.NoError(t, c.Reauthenticate(t.Context(), identity.ID))
		kept, _ = s.Identity(identity.ID)
		require.Equal(t, StatusValidated, kept.Status)
		require.True(t, anchorhttp.IsNotFound(c.Reauthenticate(t.Context(), unknownID)))
		require.Equal(t, 3, s.CountCalls("POST", "/v1/identities/*/reauthenticate"))
	})

	t.Run("options come last", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		require.Equal(t, s.URL(), s.Client().AppOrigin())
		require.Equal(t, "https://app.example", s.Client(anchorhttp.WithAppURL("https://app.example")).AppOrigin())
	})

	t.Run("it works over TLS", func(t *testing.T) {
		t.Parallel()
		s := New()
		server := httptest.NewTLSServer(s)
		t.Cleanup(server.Close)
		s.SetURL(server.URL)
		_, err := s.Client(anchorhttp.WithHTTPClient(server.Client())).Application(t.Context(), s.ApplicationID())
		require.NoError(t, err)
	})
}
