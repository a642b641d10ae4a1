package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

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
				for _, statement := range statements {
					require.NotContains(t, statement, ";", "a statement for drivers that take one at a time")
					require.Regexp(t, `(?m)^(CREATE|INSERT|ALTER|DROP) `, statement)
				}
			}
			require.Equal(t, all[0].text, Schema(d.dialect), "Schema is what Migrate runs")
		})
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
			require.Len(t, sent, 2)
			for _, statement := range sent {
				require.True(t, strings.HasPrefix(statement, "SELECT "), statement)
			}
		})

		t.Run("finds nothing to do after the schema was made by hand, twice", func(t *testing.T) {
			t.Parallel()
			db, w := watched(t, d)
			s := d.emptyIn(t, db)
			for range 2 {
				for _, statement := range (migration{Schema(d.dialect, WithTablePrefix(s.prefix))}).statements() {
					_, err := db.Exec(statement)
					require.NoError(t, err)
				}
			}
			sent := w.during(func() { require.NoError(t, s.Migrate(t.Context())) })
			require.Len(t, sent, 2, "it only reads")
			connected(t, s, "anna", "1")
		})

		t.Run("refuses a schema that is newer than it knows, and changes nothing", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			_, err := s.db.Exec(prefixed(s, "INSERT INTO connect_schema (version) VALUES (7)"))
			require.NoError(t, err)
			require.EqualError(t, s.Migrate(t.Context()), "sqlstore: migrate: the tables "+s.prefix+
				"… have schema version 7, and this release of sqlstore knows versions up to 1: use a newer one")
			require.Equal(t, 2, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_schema")))
		})

		t.Run("goes on from an older schema, and keeps what is there", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			connected(t, s, "anna", "1")
			newer := append(migrationsFor(d.dialect, s.prefix), migration{prefixed(s, `
ALTER TABLE connect_connections ADD COLUMN note INTEGER;
INSERT INTO connect_schema (version) VALUES (2);
`)})
			require.NoError(t, s.migrate(t.Context(), newer))
			require.NoError(t, s.migrate(t.Context(), newer))
			require.Equal(t, 1, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_connections WHERE note IS NULL")))
			requireConnection(t, s, "anna", "1")
			require.ErrorContains(t, s.Migrate(t.Context()), "have schema version 2")
		})

		t.Run("names the version that it has failed at, and goes on from there the next time", func(t *testing.T) {
			t.Parallel()
			s := d.empty(t)
			broken := append(migrationsFor(d.dialect, s.prefix), migration{"ALTER TABLE no_such_table ADD COLUMN note INTEGER;\n"})
			require.ErrorContains(t, s.migrate(t.Context(), broken), "sqlstore: migrate: to schema version 2: ")
			require.NoError(t, s.Migrate(t.Context()))
			connected(t, s, "anna", "1")
		})

		t.Run("is made once when many replicas start at once", func(t *testing.T) {
			t.Parallel()
			databaseURL := d.url(t)
			first := d.emptyIn(t, d.open(t, databaseURL))
			// A step that cannot be made twice.
			all := append(migrationsFor(d.dialect, first.prefix), migration{prefixed(first, `
ALTER TABLE connect_connections ADD COLUMN note INTEGER;
INSERT INTO connect_schema (version) VALUES (2);
`)})
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
		s := d.empty(t)
		statements := migrationsFor(MySQL, s.prefix)[0].statements()
		for _, statement := range statements[:3] {
			_, err := s.db.Exec(statement)
			require.NoError(t, err)
		}
		require.NoError(t, s.Migrate(t.Context()))
		connected(t, s, "anna", "1")
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
