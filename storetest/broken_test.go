package storetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// A recorder is a tb that records what a check says.
type recorder struct {
	mu      sync.Mutex
	said    []string
	failed  bool
	skipped bool
}

func (r *recorder) Helper() {}

func (r *recorder) Context() context.Context { return context.Background() }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
	r.failed = true
}

func (r *recorder) Skip(...any) {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	runtime.Goexit()
}

// run runs a check, and returns what it said. Time stands still meanwhile but for
// those who sleep, so that a gap in a transaction is one that everybody finds, and
// nobody waits.
func run(t *testing.T, c check, s connect.Store) *recorder {
	t.Helper()
	r := new(recorder)
	synctest.Test(t, func(*testing.T) {
		var running sync.WaitGroup
		running.Go(func() { c.run(r, s) })
		running.Wait()
		time.Sleep(24 * time.Hour) // for calls that hang to come back
	})
	return r
}

// text is what a check said, in one line.
func (r *recorder) text() string {
	return strings.Join(strings.Fields(strings.Join(r.said, " ")), " ")
}

func TestRightStores(t *testing.T) {
	t.Parallel()
	for name, newStore := range map[string]func() connect.Store{
		"the memory store fails no check":        func() connect.Store { return connect.NewMemoryStore() },
		"a sketch without a flaw fails no check": func() connect.Store { return new(lister) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, group := range groups {
				for _, check := range group.checks {
					r := run(t, check, newStore())
					require.False(t, r.failed, "%s/%s: %s", group.name, check.name, r.text())
					require.False(t, r.skipped, "%s/%s was skipped", group.name, check.name)
				}
			}
		})
	}
}

func TestAStoreThatIsNoListerSkipsTheChecksOfListAlone(t *testing.T) {
	t.Parallel()
	for _, group := range groups {
		for _, check := range group.checks {
			r := run(t, check, new(sketch))
			require.False(t, r.failed, "%s/%s: %s", group.name, check.name, r.text())
			lists := group.name == "List" || strings.HasPrefix(check.name, "List ")
			require.Equal(t, lists, r.skipped, "whether %s/%s is skipped", group.name, check.name)
		}
	}
}

func TestBrokenStores(t *testing.T) {
	t.Parallel()
	known := 0
	for _, group := range groups {
		for _, check := range group.checks {
			found := flaws[group.name+"/"+check.name]
			require.NotEmpty(t, found, "the flaws that %s/%s finds", group.name, check.name)
			known++
			for _, flaw := range found {
				t.Run("a store that "+flaw.name+" fails "+group.name+"/"+check.name, func(t *testing.T) {
					t.Parallel()
					r := run(t, check, &lister{sketch{flaw: flaw.name}})
					require.True(t, r.failed, "the check passes")
					for _, part := range flaw.says {
						require.Contains(t, r.text(), part, "what the check says")
					}
				})
			}
		}
	}
	require.Len(t, flaws, known, "checks with flaws, of which some are no checks any more")
}
