package storetest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// A recorder is a tb that records failures.
type recorder struct {
	mu       sync.Mutex
	failures []string
	failed   bool
	skipped  bool
}

func (r *recorder) Helper() {}

func (r *recorder) Context() context.Context { return context.Background() }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
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

// run runs a check, and returns its recorder. Time is that of package synctest, so that
// every other call runs during a gap in a transaction, and no test waits.
func run(t *testing.T, c check, s connect.Store) *recorder {
	t.Helper()
	r := new(recorder)
	synctest.Test(t, func(*testing.T) {
		var running sync.WaitGroup
		running.Go(func() { c.run(r, s) })
		running.Wait()
		time.Sleep(24 * time.Hour) // until calls that hang have returned
	})
	return r
}

// text returns all failures in one line.
func (r *recorder) text() string {
	return strings.Join(strings.Fields(strings.Join(r.failures, " ")), " ")
}

func TestRunPassesCorrectStores(t *testing.T) {
	t.Parallel()
	for name, newStore := range map[string]func() connect.Store{
		"MemoryStore":           func() connect.Store { return connect.NewMemoryStore() },
		"sketch without a flaw": func() connect.Store { return new(lister) },
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

func TestRunSkipsOnlyListForOtherStores(t *testing.T) {
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

func TestRunFailsFlawedStores(t *testing.T) {
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
					require.True(t, r.failed, "whether the check fails")
					for _, part := range flaw.failures {
						require.Contains(t, r.text(), part, "the failures of the check")
					}
				})
			}
		}
	}
	require.Len(t, flaws, known, "flaws of checks that do not exist")
}

func TestGroupsAreInThePackageComment(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("storetest.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(source), "\npackage storetest")
	var listed, names []string
	for _, match := range regexp.MustCompile(`(?m)^//   - (.*?)[:.]`).FindAllStringSubmatch(comment, -1) {
		listed = append(listed, match[1])
	}
	for _, group := range groups {
		names = append(names, group.name)
	}
	require.Equal(t, names, listed)
}

func TestChecksHaveNamesThatRunSelects(t *testing.T) {
	t.Parallel()
	for _, group := range groups {
		seen := make(map[string]bool)
		for _, check := range group.checks {
			require.False(t, seen[check.name], "the group %s has two checks %q", group.name, check.name)
			require.NotContains(t, check.name, "/", "-run splits its pattern at a slash")
			seen[check.name] = true
		}
	}
}
