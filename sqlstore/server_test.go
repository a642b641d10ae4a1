package sqlstore

import (
	"database/sql"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerifyVersions(t *testing.T) {
	t.Parallel()
	for said, row := range map[string]struct {
		dialect Dialect
		want    string // what is read, or the refusal after "the database"
	}{
		"3.37.0": {SQLite, "SQLite 3.37"},
		"3.53.1": {SQLite, "SQLite 3.53"},
		"3.36.0": {SQLite, "is SQLite 3.36, and this release of sqlstore needs SQLite 3.37 or later"},
		"PostgreSQL 15.20 (Debian 15.20-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit": {PostgreSQL, "PostgreSQL 15"},
		"PostgreSQL 12.0 on x86_64":                             {PostgreSQL, "PostgreSQL 12"},
		"PostgreSQL 19beta1":                                    {PostgreSQL, "PostgreSQL 19"},
		"PostgreSQL 11.22 (Debian 11.22-1.pgdg120+1) on x86_64": {PostgreSQL, "is PostgreSQL 11, and this release of sqlstore needs PostgreSQL 12 or later"},
		"PostgreSQL 9.6.24 on x86_64":                           {PostgreSQL, "is PostgreSQL 9, and this release of sqlstore needs PostgreSQL 12 or later"},
		"CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15 21:28:29, go1.22.2 X:nocoverageredesign)":           {PostgreSQL, "is CockroachDB, which this release of sqlstore does not support because"},
		"PostgreSQL 11.2-YB-2.20.1.3-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6, 64-bit":                   {PostgreSQL, "is YugabyteDB"},
		"PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64-pc-linux-gnu":                                                             {PostgreSQL, "is YugabyteDB"},
		"PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1": {PostgreSQL, "is Amazon Redshift"},
		"PostgreSQL 12.12 (Greenplum Database 7.0.0 build commit:0a7a3566873325aca1789ae6f818c80f17a9402d) on x86_64":       {PostgreSQL, "is Greenplum"},
		"an engine that reports no number": {PostgreSQL, "PostgreSQL 0"},

		"8.0.36 MySQL Community Server - GPL":                          {MySQL, "MySQL 8.0.36"},
		"8.0.13 MySQL Community Server - GPL":                          {MySQL, "MySQL 8.0.13"},
		"8.0.12 MySQL Community Server - GPL":                          {MySQL, "is MySQL 8.0.12, and this release of sqlstore needs MySQL 8.0.13 or later"},
		"8.0.0-dmr MySQL Community Server (GPL)":                       {MySQL, "is MySQL 8.0.0, and this release of sqlstore needs MySQL 8.0.13 or later"},
		"8.4.0 MySQL Community Server - GPL":                           {MySQL, "MySQL 8.4.0"},
		"9.2.0 Homebrew":                                               {MySQL, "MySQL 9.2.0"},
		"8.0.28 Source distribution":                                   {MySQL, "MySQL 8.0.28"},
		"8.0.36-28.1 Percona XtraDB Cluster (GPL), Release rel28":      {MySQL, "MySQL 8.0.36"},
		"8.0.30-Vitess Version: 20.0.0":                                {MySQL, "MySQL 8.0.30"},
		"5.7.44 MySQL Community Server (GPL)":                          {MySQL, "is MySQL 5.7.44, and this release of sqlstore needs MySQL 8.0.13 or later"},
		"10.11.19-MariaDB-0+deb12u1 Debian 12":                         {MySQL, "MariaDB 10.11"},
		"5.5.5-10.6.1-MariaDB x":                                       {MySQL, "MariaDB 10.6"},
		"11.4.2-MariaDB-log Source distribution":                       {MySQL, "MariaDB 11.4"},
		"10.5.23-MariaDB x":                                            {MySQL, "is MariaDB 10.5, and this release of sqlstore needs MariaDB 10.6 or later"},
		"8.0.11-TiDB-v7.5.0 TiDB Server (Apache License 2.0)":          {MySQL, "is TiDB, which this release of sqlstore does not support because it parses SKIP LOCKED and locks nothing"},
		"5.7.25-OceanBase-v4.2.1.0 OceanBase 4.2.1.0":                  {MySQL, "is OceanBase"},
		"5.7.32 SingleStoreDB source distribution (compatible; MySQL)": {MySQL, "is SingleStore"},
		"8.0.33 Dolt": {MySQL, "is Dolt"},
	} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			e, err := engineOf(row.dialect, said)
			if strings.HasPrefix(row.want, "is ") {
				require.ErrorContains(t, err, "the database "+row.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, e.String())
		})
	}
	_, err := engineOf(MySQL, "8.0.36 PostgreSQL CockroachDB")
	require.NoError(t, err, "a sign counts in its dialect alone")
}

func TestVerifySettingsOfMySQL(t *testing.T) {
	t.Parallel()
	// The variables of MariaDB, and those of MySQL.
	sound := []map[string]string{
		{
			"autocommit": "1", "completion_type": "NO_CHAIN", "sql_select_limit": "18446744073709551615", "unique_checks": "ON", "sql_safe_updates": "OFF",
			"sql_mode":     "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION",
			"tx_isolation": "REPEATABLE-READ", "tx_read_only": "OFF", "read_only": "OFF", "innodb_read_only": "OFF", "sql_log_bin": "ON", "log_bin": "ON", "binlog_format": "MIXED",
			"character_set_client": "utf8mb4", "character_set_connection": "utf8mb4", "wsrep_on": "OFF", "wsrep_provider": "none", "wsrep_sync_wait": "0",
		},
		{
			"autocommit": "1", "completion_type": "NO_CHAIN", "sql_select_limit": "18446744073709551615", "unique_checks": "ON", "sql_safe_updates": "OFF", "sql_mode": "",
			"transaction_isolation": "SERIALIZABLE", "transaction_read_only": "OFF", "read_only": "OFF", "innodb_read_only": "OFF",
			"sql_log_bin": "OFF", "log_bin": "OFF", "binlog_format": "STATEMENT", "character_set_client": "utf8mb3", "character_set_connection": "utf8mb3",
		},
		{
			"autocommit": "1", "sql_mode": "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,TRADITIONAL", "sql_select_limit": "4294967295",
			"character_set_client": "utf8mb4", "character_set_connection": "utf8mb4",
			"wsrep_on": "ON", "wsrep_provider": "/usr/lib/galera/libgalera_smm.so", "wsrep_sync_wait": "7",
		},
	}
	for _, settings := range sound {
		require.NoError(t, judgeMySQL(settings))
	}
	galera := map[string]string{"wsrep_on": "ON", "wsrep_provider": "/usr/lib/libgalera_smm.so", "wsrep_sync_wait": "3"}
	for says, changes := range map[string]map[string]string{
		"has autocommit = 0, so no write is ever committed: remove autocommit from the connection string": {"autocommit": "0"},
		"has completion_type = CHAIN":         {"completion_type": "CHAIN"},
		"has completion_type = RELEASE":       {"completion_type": "RELEASE"},
		"character_set_client is gbk":         {"character_set_client": "gbk"},
		"level READ UNCOMMITTED":              {"transaction_isolation": "READ-UNCOMMITTED"},
		"has isolation level":                 {"tx_isolation": "READ-UNCOMMITTED"},
		"has unique_checks = 0":               {"unique_checks": "OFF"},
		"has sql_safe_updates = 1":            {"sql_safe_updates": "ON"},
		"has transaction_read_only = 1":       {"transaction_read_only": "ON"},
		"transaction_read_only = 1":           {"tx_read_only": "ON"},
		"the server is read-only":             {"read_only": "ON"},
		"the server is read-only, as a":       {"read_only": "NO_LOCK_NO_ADMIN"},
		"the server is read-only, as a repl":  {"innodb_read_only": "ON"},
		"has sql_log_bin = 0":                 {"log_bin": "ON", "sql_log_bin": "OFF"},
		"has binlog_format = STATEMENT":       {"log_bin": "ON", "sql_log_bin": "ON", "binlog_format": "STATEMENT"},
		"has sql_mode EMPTY_STRING_IS_NULL":   {"sql_mode": "ANSI_QUOTES,EMPTY_STRING_IS_NULL"},
		"has sql_mode ORACLE":                 {"sql_mode": "PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ORACLE,NO_KEY_OPTIONS"},
		"has sql_select_limit = 100":          {"sql_select_limit": "100"},
		"wsrep_on = OFF on a node":            with(galera, "wsrep_on", "OFF"),
		"wsrep_sync_wait = 0, so":             with(galera, "wsrep_sync_wait", "0"),
		"wsrep_sync_wait = 1, so":             with(galera, "wsrep_sync_wait", "1"),
		"add wsrep_sync_wait=3 to the connec": with(galera, "wsrep_sync_wait", "6"),
	} {
		for _, settings := range sound[:2] {
			settings := maps.Clone(settings)
			maps.Copy(settings, changes)
			require.ErrorContains(t, judgeMySQL(settings), says)
		}
	}
}

func with(settings map[string]string, name, value string) map[string]string {
	settings = maps.Clone(settings)
	settings[name] = value
	return settings
}

func TestVerifySearchPathNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		``:                            nil,
		`""`:                          nil,
		`public`:                      {"public"},
		`"$user", public`:             {"$user", "public"},
		`Tenant,public`:               {"tenant", "public"},
		`"Tenant 7", "a,b", "c""d"`:   {"Tenant 7", "a,b", `c"d`},
		`"$user", public, extensions`: {"$user", "public", "extensions"},
	} {
		require.Equal(t, want, pathNames(path), path)
	}
}

func TestVerifySettingsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	session := func(path, schema string) postgresSession {
		return postgresSession{searchPath: path, schema: schema, role: "app", encoding: "UTF8", readOnly: "off"}
	}
	for _, sound := range []postgresSession{
		session(`"$user", public`, "public"),
		session(`"$user", public`, "app"),
		session(`"$user", public, extensions`, "public"),
		session(`tenant,public`, "tenant"),
		session(`"Tenant 7", public`, "Tenant 7"),
		{searchPath: "public", schema: "public", role: "app", encoding: "SQL_ASCII", readOnly: "off"},
	} {
		require.NoError(t, sound.judge())
	}
	for says, broken := range map[string]postgresSession{
		"search_path tenant, public begins with the schema tenant, which does not exist": session("tenant, public", "public"),
		"begins with the schema tenant": session(`"$user", tenant, public`, "public"),
		"names no schema that exists":   session(`""`, ""),
		"the session is read-only":      {searchPath: "public", schema: "public", encoding: "UTF8", readOnly: "on"},
		"client_encoding is LATIN1":     {searchPath: "public", schema: "public", encoding: "LATIN1", readOnly: "off"},
	} {
		require.ErrorContains(t, broken.judge(), says)
	}
}

// requireRefused requires that Migrate and Verify refuse a database in one line, and that
// Migrate has created nothing.
func requireRefused(t *testing.T, s *Store, says string) {
	t.Helper()
	for _, err := range []error{s.Migrate(t.Context()), s.Verify(t.Context())} {
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "\n")
	}
	found, err := s.findTables(t.Context(), s.db, tableNames...)
	require.NoError(t, err)
	require.Empty(t, found, "nothing was made")
}

// Real servers report sessions that would lose or mix rows.
func TestVerifySessions(t *testing.T) {
	t.Parallel()
	for says, parameters := range map[string]string{
		"has autocommit = 0":            "autocommit=0",
		"has autocommit = 0,":           "@@session.autocommit=0",
		"has completion_type = CHAIN":   "completion_type=1",
		"has completion_type = RELEASE": "completion_type=2",
		"has unique_checks = 0":         "unique_checks=0",
		"has sql_safe_updates = 1":      "sql_safe_updates=1",
		"has sql_select_limit = 1":      "sql_select_limit=1",
		"sql_mode EMPTY_STRING_IS_NULL": "sql_mode=%27EMPTY_STRING_IS_NULL%27",
		"has sql_mode ORACLE":           "sql_mode=ORACLE",
		"READ UNCOMMITTED":              "tx_isolation=%27READ-UNCOMMITTED%27",
		"transaction_read_only = 1":     "tx_read_only=1",
	} {
		t.Run("MySQL with "+parameters, func(t *testing.T) {
			t.Parallel()
			d := on(t, MySQL)
			_, dsn, _, err := ParseURL(d.url(t))
			require.NoError(t, err)
			db, err := sql.Open("mysql", dsn+"&"+parameters)
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			if err := db.PingContext(t.Context()); err != nil && strings.Contains(err.Error(), "1193") {
				return // MySQL has another name for it, or none.
			}
			requireRefused(t, d.emptyIn(t, db), says)
		})
	}
	for says, parameters := range map[string]string{
		"the session is read-only": "default_transaction_read_only=on",
		"client_encoding is":       "client_encoding=LATIN1&default_query_exec_mode=describe_exec",
		"begins with the schema nowhere, which does not exist or which this role may not use, and the tables would be in public": "search_path=nowhere,public",
		"names no schema that exists": "search_path=nowhere",
	} {
		t.Run("PostgreSQL with "+parameters, func(t *testing.T) {
			t.Parallel()
			d := on(t, PostgreSQL)
			db, err := sql.Open("pgx", withParameters(d.url(t), parameters))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			requireRefused(t, d.emptyIn(t, db), says)
		})
	}
	for says, parameters := range map[string]string{
		"has journal_mode = OFF":   "_pragma=journal_mode(off)",
		"has query_only = 1":       "_pragma=query_only(1)",
		"has read_uncommitted = 1": "_pragma=read_uncommitted(1)",
	} {
		t.Run("SQLite with "+parameters, func(t *testing.T) {
			t.Parallel()
			d := on(t, SQLite)
			db, err := sql.Open("sqlite", withParameters(d.url(t), parameters))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			requireRefused(t, New(db, SQLite), says)
		})
	}
}

func TestVerifySQLiteInMemory(t *testing.T) {
	t.Parallel()
	t.Run("a pool whose connections have a database each is refused", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open("sqlite", ":memory:")
		require.NoError(t, err)
		defer db.Close()
		require.ErrorContains(t, New(db, SQLite).Migrate(t.Context()), "use a file, or db.SetMaxOpenConns(1)")
		db.SetMaxOpenConns(1)
		require.NoError(t, New(db, SQLite).Migrate(t.Context()))
	})
	t.Run("one that they share is not", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open("sqlite", "file:shared?mode=memory&cache=shared")
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, New(db, SQLite).Migrate(t.Context()))
	})
}

// A tenant is a schema. Tables later in the search_path are another tenant's.
func TestVerifySearchPath(t *testing.T) {
	t.Parallel()
	d := on(t, PostgreSQL)
	admin, err := d.pool()
	require.NoError(t, err)
	tenants := make([]*Store, 2)
	schemas := []string{strings.TrimSuffix(randomPrefix(), "_"), strings.TrimSuffix(randomPrefix(), "_")}
	prefix := WithTablePrefix(randomPrefix())
	for i, schema := range schemas {
		_, err := admin.Exec("CREATE SCHEMA " + schema)
		require.NoError(t, err)
		t.Cleanup(func() { admin.Exec("DROP SCHEMA " + schema + " CASCADE") })
		// The second tenant sees the first one's tables after its own.
		path := strings.Join(append([]string{schema}, schemas[:i]...), ",")
		tenants[i] = New(d.open(t, withParameters(d.url(t), "search_path="+path+",public")), PostgreSQL, prefix)
	}
	require.NoError(t, tenants[0].Migrate(t.Context()))
	err = tenants[1].Verify(t.Context())
	require.ErrorContains(t, err, "in the schema "+schemas[0]+", but none in "+schemas[1])
	require.NoError(t, tenants[1].Migrate(t.Context()))
	require.NoError(t, tenants[1].Verify(t.Context()))
	connected(t, tenants[0], "anna", "1")
	requireConnection(t, tenants[1], "anna", "")
	connected(t, tenants[1], "anna", "2")
	requireConnection(t, tenants[0], "anna", "1")

	_, err = admin.Exec("DROP TABLE " + schemas[1] + "." + tenants[1].prefix + "tasks")
	require.NoError(t, err)
	require.ErrorContains(t, tenants[1].Verify(t.Context()), "sees no table "+tenants[1].prefix+"tasks", "the first tenant's is not taken for it")
}

func TestVerifyTablesWithoutTransactions(t *testing.T) {
	t.Parallel()
	s := on(t, MySQL).migrated(t)
	_, err := s.db.Exec("ALTER TABLE " + s.prefix + "tasks ENGINE=MyISAM")
	require.NoError(t, err)
	require.ErrorContains(t, s.Verify(t.Context()), "ALTER TABLE "+s.prefix+"tasks ENGINE=InnoDB")
}
