package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"
)

// A testDatabase is one that the tests run on.
type testDatabase struct {
	name string
	// variable holds the URL of a server's database; SQLite needs none.
	variable string
	// own turns that into the URL of an empty one for one test.
	own func(t *testing.T, server *url.URL) *url.URL
}

var databases = []testDatabase{
	{name: "SQLite"},
	{"PostgreSQL", "CONNECT_TEST_POSTGRES", func(t *testing.T, server *url.URL) *url.URL {
		query := server.Query()
		query.Set("search_path", newNamespace(t, server, "SCHEMA", " CASCADE"))
		own := *server
		own.RawQuery = query.Encode()
		return &own
	}},
	{"MySQL", "CONNECT_TEST_MYSQL", func(t *testing.T, server *url.URL) *url.URL {
		own := *server
		own.Path = "/" + newNamespace(t, server, "DATABASE", "")
		return &own
	}},
}

// need skips the test when there is no such database.
func (d testDatabase) need(t *testing.T) {
	t.Helper()
	if d.variable != "" && os.Getenv(d.variable) == "" {
		t.Skipf("NOT TESTED on %s: set %s to the URL of a database to test in", d.name, d.variable)
	}
}

// newURL makes an empty database, which goes after the test.
func (d testDatabase) newURL(t *testing.T) string {
	t.Helper()
	d.need(t)
	if d.variable == "" {
		// Nothing here has to outlive a power cut.
		return "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=synchronous(off)"
	}
	server, err := url.Parse(os.Getenv(d.variable))
	require.NoError(t, err)
	return d.own(t, server).String()
}

// newNamespace makes a schema or a database of the test's own.
func newNamespace(t *testing.T, server *url.URL, kind, dropOption string) string {
	t.Helper()
	driver, dsn, _, err := sqlstore.ParseURL(server.String())
	require.NoError(t, err)
	name := "chi_" + strings.ToLower(rand.Text()[:10])
	run := func(statement string) {
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		defer db.Close()
		_, err = db.ExecContext(context.Background(), statement)
		require.NoError(t, err)
	}
	run("CREATE " + kind + " " + name)
	t.Cleanup(func() { run("DROP " + kind + " " + name + dropOption) })
	return name
}

// onEach runs a test on every database there is.
func onEach(t *testing.T, test func(t *testing.T, d testDatabase)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.need(t)
			test(t, d)
		})
	}
}

func open(t *testing.T, databaseURL string) *database {
	t.Helper()
	db, err := openDatabase(t.Context(), databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.close()) })
	db.pool.SetMaxOpenConns(20) // The server has other clients.
	db.pool.SetMaxIdleConns(20)
	return db
}

// withUsers makes the users that the suite calls by names of its own. Bind and
// Disconnect are where a user appears: what names another one is refused before it
// is stored. In the app a user exists before either, and is locked by both.
type withUsers struct{ *Store }

func (s withUsers) Disconnect(ctx context.Context, applicationID, userID string, at, deleteAfter time.Time) (connect.Connection, error) {
	s.addUser(userID)
	return s.Store.Disconnect(ctx, applicationID, userID, at, deleteAfter)
}

func (s withUsers) Bind(ctx context.Context, p connect.Pending, limit int) error {
	if p.Validate() == nil {
		s.addUser(p.UserID)
	}
	return s.Store.Bind(ctx, p, limit)
}

// addUser adds a user, who may be there already. If it fails Bind does too, by
// the foreign key.
func (s withUsers) addUser(id string) {
	_ = s.db.exec(context.Background(), `INSERT INTO users (id, name) VALUES (?, ?)`, id, id)
}

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		storetest.Run(t, func(t *testing.T) connect.Store {
			return withUsers{&Store{open(t, d.newURL(t))}}
		})
	})
}

func TestUserAndAccount(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d testDatabase) {
		ctx := t.Context()
		db := open(t, d.newURL(t))
		s := &Store{db}
		now := time.Now()
		start := connect.Pending{TokenHash: "hash", ApplicationID: "application", UserID: "nobody", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
		require.Error(t, s.Bind(ctx, start, 5), "a start of a user who does not exist")

		u, err := db.userNamed(ctx, "Ada")
		require.NoError(t, err)
		again, err := db.userNamed(ctx, "Ada")
		require.NoError(t, err)
		require.Equal(t, u, again, "the same name is the same user")
		other, err := db.userNamed(ctx, "ada ")
		require.NoError(t, err)
		require.NotEqual(t, u.ID, other.ID, "names are compared byte by byte")

		start.UserID = u.ID
		require.NoError(t, s.Bind(ctx, start, 5))
		_, err = s.Complete(ctx, start.TokenHash, connect.Connection{ApplicationID: "application", UserID: u.ID, IdentityID: "identity", ConnectedAt: now, Health: connect.HealthOK, HealthAt: now}, connect.Completion{TagAfter: now})
		require.NoError(t, err)

		require.Error(t, db.deleteUser(ctx, u.ID), "a user with a connected account is not deleted")
		_, err = db.userByID(ctx, u.ID)
		require.NoError(t, err)

		_, err = s.Disconnect(ctx, "application", u.ID, now, now)
		require.NoError(t, err)
		require.NoError(t, db.deleteUser(ctx, u.ID))
		_, err = db.userByID(ctx, u.ID)
		require.ErrorIs(t, err, sql.ErrNoRows)
		_, err = s.Pending(ctx, start.TokenHash)
		require.ErrorIs(t, err, connect.ErrStateUnknown, "starts go with their user")
		tasks, err := s.Claim(ctx, "application", now, now.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, tasks, 1, "the deletion of the identity outlives the user")
		require.Equal(t, connect.DeleteIdentity, tasks[0].Kind)
	})
}

// In some character sets of MySQL these names would be SQL that finds everybody.
func TestANameIsNoSQL(t *testing.T) {
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

func TestOneUserForOneName(t *testing.T) {
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

func TestReplicasMakeTheTablesAtOnce(t *testing.T) {
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

func TestFailed(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, failed(ended, "try", nil))
	require.EqualError(t, failed(t.Context(), "try", sql.ErrTxDone), "try: "+sql.ErrTxDone.Error())
	require.ErrorIs(t, failed(t.Context(), "try", connect.ErrStateSpent), connect.ErrStateSpent)
	// What database/sql says of a transaction whose context has ended.
	require.ErrorIs(t, failed(ended, "try", sql.ErrTxDone), context.Canceled)
	require.EqualError(t, failed(ended, "try", context.Canceled), "try: context canceled")
}

func TestWasInTheWay(t *testing.T) {
	t.Parallel()
	db := open(t, databases[0].newURL(t)+"&_pragma=busy_timeout(0)")
	_, busy := inTxOnce(t.Context(), db, func(conn) (int, error) {
		return inTxOnce(t.Context(), db, func(conn) (int, error) { return 0, nil })
	})
	require.Error(t, busy)
	for _, row := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"an answer", connect.ErrStateSpent, false},
		{"SQLite: a lock that was not to be had", fmt.Errorf("begin: %w", busy), true},
		{"SQLite: a syntax error", db.exec(t.Context(), "SELEKT"), false},
		{"PostgreSQL: a unique key", &pgconn.PgError{Code: "23505"}, true},
		{"PostgreSQL: a deadlock", &pgconn.PgError{Code: "40P01"}, true},
		{"PostgreSQL: a serialization failure", &pgconn.PgError{Code: "40001"}, true},
		{"PostgreSQL: a foreign key", &pgconn.PgError{Code: "23503"}, false},
		{"MySQL: a unique key", &mysql.MySQLError{Number: 1062}, true},
		{"MySQL: a deadlock", fmt.Errorf("exec: %w", &mysql.MySQLError{Number: 1213}), true},
		{"MySQL: a foreign key", &mysql.MySQLError{Number: 1452}, false},
	} {
		require.Equal(t, row.want, wasInTheWay(row.err), row.name)
	}
}
