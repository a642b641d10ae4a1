package anchortest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

func TestWaitTagged(t *testing.T) {
	t.Parallel()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	id := fake.PutIdentity(anchortest.Identity{}).ID
	tag := func() {
		_ = fake.Client().UpdateIdentity(context.Background(), id, anchorhttp.IdentityUpdate{Metadata: map[string]any{"externalUserId": "ada"}})
	}

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = fake.WaitTagged(short, id)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	go tag()
	for _, address := range []string{id, "https://app.example/identity-callback/S?status=success&identity_id=" + id, "https://app.example/x?identityId=" + id} {
		identity, err := fake.WaitTagged(t.Context(), address)
		require.NoError(t, err)
		require.Equal(t, id, identity.ID)
		require.Equal(t, "ada", identity.Metadata["externalUserId"])
	}
	for _, address := range []string{"", "https://app.example/?status=cancelled", "99999999-9999-4999-8999-999999999999", "%zz"} {
		_, err := fake.WaitTagged(t.Context(), address)
		require.Error(t, err, address)
	}

	other := fake.PutIdentity(anchortest.Identity{}).ID
	go func() { _ = fake.Client().DeleteIdentity(context.Background(), other) }()
	_, err = fake.WaitTagged(t.Context(), other)
	require.ErrorContains(t, err, "does not exist", "it was deleted")
}
