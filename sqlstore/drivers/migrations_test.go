package drivers

import (
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"ariga.io/atlas/sql/migrate"
	atlasmysql "ariga.io/atlas/sql/mysql"
	atlaspostgres "ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	gomigrate "github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratemysql "github.com/golang-migrate/migrate/v4/database/mysql"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/sqlstore"
)

// migrated is a database of a server for one test, with its own prefix.
type migrated struct {
	dialect sqlstore.Dialect
	db      *sql.DB
	prefix  string
	option  sqlstore.Option
}

// onBoth runs a test of a migration tool on both servers.
func onBoth(t *testing.T, parameters string, test func(t *testing.T, m migrated)) {
	t.Helper()
	for _, w := range []way{
		{"PostgreSQL", sqlstore.PostgreSQL, "pgx", postgres, ""},
		{"MySQL", sqlstore.MySQL, "mysql", mysql, parameters},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			prefix := randomPrefix()
			m := migrated{w.dialect, w.open(t), prefix, sqlstore.WithTablePrefix(prefix)}
			t.Cleanup(func() {
				m.db.Exec("DROP TABLE IF EXISTS " + m.prefix + "versions")
				drop(t, m.db, m.prefix)
			})
			test(t, m)
		})
	}
}

// requireComplete requires that Migrate has nothing to do after the tool.
func (m migrated) requireComplete(t *testing.T) {
	t.Helper()
	s := sqlstore.New(m.db, m.dialect, m.option)
	require.NoError(t, s.Verify(t.Context()))
	require.NoError(t, s.Migrate(t.Context()))
}

// goose splits a file into statements. Only PostgreSQL's has a statement that contains
// semicolons, so goose must take the whole file as one.
func TestGoose(t *testing.T) {
	t.Parallel()
	onBoth(t, "", func(t *testing.T, m migrated) {
		text, dialect := sqlstore.Schema(m.dialect, m.option), goose.DialectMySQL
		if m.dialect == sqlstore.PostgreSQL {
			text, dialect = "-- +goose StatementBegin\n"+text+"-- +goose StatementEnd\n", goose.DialectPostgres
		}
		files := fstest.MapFS{"00001_connect.sql": {Data: []byte("-- +goose Up\n" + text)}}
		provider, err := goose.NewProvider(dialect, m.db, files, goose.WithTableName(m.prefix+"versions"))
		require.NoError(t, err)
		_, err = provider.Up(t.Context())
		require.NoError(t, err)
		m.requireComplete(t)
	})
}

// golang-migrate sends a file in one Exec. On MySQL its handle needs multiStatements, but it
// need not be the app's handle.
func TestGolangMigrate(t *testing.T) {
	t.Parallel()
	up := func(t *testing.T, m migrated) error {
		files := fstest.MapFS{"1_connect.up.sql": {Data: []byte(sqlstore.Schema(m.dialect, m.option))}}
		source, err := iofs.New(fs.FS(files), ".")
		require.NoError(t, err)
		var target database.Driver
		if m.dialect == sqlstore.PostgreSQL {
			target, err = migratepgx.WithInstance(m.db, &migratepgx.Config{MigrationsTable: m.prefix + "versions"})
		} else {
			target, err = migratemysql.WithInstance(m.db, &migratemysql.Config{MigrationsTable: m.prefix + "versions"})
		}
		require.NoError(t, err)
		migration, err := gomigrate.NewWithInstance("files", source, "database", target)
		require.NoError(t, err)
		return migration.Up()
	}
	onBoth(t, "multiStatements=true", func(t *testing.T, m migrated) {
		require.NoError(t, up(t, m))
		m.requireComplete(t)
	})
	t.Run("MySQL without multiStatements is a syntax error", func(t *testing.T) {
		t.Parallel()
		onBoth(t, "", func(t *testing.T, m migrated) {
			if m.dialect == sqlstore.MySQL {
				require.ErrorContains(t, up(t, m), "1064")
			}
		})
	})
}

// A declarative diff of Atlas drops the store's tables unless they are excluded.
func TestAtlas(t *testing.T) {
	t.Parallel()
	onBoth(t, "", func(t *testing.T, m migrated) {
		for _, statement := range strings.Split(sqlstore.Schema(m.dialect, m.option), ";\n") {
			if strings.TrimSpace(statement) != "" {
				_, err := m.db.Exec(statement)
				require.NoError(t, err, "a statement ends where a line does")
			}
		}
		m.requireComplete(t)

		var target migrate.Driver
		var err error
		var name string
		if m.dialect == sqlstore.PostgreSQL {
			target, err = atlaspostgres.Open(m.db)
			name = "public"
		} else {
			target, err = atlasmysql.Open(m.db)
			require.NoError(t, m.db.QueryRow("SELECT DATABASE()").Scan(&name))
		}
		require.NoError(t, err)
		dropped := func(exclude ...string) (all []string) {
			// Ignore the tables of tests that run at the same time.
			is, err := target.InspectSchema(t.Context(), name, &schema.InspectOptions{Mode: schema.InspectSchemas | schema.InspectTables, Exclude: exclude})
			require.NoError(t, err)
			changes, err := target.SchemaDiff(is, schema.New(name))
			require.NoError(t, err)
			for _, change := range changes {
				if table, ok := change.(*schema.DropTable); ok && strings.HasPrefix(table.T.Name, m.prefix) {
					all = append(all, table.T.Name)
				}
			}
			return all
		}
		require.Len(t, dropped(), 5, "it would drop them")
		require.Empty(t, dropped(fmt.Sprint(m.prefix, "*")))
	})
}
