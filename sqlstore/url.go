package sqlstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ParseURL turns the URL of a database, as an environment variable holds it,
// into what [database/sql.Open] and [New] take. The app imports the driver:
//
//	file:connect.db                            "sqlite" (modernc.org/sqlite)
//	postgres://user:password@host:5432/name    "pgx" (github.com/jackc/pgx/v5/stdlib), also postgresql://
//	mysql://user:password@host:3306/name       "mysql" (github.com/go-sql-driver/mysql)
//
// What has a meaning in a URL is percent-encoded in the user and the password.
// Parameters after a question mark are the driver's own and are kept. ParseURL adds
// what the store works best with, unless it is given:
//
//   - On SQLite _txlock=immediate, write-ahead logging and a busy_timeout of 2 seconds.
//   - On PostgreSQL default_query_exec_mode=exec, with which pgx works behind a pooler
//     such as PgBouncer. Without a pooler, cache_statement is faster.
//   - On MySQL charset=utf8mb4, and interpolateParams=true, which saves a round trip for
//     each statement, and is left out if multiStatements is given.
//
// Parameters of other languages' drivers that PlanetScale, DigitalOcean, Aiven, ClearDB,
// Cloud SQL, Neon, Supabase, Prisma or Node.js write are translated if they have a
// meaning here, such as sslaccept=strict, ssl-mode=REQUIRED or socket=. The others are
// refused by name. A parameter about encryption is never ignored; of several, the
// strictest counts.
//
// ParseURL refuses what [Store.Verify] would refuse, such as autocommit=0. On MySQL it
// also refuses every charset and collation but those of UTF-8. With interpolateParams
// the driver quotes texts itself, and gbk, big5, sjis or cp932 let a text break out of
// its quotes, which is SQL injection. For the same reason a session variable must not
// set a character set, and its value must be a single number, word or quoted string.
//
// An error says what is wrong in one line. It holds no part of the URL but the
// scheme and names of known parameters, because a piece of a broken URL could be a
// piece of the password.
func ParseURL(databaseURL string) (driver, dsn string, d Dialect, err error) {
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	switch strings.ToLower(scheme) {
	case "file":
		driver, d = "sqlite", SQLite
		dsn, err = sqliteDSN(rest)
	case "postgres", "postgresql":
		driver, d = "pgx", PostgreSQL
		dsn, err = postgresDSN(databaseURL)
	case "mysql":
		driver, d = "mysql", MySQL
		dsn, err = mysqlDSN(databaseURL)
	default:
		err = errors.New("unknown scheme")
		if validScheme.MatchString(scheme) && strings.HasPrefix(rest, "//") {
			err = fmt.Errorf("unknown scheme %q", scheme)
		}
	}
	if err != nil {
		return "", "", "", fmt.Errorf("sqlstore: database URL: %w: want file:…, postgres://…, postgresql://… or mysql://…", err)
	}
	return driver, dsn, d, nil
}

// validScheme tells a scheme from what else can stand before a colon.
var validScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)

// sqliteDSN adds the parameters that SQLite needs to be written to by several
// connections.
func sqliteDSN(rest string) (string, error) {
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		return "", errors.New("it names no file")
	}
	given, err := url.ParseQuery(query)
	if err != nil {
		return "", errParameters
	}
	for _, name := range []string{"immutable", "nolock"} {
		if given.Has(name) && given.Get(name) != "0" {
			return "", fmt.Errorf("with %s several connections damage the file: leave it out", name)
		}
	}
	if given.Get("mode") == "ro" {
		return "", errors.New("with mode=ro nothing can be written: leave it out")
	}
	dsn := "file:" + path
	add := func(parameter string) {
		if query != "" {
			query += "&"
		}
		query += parameter
	}
	if !given.Has("_txlock") {
		add("_txlock=immediate")
	}
	if !given.Has("_busy_timeout") && !given.Has("_timeout") && !hasPragma(given, "busy_timeout") {
		add("_pragma=busy_timeout(2000)")
	}
	if !given.Has("_journal_mode") && !given.Has("_journal") && !hasPragma(given, "journal_mode") {
		add("_pragma=journal_mode(WAL)")
	}
	if query != "" {
		dsn += "?" + query
	}
	return dsn, nil
}

// hasPragma looks for _pragma=name(value) and _pragma=name=value.
func hasPragma(given url.Values, name string) bool {
	return slices.ContainsFunc(given["_pragma"], func(pragma string) bool {
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(pragma)), name)
	})
}

// parseServerURL parses the URL of a server.
func parseServerURL(databaseURL string) (*url.URL, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("it cannot be read, perhaps because its user or password is not percent-encoded")
	}
	return u, nil
}

// postgresDSN has pgx send each statement in one round trip, and leave nothing behind
// in the server's session: behind a pooler in transaction mode the other modes fail, or
// run another client's statement.
func postgresDSN(databaseURL string) (string, error) {
	u, err := parseServerURL(databaseURL)
	if err != nil {
		return "", err
	}
	parameters, err := postgresParameters(u.RawQuery)
	if err != nil {
		return "", err
	}
	base, _, _ := strings.Cut(databaseURL, "?")
	return base + "?" + parameters, nil
}

// mysqlDSN writes a URL the way of go-sql-driver/mysql, which takes users and
// passwords as they are.
func mysqlDSN(databaseURL string) (string, error) {
	u, err := parseServerURL(databaseURL)
	if err != nil {
		return "", err
	}
	name := strings.TrimPrefix(u.Path, "/")
	parameters, socket, err := mysqlParameters(u.RawQuery)
	switch {
	case err != nil:
		return "", err
	case u.Hostname() == "" && socket == "":
		return "", errors.New("it names no host")
	case name == "":
		return "", errors.New("it names no database")
	case strings.Contains(u.User.Username(), ":"):
		return "", errors.New("its user holds a colon, which the driver cannot take")
	}

	var dsn strings.Builder
	if u.User != nil {
		dsn.WriteString(u.User.Username())
		if password, ok := u.User.Password(); ok {
			dsn.WriteString(":" + password)
		}
		dsn.WriteString("@")
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	if socket != "" {
		dsn.WriteString("unix(" + socket + ")/")
	} else {
		dsn.WriteString("tcp(" + net.JoinHostPort(u.Hostname(), port) + ")/")
	}
	dsn.WriteString(url.PathEscape(name))
	// The driver looks for the last slash of all.
	dsn.WriteString("?" + strings.ReplaceAll(parameters, "/", "%2F"))
	return dsn.String(), nil
}
