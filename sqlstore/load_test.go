package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// connectUser makes all calls of one user's flow: it begins, returns and is tagged.
func connectUser(ctx context.Context, s *Store, user string) error {
	p := flow(user, "flow of "+user)
	if err := s.Bind(ctx, p, plenty); err != nil {
		return err
	}
	if _, err := s.Pending(ctx, p.TokenHash); err != nil {
		return err
	}
	done, err := s.Complete(ctx, p.TokenHash, connection(user, "identity of "+user), tagged)
	if err != nil {
		return err
	}
	if !done.First {
		return fmt.Errorf("%s is not the first", user)
	}
	return s.Done(ctx, tag(user, "identity of "+user))
}

func TestLoadOfManyFlows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("64 users connect at once, while others sweep and claim", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			const users = 64
			errs := make(chan error, users+2)
			begin, end := make(chan struct{}), make(chan struct{})
			var connecting, working sync.WaitGroup
			for i := range users {
				connecting.Go(func() {
					<-begin
					errs <- connectUser(t.Context(), s, fmt.Sprint("user ", i))
				})
			}
			for name, work := range map[string]func() error{
				"sweep": func() error { _, err := s.Sweep(t.Context(), noon, 10); return err },
				"claim": func() error { _, err := s.Claim(t.Context(), application, tagDue, deleteDue, 10); return err },
			} {
				working.Go(func() {
					for {
						select {
						case <-end:
							return
						case <-time.After(10 * time.Millisecond):
						}
						if err := work(); err != nil {
							errs <- fmt.Errorf("%s: %w", name, err)
							return
						}
					}
				})
			}
			close(begin)
			connecting.Wait()
			close(end)
			working.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			for i := range users {
				user := fmt.Sprint("user ", i)
				requireConnection(t, s, user, "identity of "+user)
			}
			requireTasks(t, s)
		})

		t.Run("a user's tabs return at once, each with another identity: one stays, the others are to be deleted", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			const tabs = 12
			for i := range tabs {
				bind(t, s, flow("anna", fmt.Sprint("tab ", i)))
			}
			errs := make([]error, tabs)
			var returning sync.WaitGroup
			for i := range tabs {
				returning.Go(func() {
					_, errs[i] = s.Complete(t.Context(), fmt.Sprint("tab ", i), connection("anna", identityNumber(i)), tagged)
				})
			}
			returning.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			connections, err := s.Connections(t.Context(), application, "anna")
			require.NoError(t, err)
			require.Len(t, connections, 1)
			var want []connect.Task
			for i := range tabs {
				if id := identityNumber(i); id == connections[0].IdentityID {
					want = append(want, tag("anna", id))
				} else {
					want = append(want, deletion("anna", id))
				}
			}
			requireTasks(t, s, want...)
		})

		t.Run("a user's tabs begin, return, disconnect and are told events at once: no identity is forgotten", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			const tabs, rounds, limit = 8, 12, 2
			var mu sync.Mutex
			stored := make(map[string]bool)
			// refused reports whether this user's other tabs may have caused an error.
			refused := func(err error) bool {
				return errors.Is(err, connect.ErrStateSpent) || errors.Is(err, connect.ErrStateUnknown) || errors.Is(err, connect.ErrNotConnected)
			}
			errs := make(chan error, tabs)
			var working sync.WaitGroup
			for tab := range tabs {
				working.Go(func() {
					for round := range rounds {
						id := identityNumber(tab*rounds + round)
						p := flow("anna", "flow of "+id)
						// A flow expires like one of a second tab, or as if it began
						// long ago, so that others sweep it.
						p.ExpiresAt = p.ExpiresAt.Add(time.Duration(round-tab) * time.Second)
						steps := []func() error{
							func() error { return s.Bind(t.Context(), p, limit) },
							func() error {
								done, err := s.Complete(t.Context(), p.TokenHash, connection("anna", id), tagged)
								if done.First {
									mu.Lock()
									defer mu.Unlock()
									stored[id] = true
								}
								return err
							},
							func() error {
								_, _, err := s.SetHealth(t.Context(), id, connect.HealthNeedsSignIn, noon)
								return err
							},
							func() error {
								if round%4 != tab%4 {
									return nil
								}
								_, err := s.Disconnect(t.Context(), all("anna"))
								return err
							},
							func() error { _, err := s.Sweep(t.Context(), p.ExpiresAt, 1); return err },
						}
						for i, step := range steps {
							if err := step(); err != nil && !refused(err) {
								errs <- fmt.Errorf("step %d: %w", i, err)
								return
							}
						}
					}
				})
			}
			working.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}

			connections, err := s.Connections(t.Context(), application, "anna")
			require.NoError(t, err)
			var c connect.Connection
			if len(connections) > 0 {
				c = connections[0]
			}
			var want []connect.Task
			for id := range stored {
				if id == c.IdentityID {
					want = append(want, tag("anna", id))
				} else {
					want = append(want, deletion("anna", id))
				}
			}
			require.NotEmpty(t, want)
			requireTasks(t, s, want...)
			for i := range 2 {
				require.NoError(t, s.Bind(t.Context(), flow("anna", fmt.Sprint("the last but ", i)), limit))
			}
			require.LessOrEqual(t, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_pending")), 2*limit+1)
		})
	})
}

// TestLoadOfSeveralProcesses runs itself in other processes, which share a SQLite file.
func TestLoadOfSeveralProcesses(t *testing.T) {
	const variable = "CONNECT_TEST_PROCESS"
	const flows = 25
	d := on(t, SQLite)

	if databaseURL := os.Getenv(variable); databaseURL != "" {
		s := New(d.open(t, databaseURL), SQLite)
		require.NoError(t, s.Migrate(t.Context()))
		var connecting sync.WaitGroup
		for i := range flows {
			connecting.Go(func() {
				if err := connectUser(t.Context(), s, fmt.Sprintf("user %d of %d", i, os.Getpid())); err != nil {
					t.Error(err)
				}
			})
		}
		connecting.Wait()
		return
	}

	t.Parallel()
	databaseURL := d.url(t)
	const processes = 4
	failures := make([]error, processes)
	outputs := make([][]byte, processes)
	var running sync.WaitGroup
	for i := range processes {
		running.Go(func() {
			process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoadOfSeveralProcesses$")
			process.Env = append(os.Environ(), variable+"="+databaseURL)
			outputs[i], failures[i] = process.CombinedOutput()
		})
	}
	running.Wait()
	for i, err := range failures {
		require.NoError(t, err, string(outputs[i]))
	}
	s := New(d.open(t, databaseURL), SQLite)
	require.Equal(t, processes*flows, scalar[int](t, s.db, "SELECT COUNT(*) FROM connect_connections"))
	requireTasks(t, s)
}
