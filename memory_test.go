package connect_test

import (
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
	require.EqualError(t, store.Bind(t.Context(), odd, 1), "bind a start: ReturnTo holds a NUL byte")

	require.NoError(t, store.Bind(t.Context(), p, 1))
	require.EqualError(t, store.Bind(t.Context(), p, 1), "bind a start: its token hash is bound already")

	c.IdentityID = ""
	_, err := store.Complete(t.Context(), p.TokenHash, c, memoryNow)
	require.EqualError(t, err, "complete a start: IdentityID is empty")
}

// It is asked on the app's own requests. Not parallel: allocations are counted
// for the whole process.
func TestMemoryStoreConnectionAllocatesNothing(t *testing.T) {
	store := filledMemoryStore(t, 1)
	ctx := t.Context()
	for name, user := range map[string]string{"a user who is connected": "user 0", "a user who is not": "nobody"} {
		t.Run(name, func(t *testing.T) {
			require.Zero(t, testing.AllocsPerRun(100, func() {
				_, _ = store.Connection(ctx, memoryApplication, user)
			}))
		})
	}
}

// Not parallel either: the heap is everybody's.
func TestMemoryStoreKeepsNothingOfWhatWasSwept(t *testing.T) {
	const starts = 10_000
	store := connect.NewMemoryStore()
	before := heapInUse()
	for i := range starts {
		p, _ := memoryFlow(fmt.Sprint(i))
		require.NoError(t, store.Bind(t.Context(), p, 1))
		swept, err := store.Sweep(t.Context(), p.ExpiresAt.Add(time.Second), 1)
		require.NoError(t, err)
		require.Equal(t, 1, swept)
	}
	// A start takes up some hundred bytes.
	require.Less(t, heapInUse()-before, int64(50*starts))
	runtime.KeepAlive(store)
}

// heapInUse is what the heap holds that is still reachable, in bytes.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkMemoryStore(b *testing.B) {
	const starts = 100_000
	b.Run("Connection", func(b *testing.B) {
		store := filledMemoryStore(b, starts)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Connection(b.Context(), memoryApplication, "user 7")
			require.NoError(b, err)
		}
	})
	b.Run("Claim of ten of 100,000 tasks, all due", func(b *testing.B) {
		store := filledMemoryStore(b, starts)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Claim(b.Context(), memoryApplication, memoryNow, memoryNow, 10)
			require.NoError(b, err)
		}
	})
	b.Run("Claim of 100,000 tasks, none due", func(b *testing.B) {
		store := filledMemoryStore(b, starts)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Claim(b.Context(), memoryApplication, memoryNow.Add(-time.Second), memoryNow, 10)
			require.NoError(b, err)
		}
	})
	b.Run("Sweep of 100,000 starts, none expired", func(b *testing.B) {
		store := filledMemoryStore(b, starts)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Sweep(b.Context(), memoryNow, 1000)
			require.NoError(b, err)
		}
	})
	b.Run("Disconnect beside 100,000 starts", func(b *testing.B) {
		store := filledMemoryStore(b, starts)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Disconnect(b.Context(), memoryApplication, "nobody", memoryNow)
			require.ErrorIs(b, err, connect.ErrNotConnected)
		}
	})
}

const memoryApplication = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"

var memoryNow = time.Date(2031, time.May, 17, 12, 0, 0, 0, time.UTC)

// memoryFlow is a start of a user and the connection that completes it.
func memoryFlow(number string) (connect.Pending, connect.Connection) {
	return connect.Pending{
			TokenHash:     "hash " + number,
			ApplicationID: memoryApplication,
			UserID:        "user " + number,
			IssuedAt:      memoryNow,
			ExpiresAt:     memoryNow.Add(15 * time.Minute),
		}, connect.Connection{
			ApplicationID: memoryApplication,
			UserID:        "user " + number,
			IdentityID:    "identity " + number,
			ConnectedAt:   memoryNow,
			Health:        connect.HealthOK,
			HealthAt:      memoryNow.Add(-time.Second),
		}
}

// filledMemoryStore has n users who are connected, and as many tasks, all due.
func filledMemoryStore(tb testing.TB, n int) *connect.MemoryStore {
	tb.Helper()
	store := connect.NewMemoryStore()
	for i := range n {
		p, c := memoryFlow(fmt.Sprint(i))
		require.NoError(tb, store.Bind(tb.Context(), p, 1))
		_, err := store.Complete(tb.Context(), p.TokenHash, c, memoryNow)
		require.NoError(tb, err)
	}
	return store
}
