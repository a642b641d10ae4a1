package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"
	"time"
)

// schemaFiles has, for each dialect, a file with the tables of the latest version and a
// directory of migrations. The number of a migration is the version that it leads to, and
// its last statement records that version. A released migration never changes. On MySQL
// each statement makes one change, so that an interrupted migration can begin again.
//
//go:embed schema
var schemaFiles embed.FS

// A migration leads from the previous schema version to its own, which is its position in
// the list, counted from 1.
type migration struct{ text string }

// migrationsFor returns the migrations of a dialect, in order.
func migrationsFor(d Dialect, prefix string) []migration {
	// Neither the pattern nor the embedded files can fail.
	names, _ := fs.Glob(schemaFiles, "schema/"+string(d)+"/*.sql")
	var all []migration
	for _, name := range names {
		all = append(all, migration{readSchema(name, prefix)})
	}
	return all
}

func readSchema(name, prefix string) string {
	text, _ := schemaFiles.ReadFile(name) // It is embedded, so this cannot fail.
	return strings.ReplaceAll(string(text), defaultPrefix, prefix)
}

// statements splits a migration for drivers that take one statement at a time.
func (m migration) statements() []string {
	var all []string
	for _, statement := range strings.Split(m.text, ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// Schema returns the SQL that creates all tables, for a migration tool. The result is the
// same as that of [Store.Migrate], which then has nothing to do. The SQL may be run more
// than once, but fails on tables of an older version: see [SchemaSince]. Give [New] the
// same table prefix.
//
// Schema panics if d is unknown or an option is invalid.
func Schema(d Dialect, options ...Option) string {
	mustKnow(d)
	return readSchema("schema/"+string(d)+".sql", tablePrefix(options))
}

// SchemaSince returns the SQL that migrates tables from an older version to the latest, for
// a migration tool. Run it once: not every statement can be repeated. It records the
// versions, so [Store.Migrate] then has nothing to do. For the latest version it returns "".
// The table connect_schema contains the version of a database.
//
// SchemaSince panics if d or version is unknown or an option is invalid.
func SchemaSince(d Dialect, version int, options ...Option) string {
	mustKnow(d)
	all := migrationsFor(d, tablePrefix(options))
	if version < 1 || version > len(all) {
		panic(fmt.Sprintf("sqlstore: unknown schema version %d: want 1 to %d", version, len(all)))
	}
	var b strings.Builder
	for _, m := range all[version:] {
		b.WriteString(m.text)
	}
	return b.String()
}

// Migrate creates the tables, or migrates older ones to the latest version, and then makes
// the checks of [Store.Verify]. If the tables are up to date it only reads. Call it whenever
// an app starts: if several replicas do, one migrates and the others wait.
//
// Tables of a newer schema version than this release knows are an error, because it may not
// be safe to write to them. To roll back an app, use a release that knows the schema.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx, migrationsFor(s.dialect, s.prefix)); err != nil {
		return err
	}
	return s.do(ctx, "migrate", func() error { return s.checkTables(ctx) })
}

// migratePatience is how long Migrate retries. An app that starts can wait longer than a
// request.
const migratePatience = 30 * time.Second

func (s *Store) migrate(ctx context.Context, all []migration) error {
	for begun := time.Now(); ; {
		err := s.migrateOnce(ctx, all)
		if reactionTo(err) == giveUp || ctx.Err() != nil || time.Since(begun) >= migratePatience {
			return err
		}
	}
}

func (s *Store) migrateOnce(ctx context.Context, all []migration) error {
	return s.do(ctx, "migrate", func() error {
		if err := s.checkServer(ctx); err != nil {
			return err
		}
		version, err := s.currentVersion(ctx)
		if err != nil || version == len(all) {
			return err
		}
		switch s.dialect {
		case MySQL:
			return s.onConn(ctx, func(conn *sql.Conn) error { return s.migrateUnderLock(ctx, conn, all) })
		default:
			return s.inTx(ctx, func(tx *sql.Tx) error { return s.migrateInTx(ctx, tx, all) })
		}
	})
}

// migrateInTx migrates where tables can be created in a transaction.
func (s *Store) migrateInTx(ctx context.Context, tx *sql.Tx, all []migration) error {
	// On SQLite this reads before it writes, unlike other transactions. If another
	// process has migrated meanwhile, the first write fails as busy, and do begins again.
	if s.dialect == PostgreSQL {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockKey()); err != nil {
			return err
		}
	}
	return s.runMigrations(ctx, tx, all)
}

// migrateUnderLock migrates on MySQL, which commits after each statement that changes a
// table. An interrupted migration begins again: every statement can be repeated (see
// isRepeated), and the last one records the version. The lock belongs to conn.
func (s *Store) migrateUnderLock(ctx context.Context, conn *sql.Conn, all []migration) error {
	for {
		// The server waits a second at a time, since it does not notice that a client
		// has gone. Vitess accepts GET_LOCK only in this form.
		var locked sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 1)", s.lockName()).Scan(&locked)
		if strings.HasPrefix(codeOf(err), "mysql ") && reactionTo(err) == giveUp {
			// Percona XtraDB Cluster refuses GET_LOCK. The lock only keeps replicas from
			// doing the work twice: every statement can be repeated.
			return s.runMigrations(ctx, conn, all)
		}
		if err != nil {
			return err
		}
		if locked.Bool {
			break
		}
	}
	defer func() {
		// A lost connection has released the lock.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", s.lockName())
	}()
	return s.runMigrations(ctx, conn, all)
}

// runMigrations runs the missing migrations. The caller holds the lock.
func (s *Store) runMigrations(ctx context.Context, r runner, all []migration) error {
	version, err := s.schemaVersion(ctx, r)
	if err != nil {
		return err
	}
	if version > len(all) {
		return s.newer(version, len(all))
	}
	for i, m := range all[version:] {
		for _, statement := range m.statements() {
			if _, err := r.ExecContext(ctx, statement); err != nil && !isRepeated(err) {
				return fmt.Errorf("to schema version %d: %w", version+i+1, err)
			}
		}
	}
	return nil
}

// currentVersion is schemaVersion on a connection of the pool.
func (s *Store) currentVersion(ctx context.Context) (version int, err error) {
	err = s.onConn(ctx, func(conn *sql.Conn) error {
		version, err = s.schemaVersion(ctx, conn)
		return err
	})
	return version, err
}

// schemaVersion returns the version of the tables, or 0 if there are none.
func (s *Store) schemaVersion(ctx context.Context, r runner) (int, error) {
	found, err := s.findTables(ctx, r, "schema")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	// If the rows are hidden, the version would be 0.
	if err := s.checkAccess(ctx, r, found); err != nil {
		return 0, err
	}
	var version int
	err = r.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM "+s.prefix+"schema").Scan(&version)
	return version, s.explainDenial("schema", err)
}

// lockName returns the name of the lock for migrations.
func (s *Store) lockName() string { return "connect sqlstore " + s.prefix }

// lockKey returns lockName as a number, for PostgreSQL's advisory locks.
func (s *Store) lockKey() int64 {
	h := fnv.New64a()
	h.Write([]byte(s.lockName()))
	return int64(h.Sum64())
}
