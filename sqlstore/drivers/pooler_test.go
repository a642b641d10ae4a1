package drivers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/sqlstore"
)

// Behind a pooler in transaction mode these drivers write wrong rows, or fail when a second
// process connects. Migrate and Verify must refuse them.
func TestPgBouncerRefusesDrivers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		driver, parameters, says string
	}{
		"pgx, cache_statement": {"pgx", "", "with pgx add default_query_exec_mode=exec to the connection string"},
		"pgx, describe_exec":   {"pgx", "default_query_exec_mode=describe_exec", "sends a statement in two round trips"},
		"pq":                   {"postgres", "", "with lib/pq binary_parameters=yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := withParameters(need(t, pgbouncer), row.parameters)
			db, err := sql.Open(row.driver, dsn)
			require.NoError(t, err)
			defer db.Close()
			requireRefused(t, db, row.says)

			counted := sql.OpenDB(counting{db.Driver(), dsn})
			defer counted.Close()
			requireRefused(t, counted, row.says)
		})
	}
	t.Run("a pgxpool.Pool", func(t *testing.T) {
		t.Parallel()
		pool, err := pgxpool.New(t.Context(), need(t, pgbouncer))
		require.NoError(t, err)
		defer pool.Close()
		db := stdlib.OpenDBFromPool(pool)
		defer db.Close()
		requireRefused(t, db, "with pgx add default_query_exec_mode=exec to the connection string")
	})
}

func requireRefused(t *testing.T, db *sql.DB, says string) {
	t.Helper()
	s := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix(randomPrefix()))
	for _, err := range []error{s.Migrate(t.Context()), s.Verify(t.Context())} {
		// If other tests keep the pooler busy, the probe may miss a prepared statement. The
		// next statement then fails with an error that names the same remedy.
		require.ErrorContains(t, err, "a pooler such as PgBouncer in transaction mode")
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "\n")
	}
}

// counting embeds another driver's connections, as drivers for tracing or metrics do.
type counting struct {
	driver driver.Driver
	dsn    string
}

type countingConn struct{ driver.Conn }

func (c counting) Driver() driver.Driver { return c.driver }

func (c counting) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return &countingConn{conn}, err
}

func (c *countingConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}

func (c *countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// PgBouncer refuses parameters that it cannot track for each client.
func TestPgBouncerRefusesParameters(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"pgx", "postgres"} {
		for _, parameter := range []string{"search_path=tenant", "statement_timeout=1000"} {
			db, err := sql.Open(driver, withParameters(need(t, pgbouncer), parameter))
			require.NoError(t, err)
			defer db.Close()
			err = sqlstore.New(db, sqlstore.PostgreSQL).Verify(t.Context())
			require.ErrorContains(t, err, "PgBouncer refuses this parameter of the connection string: set it with ALTER ROLE … SET")
		}
	}
}

// ParseURL's result works behind a pooler.
func TestPgBouncerTakesWhatParseURLReturns(t *testing.T) {
	t.Parallel()
	name, dsn, d, err := sqlstore.ParseURL(need(t, pgbouncer))
	require.NoError(t, err)
	for range 3 { // Processes that start one after the other, on sessions that the others have used.
		db, err := sql.Open(name, dsn)
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		newStore(t, db, d)
	}
}
