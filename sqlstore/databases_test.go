package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// A database is a database that the tests run on.
type database struct {
	name    string
	dialect Dialect
	// variable is the environment variable with the URL, or "" for SQLite.
	variable string
	// pool returns the pool that the tests on a server share, to limit its connections.
	pool func() (*sql.DB, error)
}

var databases = []*database{
	{name: "SQLite", dialect: SQLite},
	server("PostgreSQL", PostgreSQL, "CONNECT_TEST_POSTGRES"),
	server("MySQL", MySQL, "CONNECT_TEST_MYSQL"),
}

func server(name string, d Dialect, variable string) *database {
	s := &database{name: name, dialect: d, variable: variable}
	s.pool = sync.OnceValues(func() (*sql.DB, error) { return openURL(os.Getenv(variable)) })
	return s
}

func openURL(databaseURL string) (*sql.DB, error) {
	driver, dsn, _, err := ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(24)
	db.SetMaxIdleConns(24)
	return db, nil
}

// onEach runs a test on every database. onServers omits SQLite.
func onEach(t *testing.T, test func(t *testing.T, d *database)) {
	t.Helper()
	onThese(t, databases, test)
}

func onServers(t *testing.T, test func(t *testing.T, d *database)) {
	t.Helper()
	onThese(t, databases[1:], test)
}

func onThese(t *testing.T, databases []*database, test func(t *testing.T, d *database)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.need(t)
			test(t, d)
		})
	}
}

// on returns the database of a dialect.
func on(t *testing.T, dialect Dialect) *database {
	t.Helper()
	for _, d := range databases {
		if d.dialect == dialect {
			d.need(t)
			return d
		}
	}
	panic("unknown dialect")
}

func (d *database) need(t *testing.T) {
	t.Helper()
	if d.variable != "" && os.Getenv(d.variable) == "" {
		t.Skipf("NOT TESTED on %s: set %s to the URL of a database to test in", d.name, d.variable)
	}
}

// url returns the URL of the database. On SQLite it is a new database.
func (d *database) url(t *testing.T) string {
	t.Helper()
	if d.variable == "" {
		// The tests need not survive a power failure, so they do not wait for disks.
		return "file:" + filepath.Join(t.TempDir(), "connect.db") + "?_pragma=synchronous(off)"
	}
	return os.Getenv(d.variable)
}

// open opens a pool for one test.
func (d *database) open(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := openURL(databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// empty returns a store without tables. Its tables are dropped after the test.
func (d *database) empty(t *testing.T, options ...Option) *Store {
	t.Helper()
	if d.variable == "" {
		return New(d.open(t, d.url(t)), d.dialect, options...)
	}
	db, err := d.pool()
	require.NoError(t, err)
	return d.emptyIn(t, db, options...)
}

// emptyIn is empty with a given pool.
func (d *database) emptyIn(t *testing.T, db *sql.DB, options ...Option) *Store {
	t.Helper()
	s := New(db, d.dialect, append([]Option{WithTablePrefix(randomPrefix())}, options...)...)
	t.Cleanup(func() {
		if d.variable == "" {
			return // The whole file goes.
		}
		db, err := d.pool() // That of the test may be closed by now.
		require.NoError(t, err)
		for _, table := range []string{"pending", "connections", "tasks", "disconnects", "schema"} {
			_, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+s.prefix+table)
			require.NoError(t, err)
		}
	})
	return s
}

func randomPrefix() string { return "t" + strings.ToLower(rand.Text()[:10]) + "_" }

// migrated returns a store with its own tables.
func (d *database) migrated(t *testing.T, options ...Option) *Store {
	t.Helper()
	s := d.empty(t, options...)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// withParameters adds parameters to a URL.
func withParameters(databaseURL, parameters string) string {
	if strings.Contains(databaseURL, "?") {
		return databaseURL + "&" + parameters
	}
	return databaseURL + "?" + parameters
}
