package drivers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

// A way is a driver with parameters, and where it leads to.
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

var ways = []way{
	{"pgx, cache_statement", sqlstore.PostgreSQL, "pgx", postgres, ""},
	{"pgx, cache_describe", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=cache_describe"},
	{"pgx, describe_exec", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=describe_exec"},
	{"pgx, exec", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=exec"},
	{"pgx, simple_protocol", sqlstore.PostgreSQL, "pgx", postgres, "default_query_exec_mode=simple_protocol"},
	{"pq", sqlstore.PostgreSQL, "postgres", postgres, ""},
	{"pq, binary_parameters", sqlstore.PostgreSQL, "postgres", postgres, "binary_parameters=yes"},
	{"go-sql-driver", sqlstore.MySQL, "mysql", mysql, "interpolateParams=true"},
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

// open opens the database in one way.
func (w way) open(t *testing.T) *sql.DB {
	t.Helper()
	dsn := need(t, w.variable)
	if w.dialect == sqlstore.MySQL {
		var err error
		_, dsn, _, err = sqlstore.ParseURL(dsn)
		require.NoError(t, err)
		dsn, _, _ = strings.Cut(dsn, "?")
	}
	db, err := sql.Open(w.driver, withParameters(dsn, w.parameters))
	require.NoError(t, err)
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	t.Cleanup(func() { db.Close() })
	return db
}

func withParameters(dsn, parameters string) string {
	if parameters == "" {
		return dsn
	}
	if strings.Contains(dsn, "?") {
		return dsn + "&" + parameters
	}
	return dsn + "?" + parameters
}

// stores returns a function that makes empty stores in one pool.
func (w way) stores(t *testing.T) func(t *testing.T) connect.Store {
	db := w.open(t)
	return func(t *testing.T) connect.Store { return newStore(t, db, w.dialect) }
}

// newStore makes tables of its own, and drops them in the end.
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
			storetest.Run(t, w.stores(t))
		})
	}
}
