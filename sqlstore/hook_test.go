package sqlstore

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// mirror returns the SQL of an app's own table, and a hook that mirrors the connections in
// it: a row for each connection, and how often it was written.
func mirror(d *database, prefix string) (createTable string, hook Hook) {
	table := prefix + "mirror"
	var create, put, drop string
	switch d.dialect {
	case PostgreSQL:
		create = "CREATE TABLE IF NOT EXISTS %s (id TEXT PRIMARY KEY, identity_id TEXT NOT NULL, label TEXT NOT NULL, health TEXT NOT NULL, written INTEGER NOT NULL)"
		put = `INSERT INTO %[1]s VALUES ($1, $2, $3, $4, 1)
			ON CONFLICT (id) DO UPDATE SET identity_id = EXCLUDED.identity_id, label = EXCLUDED.label, health = EXCLUDED.health, written = %[1]s.written + 1`
		drop = "DELETE FROM %s WHERE id = $1"
	case MySQL:
		create = "CREATE TABLE IF NOT EXISTS %s (id VARBINARY(255) PRIMARY KEY, identity_id VARBINARY(255), label VARBINARY(255), health VARBINARY(255), written INT) ENGINE=InnoDB"
		put = `INSERT INTO %s VALUES (?, ?, ?, ?, 1)
			ON DUPLICATE KEY UPDATE identity_id = VALUES(identity_id), label = VALUES(label), health = VALUES(health), written = written + 1`
		drop = "DELETE FROM %s WHERE id = ?"
	case SQLite:
		create = "CREATE TABLE IF NOT EXISTS %s (id TEXT PRIMARY KEY, identity_id TEXT, label TEXT, health TEXT, written INTEGER)"
		put = `INSERT INTO %s VALUES (?, ?, ?, ?, 1)
			ON CONFLICT (id) DO UPDATE SET identity_id = EXCLUDED.identity_id, label = EXCLUDED.label, health = EXCLUDED.health, written = written + 1`
		drop = "DELETE FROM %s WHERE id = ?"
	}
	return fmt.Sprintf(create, table), func(ctx context.Context, tx *sql.Tx, change Change) error {
		if change.Kind == ConnectionEnded {
			_, err := tx.ExecContext(ctx, fmt.Sprintf(drop, table), change.Before.ID)
			return err
		}
		c := change.After
		_, err := tx.ExecContext(ctx, fmt.Sprintf(put, table), c.ID, c.IdentityID, c.Label, string(c.Health))
		return err
	}
}

// mirrored returns a store whose hook calls mirror's and then then. The app's table is
// dropped after the test.
func mirrored(t *testing.T, d *database, then Hook) *Store {
	t.Helper()
	prefix := randomPrefix()
	create, hook := mirror(d, prefix)
	s := d.emptyIn(t, d.open(t, d.url(t)), WithTablePrefix(prefix), WithHook(func(ctx context.Context, tx *sql.Tx, change Change) error {
		if err := hook(ctx, tx, change); err != nil {
			return err
		}
		return then(ctx, tx, change)
	}))
	_, err := s.db.Exec(create)
	require.NoError(t, err)
	t.Cleanup(func() { dropMirror(t, d, s) })
	return s
}

func dropMirror(t *testing.T, d *database, s *Store) {
	t.Helper()
	if d.pool == nil {
		return
	}
	db, err := d.pool()
	require.NoError(t, err)
	_, err = db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+s.prefix+"mirror")
	require.NoError(t, err)
}

// requireMirrored requires that the app's table equals the store's, in one snapshot of both.
// It returns the number of connections.
func requireMirrored(t *testing.T, s *Store) int {
	t.Helper()
	lines := rowsOf(t, s, `SELECT id, identity_id, label, health, 'connect' FROM connect_connections
		UNION ALL SELECT id, identity_id, label, health, 'mirror' FROM connect_mirror`)
	var ours, theirs []string
	for _, line := range lines {
		if row, found := strings.CutSuffix(line, "connect|"); found {
			ours = append(ours, row)
		} else {
			theirs = append(theirs, strings.TrimSuffix(line, "mirror|"))
		}
	}
	require.ElementsMatch(t, ours, theirs)
	return len(ours)
}

// hookCalls are the names in calls that run a hook.
var hookCalls = []string{"Complete", "Complete, one more", "SetHealth", "SetLabel", "Disconnect", "Disconnect, one"}

func TestHook(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("is told of each change, before and after, and of nothing else", func(t *testing.T) {
			t.Parallel()
			var told []Change
			s := mirrored(t, d, func(_ context.Context, _ *sql.Tx, change Change) error {
				told = append(told, change)
				return nil
			})
			require.NoError(t, s.Migrate(t.Context()))
			requireTold := func(want ...Change) {
				t.Helper()
				require.Equal(t, want, told)
				requireMirrored(t, s)
				told = nil
			}
			same := func(change func(c *connect.Connection), c connect.Connection) connect.Connection {
				change(&c)
				return c
			}

			first := flow("anna", "first")
			bind(t, s, first)
			began := complete(t, s, first, "1")
			require.Equal(t, connection("anna", "1"), began)
			requireTold(Change{Kind: ConnectionBegan, After: began})

			_, err := s.Complete(t.Context(), "first", connection("anna", "1"), tagged)
			require.NoError(t, err)
			_, err = s.Complete(t.Context(), "unknown", connection("anna", "1"), tagged)
			require.ErrorIs(t, err, connect.ErrStateUnknown)
			requireTold()

			again := flow("anna", "again")
			bind(t, s, again)
			renewed := complete(t, s, again, "2")
			require.Equal(t, same(func(c *connect.Connection) { c.IdentityID = "2" }, began), renewed)
			requireTold(Change{Kind: ConnectionRenewed, Before: began, After: renewed})

			sick, changed, err := s.SetHealth(t.Context(), "2", connect.HealthNeedsSignIn, noon)
			require.NoError(t, err)
			require.True(t, changed)
			requireTold(Change{Kind: ConnectionChanged, Before: renewed, After: sick})
			_, _, err = s.SetHealth(t.Context(), "2", connect.HealthOK, noon)
			require.NoError(t, err)
			requireTold()

			labelled, err := s.SetLabel(t.Context(), application, "anna", began.ID, "work")
			require.NoError(t, err)
			require.Equal(t, same(func(c *connect.Connection) { c.Label = "work" }, sick), labelled)
			requireTold(Change{Kind: ConnectionChanged, Before: sick, After: labelled})
			_, err = s.SetLabel(t.Context(), application, "anna", began.ID, "work")
			require.NoError(t, err)
			requireTold()

			beside(t, s, "anna", "3")
			other := connection("anna", "3")
			requireTold(Change{Kind: ConnectionBegan, After: other})
			_, err = s.Disconnect(t.Context(), all("ben"))
			require.NoError(t, err)
			requireTold()
			ended, err := s.Disconnect(t.Context(), all("anna"))
			require.NoError(t, err)
			require.Equal(t, []connect.Connection{labelled, other}, ended)
			requireTold(Change{Kind: ConnectionEnded, Before: labelled}, Change{Kind: ConnectionEnded, Before: other})
		})

		failures := map[string]struct {
			hook  Hook
			is    error
			isNot error
			says  string
		}{
			"an error": {
				hook: func(context.Context, *sql.Tx, Change) error { return errHook },
				is:   errHook,
			},
			"an error that a store would answer with": {
				hook:  func(context.Context, *sql.Tx, Change) error { return fmt.Errorf("told: %w", connect.ErrStateSpent) },
				isNot: connect.ErrStateSpent,
				says:  "told: ",
			},
			"a panic": {
				hook: func(context.Context, *sql.Tx, Change) error { panic("a bug of the app") },
				says: "a bug of the app",
			},
			"a statement that fails": {
				hook: func(ctx context.Context, tx *sql.Tx, _ Change) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)")
					return err
				},
				says: "no_such_table",
			},
		}
		for name, failure := range failures {
			t.Run("rolls back everything by "+name, func(t *testing.T) {
				t.Parallel()
				fails := false
				s := mirrored(t, d, func(ctx context.Context, tx *sql.Tx, change Change) error {
					if !fails {
						return nil
					}
					return failure.hook(ctx, tx, change)
				})
				for _, name := range hookCalls {
					fails = false
					prepare(t, s)
					before := contents(t, s)
					fails = true
					err := calls[name](t.Context(), s)
					require.ErrorContains(t, err, "sqlstore: ", name)
					require.ErrorContains(t, err, "the hook", name)
					require.ErrorContains(t, err, failure.says, name)
					if failure.is != nil {
						require.ErrorIs(t, err, failure.is, name)
					}
					if failure.isNot != nil {
						require.NotErrorIs(t, err, failure.isNot, name)
					}
					require.Equal(t, before, contents(t, s), name)
					requireMirrored(t, s)
					fails = false
					require.NoError(t, calls[name](t.Context(), s), "%s, once more", name)
					requireMirrored(t, s)
					empty(t, s)
					_, err = s.db.Exec(prefixed(s, "DELETE FROM connect_mirror"))
					require.NoError(t, err)
				}
			})
		}

		t.Run("runs again after a deadlock, and is committed once", func(t *testing.T) {
			t.Parallel()
			deadlocks := 0
			s := mirrored(t, d, func(context.Context, *sql.Tx, Change) error {
				if deadlocks--; deadlocks >= 0 {
					return fmt.Errorf("the app says: %w", &pgconn.PgError{Code: "40P01"})
				}
				return nil
			})
			require.NoError(t, s.Migrate(t.Context()))
			p := flow("anna", "annas")
			bind(t, s, p)
			deadlocks = 2
			complete(t, s, p, "1")
			require.Equal(t, -1, deadlocks)
			require.Equal(t, 1, scalar[int](t, s.db, prefixed(s, "SELECT written FROM connect_mirror")))
		})

		t.Run("has the ctx of the call, which ends it", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ends := false
			s := mirrored(t, d, func(ctx context.Context, _ *sql.Tx, _ Change) error {
				if !ends {
					return nil
				}
				cancel()
				<-ctx.Done()
				return nil
			})
			prepare(t, s)
			before := contents(t, s)
			ends = true
			require.ErrorIs(t, calls["SetLabel"](ctx, s), context.Canceled)
			require.Equal(t, before, contents(t, s))
			requireMirrored(t, s)
		})
	})
}

var errHook = errors.New("the app does not want it")

// On MySQL a deadlock rolls back everything, and a COMMIT then succeeds.
func TestHookThatIgnoresADeadlock(t *testing.T) {
	t.Parallel()
	ignores := false
	s := mirrored(t, on(t, MySQL), func(ctx context.Context, tx *sql.Tx, _ Change) error {
		if ignores {
			_, _ = tx.ExecContext(ctx, "ROLLBACK") // As a deadlock does.
		}
		return nil
	})
	for _, name := range hookCalls {
		ignores = false
		prepare(t, s)
		before := contents(t, s)
		ignores = true
		require.ErrorContains(t, calls[name](t.Context(), s), "though its transaction has ended", name)
		require.Equal(t, before, contents(t, s), name)
		ignores = false
		require.NoError(t, calls[name](t.Context(), s), "%s, once more", name)
		requireMirrored(t, s)
		empty(t, s)
		_, err := s.db.Exec(prefixed(s, "DELETE FROM connect_mirror"))
		require.NoError(t, err)
	}
}

func TestHookOptions(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "sqlstore: WithHook: the hook is nil", func() { WithHook(nil) })
	require.Equal(t, Schema(SQLite), Schema(SQLite, WithHook(idle)))
	require.Equal(t, SchemaSince(SQLite, 1), SchemaSince(SQLite, 1, WithHook(idle)))
}

// TestHookInAKilledProcess runs itself in another process, which changes connections until it
// is killed. The app's table and the store's never differ.
func TestHookInAKilledProcess(t *testing.T) {
	const variable = "CONNECT_TEST_KILLED"
	if which := os.Getenv(variable); which != "" {
		dialect, rest, _ := strings.Cut(which, " ")
		prefix, databaseURL, _ := strings.Cut(rest, " ")
		changeUntilKilled(t, on(t, Dialect(dialect)), prefix, databaseURL)
		return
	}

	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		databaseURL := d.url(t)
		prefix := randomPrefix()
		create, _ := mirror(d, prefix)
		s := d.emptyIn(t, d.open(t, databaseURL), WithTablePrefix(prefix))
		t.Cleanup(func() { dropMirror(t, d, s) })
		require.NoError(t, s.Migrate(t.Context()))
		_, err := s.db.Exec(create)
		require.NoError(t, err)

		// A dozen kills, or more if few changes happen in between.
		most, ended := 0, 0
		for kills := 0; kills < 12 || kills < 60 && (most < 4 || ended == 0); kills++ {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHookInAKilledProcess$")
			child.Env = append(os.Environ(), variable+"="+string(d.dialect)+" "+prefix+" "+databaseURL)
			out, err := child.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, child.Start())
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != "changing" {
			}
			time.Sleep(rand.N(200 * time.Millisecond))
			require.NoError(t, child.Process.Kill())
			require.ErrorContains(t, child.Wait(), "killed")
			requireAtRest(t, d, s)
			most = max(most, requireMirrored(t, s))
			ended = scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_tasks WHERE kind = 'delete'"))
		}
		require.Greater(t, most, 3, "connections were made")
		require.Positive(t, ended, "some were replaced or ended")
	})
}

// changeUntilKilled changes connections of some users at random.
func changeUntilKilled(t *testing.T, d *database, prefix, databaseURL string) {
	t.Helper()
	_, hook := mirror(d, prefix)
	s := New(d.open(t, databaseURL), d.dialect, WithTablePrefix(prefix), WithHook(hook))
	fmt.Println("changing")
	var working sync.WaitGroup
	for i := range 4 {
		working.Go(func() {
			user := fmt.Sprint("user ", i)
			for n := 0; ; n++ {
				identity := fmt.Sprintf("%d of %s of %d", n, user, os.Getpid())
				p := flow(user, identity)
				p.Adds = n%2 == 0
				connections, err := s.Connections(t.Context(), application, user)
				if err == nil && !p.Adds && len(connections) > 1 {
					p.ConnectionID = connections[0].ID
				}
				steps := []func() error{
					func() error { return err },
					func() error { return s.Bind(t.Context(), p, plenty) },
					func() error {
						_, err := s.Complete(t.Context(), identity, connection(user, identity), connect.Completion{TagAfter: tagDue, MaxConnections: 3})
						return err
					},
					func() error {
						_, _, err := s.SetHealth(t.Context(), identity, connect.HealthNeedsSignIn, noon)
						return err
					},
					func() error {
						if len(connections) == 0 {
							return nil
						}
						_, err := s.SetLabel(t.Context(), application, user, connections[0].ID, identity)
						return err
					},
					func() error {
						if n%5 != 4 {
							return nil
						}
						_, err := s.Disconnect(t.Context(), all(user))
						return err
					},
				}
				for step, do := range steps {
					if err := do(); err != nil && !slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) }) {
						fmt.Println("step", step, err)
						os.Exit(1)
					}
				}
			}
		})
	}
	working.Wait()
}
