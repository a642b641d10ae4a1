package demo

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// A page of a store's List has at most 500 connections.
func TestStartFakeRestoresAllConnections(t *testing.T) {
	t.Parallel()
	const all = 501
	application := anchortest.New().ApplicationID()
	store := connect.NewMemoryStore()
	identityID := func(n int) string { return fmt.Sprintf("6f1c9a52-0a3d-4c1e-9b7f-%012d", n) }
	for n := range all {
		id := identityID(n)
		require.NoError(t, store.Bind(t.Context(), connect.Pending{
			TokenHash: id, ApplicationID: application, UserID: id, ExpiresAt: time.Now().Add(time.Minute),
		}, 1))
		_, err := store.Complete(t.Context(), id, connect.Connection{
			ID: id, ApplicationID: application, UserID: id, IdentityID: id, ConnectedAt: time.Now(), Health: connect.HealthOK,
		}, connect.Completion{})
		require.NoError(t, err)
	}
	var s Settings
	fake, err := s.StartFake(t.Context(), store)
	require.NoError(t, err)
	defer fake.Close()
	for n := range all {
		_, found := fake.Identity(identityID(n))
		require.True(t, found, n)
	}
}

func TestStartFake(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01", "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"
	yesterday := time.Now().AddDate(0, 0, -1).UTC().Truncate(time.Millisecond)
	unstarted := anchortest.New()

	var s Settings
	store := connect.NewMemoryStore()
	for application, identityID := range map[string]string{unstarted.ApplicationID(): here, "another": elsewhere} {
		require.NoError(t, store.Bind(t.Context(), connect.Pending{
			TokenHash: identityID, ApplicationID: application, UserID: "ada", ExpiresAt: yesterday.Add(time.Minute),
		}, 1))
		_, err := store.Complete(t.Context(), identityID, connect.Connection{
			ID: identityID, ApplicationID: application, UserID: "ada", IdentityID: identityID, ConnectedAt: yesterday, Health: connect.HealthOK,
		}, connect.Completion{})
		require.NoError(t, err)
	}
	fake, err := s.StartFake(t.Context(), store)
	require.NoError(t, err)
	defer fake.Close()
	identity, found := fake.Identity(here)
	require.True(t, found, "what was connected yesterday works today")
	require.Equal(t, yesterday, identity.CreatedAt)
	_, found = fake.Identity(elsewhere)
	require.False(t, found, "what was connected at the real service is not the fake's")

	application, err := s.Anchor().Application(t.Context(), s.ApplicationID)
	require.NoError(t, err, "the settings lead to the fake")
	require.Equal(t, "Example Mail", application.Name)
	require.Len(t, s.Notices, 1)
}
