package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/sqlstore"
)

// A testDatabase is a kind of database to test with.
type testDatabase struct {
	name string
	// variable names the environment variable with the server's URL, or "" for SQLite.
	variable string
	// own returns the URL of an empty database on that server.
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

// need skips the test if the database is not available.
func (d testDatabase) need(t *testing.T) {
	t.Helper()
	if d.variable != "" && os.Getenv(d.variable) == "" {
		t.Skipf("NOT TESTED on %s: set %s to the URL of a database to test in", d.name, d.variable)
	}
}

// newURL creates an empty database and removes it after the test.
func (d testDatabase) newURL(t *testing.T) string {
	t.Helper()
	d.need(t)
	if d.variable == "" {
		// Durability does not matter here.
		return "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=synchronous(off)"
	}
	server, err := url.Parse(os.Getenv(d.variable))
	require.NoError(t, err)
	return d.own(t, server).String()
}

// newNamespace creates a schema or a database for one test.
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

// onEach runs a test on every available database.
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
