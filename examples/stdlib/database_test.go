package main

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/sqlstore"
)

// An error of DATABASE_URL is one line on stderr.
func TestDatabaseErrorIsOneLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(text, bytes.Repeat([]byte("These are notes and no database.\n"), 100), 0o600))

	// newer returns a database that a newer release has migrated.
	newer := func(database func(*testing.T) database) func(t *testing.T) string {
		return func(t *testing.T) string {
			d := database(t)
			_, _, dialect, err := sqlstore.ParseURL(d.url)
			require.NoError(t, err)
			require.NoError(t, sqlstore.New(d.db, dialect).Migrate(t.Context()))
			_, err = d.db.Exec("INSERT INTO connect_schema (version) VALUES (7)")
			require.NoError(t, err)
			return d.url
		}
	}
	// missing returns the URL of a database that does not exist.
	missing := func(database func(*testing.T) database) func(t *testing.T) string {
		return func(t *testing.T) string {
			u, err := url.Parse(database(t).url)
			require.NoError(t, err)
			u.Path += "_missing"
			return u.String()
		}
	}
	is := func(databaseURL string) func(*testing.T) string {
		return func(*testing.T) string { return databaseURL }
	}
	for name, row := range map[string]struct {
		url  func(t *testing.T) string
		says string
	}{
		"an unknown scheme":                     {is("oracle://u:hunter2@db.example/x"), `unknown scheme "oracle"`},
		"a path that is no URL":                 {is(text), "want file:"},
		"a file in no folder":                   {is("file:" + filepath.Join(dir, "none", "demo.db")), "unable to open"},
		"a folder":                              {is("file:" + dir), "unable to open"},
		"a file that is no database":            {is("file:" + text), "not a database"},
		"a PostgreSQL that is not there":        {is("postgres://u:hunter2@127.0.0.1:1/x"), "refused"},
		"a MySQL that is not there":             {is("mysql://u:hunter2@127.0.0.1:1/x"), "refused"},
		"a charset that is not UTF-8":           {is("mysql://u:hunter2@127.0.0.1:1/x?charset=utf8mb4,gbk"), "charset is not UTF-8"},
		"a parameter that PostgreSQL has not":   {is("postgres://u:hunter2@127.0.0.1:1/x?sslmode=perhaps"), "sslmode is invalid"},
		"no such database on PostgreSQL":        {missing(postgresDatabase), "does not exist"},
		"no such database on MySQL":             {missing(mysqlDatabase), "Unknown database"},
		"tables of a newer release":             {newer(sqliteDatabase), "have schema version 7"},
		"tables of a newer release, PostgreSQL": {newer(postgresDatabase), "have schema version 7"},
		"tables of a newer release, MySQL":      {newer(mysqlDatabase), "have schema version 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := buildDemo()
			require.NoError(t, err)
			demo := exec.CommandContext(t.Context(), path)
			demo.Dir = t.TempDir()
			demo.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "DATABASE_URL="+row.url(t))
			var stdout, stderr bytes.Buffer
			demo.Stdout, demo.Stderr = &stdout, &stderr

			var exit *exec.ExitError
			require.ErrorAs(t, demo.Run(), &exit)
			require.Equal(t, 1, exit.ExitCode(), "%s", &stderr)
			require.Empty(t, stdout.String())
			require.Regexp(t, `^demo: DATABASE_URL: [^\n]+\n$`, stderr.String(), "one line that names the variable")
			require.Contains(t, stderr.String(), row.says)
			require.NotContains(t, stderr.String(), "hunter2", "the line holds no secret")
		})
	}
}
