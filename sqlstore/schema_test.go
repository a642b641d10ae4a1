package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

func TestSchemaFiles(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			all := migrationsFor(d.dialect, defaultPrefix)
			require.Len(t, all, len(migrationsFor(SQLite, defaultPrefix)), "every dialect has the same versions")
			for i, m := range all {
				statements := m.statements()
				last := statements[len(statements)-1]
				require.Contains(t, last, fmt.Sprintf("INTO connect_schema (version) VALUES (%d)", i+1), "the last statement records the version")
				requireStatements(t, statements)
				if d.dialect == MySQL {
					requireOneChangeEach(t, statements)
				}
			}
			requireStatements(t, migration{Schema(d.dialect)}.statements())
			require.Equal(t, all[1].text+all[2].text, SchemaSince(d.dialect, 1))
			require.Equal(t, all[2].text, SchemaSince(d.dialect, 2))
			require.Empty(t, SchemaSince(d.dialect, len(all)))
		})
	}
}

// requireReads requires that only reads were sent.
func requireReads(t *testing.T, sent []string) {
	t.Helper()
	require.NotEmpty(t, sent)
	for _, statement := range sent {
		require.Regexp(t, "^(SELECT|EXPLAIN|SHOW|PRAGMA) ", statement)
	}
}

func requireStatements(t *testing.T, statements []string) {
	t.Helper()
	for _, statement := range statements {
		if strings.Contains(statement, "DO $$") {
			continue // One statement, whatever is in it.
		}
		require.NotContains(t, statement, ";", "a statement for drivers that take one at a time")
		require.Regexp(t, `(?m)^(CREATE|INSERT|UPDATE|ALTER|DROP) `, statement)
	}
}

// requireOneChangeEach requires that no ALTER makes two changes. If it were repeated, the
// first one would hide that the second is missing.
func requireOneChangeEach(t *testing.T, statements []string) {
	t.Helper()
	for _, statement := range statements {
		if strings.Contains(statement, "ALTER TABLE") {
			changes := strings.Count(statement, " ADD ") + strings.Count(statement, " SET DEFAULT ")
			if changes == 0 {
				changes = strings.Count(statement, " DROP ")
			}
			require.Equal(t, 1, changes, statement)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("makes the tables, and once more does nothing", func(t *testing.T) {
			t.Parallel()
			s := d.empty(t)
			require.NoError(t, s.Migrate(t.Context()))
			connected(t, s, "anna", "1")
			require.NoError(t, s.Migrate(t.Context()))
			requireConnection(t, s, "anna", "1")
		})

		t.Run("only reads when the tables are up to date", func(t *testing.T) {
			t.Parallel()
			db, w := watched(t, d)
			s := d.emptyIn(t, db)
			require.NoError(t, s.Migrate(t.Context()))
			sent := w.during(func() { require.NoError(t, s.Migrate(t.Context())) })
			requireReads(t, sent)
		})

		t.Run("finds nothing to do after the schema was made by hand, twice", func(t *testing.T) {
			t.Parallel()
			db, w := watched(t, d)
			s := d.emptyIn(t, db)
			for range 2 {
				require.NoError(t, byHand(s, Schema(d.dialect, WithTablePrefix(s.prefix))))
			}
			sent := w.during(func() { require.NoError(t, s.Migrate(t.Context())) })
			requireReads(t, sent)
			connected(t, s, "anna", "1")
		})

		t.Run("refuses a schema that is newer than it knows, and changes nothing", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			_, err := s.db.Exec(prefixed(s, "INSERT INTO connect_schema (version) VALUES (7)"))
			require.NoError(t, err)
			require.EqualError(t, s.Migrate(t.Context()), "sqlstore: migrate: the tables "+s.prefix+
				"… have schema version 7, and this release of sqlstore knows versions up to 3: use a newer release")
			require.Equal(t, 4, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_schema")))
		})

		t.Run("goes on from an older schema, and keeps what is there", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			connected(t, s, "anna", "1")
			newer := withNote(s)
			require.NoError(t, s.migrate(t.Context(), newer))
			require.NoError(t, s.migrate(t.Context(), newer))
			require.Equal(t, 1, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_connections WHERE note IS NULL")))
			requireConnection(t, s, "anna", "1")
			require.ErrorContains(t, s.Migrate(t.Context()), "have schema version 4")
		})

		t.Run("names the version that it has failed at, and goes on from there the next time", func(t *testing.T) {
			t.Parallel()
			s := d.empty(t)
			broken := append(migrationsFor(d.dialect, s.prefix), migration{"ALTER TABLE no_such_table ADD COLUMN note INTEGER;\n"})
			require.ErrorContains(t, s.migrate(t.Context(), broken), "sqlstore: migrate: to schema version 4: ")
			require.NoError(t, s.Migrate(t.Context()))
			connected(t, s, "anna", "1")
		})

		t.Run("is made once when many replicas start at once", func(t *testing.T) {
			t.Parallel()
			databaseURL := d.url(t)
			first := d.emptyIn(t, d.open(t, databaseURL))
			all := withNote(first)
			const replicas = 8
			begin := make(chan struct{})
			errs := make([]error, replicas)
			var starting sync.WaitGroup
			for i := range replicas {
				s := New(d.open(t, databaseURL), d.dialect, WithTablePrefix(first.prefix))
				starting.Go(func() {
					<-begin
					errs[i] = s.migrate(t.Context(), all)
				})
			}
			close(begin)
			starting.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			connected(t, first, "anna", "1")
		})
	})

	t.Run("goes on where MySQL was broken off", func(t *testing.T) {
		t.Parallel()
		d := on(t, MySQL)
		want := tables(t, d.migrated(t))
		for i, m := range migrationsFor(MySQL, defaultPrefix) {
			for n := range m.statements() {
				t.Run(fmt.Sprintf("in version %d, after %d statements", i+1, n), func(t *testing.T) {
					t.Parallel()
					s := d.empty(t)
					all := migrationsFor(MySQL, s.prefix)
					require.NoError(t, s.migrate(t.Context(), all[:i]))
					for _, statement := range all[i].statements()[:n] {
						_, err := s.db.Exec(statement)
						require.NoError(t, err)
					}
					require.NoError(t, s.Migrate(t.Context()))
					require.Equal(t, want, tables(t, s))
				})
			}
		}
	})

	for _, dialect := range []Dialect{PostgreSQL, MySQL} {
		t.Run("waits for its lock as long as its ctx allows, "+string(dialect), func(t *testing.T) {
			t.Parallel()
			d := on(t, dialect)
			s := d.empty(t)
			conn, err := s.db.Conn(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			lock, unlock, name := "SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)", any(s.lockKey())
			if dialect == MySQL {
				lock, unlock, name = "SELECT GET_LOCK(?, 5)", "SELECT RELEASE_LOCK(?)", any(s.lockName())
			}
			_, err = conn.ExecContext(t.Context(), lock, name)
			require.NoError(t, err)

			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			begun := time.Now()
			require.ErrorIs(t, s.Migrate(ctx), context.DeadlineExceeded)
			require.Less(t, time.Since(begun), 5*time.Second)

			done := make(chan error)
			go func() { done <- s.Migrate(t.Context()) }()
			select {
			case err := <-done:
				require.Fail(t, "it did not wait", "%v", err)
			case <-time.After(300 * time.Millisecond):
			}
			_, err = conn.ExecContext(t.Context(), unlock, name)
			require.NoError(t, err)
			require.NoError(t, <-done)
		})
	}
}

// Percona XtraDB Cluster refuses GET_LOCK.
func TestMigrateWithoutLock(t *testing.T) {
	t.Parallel()
	d := on(t, MySQL)
	first, _ := watched(t, d)
	s := d.emptyIn(t, first)
	const replicas = 8
	errs := make([]error, replicas)
	var starting sync.WaitGroup
	for i := range replicas {
		db, w := watched(t, d)
		w.setBefore(func(sending string) error {
			if strings.Contains(sending, "GET_LOCK") {
				return &mysql.MySQLError{Number: 1105, Message: "Percona-XtraDB-Cluster prohibits use of GET_LOCK with pxc_strict_mode = ENFORCING"}
			}
			return nil
		})
		starting.Go(func() { errs[i] = New(db, MySQL, WithTablePrefix(s.prefix)).Migrate(t.Context()) })
	}
	starting.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, tables(t, d.migrated(t)), tables(t, s))
	connected(t, s, "anna", "1")
}

// withNote returns the migrations and one more, which cannot be run twice.
func withNote(s *Store) []migration {
	all := migrationsFor(s.dialect, s.prefix)
	return append(all, migration{prefixed(s, fmt.Sprintf(`
ALTER TABLE connect_connections ADD COLUMN note INTEGER;
INSERT INTO connect_schema (version) VALUES (%d);
`, len(all)+1))})
}

// byHand runs a schema as a migration tool does, up to the first error.
func byHand(s *Store, schema string) error {
	for _, statement := range (migration{schema}).statements() {
		if _, err := s.db.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// Migrate, Schema and SchemaSince create the same tables.
func TestMigrateAndSchemaMakeTheSameTables(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		want := tables(t, d.migrated(t))
		for _, part := range []string{
			"begun_at", "connect_disconnects", "connect_disconnects_ended", "connect_connections_list", "slot", "version 3",
		} {
			require.Contains(t, strings.Join(want, "\n"), part)
		}
		for name, run := range map[string]func(s *Store, prefix Option) error{
			"Schema": func(s *Store, prefix Option) error { return byHand(s, Schema(d.dialect, prefix)) },
			"version 1 and SchemaSince": func(s *Store, prefix Option) error {
				return errors.Join(s.migrate(t.Context(), migrationsFor(d.dialect, s.prefix)[:1]), byHand(s, SchemaSince(d.dialect, 1, prefix)))
			},
			"version 2 and SchemaSince": func(s *Store, prefix Option) error {
				return errors.Join(s.migrate(t.Context(), migrationsFor(d.dialect, s.prefix)[:2]), byHand(s, SchemaSince(d.dialect, 2, prefix)))
			},
			"version 1, Schema, which fails, and Migrate": func(s *Store, prefix Option) error {
				if err := s.migrate(t.Context(), migrationsFor(d.dialect, s.prefix)[:1]); err != nil {
					return err
				}
				require.Error(t, byHand(s, Schema(d.dialect, prefix)))
				return s.Migrate(t.Context())
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := d.empty(t)
				require.NoError(t, run(s, WithTablePrefix(s.prefix)))
				require.Equal(t, want, tables(t, s))
				require.NoError(t, s.Migrate(t.Context()))
				connected(t, s, "anna", "1")
			})
		}
	})
}

// tables describes the tables of a store, with the default prefix: a line for each table,
// column, index, policy and version.
func tables(t *testing.T, s *Store) []string {
	t.Helper()
	var all []string
	for _, query := range describe[s.dialect] {
		lines, err := queryStrings(t.Context(), s.db, prefixed(s, query))
		require.NoError(t, err)
		all = append(all, lines...)
	}
	// A migration keeps this one for older releases, and the store drops it.
	all = slices.DeleteFunc(all, func(line string) bool { return strings.Contains(line, s.prefix+"connections_one") })
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], s.prefix, defaultPrefix)
	}
	slices.Sort(all)
	return all
}

const versions = "SELECT 'version ' || version FROM connect_schema"

var describe = map[Dialect][]string{
	SQLite: {
		`SELECT 'table ' || name || ' strict ' || strict || ' without rowid ' || wr
			FROM pragma_table_list WHERE name LIKE 'connect_%'`,
		`SELECT 'column ' || t.name || '.' || c.name || ' ' || c.cid || ' ' || c.type || ' not null ' || c."notnull"
			|| ' default ' || COALESCE(c.dflt_value, '') || ' key ' || c.pk
			FROM pragma_table_list t, pragma_table_xinfo(t.name) c WHERE t.name LIKE 'connect_%'`,
		`SELECT 'index ' || t.name || ' ' || i.name || ' unique ' || i."unique" || ' column ' || c.seqno || ' ' || COALESCE(c.name, '')
			FROM pragma_table_list t, pragma_index_list(t.name) i, pragma_index_info(i.name) c WHERE t.name LIKE 'connect_%'`,
		versions,
	},
	PostgreSQL: {
		`SELECT 'table ' || relname || ' row security ' || relrowsecurity || ' ' || relforcerowsecurity || ' rights ' || COALESCE(relacl::text, '')
			FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'connect_%' AND relkind = 'r'`,
		`SELECT 'policy ' || policyname || ' on ' || tablename || ' ' || permissive || ' ' || roles::text || ' ' || cmd || COALESCE(qual, '') || COALESCE(with_check, '')
			FROM pg_policies WHERE schemaname = current_schema() AND tablename LIKE 'connect_%'`,
		`SELECT 'column ' || c.relname || '.' || attnum || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' not null ' || attnotnull
			|| ' collation ' || COALESCE((SELECT collname FROM pg_collation WHERE oid = attcollation), '')
			|| ' default ' || COALESCE(pg_get_expr(adbin, adrelid), '')
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
			WHERE c.relnamespace = current_schema()::regnamespace AND c.relname LIKE 'connect_%' AND c.relkind = 'r' AND attnum > 0`,
		`SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(pg_constraint.oid)
			FROM pg_constraint JOIN pg_class c ON c.oid = conrelid WHERE c.relnamespace = current_schema()::regnamespace AND c.relname LIKE 'connect_%'`,
		`SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename LIKE 'connect_%'`,
		versions,
	},
	MySQL: {
		`SELECT CONCAT_WS(' ', 'table', table_name, engine, table_collation)
			FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'connect_%'`,
		`SELECT CONCAT_WS(' ', 'column', table_name, ordinal_position, column_name, column_type, is_nullable, 'default', column_default, extra)
			FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name LIKE 'connect_%'`,
		`SELECT CONCAT_WS(' ', 'index', table_name, index_name, 'not unique', non_unique, 'column', seq_in_index, column_name, sub_part)
			FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name LIKE 'connect_%'`,
		`SELECT CONCAT('version ', version) FROM connect_schema`,
	},
}
