package sqlstore

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	const sqliteRest = "_txlock=immediate&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)"
	for name, row := range map[string]struct {
		url, driver, dsn string
		dialect          Dialect
	}{
		"a file":                             {"file:connect.db", "sqlite", "file:connect.db?" + sqliteRest, SQLite},
		"a file by its whole path":           {"file:///var/lib/app/connect.db", "sqlite", "file:///var/lib/app/connect.db?" + sqliteRest, SQLite},
		"a file with a parameter of its own": {"file:connect.db?mode=rw", "sqlite", "file:connect.db?mode=rw&" + sqliteRest, SQLite},
		"a scheme in capitals":               {"FILE:connect.db", "sqlite", "file:connect.db?" + sqliteRest, SQLite},
		"a file with all that is needed": {
			"file:c.db?_txlock=deferred&_pragma=busy_timeout(9)&_pragma=JOURNAL_MODE=delete", "sqlite",
			"file:c.db?_txlock=deferred&_pragma=busy_timeout(9)&_pragma=JOURNAL_MODE=delete", SQLite,
		},
		"a file with all that is needed, by other names": {
			"file:c.db?_txlock=exclusive&_timeout=9&_journal=delete", "sqlite",
			"file:c.db?_txlock=exclusive&_timeout=9&_journal=delete", SQLite,
		},
		"a file with another pragma": {
			"file:c.db?_pragma=synchronous(normal)", "sqlite", "file:c.db?_pragma=synchronous(normal)&" + sqliteRest, SQLite,
		},
		"PostgreSQL": {
			"postgres://user:pass@db.example:5433/app?sslmode=require", "pgx",
			"postgres://user:pass@db.example:5433/app?sslmode=require&default_query_exec_mode=exec", PostgreSQL,
		},
		"PostgreSQL in a mode of its own": {
			"postgres://h/app?default_query_exec_mode=cache_statement", "pgx", "postgres://h/app?default_query_exec_mode=cache_statement", PostgreSQL,
		},
		"PostgreSQL by its other scheme": {"postgresql://db.example/app", "pgx", "postgresql://db.example/app?default_query_exec_mode=exec", PostgreSQL},
		"MySQL": {
			"mysql://user:pass@db.example:3307/app", "mysql", "user:pass@tcp(db.example:3307)/app?charset=utf8mb4&interpolateParams=true", MySQL,
		},
		"MySQL at its usual port": {"mysql://user@db.example/app", "mysql", "user@tcp(db.example:3306)/app?charset=utf8mb4&interpolateParams=true", MySQL},
		"MySQL without a user":    {"mysql://db.example/app", "mysql", "tcp(db.example:3306)/app?charset=utf8mb4&interpolateParams=true", MySQL},
		"MySQL with parameters": {
			"mysql://u@h/app?timeout=5s&tls=true", "mysql", "u@tcp(h:3306)/app?timeout=5s&tls=true&charset=utf8mb4&interpolateParams=true", MySQL,
		},
		"MySQL that prepares": {"mysql://u@h/app?interpolateParams=false", "mysql", "u@tcp(h:3306)/app?interpolateParams=false&charset=utf8mb4", MySQL},
		"MySQL that takes several statements at once": {
			"mysql://u@h/app?multiStatements=true", "mysql", "u@tcp(h:3306)/app?multiStatements=true&charset=utf8mb4", MySQL,
		},
		"MySQL that takes several statements at once, and interpolates": {
			"mysql://u@h/app?multiStatements=true&interpolateParams=true", "mysql",
			"u@tcp(h:3306)/app?multiStatements=true&interpolateParams=true&charset=utf8mb4", MySQL,
		},
		"MySQL with a charset": {
			"mysql://u@h/app?charset=utf8mb4,utf8", "mysql", "u@tcp(h:3306)/app?charset=utf8mb4,utf8&interpolateParams=true", MySQL,
		},
		"MySQL with a collation": {
			"mysql://u@h/app?collation=utf8_bin", "mysql", "u@tcp(h:3306)/app?collation=utf8_bin&charset=utf8&interpolateParams=true", MySQL,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver, dsn, dialect, err := ParseURL(row.url)
			require.NoError(t, err)
			require.Equal(t, row.driver, driver)
			require.Equal(t, row.dsn, dsn)
			require.Equal(t, row.dialect, dialect)
		})
	}

	t.Run("MySQL's driver reads back what the URL says", func(t *testing.T) {
		t.Parallel()
		_, dsn, _, err := ParseURL("mysql://an%40na:p%3Aa%2Fs%40s%3F(%29%23@[::1]:3307/the%2Fapp%3F?loc=Europe/Berlin&charset=utf8mb4,utf8&time_zone=%27%2B00:00%27")
		require.NoError(t, err)
		config, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		require.Equal(t, "an@na", config.User)
		require.Equal(t, "p:a/s@s?()#", config.Passwd)
		require.Equal(t, "[::1]:3307", config.Addr)
		require.Equal(t, "the/app?", config.DBName)
		require.Equal(t, "Europe/Berlin", config.Loc.String())
		require.Equal(t, "'+00:00'", config.Params["time_zone"])
		require.True(t, config.InterpolateParams)
	})

	t.Run("PostgreSQL's driver takes the URL", func(t *testing.T) {
		t.Parallel()
		_, dsn, _, err := ParseURL("postgres://an%40na:p%3Aa%2Fs%40s@[::1]:5433/app?sslmode=disable")
		require.NoError(t, err)
		config, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		require.Equal(t, "p:a/s@s", config.Password)
	})

	t.Run("SQLite's driver does as the parameters say", func(t *testing.T) {
		t.Parallel()
		// An encoded space and percent sign.
		file := "file:" + (&url.URL{Path: filepath.Join(t.TempDir(), "my 100% app.db")}).EscapedPath()
		driver, dsn, _, err := ParseURL(file)
		require.NoError(t, err)
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		defer db.Close()
		require.Equal(t, "wal", scalar[string](t, db, "PRAGMA journal_mode"))
		require.Equal(t, 2000, scalar[int](t, db, "PRAGMA busy_timeout"))
		require.True(t, strings.HasSuffix(scalar[string](t, db, "SELECT file FROM pragma_database_list"), "/my 100% app.db"))
	})
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ url, says string }{
		"nothing":                                {"", "unknown scheme"},
		"a path":                                 {"/var/lib/secret.db", "unknown scheme"},
		"another scheme":                         {"oracle://u:secret@h/app", `unknown scheme "oracle"`},
		"a driver's own way to write it":         {"u:secret@tcp(h)/app", "unknown scheme"},
		"what stands before any colon":           {"secret:5432", "unknown scheme"},
		"words":                                  {"password=secret host=h dbname=a:b", "unknown scheme"},
		"a scheme that is no scheme":             {"secret secret://x", "unknown scheme"},
		"no file":                                {"file:", "names no file"},
		"no file but parameters":                 {"file:?_txlock=secret", "names no file"},
		"file parameters that are none":          {"file:a.db?x=%secret", "parameters cannot be read"},
		"a password with a slash, as it is":      {"postgres://u:se/cret@h/app", "percent-encoded"},
		"a password with a hash, as it is":       {"postgres://u:1#secret@h/app", "percent-encoded"},
		"a password with a percent sign":         {"mysql://u:%secret@h/app", "percent-encoded"},
		"a port that is none":                    {"mysql://u:pass@h:secret/app", "percent-encoded"},
		"no slashes":                             {"mysql:u:secret@h/app", "percent-encoded"},
		"no host":                                {"mysql://u:secret@/app", "names no host"},
		"no database":                            {"mysql://u:secret@h", "names no database"},
		"no database but a slash":                {"mysql://u:secret@h/", "names no database"},
		"a user that MySQL's driver cannot take": {"mysql://a%3Ab:secret@h/app", "colon"},
		"parameters that are none":               {"mysql://u:secret@h/app?x=%zz", "parameters cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver, dsn, dialect, err := ParseURL(row.url)
			require.ErrorContains(t, err, row.says)
			require.ErrorContains(t, err, "want file:…, postgres://…, postgresql://… or mysql://…")
			require.NotContains(t, err.Error(), "cret")
			require.NotContains(t, err.Error(), "\n")
			require.Empty(t, driver+dsn+string(dialect))
		})
	}
}
