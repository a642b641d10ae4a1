package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// An engine is a kind of database and its version, as the server reports them.
type engine struct {
	kind                string
	major, minor, patch int
}

// The supported kinds. MySQL includes Percona Server, Aurora and Vitess. PostgreSQL
// includes services that run PostgreSQL itself.
const (
	kindSQLite     = "SQLite"
	kindPostgreSQL = "PostgreSQL"
	kindMySQL      = "MySQL"
	kindMariaDB    = "MariaDB"
)

// refusedEngines are engines that speak a dialect but are not supported. Each is recognized
// by a sign in the version that the server reports.
var refusedEngines = []struct {
	dialect         Dialect
	sign, kind, why string
}{
	{PostgreSQL, "CockroachDB", "CockroachDB", "it refuses statements that change one table twice, and has no advisory locks"},
	{PostgreSQL, "-YB-", "YugabyteDB", "it is not tested, and its older line lacks MATERIALIZED and advisory locks"},
	{PostgreSQL, "Redshift", "Amazon Redshift", "it enforces no unique keys"},
	{PostgreSQL, "Greenplum", "Greenplum", "it is not tested"},
	{PostgreSQL, "openGauss", "openGauss", "it is not tested"},
	{PostgreSQL, "GaussDB", "GaussDB", "it is not tested"},
	{MySQL, "TiDB", "TiDB", "it parses SKIP LOCKED and locks nothing, so several workers would get the same task"},
	{MySQL, "OceanBase", "OceanBase", "it is not tested"},
	{MySQL, "SingleStore", "SingleStore", "it is not tested"},
	{MySQL, "Dolt", "Dolt", "it parses FOR UPDATE and locks nothing"},
}

// supported names the versions to use instead of a refused engine.
var supported = map[Dialect]string{
	PostgreSQL: fmt.Sprint(minimalVersions[kindPostgreSQL]),
	MySQL:      fmt.Sprintf("%s or %s,", minimalVersions[kindMySQL], minimalVersions[kindMariaDB]),
}

// minimalVersions are the first versions that understand the store's statements.
var minimalVersions = map[string]engine{
	kindSQLite:     {kind: kindSQLite, major: 3, minor: 37},
	kindPostgreSQL: {kind: kindPostgreSQL, major: 12},
	kindMySQL:      {kind: kindMySQL, major: 8, minor: 0, patch: 13},
	kindMariaDB:    {kind: kindMariaDB, major: 10, minor: 6},
}

var versionNumber = regexp.MustCompile(`(\d+)(?:\.(\d+))?(?:\.(\d+))?`)

// engineOf parses the version that a server reports. It returns an error if the engine or
// the version is not supported.
func engineOf(d Dialect, said string) (engine, error) {
	for _, r := range refusedEngines {
		if d == r.dialect && strings.Contains(said, r.sign) {
			return engine{}, fmt.Errorf("the database is %s, which this release of sqlstore does not support because %s: use %s or later", r.kind, r.why, supported[d])
		}
	}
	e := engine{kind: kindSQLite}
	switch {
	case d == PostgreSQL:
		e.kind = kindPostgreSQL
	case d == MySQL && strings.Contains(said, "MariaDB"):
		e.kind = kindMariaDB
		said = strings.TrimPrefix(said, "5.5.5-") // For clients that expect MySQL.
	case d == MySQL:
		e.kind = kindMySQL
	}
	number := versionNumber.FindStringSubmatch(said)
	if number == nil {
		return e, nil // An unknown version is not refused.
	}
	e.major, _ = strconv.Atoi(number[1])
	e.minor, _ = strconv.Atoi(number[2]) // An absent part is 0.
	e.patch, _ = strconv.Atoi(number[3])
	if least := minimalVersions[e.kind]; e.compare(least) < 0 {
		return e, fmt.Errorf("the database is %s, and this release of sqlstore needs %s or later: upgrade it", e, least)
	}
	return e, nil
}

// compare orders versions of one kind of database.
func (e engine) compare(other engine) int {
	return cmp.Or(cmp.Compare(e.major, other.major), cmp.Compare(e.minor, other.minor), cmp.Compare(e.patch, other.patch))
}

func (e engine) String() string {
	switch e.kind {
	case kindPostgreSQL:
		return fmt.Sprintf("%s %d", e.kind, e.major)
	case kindMySQL:
		return fmt.Sprintf("%s %d.%d.%d", e.kind, e.major, e.minor, e.patch)
	}
	return fmt.Sprintf("%s %d.%d", e.kind, e.major, e.minor)
}

// checkServer returns an error if the server is not supported, or if a setting of the
// session would change what the store's statements do. It only reads.
func (s *Store) checkServer(ctx context.Context) error {
	if s.dialect == PostgreSQL {
		if err := s.checkPooler(ctx); err != nil {
			return err
		}
	}
	return s.onConn(ctx, func(conn *sql.Conn) error {
		switch s.dialect {
		case SQLite:
			return checkSQLite(ctx, conn)
		case PostgreSQL:
			return checkPostgreSQL(ctx, conn)
		default:
			return checkMySQL(ctx, conn)
		}
	})
}

// checkSQLite checks the PRAGMAs that change what the store's statements do.
func checkSQLite(ctx context.Context, conn *sql.Conn) error {
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if _, err := engineOf(SQLite, version); err != nil {
		return err
	}
	settings := make(map[string]string)
	for _, name := range []string{"journal_mode", "query_only", "read_uncommitted"} {
		var value string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value); err != nil {
			return err
		}
		settings[name] = value
	}
	return judgeSQLite(settings)
}

func judgeSQLite(settings map[string]string) error {
	switch {
	case strings.EqualFold(settings["journal_mode"], "off"):
		return errors.New("the connection has journal_mode = OFF, so nothing can be rolled back: use WAL, or remove the pragma")
	case settings["query_only"] == "1":
		return errors.New("the connection has query_only = 1, so every write fails: remove the pragma")
	case settings["read_uncommitted"] == "1":
		return errors.New("the connection has read_uncommitted = 1, so it reads rows that are never committed: remove the pragma")
	}
	return nil
}

// checkPostgreSQL checks the settings that change what the store's statements do.
func checkPostgreSQL(ctx context.Context, conn *sql.Conn) error {
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return err
	}
	if _, err := engineOf(PostgreSQL, version); err != nil {
		return err
	}
	var p postgresSession
	err := conn.QueryRowContext(ctx, `SELECT current_setting('search_path'), COALESCE(current_schema(), ''), current_user::text,
	current_setting('client_encoding'), current_setting('transaction_read_only')`,
	).Scan(&p.searchPath, &p.schema, &p.role, &p.encoding, &p.readOnly)
	if err != nil {
		return err
	}
	return p.judge()
}

// A postgresSession holds the settings of a PostgreSQL session that matter to the store.
type postgresSession struct {
	searchPath string
	schema     string // the schema in which tables are created, or ""
	role       string
	encoding   string
	readOnly   string
}

func (p postgresSession) judge() error {
	switch {
	case p.readOnly == "on":
		return errors.New("the session is read-only, as on a replica or with default_transaction_read_only: connect to the server that accepts writes, for example with target_session_attrs=read-write")
	case p.encoding != "UTF8" && p.encoding != "SQL_ASCII":
		return fmt.Errorf("the session's client_encoding is %s, which alters strings: remove the parameter, or use UTF8", p.encoding)
	case p.schema == "":
		return fmt.Errorf("the search_path %s names no schema that exists and that this role may use: create the schema, or grant USAGE on it", p.searchPath)
	}
	// PostgreSQL skips a schema that does not exist or may not be used. The tables would
	// be created in the next one, which other tenants may share.
	for _, name := range pathNames(p.searchPath) {
		switch {
		case name == p.schema, name == "$user" && p.role == p.schema:
			return nil
		case name != "$user": // A role need not have a schema of its own.
			return fmt.Errorf("the search_path %s begins with the schema %s, which does not exist or which this role may not use, and the tables would be in %s: create the schema or grant USAGE on it, or remove it from the search_path",
				p.searchPath, name, p.schema)
		}
	}
	return nil
}

// pathNames splits a search_path in PostgreSQL's notation.
func pathNames(path string) (names []string) {
	for path != "" {
		path = strings.TrimLeft(path, " ,")
		var name string
		if rest, quoted := strings.CutPrefix(path, `"`); quoted {
			for {
				part, after, _ := strings.Cut(rest, `"`)
				name += part
				rest = after
				if !strings.HasPrefix(rest, `"`) {
					break
				}
				name, rest = name+`"`, rest[1:]
			}
			path = rest
		} else {
			name, path, _ = strings.Cut(path, ",")
			name = strings.ToLower(strings.TrimSpace(name))
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// mysqlEverywhere reads variables that every server has. mysqlSomewhere reads those that
// some servers lack or name differently.
const (
	mysqlEverywhere = `SELECT VERSION(), @@version_comment, @@autocommit, @@sql_mode, @@sql_select_limit,
	@@character_set_client, @@character_set_connection`
	mysqlSomewhere = `SHOW VARIABLES WHERE Variable_name IN ('completion_type', 'unique_checks', 'sql_safe_updates', 'sql_log_bin',
	'tx_isolation', 'transaction_isolation', 'tx_read_only', 'transaction_read_only', 'read_only', 'innodb_read_only',
	'log_bin', 'binlog_format', 'wsrep_on', 'wsrep_provider', 'wsrep_sync_wait')`
)

// checkMySQL checks the variables that change what the store's statements do.
func checkMySQL(ctx context.Context, conn *sql.Conn) error {
	var version, comment, autocommit, mode, limit, client, connection string
	err := conn.QueryRowContext(ctx, mysqlEverywhere).Scan(&version, &comment, &autocommit, &mode, &limit, &client, &connection)
	if err != nil {
		return err
	}
	if _, err := engineOf(MySQL, version+" "+comment); err != nil {
		return err
	}
	variables := map[string]string{
		"autocommit":               autocommit,
		"sql_mode":                 mode,
		"sql_select_limit":         limit,
		"character_set_client":     client,
		"character_set_connection": connection,
	}
	rows, err := conn.QueryContext(ctx, mysqlSomewhere)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		variables[strings.ToLower(name)] = value
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return judgeMySQL(variables)
}

// leastSelectLimit is more rows than any query of the store returns.
const leastSelectLimit = 1 << 20

// judgeMySQL returns an error for the first variable that would lose data, mix it up or
// make a statement fail.
func judgeMySQL(v map[string]string) error {
	is := func(name string, values ...string) bool {
		value, known := v[name]
		for _, want := range values {
			if known && strings.EqualFold(value, want) {
				return true
			}
		}
		return false
	}
	off := []string{"0", "OFF"}
	refuse := func(setting, effect, remedy string) error {
		return fmt.Errorf("the session has %s, %s: %s", setting, effect, remedy)
	}
	remove := func(name string) string {
		return "remove " + name + " from the connection string, or from the server's init_connect or configuration"
	}
	switch {
	case is("autocommit", off...):
		return refuse("autocommit = 0", "so no write is ever committed", remove("autocommit"))
	case is("completion_type", "CHAIN", "1", "RELEASE", "2"):
		return refuse("completion_type = "+v["completion_type"], "so the statement after a COMMIT is not committed, or the connection is closed", remove("completion_type"))
	case !isUTF8(v["character_set_client"]) || v["character_set_client"] != v["character_set_connection"]:
		return fmt.Errorf("the connection's character_set_client is %s and its character_set_connection %s, which can let a string break out of its quotes or alter it: use charset=utf8mb4 and no other setting of a character set",
			v["character_set_client"], v["character_set_connection"])
	case is("tx_isolation", "READ-UNCOMMITTED"), is("transaction_isolation", "READ-UNCOMMITTED"):
		return refuse("isolation level READ UNCOMMITTED", "so it reads rows that are never committed", remove("transaction_isolation"))
	case is("unique_checks", off...):
		return refuse("unique_checks = 0", "so two users could get the same identity", remove("unique_checks"))
	case is("sql_safe_updates", "1", "ON"):
		return refuse("sql_safe_updates = 1", "so deletions fail when the server uses no index", remove("sql_safe_updates"))
	case is("tx_read_only", "1", "ON"), is("transaction_read_only", "1", "ON"):
		return refuse("transaction_read_only = 1", "so every write fails", remove("transaction_read_only"))
	case v["read_only"] != "" && !is("read_only", off...), is("innodb_read_only", "1", "ON"):
		return errors.New("the server is read-only, as a replica is: connect to the server that accepts writes")
	case is("log_bin", "1", "ON") && is("sql_log_bin", off...):
		return refuse("sql_log_bin = 0", "so replicas never receive its writes", remove("sql_log_bin"))
	case is("log_bin", "1", "ON") && is("binlog_format", "STATEMENT"):
		return refuse("binlog_format = STATEMENT", "which READ COMMITTED does not allow", "set binlog_format to ROW or MIXED")
	}
	for mode := range strings.SplitSeq(v["sql_mode"], ",") {
		switch mode {
		case "EMPTY_STRING_IS_NULL", "ORACLE":
			return refuse("sql_mode "+mode, "which treats '' as NULL or changes what the store's statements do", "remove it from sql_mode")
		}
	}
	if limit, err := strconv.ParseUint(v["sql_select_limit"], 10, 64); err == nil && limit < leastSelectLimit {
		return refuse("sql_select_limit = "+v["sql_select_limit"], "so the store would miss rows", remove("sql_select_limit"))
	}
	return judgeGalera(v)
}

// Bits of wsrep_sync_wait: reads wait for what other nodes have committed, and so do
// UPDATE and DELETE.
const (
	waitOnRead   = 1
	waitOnUpdate = 2
)

// judgeGalera checks a node of a Galera cluster, of MariaDB or Percona XtraDB Cluster. A
// pool may have connections to several nodes, and a flow that was bound on one must be
// found on the others.
func judgeGalera(v map[string]string) error {
	provider := v["wsrep_provider"]
	if provider == "" || provider == "none" {
		return nil
	}
	if on := v["wsrep_on"]; on != "ON" && on != "1" {
		return errors.New("the session has wsrep_on = OFF on a node of a Galera cluster, so other nodes never receive its writes: set it to ON")
	}
	const both = waitOnRead | waitOnUpdate
	if bits, err := strconv.Atoi(v["wsrep_sync_wait"]); err != nil || bits&both != both {
		return fmt.Errorf("the server is a node of a Galera cluster and the session has wsrep_sync_wait = %s, so it misses what was just written on another node: add wsrep_sync_wait=3 to the connection string, or set it on all nodes",
			v["wsrep_sync_wait"])
	}
	return nil
}
