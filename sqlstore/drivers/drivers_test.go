package drivers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

// A way is a driver with parameters and a database.
type way struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	// variable is the environment variable with the URL of the server.
	variable   string
	parameters string
}

const (
	postgres  = "CONNECT_TEST_POSTGRES"
	pgbouncer = "CONNECT_TEST_PGBOUNCER"
	mysql     = "CONNECT_TEST_MYSQL"
)

// ways are those that sqlstore's own tests do not use.
var ways = []way{
	{"pgx, cache_statement", sqlstore.PostgreSQL, "pgx", postgres, ""},
	{"pgx, cache_describe", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=cache_describe"},
	{"pgx, describe_exec", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=describe_exec"},
	{"pgx, simple_protocol", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=simple_protocol"},
	{"pq", sqlstore.PostgreSQL, "postgres", postgres, ""},
	{"pq, binary_parameters", sqlstore.PostgreSQL, "postgres", postgres, "binary_parameters=yes"},
	{"go-sql-driver, prepared", sqlstore.MySQL, "mysql", mysql, "interpolateParams=false"},

	{"pgx behind PgBouncer, exec", sqlstore.PostgreSQL, "pgx", pgbouncer, "default_query_exec_mode=exec"},
	{"pgx behind PgBouncer, cache_describe", sqlstore.PostgreSQL, "pgx", pgbouncer, "default_query_exec_mode=cache_describe"},
	{"pgx behind PgBouncer, simple_protocol", sqlstore.PostgreSQL, "pgx", pgbouncer, "default_query_exec_mode=simple_protocol"},
	{"pq behind PgBouncer, binary_parameters", sqlstore.PostgreSQL, "postgres", pgbouncer, "binary_parameters=yes"},
}

// need skips a test without its server.
func need(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Skipf("NOT TESTED: set %s to the URL of a database to test in", variable)
	}
	return address
}

// open opens the database.
func (w way) open(t *testing.T) *sql.DB {
	t.Helper()
	dsn := need(t, w.variable)
	if w.dialect == sqlstore.MySQL {
		var err error
		_, dsn, _, err = sqlstore.ParseURL(dsn)
		require.NoError(t, err)
		dsn, _, _ = strings.Cut(dsn, "?")
	}
	if w.variable == postgres {
		dsn = fast(dsn)
	}
	db, err := sql.Open(w.driver, withParameters(dsn, w.parameters))
	require.NoError(t, err)
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	t.Cleanup(func() { db.Close() })
	return db
}

// fast does not wait for disks: the tests need not survive a power failure.
func fast(dsn string) string { return withParameters(dsn, "synchronous_commit=off") }

func withParameters(dsn, parameters string) string {
	if parameters == "" {
		return dsn
	}
	if strings.Contains(dsn, "?") {
		return dsn + "&" + parameters
	}
	return dsn + "?" + parameters
}

// tables are sets of tables in one database. A test takes one, and empties it for the next
// test: creating tables takes longer than most tests.
type tables struct {
	db      *sql.DB
	dialect sqlstore.Dialect

	mu   sync.Mutex
	free []string // prefixes
}

// newTables returns no sets yet. All sets are dropped when t ends.
func newTables(t *testing.T, db *sql.DB, d sqlstore.Dialect) *tables {
	all := &tables{db: db, dialect: d}
	t.Cleanup(func() {
		for _, prefix := range all.free {
			drop(t, db, prefix)
		}
	})
	return all
}

func (all *tables) store(t *testing.T) connect.Store {
	t.Helper()
	all.mu.Lock()
	prefix := randomPrefix()
	if last := len(all.free) - 1; last >= 0 {
		prefix = all.free[last]
		all.free = all.free[:last]
	}
	all.mu.Unlock()
	t.Cleanup(func() {
		for _, table := range []string{"pending", "connections", "tasks", "disconnects"} {
			_, err := all.db.ExecContext(context.Background(), "DELETE FROM "+prefix+table)
			require.NoError(t, err)
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		all.free = append(all.free, prefix)
	})
	s := sqlstore.New(all.db, all.dialect, sqlstore.WithTablePrefix(prefix))
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// newStore returns a store with its own tables. They are dropped after the test.
func newStore(t *testing.T, db *sql.DB, d sqlstore.Dialect) *sqlstore.Store {
	t.Helper()
	prefix := randomPrefix()
	t.Cleanup(func() { drop(t, db, prefix) })
	s := sqlstore.New(db, d, sqlstore.WithTablePrefix(prefix))
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func randomPrefix() string { return "d" + strings.ToLower(rand.Text()[:10]) + "_" }

func drop(t *testing.T, db *sql.DB, prefix string) {
	t.Helper()
	for _, table := range []string{"pending", "connections", "tasks", "disconnects", "schema"} {
		_, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+prefix+table)
		require.NoError(t, err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, newTables(t, w.open(t), w.dialect).store)
		})
	}
}
