package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// tableNames are the tables of the latest schema version, without the prefix.
var tableNames = []string{"schema", "pending", "connections", "tasks", "disconnects"}

// A right is a command that the store sends to a table.
type right string

const (
	rightSelect right = "SELECT"
	rightInsert right = "INSERT"
	rightUpdate right = "UPDATE"
	rightDelete right = "DELETE"
)

// rightsOn returns what the store does with a table once it is migrated.
func rightsOn(table string) []right {
	if table == "schema" {
		return []right{rightSelect}
	}
	return []right{rightSelect, rightInsert, rightUpdate, rightDelete}
}

// Verify returns an error if the store cannot work in its database: if tables are
// missing or have another schema version than this release, or if the database does
// not let this user read and write all of their rows. The error says what to do, on
// one line. [Store.Migrate] makes the same checks; call Verify when an app starts
// that does not migrate. It only reads.
//
// On PostgreSQL the tables have row level security, so that roles with grants that
// a platform has added see nothing. If it hides rows from the role of the store
// itself, most methods do not fail: [Store.Connections] finds nobody connected, and
// [Store.Claim] no task. Verify requires, for each command, a policy whose
// expression is true, unless the role is exempt from row level security, as owners
// and superusers are. It cannot judge other expressions, and refuses them.
//
// On MySQL it refuses a connection whose character set is not UTF-8: with
// interpolateParams it lets a text break out of its quotes, as gbk does, or alters
// texts. It looks at one connection of the pool.
func (s *Store) Verify(ctx context.Context) error {
	return s.do(ctx, "verify", func() error {
		if err := s.checkCharset(ctx); err != nil {
			return err
		}
		version, err := s.schemaVersion(ctx, s.db)
		if err != nil {
			return err
		}
		switch latest := len(migrationsFor(s.dialect, s.prefix)); {
		case version == 0:
			return fmt.Errorf("there are no tables %s… that this user can see: call Migrate, or run what Schema returns", s.prefix)
		case version < latest:
			return fmt.Errorf("the tables %s… have schema version %d, and this release needs %d: call Migrate, or run what SchemaSince returns for version %d",
				s.prefix, version, latest, version)
		case version > latest:
			return s.newer(version, latest)
		}
		return s.checkTables(ctx)
	})
}

func (s *Store) newer(version, latest int) error {
	return fmt.Errorf("the tables %s… have schema version %d, and this release of sqlstore knows versions up to %d: use a newer one",
		s.prefix, version, latest)
}

// checkTables checks tables of the latest version.
func (s *Store) checkTables(ctx context.Context) error {
	found, err := s.findTables(ctx, s.db, tableNames...)
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
		return fmt.Errorf("this user can see no table %s, though the schema version is recorded: restore what was dropped, or grant the user its rights",
			strings.Join(missing, ", "))
	}
	if err := s.checkAccess(ctx, s.db, found); err != nil {
		return err
	}
	if s.dialect == MySQL {
		return s.checkGrants(ctx)
	}
	return nil
}

// A table is one that was found. What follows the name is for PostgreSQL.
type table struct {
	name     string // without the prefix
	oid      int64
	role     string // the current role, quoted
	owned    bool   // by the role
	lacking  []right
	secured  bool // Row level security applies to the role.
	policies []policy
}

// findTables returns those of the tables that there are.
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

// findTables are the texts of findTables, with a gap for a list of names.
var findTables = map[Dialect]string{
	SQLite: `SELECT name, 0, '', TRUE, '', FALSE FROM sqlite_master WHERE type = 'table' AND name IN (%s)`,
	MySQL:  `SELECT table_name, 0, '', TRUE, '', FALSE FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN (%s)`,
	// Not to_regclass: its cache may not know yet what was committed while this
	// transaction waited for the lock. A function that does not find the table of
	// an oid returns NULL, which lacks nothing.
	PostgreSQL: `SELECT t.relname::text, t.oid::bigint, quote_ident(current_user), pg_has_role(t.relowner, 'USAGE'),
	concat_ws(', ',
		CASE WHEN NOT has_table_privilege(t.oid, 'SELECT') THEN 'SELECT' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'INSERT') THEN 'INSERT' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'UPDATE') THEN 'UPDATE' END,
		CASE WHEN NOT has_table_privilege(t.oid, 'DELETE') THEN 'DELETE' END),
	row_security_active(t.oid)
FROM (
	SELECT DISTINCT ON (c.relname) c.relname, c.oid, c.relowner, c.relkind
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = ANY (current_schemas(false)) AND c.relname IN (%s)
	ORDER BY c.relname, array_position(current_schemas(false), n.nspname)
) t WHERE t.relkind IN ('r', 'p')`,
}

// checkGrants asks MySQL whether the user may do all that the store does. To
// explain a statement takes the rights that running it takes.
func (s *Store) checkGrants(ctx context.Context) error {
	for _, name := range tableNames[1:] {
		table := s.prefix + name
		for _, statement := range []string{
			"INSERT INTO " + table + " SELECT * FROM " + table + " WHERE FALSE",
			"UPDATE " + table + " SET user_id = user_id WHERE FALSE",
			"DELETE FROM " + table + " WHERE FALSE",
		} {
			if _, err := s.db.ExecContext(ctx, "EXPLAIN "+statement); err != nil {
				return s.explainDenial(name, err)
			}
		}
	}
	return nil
}

// explainDenial adds the remedy to an error by which MySQL refuses a right.
func (s *Store) explainDenial(name string, err error) error {
	if !isDenied(err) {
		return err
	}
	return fmt.Errorf("this user lacks a right, so GRANT %s ON %s%s TO it: %w", joined(rightsOn(name)), s.prefix, name, err)
}

// isDenied reports whether the database has refused a right.
func isDenied(err error) bool {
	switch codeOf(err) {
	case "mysql 1142", "mysql 1143":
		return true
	}
	return false
}
