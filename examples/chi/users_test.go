package main

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

const (
	application  = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"
	oneIdentity  = "11111111-1111-4111-8111-111111111111"
	nextIdentity = "22222222-2222-4222-8222-222222222222"
)

// connectAs stores a connection as a callback does.
func connectAs(t *testing.T, db *database, userID, identityID string) error {
	t.Helper()
	now := time.Now()
	require.NoError(t, db.store.Bind(t.Context(), connect.Pending{
		TokenHash: identityID, ApplicationID: application, UserID: userID, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	}, 5))
	_, err := db.store.Complete(t.Context(), identityID, connect.Connection{
		ID: "connection of " + identityID, ApplicationID: application, UserID: userID, IdentityID: identityID, ConnectedAt: now, Health: connect.HealthOK,
	}, connect.Completion{MaxConnections: 1})
	return err
}

func TestUsersTableFollowsTheConnection(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		db := open(t, d.newURL(t))
		u, err := db.userNamed(t.Context(), "Ada")
		require.NoError(t, err)
		ben, err := db.userNamed(t.Context(), "Ben")
		require.NoError(t, err)
		identityID := func() string {
			u, err := db.userByID(t.Context(), u.ID)
			require.NoError(t, err)
			return u.IdentityID
		}
		require.Empty(t, identityID())
		require.NoError(t, connectAs(t, db, u.ID, oneIdentity))
		require.Equal(t, oneIdentity, identityID())
		require.NoError(t, connectAs(t, db, u.ID, nextIdentity))
		require.Equal(t, nextIdentity, identityID())
		_, _, err = db.store.SetHealth(t.Context(), nextIdentity, connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, nextIdentity, identityID())

		require.ErrorIs(t, db.deleteUser(t.Context(), u.ID), errConnected)
		require.Equal(t, nextIdentity, identityID(), "the user stays")
		ended, err := db.store.Disconnect(t.Context(), connect.Disconnection{ApplicationID: application, UserID: u.ID, At: time.Now(), DeleteAfter: time.Now()})
		require.NoError(t, err)
		require.Len(t, ended, 1)
		require.Empty(t, identityID())
		require.NoError(t, db.deleteUser(t.Context(), u.ID))
		require.NoError(t, db.deleteUser(t.Context(), u.ID), "twice is fine")

		ben, err = db.userByID(t.Context(), ben.ID)
		require.NoError(t, err)
		require.Empty(t, ben.IdentityID)
	})
}

// The user is deleted between the callback's proofs and its transaction.
func TestUserDeletedDuringTheCallbackIsNotConnected(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		db := open(t, d.newURL(t))
		u, err := db.userNamed(t.Context(), "Ada")
		require.NoError(t, err)
		require.NoError(t, db.deleteUser(t.Context(), u.ID))
		err = connectAs(t, db, u.ID, oneIdentity)
		require.Error(t, err)
		for _, answer := range []error{connect.ErrStateSpent, connect.ErrStateUnknown, connect.ErrAnotherUser} {
			require.NotErrorIs(t, err, answer, "it is a fault")
		}
		connections, err := db.store.Connections(t.Context(), application, u.ID)
		require.NoError(t, err)
		require.Empty(t, connections, "nothing is stored in either table")
		p, err := db.store.Pending(t.Context(), oneIdentity)
		require.NoError(t, err)
		require.False(t, p.Spent)
	})
}

func TestUserNameIsNotSQL(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		db := open(t, d.newURL(t))
		ids := make(map[string]bool)
		for i, name := range []string{"ada", "中' or 1=1#", "é' or 1=1#", `中\' or 1=1#`, "' or 1=1#"} {
			u, err := db.userNamed(t.Context(), name)
			require.NoError(t, err)
			ids[u.ID] = true
			require.Len(t, ids, i+1, "the user is a new one")
			again, err := db.userByID(t.Context(), u.ID)
			require.NoError(t, err)
			require.Equal(t, name, again.Name)
		}
	})
}

func TestUserNameHasOneUser(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		db := open(t, d.newURL(t))
		users := make([]user, 20)
		errs := make([]error, len(users))
		var running sync.WaitGroup
		for i := range users {
			running.Go(func() { users[i], errs[i] = db.userNamed(t.Context(), "Ada") })
		}
		running.Wait()
		require.NoError(t, errors.Join(errs...))
		for _, u := range users {
			require.Equal(t, users[0], u)
		}
	})
}

func TestReplicasCreateTheTablesAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		databaseURL := d.newURL(t)
		errs := make([]error, 8)
		var running sync.WaitGroup
		for i := range errs {
			running.Go(func() {
				db, err := openDatabase(t.Context(), databaseURL)
				if errs[i] = err; err == nil {
					errs[i] = db.close()
				}
			})
		}
		running.Wait()
		require.NoError(t, errors.Join(errs...))
	})
}
