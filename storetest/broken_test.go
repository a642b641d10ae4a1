package storetest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// recorder is a tb that takes down what a check says and goes on.
type recorder struct {
	mu     sync.Mutex
	said   []string
	failed bool
}

func (r *recorder) Helper() {}

func (r *recorder) Context() context.Context { return context.Background() }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
	r.failed = true
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	runtime.Goexit()
}

// failures runs every check against stores of one kind, and tells what those
// that fail say, by topic and name. Time stands still meanwhile but for those
// who sleep, so a gap in a transaction is one that everybody finds.
func failures(t *testing.T, newStore func() connect.Store) map[string]string {
	t.Helper()
	failed := make(map[string]string)
	synctest.Test(t, func(t *testing.T) {
		for _, topic := range topics {
			for _, check := range topic.checks {
				r := new(recorder)
				var running sync.WaitGroup
				running.Go(func() { check.run(r, newStore()) })
				running.Wait()
				if r.failed {
					failed[topic.name+"/"+check.name] = strings.Join(r.said, "\n")
				}
			}
		}
	})
	return failed
}

func TestRightStores(t *testing.T) {
	t.Parallel()
	for name, newStore := range map[string]func() connect.Store{
		"the memory store fails no check":        func() connect.Store { return connect.NewMemoryStore() },
		"a sketch without a flaw fails no check": func() connect.Store { return new(sketch) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, failures(t, newStore))
		})
	}
}

// Each flaw is found by a check of its own, for the right reason; and each
// check finds one.
func TestBrokenStores(t *testing.T) {
	t.Parallel()

	var mu sync.Mutex
	everFailed := make(map[string]bool)

	t.Run("a store that", func(t *testing.T) {
		for _, row := range brokenStores {
			t.Run(row.flaw, func(t *testing.T) {
				t.Parallel()
				failed := failures(t, func() connect.Store { return &sketch{flaw: row.flaw} })
				mu.Lock()
				for name := range failed {
					everFailed[name] = true
				}
				mu.Unlock()
				require.Contains(t, slices.Sorted(maps.Keys(failed)), row.check, "the checks that fail")
				require.Contains(t, failed[row.check], row.says, "what the check says")
			})
		}
	})

	var idle []string
	for _, topic := range topics {
		for _, check := range topic.checks {
			if name := topic.name + "/" + check.name; !everFailed[name] {
				idle = append(idle, name)
			}
		}
	}
	require.Empty(t, idle, "checks that no broken store fails")
}

// brokenStores are the flaws of a sketch, with the check that must find each
// and a part of what it says.
var brokenStores = []struct{ flaw, check, says string }{}
