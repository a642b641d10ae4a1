package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// calls are all methods of a store, each with arguments that change something after prepare.
var calls = map[string]func(ctx context.Context, s *Store) error{
	"Bind":    func(ctx context.Context, s *Store) error { return s.Bind(ctx, flow("anna", "new"), 1) },
	"Pending": func(ctx context.Context, s *Store) error { _, err := s.Pending(ctx, "live"); return err },
	"Spend":   func(ctx context.Context, s *Store) error { return s.Spend(ctx, "live") },
	"Complete": func(ctx context.Context, s *Store) error {
		done, err := s.Complete(ctx, "live", connection("anna", "2"), tagged)
		if err == nil && done.Replaced != "1" {
			return errors.New("it has not replaced the identity")
		}
		return err
	},
	"Complete, one more": func(ctx context.Context, s *Store) error {
		done, err := s.Complete(ctx, "adding", connection("anna", "2"), connect.Completion{TagAfter: tagDue, MaxConnections: 2})
		if err == nil && !done.First {
			return errors.New("it is not the first")
		}
		return err
	},
	"Connections": func(ctx context.Context, s *Store) error {
		found, err := s.Connections(ctx, application, "anna")
		if err == nil && len(found) != 1 {
			return fmt.Errorf("it has found %d connections", len(found))
		}
		return err
	},
	"List": func(ctx context.Context, s *Store) error {
		found, err := s.List(ctx, connect.ListQuery{ApplicationID: application, Limit: 2})
		if err == nil && len(found) != 1 {
			return fmt.Errorf("it has listed %d connections", len(found))
		}
		return err
	},
	"SetHealth": func(ctx context.Context, s *Store) error {
		_, changed, err := s.SetHealth(ctx, "1", connect.HealthNeedsSignIn, noon)
		if err == nil && !changed {
			return errors.New("it has changed nothing")
		}
		return err
	},
	"SetLabel": func(ctx context.Context, s *Store) error {
		_, err := s.SetLabel(ctx, application, "anna", idOf("anna", "1"), "work")
		return err
	},
	"Disconnect": func(ctx context.Context, s *Store) error {
		_, err := s.Disconnect(ctx, all("anna"))
		return err
	},
	"Disconnect, one": func(ctx context.Context, s *Store) error {
		d := all("anna")
		d.ConnectionID = idOf("anna", "1")
		_, err := s.Disconnect(ctx, d)
		return err
	},
	"Queue, a tag": func(ctx context.Context, s *Store) error {
		t := tag("anna", "1")
		t.NotBefore = deleteDue
		return s.Queue(ctx, t)
	},
	"Queue, a deletion": func(ctx context.Context, s *Store) error { return s.Queue(ctx, deletion("anna", "nobody's")) },
	"ApplicationsOf":    func(ctx context.Context, s *Store) error { return listed(s.ApplicationsOf(ctx, "anna")) },
	"Applications":      func(ctx context.Context, s *Store) error { return listed(s.Applications(ctx)) },
	"Claim": func(ctx context.Context, s *Store) error {
		tasks, err := s.Claim(ctx, application, tagDue, deleteDue, 10)
		if err == nil && len(tasks) != 1 {
			return fmt.Errorf("it has claimed %d tasks", len(tasks))
		}
		return err
	},
	"Done":     func(ctx context.Context, s *Store) error { return s.Done(ctx, tag("anna", "1")) },
	"Postpone": func(ctx context.Context, s *Store) error { return s.Postpone(ctx, tag("anna", "1"), deleteDue) },
	"Sweep": func(ctx context.Context, s *Store) error {
		n, err := s.Sweep(ctx, noon.AddDate(1, 0, 0), 1)
		if err == nil && n != 1 {
			return fmt.Errorf("it has swept %d flows", n)
		}
		return err
	},
}

// listed requires one application in a list.
func listed(ids []string, err error) error {
	if err == nil && !slices.Equal(ids, []string{application}) {
		return fmt.Errorf("it has listed %q", ids)
	}
	return err
}

// prepare migrates a store and creates the rows for calls.
func prepare(t *testing.T, s *Store) {
	t.Helper()
	require.NoError(t, s.Migrate(t.Context()))
	done, ended, live, adding := flow("anna", "done"), flow("anna", "ended"), flow("anna", "live"), flow("anna", "adding")
	ended.ExpiresAt = noon.Add(time.Minute)
	adding.Adds = true
	bind(t, s, done, ended, live, adding)
	complete(t, s, done, "1")
	require.NoError(t, s.Spend(t.Context(), ended.TokenHash))
}

// contents returns all rows of a store.
func contents(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for _, query := range []string{
		"SELECT * FROM connect_pending ORDER BY token_hash",
		"SELECT * FROM connect_connections ORDER BY id",
		"SELECT * FROM connect_tasks ORDER BY identity_id",
	} {
		all = append(all, rowsOf(t, s, query)...)
	}
	return all
}

// rowsOf returns the rows of a query as lines.
func rowsOf(t *testing.T, s *Store, query string) (all []string) {
	t.Helper()
	found, err := s.db.QueryContext(t.Context(), prefixed(s, query))
	require.NoError(t, err)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	for found.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		require.NoError(t, found.Scan(values...))
		row := ""
		for _, value := range values {
			row += value.(*sql.NullString).String + "|"
		}
		all = append(all, row)
	}
	require.NoError(t, found.Err())
	return all
}

// Each round trip of each method fails once.
func TestRetryOfEachStep(t *testing.T) {
	t.Parallel()
	transient := map[Dialect]error{
		SQLite:     sqliteError(5),
		PostgreSQL: &pgconn.PgError{Code: "40P01"},
		MySQL:      &mysql.MySQLError{Number: 1213},
	}
	useless := map[Dialect]error{
		PostgreSQL: &pgconn.PgError{Code: "57P05"},
		MySQL:      &mysql.MySQLError{Number: 1047},
	}
	broken := errors.New("broken")

	onEach(t, func(t *testing.T, d *database) {
		for name, call := range calls {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				// The statements without a fault, and their effect.
				db, w := watched(t, d)
				s := d.emptyIn(t, db)
				prepare(t, s)
				before := contents(t, s)
				sent := w.during(func() { require.NoError(t, call(t.Context(), s)) })
				after := contents(t, s)
				restore(t, s)

				for i := range sent {
					failAt := func(err error) {
						n := 0
						w.setBefore(func(string) error {
							n++
							if n == i+1 {
								return err
							}
							return nil
						})
					}

					failAt(broken)
					err := call(t.Context(), s)
					w.setBefore(nil)
					require.ErrorIs(t, err, broken, "a fault at %q", sent[i])
					require.ErrorContains(t, err, "sqlstore: ")
					require.Equal(t, before, contents(t, s), "a fault at %q changes nothing", sent[i])

					failAt(transient[d.dialect])
					err = call(t.Context(), s)
					w.setBefore(nil)
					require.NoError(t, err, "broken off at %q", sent[i])
					require.Equal(t, after, contents(t, s), "broken off at %q", sent[i])
					restore(t, s)

					if useless[d.dialect] == nil {
						continue
					}
					failAt(useless[d.dialect])
					opened := w.openedDuring(func() { err = call(t.Context(), s) })
					w.setBefore(nil)
					require.NoError(t, err, "on a useless connection at %q", sent[i])
					require.Equal(t, 1, opened, "a useless connection at %q is closed", sent[i])
					require.Equal(t, after, contents(t, s), "on a useless connection at %q", sent[i])
					restore(t, s)
				}
			})
		}
	})
}

// restore empties a store and prepares it again.
func restore(t *testing.T, s *Store) {
	t.Helper()
	empty(t, s)
	prepare(t, s)
}

func empty(t *testing.T, s *Store) {
	t.Helper()
	for _, table := range []string{"pending", "connections", "tasks", "disconnects"} {
		_, err := s.db.Exec("DELETE FROM " + s.prefix + table)
		require.NoError(t, err)
	}
}

func TestRetryAfterADeadlock(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{PostgreSQL, MySQL} {
		t.Run("a real deadlock is tried again, "+string(dialect), func(t *testing.T) {
			t.Parallel()
			d := on(t, dialect)
			db, w := watched(t, d)
			s := d.emptyIn(t, db)
			prepare(t, s)
			other, err := d.pool()
			require.NoError(t, err)

			// Disconnect locks the flows and then the connection, this transaction in the
			// opposite order. Disconnect is the victim: PostgreSQL chooses the one that
			// detects the deadlock first, MySQL the one that has changed less.
			tx, err := other.BeginTx(t.Context(), s.tx)
			require.NoError(t, err)
			defer tx.Rollback()
			if dialect == PostgreSQL {
				_, err := db.Exec("SET deadlock_timeout = '2s'")
				require.NoError(t, err)
				_, err = tx.Exec("SET LOCAL deadlock_timeout = '1min'")
				require.NoError(t, err)
			}
			for i := range 20 {
				_, err := tx.Exec(prefixed(s, fmt.Sprintf("INSERT INTO connect_tasks VALUES ('heavy %d', 'tag', 'x', 'x', 0, 0)", i)))
				require.NoError(t, err)
			}
			_, err = tx.Exec(prefixed(s, "UPDATE connect_connections SET connected_at = 1 WHERE user_id = 'anna'"))
			require.NoError(t, err)

			// The second attempt must not begin before the other transaction has ended.
			over := make(chan struct{})
			begun := 0
			w.setBefore(func(sending string) error {
				if sending == "begin" {
					if begun++; begun > 1 {
						<-over
					}
				}
				return nil
			})
			end := sync.OnceFunc(func() { close(over) })
			defer end()

			done := make(chan error, 1)
			var ended []connect.Connection
			go func() {
				var err error
				ended, err = s.Disconnect(t.Context(), all("anna"))
				done <- err
			}()
			waiting(t, d, s)
			_, err = tx.Exec(prefixed(s, "UPDATE connect_pending SET return_to = '/' WHERE token_hash = 'live'"))
			require.NoError(t, err, "this one must not be the victim")
			require.NoError(t, tx.Commit())
			end()
			require.NoError(t, <-done)
			require.Equal(t, 2, begun, "the first attempt was broken off")
			require.Len(t, ended, 1)
			require.Equal(t, "1", ended[0].IdentityID)
			requireConnection(t, s, "anna", "")
		})
	}
}

func TestRetryAfterAKilledConnection(t *testing.T) {
	t.Parallel()
	const locked = "UPDATE connect_connections SET connected_at = connected_at WHERE user_id = 'anna'"
	inTheWay := map[string]string{
		"Complete":   locked,
		"Disconnect": locked,
		"SetHealth":  locked,
		"Spend":      "UPDATE connect_pending SET return_to = return_to WHERE token_hash = 'live'",
	}
	killed := func(t *testing.T, dialect Dialect, test func(s *Store, name string, commit func(), done <-chan error)) {
		d := on(t, dialect)
		s := d.emptyIn(t, d.open(t, d.url(t)))
		for name, locked := range inTheWay {
			prepare(t, s)
			holding(t, s, func(commit func()) {
				done := make(chan error, 1)
				go func() { done <- calls[name](t.Context(), s) }()
				kill(t, d, waiting(t, d, s))
				test(s, name, commit, done)
			}, locked)
			empty(t, s)
		}
	}

	t.Run("PostgreSQL says that nothing was changed, and the call goes on on another connection", func(t *testing.T) {
		t.Parallel()
		killed(t, PostgreSQL, func(s *Store, name string, commit func(), done <-chan error) {
			waiting(t, on(t, PostgreSQL), s)
			commit()
			require.NoError(t, <-done, name)
		})
	})

	t.Run("on MySQL nothing is changed, and the next call has another connection", func(t *testing.T) {
		t.Parallel()
		killed(t, MySQL, func(s *Store, name string, commit func(), done <-chan error) {
			select {
			case err := <-done:
				require.ErrorContains(t, err, "sqlstore: ", name)
			case <-time.After(10 * time.Second):
				require.Fail(t, "it has not come back", name)
			}
			commit()
			require.NoError(t, calls[name](t.Context(), s), name)
		})
	})
}

// After a restart of the server every connection of the pool is dead, even one that was used
// a moment ago.
func TestRetryInADeadPool(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d *database) {
		db := d.open(t, d.url(t))
		s := d.emptyIn(t, db)
		admin, err := d.pool()
		require.NoError(t, err)
		other := New(admin, d.dialect, WithTablePrefix(s.prefix))
		for name, call := range calls {
			prepare(t, other)
			var conns []*sql.Conn
			for range 20 { // more than there are attempts
				conn, err := db.Conn(t.Context())
				require.NoError(t, err)
				conns = append(conns, conn)
			}
			var ids []int64
			find := map[Dialect]string{PostgreSQL: "SELECT pg_backend_pid()", MySQL: "SELECT CONNECTION_ID()"}[d.dialect]
			for _, conn := range conns {
				ids = append(ids, scalar[int64](t, conn, find))
			}
			for i, conn := range conns {
				require.NoError(t, conn.Close())
				kill(t, d, ids[i])
			}
			require.NoError(t, call(t.Context(), s), name)
			db.SetMaxIdleConns(-1)
			db.SetMaxIdleConns(24)
			empty(t, other)
		}
	})
}

// After a failover a pool has sessions on a server that does not accept writes any more.
func TestRetryOnReadOnlySessions(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d *database) {
		db := d.open(t, d.url(t))
		s := d.emptyIn(t, db)
		demote := "SET default_transaction_read_only = on"
		if d.dialect == MySQL {
			demote = "SET SESSION TRANSACTION READ ONLY"
		}
		for name, call := range calls {
			prepare(t, s)
			var conns []*sql.Conn
			for range 20 {
				conn, err := db.Conn(t.Context())
				require.NoError(t, err)
				_, err = conn.ExecContext(t.Context(), demote)
				require.NoError(t, err)
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				require.NoError(t, conn.Close())
			}
			require.NoError(t, call(t.Context(), s), name)
			db.SetMaxIdleConns(-1)
			db.SetMaxIdleConns(24)
			empty(t, s)
		}
	})
}

// A migration must not break statements that were prepared before it.
func TestRetryAfterACachedPlan(t *testing.T) {
	t.Parallel()
	d := on(t, PostgreSQL)
	db, err := sql.Open("pgx", withParameters(d.url(t), "default_query_exec_mode=cache_statement"))
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	s := d.emptyIn(t, db)
	prepare(t, s)
	admin, err := d.pool()
	require.NoError(t, err)
	for i, column := range []string{"connections ALTER COLUMN health", "connections ALTER COLUMN identity_id", "tasks ALTER COLUMN kind", "pending ALTER COLUMN return_to"} {
		for name, call := range calls {
			require.NoError(t, call(t.Context(), s), name)
			restore(t, s)
		}
		_, err := admin.Exec("ALTER TABLE " + s.prefix + column + ` TYPE varchar(2000) COLLATE "C"`)
		require.NoError(t, err)
		for name, call := range calls {
			require.NoError(t, call(t.Context(), s), "%s after change %d", name, i)
			restore(t, s)
		}
	}
}

func TestRetryAfterALockTimeout(t *testing.T) {
	t.Parallel()
	d := on(t, PostgreSQL)
	s := d.emptyIn(t, d.open(t, withParameters(d.url(t), "lock_timeout=100")))
	prepare(t, s)
	holding(t, s, func(commit func()) {
		done := make(chan error, 1)
		go func() { done <- calls["Spend"](t.Context(), s) }()
		time.Sleep(300 * time.Millisecond)
		commit()
		require.NoError(t, <-done)
	}, "UPDATE connect_pending SET return_to = '/x' WHERE token_hash = 'live'")
}

// waiting waits until a statement on the tables of s waits for a lock, and returns its
// connection.
func waiting(t *testing.T, d *database, s *Store) (id int64) {
	t.Helper()
	admin, err := d.pool()
	require.NoError(t, err)
	find := func() error {
		return admin.QueryRow("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1", "%"+s.prefix+"%").Scan(&id)
	}
	if d.dialect == MySQL {
		find = func() error {
			var ignored, status string
			if err := admin.QueryRow("SHOW ENGINE INNODB STATUS").Scan(&ignored, &ignored, &status); err != nil {
				return err
			}
			for transaction := range strings.SplitSeq(status, "---TRANSACTION ") {
				thread := innoDBThread.FindStringSubmatch(transaction)
				if thread != nil && strings.Contains(transaction, "LOCK WAIT") && strings.Contains(transaction, s.prefix) {
					id, err = strconv.ParseInt(thread[1], 10, 64)
					return err
				}
			}
			return sql.ErrNoRows
		}
	}
	require.Eventually(t, func() bool { return find() == nil }, 20*time.Second, 20*time.Millisecond)
	return id
}

var innoDBThread = regexp.MustCompile(`(?:MariaDB|MySQL) thread id (\d+)`)

// requireAtRest requires that soon no statement on the tables of s is running.
func requireAtRest(t *testing.T, d *database, s *Store) {
	t.Helper()
	if d.dialect == SQLite {
		return // It works in this process, and is done when a call is.
	}
	admin, err := d.pool()
	require.NoError(t, err)
	count := "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()"
	if d.dialect == MySQL {
		count = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ? AND id <> CONNECTION_ID()"
	}
	require.Eventually(t, func() bool {
		var n int
		return admin.QueryRow(count, "%"+s.prefix+"%").Scan(&n) == nil && n == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// kill ends a connection from outside.
func kill(t *testing.T, d *database, id int64) {
	t.Helper()
	admin, err := d.pool()
	require.NoError(t, err)
	end := "SELECT pg_terminate_backend(%d)"
	if d.dialect == MySQL {
		end = "KILL %d"
	}
	_, err = admin.Exec(fmt.Sprintf(end, id))
	require.NoError(t, err)
}

func TestContextLimitsEveryCall(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("a closed pool is said at once", func(t *testing.T) {
			t.Parallel()
			db := d.open(t, d.url(t))
			s := New(db, d.dialect)
			require.NoError(t, db.Close())
			for name, call := range calls {
				err := call(t.Context(), s)
				require.ErrorContains(t, err, "sqlstore: ", name)
				require.ErrorContains(t, err, "database is closed", name)
			}
			require.ErrorContains(t, s.Migrate(t.Context()), "sqlstore: migrate: ")
		})

		t.Run("an exhausted pool is waited for as long as ctx allows", func(t *testing.T) {
			t.Parallel()
			db := d.open(t, d.url(t))
			db.SetMaxOpenConns(1)
			s := d.emptyIn(t, db)
			prepare(t, s)
			before := contents(t, s)
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			for name, call := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				begun := time.Now()
				require.ErrorIs(t, call(ctx, s), context.DeadlineExceeded, name)
				require.Less(t, time.Since(begun), time.Second, name)
			}
			require.NoError(t, conn.Close())
			require.Equal(t, before, contents(t, s))
		})

		t.Run("a lock is waited for as long as ctx allows and little longer", func(t *testing.T) {
			t.Parallel()
			s := d.emptyIn(t, d.open(t, d.url(t)))
			prepare(t, s)
			before := contents(t, s)
			for _, name := range []string{"Spend", "Complete", "Disconnect"} {
				holding(t, s, func(func()) {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					begun := time.Now()
					require.ErrorIs(t, calls[name](ctx, s), context.DeadlineExceeded, name)
					require.Less(t, time.Since(begun), settle+3*time.Second, name)
					if d.dialect == PostgreSQL {
						// The driver cancels the statement in the background.
						requireAtRest(t, d, s)
					}
				}, "UPDATE connect_pending SET return_to = '/x' WHERE token_hash = 'live'")
				requireAtRest(t, d, s)
				if d.dialect == MySQL && name == "Spend" {
					// This one takes effect: MySQL does not notice that its client has
					// gone while it waits.
					restore(t, s)
					continue
				}
				require.Equal(t, before, contents(t, s), name)
			}
		})
	})

	for _, dialect := range []Dialect{PostgreSQL, MySQL} {
		t.Run("a server that nobody listens for is said at once, "+string(dialect), func(t *testing.T) {
			t.Parallel()
			d := on(t, dialect)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, listener.Close())
			s := New(d.open(t, atAddress(t, d, listener.Addr())), dialect)
			begun := time.Now()
			for name, call := range calls {
				require.ErrorContains(t, call(t.Context(), s), "refused", name)
			}
			require.Less(t, time.Since(begun), 10*time.Second)
		})

		t.Run("a server that falls silent is waited for as long as ctx allows and little longer, "+string(dialect), func(t *testing.T) {
			t.Parallel()
			d := on(t, dialect)
			relay := newRelay(t, d)
			s := d.emptyIn(t, d.open(t, atAddress(t, d, relay.listener.Addr())))
			prepare(t, s)
			relay.silent.Store(true)
			var calling sync.WaitGroup
			for name, call := range calls {
				calling.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					defer cancel()
					begun := time.Now()
					err := call(ctx, s)
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					if took := time.Since(begun); took > settle+3*time.Second {
						t.Errorf("%s has taken %v", name, took)
					}
				})
			}
			calling.Wait()
		})
	}
}

func TestContextEndsDuringAWrite(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d *database) {
		t.Run("a write that the server is working on when ctx ends is given the time to end", func(t *testing.T) {
			t.Parallel()
			s := d.emptyIn(t, d.open(t, d.url(t)))
			prepare(t, s)
			holding(t, s, func(commit func()) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- s.Spend(ctx, "live") }()
				waiting(t, d, s)
				cancel()
				commit()
				require.NoError(t, <-done)
			}, "UPDATE connect_pending SET return_to = '/x' WHERE token_hash = 'live'")
			p, err := s.Pending(t.Context(), "live")
			require.NoError(t, err)
			require.True(t, p.Spent)
		})

		t.Run("a transaction whose ctx ends before its commit is sent is not committed", func(t *testing.T) {
			t.Parallel()
			s := d.emptyIn(t, d.open(t, d.url(t)))
			prepare(t, s)
			before := contents(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			err := s.inTx(ctx, func(tx *sql.Tx) error {
				_, err := send(ctx, tx, s.sql.spendFlows, application, "anna")
				cancel()
				return err
			})
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, before, contents(t, s))
		})
	})
}

func TestSQLiteLocks(t *testing.T) {
	t.Parallel()
	d := on(t, SQLite)

	t.Run("without a busy_timeout a lock is waited for by trying again", func(t *testing.T) {
		t.Parallel()
		databaseURL := withParameters(d.url(t), "_timeout=0&_txlock=deferred")
		s := New(d.open(t, databaseURL), SQLite)
		prepare(t, s)
		for name, call := range calls {
			done := make(chan error, 1)
			holding(t, s, func(commit func()) {
				go func() { done <- call(t.Context(), s) }()
				time.Sleep(100 * time.Millisecond)
				commit()
			}, "UPDATE connect_schema SET version = version")
			require.NoError(t, <-done, name)
			restore(t, s)
		}
	})

	t.Run("writers of one process wait for each other as long as ctx allows, not as busy_timeout does", func(t *testing.T) {
		t.Parallel()
		s := New(d.open(t, d.url(t)), SQLite)
		prepare(t, s)
		require.NoError(t, s.inTx(t.Context(), func(*sql.Tx) error {
			for _, name := range []string{"Spend", "Complete"} {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				begun := time.Now()
				require.ErrorIs(t, calls[name](ctx, s), context.DeadlineExceeded)
				require.Less(t, time.Since(begun), time.Second)
			}
			require.NoError(t, calls["Connections"](t.Context(), s), "readers do not wait")
			return nil
		}))
	})

	t.Run("a claim with nothing due does not wait for another connection that writes", func(t *testing.T) {
		t.Parallel()
		s := New(d.open(t, withParameters(d.url(t), "_timeout=60000")), SQLite)
		prepare(t, s)
		holding(t, s, func(func()) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for _, before := range []time.Time{tagDue.Add(-time.Microsecond), time.UnixMicro(0)} {
				tasks, err := s.Claim(ctx, application, before, noon.AddDate(1, 0, 0), 10)
				require.NoError(t, err)
				require.Empty(t, tasks)
			}
		}, "UPDATE connect_schema SET version = version")
	})

	t.Run("a database in memory serves a pool of one connection", func(t *testing.T) {
		t.Parallel()
		db := d.open(t, "file::memory:")
		db.SetMaxOpenConns(1)
		s := New(db, SQLite)
		for name, call := range calls {
			prepare(t, s)
			require.NoError(t, call(t.Context(), s), name)
			empty(t, s)
		}
	})

	t.Run("a transaction that was not begun as immediate waits for the lock all the same", func(t *testing.T) {
		t.Parallel()
		s := New(d.open(t, withParameters(d.url(t), "_txlock=deferred")), SQLite)
		prepare(t, s)
		var calling sync.WaitGroup
		for i := range 20 {
			calling.Go(func() {
				p := flow(fmt.Sprint("user ", i), fmt.Sprint(i))
				err := s.Bind(t.Context(), p, plenty)
				if err == nil {
					_, err = s.Complete(t.Context(), p.TokenHash, connection(p.UserID, fmt.Sprint("identity ", i)), tagged)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
	})
}

// atAddress returns the URL of a database at another address.
func atAddress(t *testing.T, d *database, address net.Addr) string {
	t.Helper()
	u, err := url.Parse(d.url(t))
	require.NoError(t, err)
	u.Host = address.String()
	return u.String()
}

// A relay is a proxy of a server. When it is silent, it reads but forwards nothing.
type relay struct {
	listener net.Listener
	silent   atomic.Bool
}

func newRelay(t *testing.T, d *database) *relay {
	t.Helper()
	u, err := url.Parse(d.url(t))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{listener: listener}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		listener.Close()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", u.Host)
			if err != nil {
				client.Close()
				return
			}
			context.AfterFunc(ctx, func() {
				client.Close()
				server.Close()
			})
			pass := func(to, from net.Conn) {
				defer to.Close()
				_, _ = io.Copy(relayWriter{to, &r.silent}, from)
			}
			go pass(client, server)
			go pass(server, client)
		}
	}()
	return r
}

type relayWriter struct {
	to     net.Conn
	silent *atomic.Bool
}

func (w relayWriter) Write(p []byte) (int, error) {
	if w.silent.Load() {
		return len(p), nil
	}
	return w.to.Write(p)
}
