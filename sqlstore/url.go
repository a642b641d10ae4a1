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

// ParseURL converts the URL of a database to the arguments of [database/sql.Open] and
// [New]. The app imports the driver:
//
//	file:connect.db                            "sqlite" (modernc.org/sqlite)
//	postgres://user:password@host:5432/name    "pgx" (github.com/jackc/pgx/v5/stdlib), also postgresql://
//	mysql://user:password@host:3306/name       "mysql" (github.com/go-sql-driver/mysql)
//
// Percent-encode special characters in the user and the password. ParseURL keeps the
// driver's parameters, and adds these unless they are given:
//
//   - On SQLite _txlock=immediate, write-ahead logging and a busy_timeout of 2 seconds.
//   - On PostgreSQL default_query_exec_mode=exec, so that pgx works behind a pooler such as
//     PgBouncer. Without a pooler, cache_statement is faster.
//   - On MySQL charset=utf8mb4. Also interpolateParams=true, which saves a round trip for
//     each statement, unless multiStatements is given.
//
// It translates parameters that hosts and drivers of other languages write, such as
// sslaccept=strict, ssl-mode=REQUIRED or socket=, and refuses those without an equivalent
// by name. It never ignores a parameter about encryption. Of several, the strictest counts.
//
// ParseURL refuses settings that [Store.Verify] would refuse, such as autocommit=0. On
// MySQL it also refuses character sets and collations other than UTF-8. With
// interpolateParams the driver quotes strings itself, and in gbk, big5, sjis or cp932 a
// string can break out of its quotes: SQL injection. For the same reason a session variable
// must not set a character set, and its value must be a single number, word or quoted
// string.
//
// An error is one line. It contains no part of the URL but the scheme and names of known
// parameters, because any other part could belong to the password.
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

// validScheme matches a scheme, rather than other text before a colon.
var validScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)

// sqliteDSN adds the parameters with which several connections can write.
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
			return "", fmt.Errorf("with %s several connections damage the file: remove it", name)
		}
	}
	if given.Get("mode") == "ro" {
		return "", errors.New("with mode=ro nothing can be written: remove it")
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

// hasPragma reports whether a parameter is _pragma=name(value) or _pragma=name=value.
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

// postgresDSN returns the URL with parameters for pgx.
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

// mysqlDSN converts a URL to the format of go-sql-driver/mysql, in which users and passwords
// are not encoded.
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
		return "", errors.New("its user contains a colon, which the driver does not support")
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
	// The driver splits at the last slash.
	dsn.WriteString("?" + strings.ReplaceAll(parameters, "/", "%2F"))
	return dsn.String(), nil
}
