package anchortest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestApprove(t *testing.T) {
	t.Parallel()

	t.Run("it makes an identity and says where the browser goes", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		at, err := s.Approve(t.Context(), hosted(t, s, callback)+"&userName=Ann+Smith")
		require.NoError(t, err)
		id := identityIn(t, at)
		require.Equal(t, callback+"?identity_id="+id+"&status=success", at)
		require.Equal(t, []Identity{{
			ID: id, ApplicationID: s.ApplicationID(), Name: "Ann Smith", Source: "https://example.com",
			Status: StatusValidated, Metadata: map[string]any{}, CreatedAt: now, UpdatedAt: now,
		}}, s.Identities())
	})

	t.Run("the identity belongs to the token's application", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		other := s.AddApplication("Two", "https://two.example")
		token := call(t, s, "POST", "/v1/applications/"+other+"/tokens", `{"callbackUrl":"https://a.example"}`).data(t)["token"].(string)
		_, err := s.Approve(t.Context(), s.URL()+"/identity/create?token="+token)
		require.NoError(t, err)
		require.Equal(t, other, s.Identities()[0].ApplicationID)
		require.Equal(t, "https://two.example", s.Identities()[0].Source)
		require.Equal(t, "Unnamed Identity", s.Identities()[0].Name)
	})

	t.Run("options change the identity", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		made := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		at, err := s.Approve(t.Context(), hosted(t, s, callback)+"&userName=Ann", WithStatus(StatusPending), WithSource("https://other.example"),
			WithName("Bob"), WithCreatedAt(made), WithMetadata(map[string]any{"externalUserId": "u2"}))
		require.NoError(t, err)
		id := identityIn(t, at)
		got, _ := s.Identity(id)
		require.Equal(t, Identity{
			ID: id, ApplicationID: s.ApplicationID(), Name: "Bob", Source: "https://other.example", Status: StatusPending,
			Metadata: map[string]any{"externalUserId": "u2"}, CreatedAt: made, UpdatedAt: made,
		}, got)
	})

	t.Run("an identity that failed comes back as a success all the same", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		at, err := s.Approve(t.Context(), hosted(t, s, callback), WithStatus(StatusFailed))
		require.NoError(t, err)
		require.Contains(t, at, "status=success")
		require.Equal(t, StatusFailed, s.Identities()[0].Status)
	})

	t.Run("an existing identity comes back with what it had", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		kept := s.PutIdentity(Identity{Name: "Ann", Status: StatusFailed, Metadata: map[string]any{"externalUserId": "u1"}, CreatedAt: now.Add(-time.Hour)})
		at, err := s.Approve(t.Context(), hosted(t, s, callback)+"&userName=Bob", WithExistingIdentity(kept.ID))
		require.NoError(t, err)
		require.Equal(t, kept.ID, identityIn(t, at))
		kept.Status, kept.UpdatedAt = StatusValidated, now
		require.Equal(t, []Identity{kept}, s.Identities())
	})

	t.Run("what cannot be had is an error and leaves the token", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		elsewhere := s.PutIdentity(Identity{ApplicationID: s.AddApplication("Two", "https://two.example")})
		at := hosted(t, s, callback)
		cancelled, stop := context.WithCancel(t.Context())
		stop()
		_, err := s.Approve(cancelled, at)
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Approve(t.Context(), at, WithExistingIdentity(unknownID))
		require.ErrorContains(t, err, unknownID)
		_, err = s.Approve(t.Context(), at, WithExistingIdentity(elsewhere.ID))
		require.ErrorContains(t, err, elsewhere.ID)
		_, err = s.Approve(t.Context(), at, WithMetadata(map[string]any{"f": math.NaN()}))
		require.ErrorContains(t, err, "NaN")
		require.Len(t, s.Identities(), 1)
		_, err = s.Approve(t.Context(), at)
		require.NoError(t, err)
	})

	t.Run("an address that is not the hosted page is an error that tells no token", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		token := newToken(t, s, callback)
		for what, at := range map[string]string{
			"another origin":    "https://app.anchorbrowser.io/identity/create?token=" + token,
			"another path":      s.URL() + "/identity/created?token=" + token,
			"another scheme":    "https" + s.URL()[len("http"):] + "/identity/create?token=" + token,
			"somebody's server": "http://user@" + s.URL()[len("http://"):] + "/identity/create?token=" + token,
			"a path alone":      "/identity/create?token=" + token,
			"two tokens":        s.URL() + "/identity/create?token=" + token + "&token=" + token,
			"no URL":            "http://a b/?token=" + token,
			"nothing":           "",
		} {
			_, err := s.Approve(t.Context(), at)
			require.Error(t, err, what)
			require.NotContains(t, err.Error(), token, what)
		}
		_, err := s.Approve(t.Context(), s.URL()+"/identity/create")
		require.ErrorContains(t, err, "0 tokens")
		_, err = s.Approve(t.Context(), s.URL()+"/identity/create?token="+token)
		require.NoError(t, err)
	})

	t.Run("a fake that does not know its address takes any origin", func(t *testing.T) {
		t.Parallel()
		_, _, err := readHostedURL("https://any.example/identity/create?token=x", "")
		require.NoError(t, err)
		for _, path := range []string{"/identity/other", "/other/create", "/"} {
			_, _, err = readHostedURL("https://any.example"+path+"?token=x", "")
			require.ErrorContains(t, err, "is not the hosted page", path)
		}
	})

	t.Run("a token works once", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for what, first := range map[string]func(at string) error{
			"approve": func(at string) error { _, err := s.Approve(t.Context(), at); return err },
			"cancel":  func(at string) error { _, err := s.Cancel(t.Context(), at); return err },
			"fail":    func(at string) error { _, err := s.Fail(t.Context(), at); return err },
		} {
			at := hosted(t, s, callback)
			require.NoError(t, first(at), what)
			_, err := s.Approve(t.Context(), at)
			require.ErrorIs(t, err, ErrTokenUsed, what)
			_, err = s.Cancel(t.Context(), at)
			require.ErrorIs(t, err, ErrTokenUsed, what)
			_, err = s.Fail(t.Context(), at)
			require.ErrorIs(t, err, ErrTokenUsed, what)
		}
		require.Len(t, s.Identities(), 1)
	})

	t.Run("a token nobody issued is unknown", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		_, err := s.Approve(t.Context(), s.URL()+"/identity/create?token=x")
		require.ErrorIs(t, err, ErrTokenUnknown)
	})

	t.Run("a token lives for 15 minutes of the fake's clock", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		first, second := hosted(t, s, callback), hosted(t, s, callback)
		s.SetNow(func() time.Time { return now.Add(15*time.Minute - time.Millisecond) })
		_, err := s.Approve(t.Context(), first)
		require.NoError(t, err)
		s.SetNow(func() time.Time { return now.Add(15 * time.Minute) })
		_, err = s.Approve(t.Context(), second)
		require.ErrorIs(t, err, ErrTokenExpired)
		_, err = s.Cancel(t.Context(), second)
		require.ErrorIs(t, err, ErrTokenExpired)
	})
}
