package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tableNames are the tables of the latest schema version, without the prefix.
var tableNames = []string{"schema", "pending", "connections", "tasks", "disconnects"}

// A right is a command that the store uses on a table.
type right string

const (
	rightSelect right = "SELECT"
	rightInsert right = "INSERT"
	rightUpdate right = "UPDATE"
	rightDelete right = "DELETE"
)

// rightsOn returns the rights that the store needs on a table after migration.
func rightsOn(table string) []right {
	if table == "schema" {
		return []right{rightSelect}
	}
	return []right{rightSelect, rightInsert, rightUpdate, rightDelete}
}

// Verify returns an error if the store cannot work in its database: if tables are missing or
// have another schema version than this release, or if this user may not read and write all
// of their rows. The error is one line and names the remedy. Verify only reads.
// [Store.Migrate] makes the same checks. Call Verify when an app starts that does not
// migrate.
//
// On PostgreSQL the tables have row level security, so that roles with grants that a
// platform has added see no rows. If it hides rows from the store's own role, most methods
// do not fail: [Store.Connections] returns no connections, and [Store.Claim] no tasks. Unless
// the role is exempt, as owners and superusers are, Verify requires for each command a
// policy whose expression is true. It cannot judge other expressions, and refuses them.
//
// Verify also refuses servers that are not supported, and sessions whose settings would lose
// writes, mix users up or make statements fail. Examples are autocommit=0 on MySQL, a
// search_path whose first schema does not exist, and a character set other than UTF-8. The
// page docs/databases.md lists them. Verify checks one or two connections of the pool.
func (s *Store) Verify(ctx context.Context) error {
	return s.do(ctx, "verify", func() error {
		if err := s.checkServer(ctx); err != nil {
			return err
		}
		version, err := s.currentVersion(ctx)
		if err != nil {
			return err
		}
		switch latest := len(migrationsFor(s.dialect, s.prefix)); {
		case version == 0:
			return s.onConn(ctx, func(conn *sql.Conn) error { return s.noTables(ctx, conn) })
		case version < latest:
			return fmt.Errorf("the tables %s… have schema version %d, and this release needs %d: call Migrate, or run what SchemaSince returns for version %d",
				s.prefix, version, latest, version)
		case version > latest:
			return s.newer(version, latest)
		}
		return s.checkTables(ctx)
	})
}

// noTables returns the error for a database without tables.
func (s *Store) noTables(ctx context.Context, r runner) error {
	if s.dialect == PostgreSQL {
		var there, here string
		err := r.QueryRowContext(ctx, `SELECT n.nspname::text, current_schema()::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = '`+s.prefix+`schema' AND n.nspname = ANY (current_schemas(false)) LIMIT 1`).Scan(&there, &here)
		switch {
		case err == nil:
			return fmt.Errorf("there are tables %s… in the schema %s, but none in %s, which is first in the search_path: correct the search_path, or call Migrate to create tables in %s",
				s.prefix, there, here, here)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	return fmt.Errorf("there are no tables %s… that this user can see: call Migrate, or run what Schema returns", s.prefix)
}

// newer returns the error for tables of a later release.
func (s *Store) newer(version, latest int) error {
	return fmt.Errorf("the tables %s… have schema version %d, and this release of sqlstore knows versions up to %d: use a newer release",
		s.prefix, version, latest)
}

// checkTables checks tables of the latest version.
func (s *Store) checkTables(ctx context.Context) error {
	err := s.onConn(ctx, func(conn *sql.Conn) error { return s.checkTablesOn(ctx, conn) })
	if err == nil && s.dialect == SQLite {
		err = s.checkMemory(ctx)
	}
	return err
}

func (s *Store) checkTablesOn(ctx context.Context, r runner) error {
	found, err := s.findTables(ctx, r, tableNames...)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range tableNames {
		if !slices.ContainsFunc(found, func(t table) bool { return t.name == name }) {
			missing = append(missing, s.prefix+name)
		}
	}
	if missing != nil {
		return fmt.Errorf("this user sees no table %s, although the schema version is recorded: restore the table, or grant the user its rights",
			strings.Join(missing, ", "))
	}
	if err := s.checkAccess(ctx, r, found); err != nil {
		return err
	}
	if s.dialect == MySQL {
		if err := s.checkEngines(ctx, r); err != nil {
			return err
		}
		return s.checkGrants(ctx, r)
	}
	return nil
}

// checkMemory returns an error if each connection of the pool is a separate SQLite database,
// as with ":memory:". It looks for the tables on two connections at once.
func (s *Store) checkMemory(ctx context.Context) error {
	if s.db.Stats().MaxOpenConnections == 1 {
		return nil
	}
	one, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer one.Close()
	var file sql.NullString
	err = one.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file)
	if err != nil || file.String != "" {
		return err
	}
	other, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer other.Close()
	for _, conn := range []*sql.Conn{one, other} {
		if found, err := s.findTables(ctx, conn, tableNames...); err != nil || len(found) < len(tableNames) {
			return cmp.Or(err, errors.New("each connection of the pool has its own in-memory database, so rows are found or missing at random: use a file, or db.SetMaxOpenConns(1)"))
		}
	}
	return nil
}

// checkEngines returns an error for a table on MySQL whose engine is not InnoDB: a ROLLBACK
// would leave half of a change.
func (s *Store) checkEngines(ctx context.Context, r runner) error {
	var name, engine string
	list := "'" + s.prefix + strings.Join(tableNames, "', '"+s.prefix) + "'"
	err := r.QueryRowContext(ctx, `SELECT table_name, engine FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name IN (`+list+`) AND engine <> 'InnoDB' LIMIT 1`).Scan(&name, &engine)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return cmp.Or(err, fmt.Errorf("the table %s has the engine %s, which cannot roll back: ALTER TABLE %s ENGINE=InnoDB", name, engine, name))
}

// A table is a table that exists. All fields but the name are for PostgreSQL.
type table struct {
	name     string // without the prefix
	oid      int64
	role     string // the current role, quoted
	owned    bool   // by the role
	lacking  []right
	secured  bool // Row level security applies to the role.
	policies []policy
}

// findTables returns the tables of these names that exist.
func (s *Store) findTables(ctx context.Context, r runner, names ...string) ([]table, error) {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = "'" + s.prefix + name + "'"
	}
	rows, err := r.QueryContext(ctx, fmt.Sprintf(findTables[s.dialect], strings.Join(list, ", ")))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []table
	for rows.Next() {
		var t table
		var lacking string
		if err := rows.Scan(&t.name, &t.oid, &t.role, &t.owned, &lacking, &t.secured); err != nil {
			return nil, err
		}
		t.name = strings.TrimPrefix(t.name, s.prefix)
		for _, right := range rightsOn(t.name) {
			if strings.Contains(lacking, string(right)) {
				t.lacking = append(t.lacking, right)
			}
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// findTables are the statements of findTables, with %s for a list of names.
var findTables = map[Dialect]string{
	SQLite: `SELECT name, 0, '', TRUE, '', FALSE FROM sqlite_master WHERE type = 'table' AND name IN (%s)`,
	MySQL:  `SELECT table_name, 0, '', TRUE, '', FALSE FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN (%s)`,
	// to_regclass may not know yet what was committed while this transaction waited for
	// the lock. If a table is dropped meanwhile, the functions return NULL, which means
	// that no right is missing.
	PostgreSQL: `SELECT t.relname::text, t.oid::bigint, quote_ident(current_user), pg_has_role(t.relowner, 'USAGE'),
	concat_ws(', ',
		CASE WHEN NOT has_table_privilege(t.oid, 'SELECT') THEN 'SELECT' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'INSERT') THEN 'INSERT' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'UPDATE') THEN 'UPDATE' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'DELETE') THEN 'DELETE' END),
	row_security_active(t.oid)
FROM pg_catalog.pg_class t
WHERE t.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
	AND t.relname IN (%s) AND t.relkind IN ('r', 'p')`,
}

// checkGrants returns an error if the user lacks a right on MySQL. EXPLAIN needs the same
// rights as the statement.
func (s *Store) checkGrants(ctx context.Context, r runner) error {
	for _, name := range tableNames[1:] {
		table := s.prefix + name
		for _, statement := range []string{
			"INSERT INTO " + table + " SELECT * FROM " + table + " WHERE FALSE",
			"UPDATE " + table + " SET user_id = user_id WHERE FALSE",
			"DELETE FROM " + table + " WHERE FALSE",
		} {
			if _, err := r.ExecContext(ctx, "EXPLAIN "+statement); err != nil {
				return s.explainDenial(name, err)
			}
		}
	}
	return nil
}

// explainDenial adds the remedy to MySQL's error for a missing right.
func (s *Store) explainDenial(name string, err error) error {
	if !isDenied(err) {
		return err
	}
	return fmt.Errorf("this user lacks a right, so GRANT %s ON %s%s TO it: %w", joined(rightsOn(name)), s.prefix, name, err)
}

// isDenied reports whether the user lacks a right.
func isDenied(err error) bool {
	switch codeOf(err) {
	case "mysql 1142", "mysql 1143":
		return true
	}
	return false
}
