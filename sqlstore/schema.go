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

// schemaFiles holds, for each dialect, a file with the tables of the latest
// version and a folder of migrations. A migration's number is the version that it
// leads to, and its last statement records that version. A migration that has
// been released never changes. On MySQL each of its statements makes one change,
// so that a migration that broke off can begin again.
//
//go:embed schema
var schemaFiles embed.FS

// A migration leads from the schema version before it to its own. Its version is
// its place in the list, from 1.
type migration struct{ text string }

// migrationsFor reads the migrations of a dialect, in order.
func migrationsFor(d Dialect, prefix string) []migration {
	// A pattern of ours over files of ours: neither call can fail.
	names, _ := fs.Glob(schemaFiles, "schema/"+string(d)+"/*.sql")
	var all []migration
	for _, name := range names {
		all = append(all, migration{readSchema(name, prefix)})
	}
	return all
}

func readSchema(name, prefix string) string {
	text, _ := schemaFiles.ReadFile(name) // It is embedded: this cannot fail.
	return strings.ReplaceAll(string(text), defaultPrefix, prefix)
}

// statements splits a migration for drivers that take one at a time.
func (m migration) statements() []string {
	var all []string
	for _, statement := range strings.Split(m.text, ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// Schema returns the SQL that makes all tables, for teams with a migration tool
// of their own. It may be run more than once, and leaves the tables as
// [Store.Migrate] does, which then finds nothing left to do. It fails on tables of
// an older version, which [SchemaSince] brings up to date. [New] must be given the
// same table prefix.
//
// It panics if d is unknown or an option is not valid.
func Schema(d Dialect, options ...Option) string {
	mustKnow(d)
	return readSchema("schema/"+string(d)+".sql", tablePrefix(options))
}

// SchemaSince returns the SQL that brings tables of an older version up to date,
// for teams with a migration tool of their own. Run it once: not every statement
// can be repeated. It records the versions, so that [Store.Migrate] finds nothing
// left to do. For the latest version it returns "". The table connect_schema holds
// the version that a database has.
//
// It panics if d is unknown, an option is not valid, or this release does not know
// the version.
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

// Migrate makes the tables, or brings older ones up to date. It does nothing but
// read when they are, so it may be called whenever an app starts, by any number
// of replicas at once: one migrates, the others wait for it.
//
// Tables of a newer schema than this release knows are an error, because it
// cannot tell whether it may still write to them. To roll back an app that has
// migrated, roll back to a release that knows the schema.
//
// It makes the checks of [Store.Verify] too.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx, migrationsFor(s.dialect, s.prefix)); err != nil {
		return err
	}
	return s.do(ctx, "migrate", func() error { return s.checkTables(ctx) })
}

// migratePatience is how long a migration gives way to others. An app that starts can
// wait longer than a request can.
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

// migrateInTx migrates where tables can be made in a transaction.
func (s *Store) migrateInTx(ctx context.Context, tx *sql.Tx, all []migration) error {
	// On SQLite this reads first after all. When another process has migrated
	// meanwhile, the first write fails as busy, and do begins again.
	if s.dialect == PostgreSQL {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockKey()); err != nil {
			return err
		}
	}
	return s.runMigrations(ctx, tx, all)
}

// migrateUnderLock migrates on MySQL, which commits after each statement that
// changes a table. One that was broken off is begun again: every statement can be
// repeated (see isRepeated), and the last one records the version. The lock belongs to
// the connection.
func (s *Store) migrateUnderLock(ctx context.Context, conn *sql.Conn, all []migration) error {
	for {
		// A second at a time, so that the server does not wait on for a client
		// that has left. Vitess takes GET_LOCK in this form alone.
		var locked sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 1)", s.lockName()).Scan(&locked)
		if strings.HasPrefix(codeOf(err), "mysql ") && reactionTo(err) == giveUp {
			// Percona XtraDB Cluster refuses it. Statements that can be repeated need no
			// lock. It only keeps replicas from doing the work twice.
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
		// A connection that is lost has given the lock back.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", s.lockName())
	}()
	return s.runMigrations(ctx, conn, all)
}

// runMigrations runs what is missing. The caller holds a lock.
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

// schemaVersion reads the version that the tables have, 0 when there are none.
func (s *Store) schemaVersion(ctx context.Context, r runner) (int, error) {
	found, err := s.findTables(ctx, r, "schema")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	// Where the versions are hidden it would read as version 0.
	if err := s.checkAccess(ctx, r, found); err != nil {
		return 0, err
	}
	var version int
	err = r.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM "+s.prefix+"schema").Scan(&version)
	return version, s.explainDenial("schema", err)
}

// lockName names the lock that migrations are made under.
func (s *Store) lockName() string { return "connect sqlstore " + s.prefix }

// lockKey is lockName for PostgreSQL, whose advisory locks have numbers.
func (s *Store) lockKey() int64 {
	h := fnv.New64a()
	h.Write([]byte(s.lockName()))
	return int64(h.Sum64())
}
