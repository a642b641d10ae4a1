package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// An olderStore writes to the tables as a release with an older schema does. Its statements
// are in testdata, unchanged, and its steps are below.
type olderStore struct {
	*Store  // for transactions and repeated attempts, which are as they were
	version int
	texts   map[string]string
}

func olderRelease(t *testing.T, s *Store, version int) *olderStore {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("testdata/schema%d.sql", version))
	require.NoError(t, err)
	o := &olderStore{s, version, make(map[string]string)}
	for _, section := range strings.Split(prefixed(s, string(text)), "\n-- "+string(s.dialect)+" ")[1:] {
		name, statement, _ := strings.Cut(section, "\n")
		statement, _, _ = strings.Cut(statement, "\n-- ")
		o.texts[name] = strings.TrimSpace(statement)
	}
	require.Contains(t, o.texts, "spendStarts")
	return o
}

// since adds arguments that only releases from a version on have.
func (o *olderStore) since(version int, args ...any) []any {
	if o.version < version {
		return nil
	}
	return args
}

func join(parts ...[]any) (all []any) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func (o *olderStore) bind(ctx context.Context, p connect.Pending) error {
	args := join([]any{p.TokenHash, p.ApplicationID, p.UserID, p.ReturnTo}, o.since(2, micros(p.BegunAt)), []any{micros(p.IssuedAt), micros(p.ExpiresAt)})
	query := o.texts["bind"]
	if o.dialect == PostgreSQL {
		query, args = o.texts["bindAtOnce"], append(args, plenty)
	}
	return o.do(ctx, "bind", func() error { return isAdded(o.write(ctx, query, args...)) })
}

// complete completes a flow and requires that it is the first call to do so.
func (o *olderStore) complete(ctx context.Context, tokenHash string, c connect.Connection) error {
	connectedAt := micros(c.ConnectedAt)
	return o.do(ctx, "complete", func() error {
		if o.dialect == PostgreSQL {
			n, err := o.write(ctx, o.texts["completeAtOnce"], join(
				[]any{tokenHash, c.ApplicationID, c.UserID, c.IdentityID, connectedAt, micros(tagDue), string(c.Health), micros(c.HealthAt)},
				o.since(2, false))...)
			if isDuplicate(err) || err == nil && n == 0 {
				return errOvertaken
			}
			return err
		}
		return o.inTx(ctx, func(tx *sql.Tx) error {
			n, err := send(ctx, tx, o.texts["spendStart"], join(
				[]any{c.IdentityID, tokenHash, c.ApplicationID, c.UserID, connectedAt, c.IdentityID, c.IdentityID, c.ApplicationID, c.UserID},
				o.since(2, true, c.IdentityID))...)
			if err != nil {
				return err
			}
			if n == 0 {
				return errOvertaken
			}
			_, err = send(ctx, tx, o.texts["queueTasks"], micros(tagDue), tokenHash, connectedAt, c.ApplicationID, c.UserID, c.IdentityID)
			if err != nil {
				return err
			}
			if o.dialect == SQLite {
				_, err = send(ctx, tx, o.texts["putConnection"], c.ApplicationID, c.UserID, c.IdentityID, connectedAt, string(c.Health), micros(c.HealthAt))
				return err
			}
			result, err := tx.ExecContext(ctx, o.texts["addOrReplace"], connectedAt, string(c.Health), micros(c.HealthAt), tokenHash, connectedAt)
			if isDuplicate(err) {
				return errOvertaken
			}
			if err != nil {
				return err
			}
			added, _ := result.RowsAffected()
			told, _ := result.LastInsertId()
			if told == 2 || told == 0 && added == 1 {
				return nil
			}
			return errOvertaken
		})
	})
}

// identity returns the identity of a user's connection.
func (o *olderStore) identity(ctx context.Context, user string) (identity string, err error) {
	err = o.do(ctx, "look up", func() error {
		return o.db.QueryRowContext(ctx, o.texts["connection"], application, user).Scan(&identity, new(int64), new(string), new(int64))
	})
	return identity, err
}

func (o *olderStore) setHealth(ctx context.Context, identity string) error {
	return o.do(ctx, "set health", func() error {
		var app, user, health string
		var connectedAt, healthAt int64
		err := o.db.QueryRowContext(ctx, o.texts["connectionWith"], identity).Scan(&app, &user, &connectedAt, &health, &healthAt)
		if err != nil {
			return err
		}
		n, err := o.write(ctx, o.texts["setHealth"], "needs_sign_in", micros(noon), app, user, identity, connectedAt, health, healthAt)
		if err == nil && n == 0 {
			return errOvertaken
		}
		return err
	})
}

func (o *olderStore) disconnect(ctx context.Context, user string) error {
	return o.do(ctx, "disconnect", func() error {
		if o.version >= 2 {
			if _, err := o.write(ctx, o.texts["recordDisconnect"], application, user, micros(disconnectedAt)); err != nil {
				return err
			}
		}
		return o.inTx(ctx, func(tx *sql.Tx) error {
			if _, err := send(ctx, tx, o.texts["spendStarts"], application, user); err != nil {
				return err
			}
			var identity string
			err := tx.QueryRowContext(ctx, o.texts["takeConnection"], application, user).Scan(&identity, new(int64), new(string), new(int64))
			if err != nil {
				return err
			}
			if text := o.texts["dropConnection"]; text != "" {
				if _, err := send(ctx, tx, text, application, user); err != nil {
					return err
				}
			}
			_, err = send(ctx, tx, o.texts["queueDeletion"], identity, application, user, micros(deleteDue))
			return err
		})
	})
}

// connect adds or replaces a connection.
func (o *olderStore) connect(ctx context.Context, user, identity string) error {
	p := flow(user, "older flow of "+user+" with "+identity)
	if err := o.bind(ctx, p); err != nil {
		return err
	}
	return o.complete(ctx, p.TokenHash, connection(user, identity))
}

// An app migrates from an older schema while replicas of the older release keep working, and
// they keep working afterwards.
func TestMigrateFromOlderVersions(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("from version %d", version), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				databaseURL := d.url(t)
				s := d.emptyIn(t, d.open(t, databaseURL))
				require.NoError(t, s.migrate(t.Context(), migrationsFor(d.dialect, s.prefix)[:version]))
				o := olderRelease(t, New(d.open(t, databaseURL), d.dialect, WithTablePrefix(s.prefix)), version)
				fromOlder(t, s, o)
			})
		})
	}
}

func fromOlder(t *testing.T, s *Store, o *olderStore) {
	ctx := t.Context()
	const users = 200 // The first ones stay as they are.
	for i := range users {
		user := fmt.Sprint("user ", i)
		require.NoError(t, o.bind(ctx, flow(user, "live "+user)))
		require.NoError(t, o.connect(ctx, user, "first of "+user))
		if i%4 == 0 {
			require.NoError(t, o.setHealth(ctx, "first of "+user))
		}
	}
	rows := func() []string {
		return append(rowsOf(t, s, "SELECT application_id, user_id, identity_id, connected_at, health, health_at FROM connect_connections ORDER BY user_id"),
			rowsOf(t, s, "SELECT token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id FROM connect_pending ORDER BY token_hash")...)
	}
	before := rows()
	require.Len(t, before, 3*users)

	// Some users keep the older replica busy before, during and after the migration.
	var stop atomic.Bool
	var rounds atomic.Int64
	const busy = 3
	errs := make([]error, busy)
	last := make([]string, busy)
	var working sync.WaitGroup
	for i := range busy {
		working.Go(func() {
			user := fmt.Sprint("busy ", i)
			for n := 0; !stop.Load(); n++ {
				identity := fmt.Sprintf("%d of %s", n, user)
				err := o.connect(ctx, user, identity)
				if err == nil {
					last[i], err = o.identity(ctx, user)
				}
				if err == nil && last[i] != identity {
					err = fmt.Errorf("%s has the identity %q", user, last[i])
				}
				if err == nil {
					err = o.setHealth(ctx, identity)
				}
				if err == nil && n%3 == 2 {
					last[i], err = "", o.disconnect(ctx, user)
				}
				if err != nil {
					errs[i] = fmt.Errorf("in round %d: %w", n, err)
					return
				}
				rounds.Add(1)
			}
		})
	}
	during := func(n int64) {
		t.Helper()
		from := rounds.Load()
		require.Eventually(t, func() bool { return rounds.Load() >= from+n || errors.Join(errs...) != nil }, 30*time.Second, time.Millisecond)
	}
	during(10)
	migrated := s.Migrate(ctx)
	during(20)
	stop.Store(true)
	working.Wait()
	require.NoError(t, migrated)
	require.NoError(t, errors.Join(errs...))

	// The other connections are unchanged, and have IDs.
	var after []string
	for _, row := range rows() {
		if !strings.Contains(row, "busy") {
			after = append(after, row)
		}
	}
	require.Equal(t, before, after)
	ids := rowsOf(t, s, "SELECT DISTINCT id FROM connect_connections WHERE slot = 0 AND label = '' AND actor_id = ''")
	count := scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_connections"))
	require.Len(t, ids, count)
	for _, id := range ids {
		require.Regexp(t, `^[0-9a-f]{32}\|$`, id)
	}
	for i, identity := range last {
		user := fmt.Sprint("busy ", i)
		found, err := s.Connections(ctx, application, user)
		require.NoError(t, err)
		if identity == "" {
			require.Empty(t, found)
			continue
		}
		require.Len(t, found, 1)
		require.Equal(t, identity, found[0].IdentityID)
		require.Equal(t, noon, found[0].CreatedAt)
	}

	// Each release continues flows that the other one began.
	for i := range 20 {
		user := fmt.Sprint("user ", i)
		was := requireOne(t, s, user)
		p, err := s.Pending(ctx, "live "+user)
		require.NoError(t, err)
		if o.version == 1 {
			require.Zero(t, p.BegunAt, "it is not known when an older flow began")
		}
		later := connection(user, "second of "+user)
		later.ConnectedAt = noon.Add(time.Second)
		done, err := s.Complete(ctx, p.TokenHash, later, tagged)
		require.NoError(t, err)
		require.Equal(t, was.ID, done.Connection.ID)
		require.Equal(t, noon, done.Connection.CreatedAt, "it began when it was connected")
		require.Equal(t, "first of "+user, done.Replaced)

		newer := flow(user, "newer "+user)
		bind(t, s, newer)
		require.NoError(t, o.complete(ctx, newer.TokenHash, connection(user, "third of "+user)))
		is := requireOne(t, s, user)
		require.Equal(t, was.ID, is.ID, "the older release keeps the id")
		require.Equal(t, "third of "+user, is.IdentityID)
		require.Equal(t, noon, is.CreatedAt)
		identity, err := o.identity(ctx, user)
		require.NoError(t, err)
		require.Equal(t, "third of "+user, identity)
		require.NoError(t, o.setHealth(ctx, identity))
		require.Equal(t, connect.HealthNeedsSignIn, requireOne(t, s, user).Health)
		if i%2 == 0 {
			require.NoError(t, o.disconnect(ctx, user))
			requireConnection(t, s, user, "")
		} else {
			disconnect(t, s, user)
			_, err := o.identity(ctx, user)
			require.ErrorIs(t, err, sql.ErrNoRows)
		}
		require.NoError(t, o.connect(ctx, user, "fourth of "+user))
		require.Equal(t, "fourth of "+user, requireOne(t, s, user).IdentityID)
	}

	// No older replicas run any more.
	beside(t, s, "user 30", "another of user 30")
	requireSlots(t, s, "user 30", 0, 1)
	require.NoError(t, s.Verify(ctx))
}

// requireOne returns a user's only connection.
func requireOne(t *testing.T, s *Store, user string) connect.Connection {
	t.Helper()
	found, err := s.Connections(t.Context(), application, user)
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}
