package connect_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/storetest"
)

func TestMemoryStoreContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) connect.Store { return connect.NewMemoryStore() })
}

func TestMemoryStoreZeroValueContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) connect.Store { return new(connect.MemoryStore) })
}

func TestMemoryStoreErrors(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	p, c := memoryFlow("1")

	odd := p
	odd.ReturnTo = "/\x00"
	require.EqualError(t, store.Bind(t.Context(), odd, 1), "bind a flow: ReturnTo has a NUL byte")

	require.NoError(t, store.Bind(t.Context(), p, 1))
	require.EqualError(t, store.Bind(t.Context(), p, 1), "bind a flow: its token hash is bound already")

	c.IdentityID = ""
	_, err := store.Complete(t.Context(), p.TokenHash, c, memoryHow)
	require.EqualError(t, err, "complete a flow: IdentityID is empty")
	c.IdentityID, c.Health = "identity", ""
	_, err = store.Complete(t.Context(), p.TokenHash, c, memoryHow)
	require.EqualError(t, err, `complete a flow: Health is "", neither "ok" nor "needs_sign_in"`)

	_, err = store.Disconnect(t.Context(), memoryDisconnection(p.ApplicationID, ""))
	require.EqualError(t, err, "disconnect a user: UserID is empty")
	_, err = store.Disconnect(t.Context(), memoryDisconnection("", p.UserID))
	require.EqualError(t, err, "disconnect a user: ApplicationID is empty")

	_, _, err = store.SetHealth(t.Context(), "identity", "fine", memoryNow)
	require.EqualError(t, err, `set the health of a connection: Health is "fine", neither "ok" nor "needs_sign_in"`)
	_, _, err = store.SetHealth(t.Context(), "", connect.HealthOK, memoryNow)
	require.EqualError(t, err, "set the health of a connection: IdentityID is empty")
}

// Stored times have neither the zone of the process nor a monotonic clock reading, as if
// they came from a database.
func TestMemoryStoreStoresTimesInUTC(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	now := time.Now()
	p, c := memoryFlow("1")
	p.BegunAt, p.IssuedAt, p.ExpiresAt = now, now, now.Add(time.Hour)
	c.ConnectedAt, c.HealthAt = now, now
	require.NoError(t, store.Bind(t.Context(), p, 1))
	_, err := store.Complete(t.Context(), p.TokenHash, c, connect.Completion{TagAfter: now})
	require.NoError(t, err)

	flow, err := store.Pending(t.Context(), p.TokenHash)
	require.NoError(t, err)
	require.Equal(t, now.UTC(), flow.BegunAt)
	require.Equal(t, now.UTC(), flow.IssuedAt)
	require.Equal(t, now.Add(time.Hour).UTC(), flow.ExpiresAt)
	connections, err := store.Connections(t.Context(), c.ApplicationID, c.UserID)
	require.NoError(t, err)
	require.Len(t, connections, 1)
	connection := connections[0]
	require.Equal(t, now.UTC(), connection.CreatedAt)
	require.Equal(t, now.UTC(), connection.ConnectedAt)
	require.Equal(t, now.UTC(), connection.HealthAt)
	connection, _, err = store.SetHealth(t.Context(), c.IdentityID, connect.HealthNeedsSignIn, now.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, now.Add(time.Minute).UTC(), connection.HealthAt)
	tasks, err := store.Claim(t.Context(), c.ApplicationID, now, now.Add(time.Minute), 1)
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	require.Equal(t, now.Add(time.Minute).UTC(), tasks[0].NotBefore)
}

// The limit of Bind holds whatever the user does between two flows.
func TestMemoryStoreIsNotFilledByOneUser(t *testing.T) {
	t.Parallel()
	const limit = 5
	for name, between := range map[string]func(store *connect.MemoryStore, p connect.Pending, c connect.Connection) error{
		"who completes no flow": func(*connect.MemoryStore, connect.Pending, connect.Connection) error { return nil },
		"who completes every flow": func(store *connect.MemoryStore, p connect.Pending, c connect.Connection) error {
			_, err := store.Complete(t.Context(), p.TokenHash, c, memoryHow)
			return err
		},
		"whose flows all fail": func(store *connect.MemoryStore, p connect.Pending, _ connect.Connection) error {
			return store.Spend(t.Context(), p.TokenHash)
		},
		"who connects and disconnects": func(store *connect.MemoryStore, p connect.Pending, c connect.Connection) error {
			if _, err := store.Complete(t.Context(), p.TokenHash, c, memoryHow); err != nil {
				return err
			}
			_, err := store.Disconnect(t.Context(), memoryDisconnection(p.ApplicationID, p.UserID))
			return errors.Join(err, store.Done(t.Context(), connect.Task{Kind: connect.DeleteIdentity, IdentityID: c.IdentityID}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := connect.NewMemoryStore()
			for i := range 1000 {
				p, c := memoryFlow(fmt.Sprint(i))
				p.UserID, c.UserID = "user", "user"
				p.ExpiresAt = p.ExpiresAt.Add(time.Duration(i) * time.Second)
				require.NoError(t, store.Bind(t.Context(), p, limit))
				require.NoError(t, between(store, p, c))
			}
			flows, err := store.Sweep(t.Context(), memoryNow.AddDate(1, 0, 0), 1000)
			require.NoError(t, err)
			require.LessOrEqual(t, flows, 2*limit+1)
			require.Positive(t, flows)
		})
	}
}

func TestMemoryStoreSpendsTheFirstOfFlowsThatExpireTogether(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	for i := range 4 {
		require.NoError(t, store.Bind(t.Context(), connect.Pending{
			TokenHash: fmt.Sprint(i), ApplicationID: "app", UserID: "user", IssuedAt: memoryNow, ExpiresAt: memoryNow.Add(time.Hour),
		}, 3))
	}
	for i := range 4 {
		p, err := store.Pending(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, i == 0, p.Spent, "flow %d", i)
	}
}

// Apps call Connections on their own request path. The test is not parallel, since
// AllocsPerRun counts the allocations of the whole process.
func TestMemoryStoreConnectionsAllocatesOnlyItsResult(t *testing.T) {
	store := filledMemoryStore(t, 1)
	ctx := t.Context()
	for user, want := range map[string]float64{"user 0": 1, "nobody": 0} {
		t.Run(user, func(t *testing.T) {
			require.Equal(t, want, testing.AllocsPerRun(100, func() {
				_, _ = store.Connections(ctx, memoryApplication, user)
			}))
		})
	}
}

// The tests of the heap are not parallel, since all tests share it.
func TestMemoryStoreFreesSweptFlows(t *testing.T) {
	const flows = 10_000
	store := connect.NewMemoryStore()
	before := heapInUse()
	for i := range flows {
		p, _ := memoryFlow(fmt.Sprint(i))
		require.NoError(t, store.Bind(t.Context(), p, 1))
		swept, err := store.Sweep(t.Context(), p.ExpiresAt.Add(time.Second), 1)
		require.NoError(t, err)
		require.Equal(t, 1, swept)
	}
	// A flow has some hundred bytes.
	require.Less(t, heapInUse()-before, int64(50*flows))
	runtime.KeepAlive(store)
}

func TestMemoryStoreFreesUsersWhoDisconnected(t *testing.T) {
	const users = 10_000
	store := connect.NewMemoryStore()
	before := heapInUse()
	for i := range users {
		p, c := memoryFlow(fmt.Sprint(i))
		require.NoError(t, store.Bind(t.Context(), p, 1))
		_, err := store.Complete(t.Context(), p.TokenHash, c, memoryHow)
		require.NoError(t, err)
		_, err = store.Disconnect(t.Context(), memoryDisconnection(p.ApplicationID, p.UserID))
		require.NoError(t, err)
		_, err = store.Disconnect(t.Context(), memoryDisconnection(p.ApplicationID, p.UserID+", not connected"))
		require.NoError(t, err)
		_, err = store.Sweep(t.Context(), p.ExpiresAt.Add(time.Second), 2)
		require.NoError(t, err)
		require.NoError(t, store.Done(t.Context(), connect.Task{Kind: connect.DeleteIdentity, IdentityID: c.IdentityID}))
	}
	require.Less(t, heapInUse()-before, int64(50*users))
	runtime.KeepAlive(store)
}

func TestMemoryStoreFreesFlowsBeyondTheLimit(t *testing.T) {
	const flows = 10_000
	store := connect.NewMemoryStore()
	before := heapInUse()
	for i := range flows {
		p, _ := memoryFlow(fmt.Sprint(i))
		p.UserID = "user"
		require.NoError(t, store.Bind(t.Context(), p, 5))
	}
	require.Less(t, heapInUse()-before, int64(50*flows))
	runtime.KeepAlive(store)
}

// heapInUse returns how many bytes of the heap are reachable.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkMemoryStore(b *testing.B) {
	const flows = 100_000
	b.Run("Connections", func(b *testing.B) {
		store := filledMemoryStore(b, flows)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Connections(b.Context(), memoryApplication, "user 7")
			require.NoError(b, err)
		}
	})
	b.Run("Claim of ten of 100,000 tasks, all due", func(b *testing.B) {
		store := filledMemoryStore(b, flows)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Claim(b.Context(), memoryApplication, memoryNow, memoryNow, 10)
			require.NoError(b, err)
		}
	})
	b.Run("Claim of 100,000 tasks, none due", func(b *testing.B) {
		store := filledMemoryStore(b, flows)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Claim(b.Context(), memoryApplication, memoryNow.Add(-time.Second), memoryNow, 10)
			require.NoError(b, err)
		}
	})
	b.Run("Sweep of 100,000 flows, none expired", func(b *testing.B) {
		store := filledMemoryStore(b, flows)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Sweep(b.Context(), memoryNow, 1000)
			require.NoError(b, err)
		}
	})
	b.Run("Disconnect beside 100,000 flows", func(b *testing.B) {
		store := filledMemoryStore(b, flows)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Disconnect(b.Context(), memoryDisconnection(memoryApplication, "nobody"))
			require.NoError(b, err)
		}
	})
}

const memoryApplication = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"

var memoryNow = time.Date(2031, time.May, 17, 12, 0, 0, 0, time.UTC)

// memoryHow completes flows.
var memoryHow = connect.Completion{TagAfter: memoryNow}

// memoryDisconnection ends all connections of a user.
func memoryDisconnection(applicationID, userID string) connect.Disconnection {
	return connect.Disconnection{ApplicationID: applicationID, UserID: userID, At: memoryNow, DeleteAfter: memoryNow}
}

// memoryFlow returns a flow of a user and the connection that completes it.
func memoryFlow(number string) (connect.Pending, connect.Connection) {
	return connect.Pending{
			TokenHash:     "hash " + number,
			ApplicationID: memoryApplication,
			UserID:        "user " + number,
			IssuedAt:      memoryNow,
			ExpiresAt:     memoryNow.Add(15 * time.Minute),
		}, connect.Connection{
			ID:            "connection " + number,
			ApplicationID: memoryApplication,
			UserID:        "user " + number,
			IdentityID:    "identity " + number,
			ConnectedAt:   memoryNow,
			Health:        connect.HealthOK,
			HealthAt:      memoryNow.Add(-time.Second),
		}
}

// filledMemoryStore returns a store with n connected users, whose tags are all due.
func filledMemoryStore(tb testing.TB, n int) *connect.MemoryStore {
	tb.Helper()
	store := connect.NewMemoryStore()
	for i := range n {
		p, c := memoryFlow(fmt.Sprint(i))
		require.NoError(tb, store.Bind(tb.Context(), p, 1))
		_, err := store.Complete(tb.Context(), p.TokenHash, c, memoryHow)
		require.NoError(tb, err)
	}
	return store
}
