package sqlstore

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("says nothing of tables that are up to date, and only reads", func(t *testing.T) {
			t.Parallel()
			db, w := watched(t, d)
			s := d.emptyIn(t, db)
			require.NoError(t, s.Migrate(t.Context()))
			connected(t, s, "anna", "1")
			before := contents(t, s)
			requireReads(t, w.during(func() { require.NoError(t, s.Verify(t.Context())) }))
			require.Equal(t, before, contents(t, s))
		})

		t.Run("says that there are no tables", func(t *testing.T) {
			t.Parallel()
			s := d.empty(t)
			require.EqualError(t, s.Verify(t.Context()), "sqlstore: verify: there are no tables "+s.prefix+
				"… that this user can see: call Migrate, or run what Schema returns")
		})

		t.Run("says that the tables are older", func(t *testing.T) {
			t.Parallel()
			s := d.empty(t)
			require.NoError(t, s.migrate(t.Context(), migrationsFor(d.dialect, s.prefix)[:1]))
			require.EqualError(t, s.Verify(t.Context()), "sqlstore: verify: the tables "+s.prefix+
				"… have schema version 1, and this release needs 3: call Migrate, or run what SchemaSince returns for version 1")
			require.NoError(t, s.Migrate(t.Context()))
			require.NoError(t, s.Verify(t.Context()))
		})

		t.Run("says that the tables are newer", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			_, err := s.db.Exec(prefixed(s, "INSERT INTO connect_schema (version) VALUES (7)"))
			require.NoError(t, err)
			require.EqualError(t, s.Verify(t.Context()), "sqlstore: verify: the tables "+s.prefix+
				"… have schema version 7, and this release of sqlstore knows versions up to 3: use a newer release")
		})

		for _, name := range tableNames[1:] {
			t.Run("says that one is missing, "+name, func(t *testing.T) {
				t.Parallel()
				s := d.migrated(t)
				_, err := s.db.Exec("DROP TABLE " + s.prefix + name)
				require.NoError(t, err)
				for doing, check := range map[string]error{"verify": s.Verify(t.Context()), "migrate": s.Migrate(t.Context())} {
					require.EqualError(t, check, "sqlstore: "+doing+": this user sees no table "+s.prefix+name+
						", although the schema version is recorded: restore the table, or grant the user its rights")
				}
			})
		}
	})
}

// Verify checks the tables that the schema creates.
func TestVerifyTableNames(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		var made []string
		for _, match := range regexp.MustCompile(`CREATE TABLE IF NOT EXISTS connect_(\w+)`).FindAllStringSubmatch(Schema(d.dialect), -1) {
			made = append(made, match[1])
		}
		require.ElementsMatch(t, tableNames, made, d.name)
	}
	for _, name := range tableNames {
		for _, file := range []string{Schema(PostgreSQL), SchemaSince(PostgreSQL, 1)} {
			require.Contains(t, file, "ALTER TABLE connect_"+name+" ENABLE ROW LEVEL SECURITY;")
			require.Contains(t, file, "'connect_"+name+"'::regclass")
		}
	}
}

func TestVerifyRights(t *testing.T) {
	t.Parallel()
	all := policy{name: "p", permissive: true, command: "*", using: "true"}
	with := func(change func(p *policy)) policy {
		p := all
		change(&p)
		return p
	}
	restrictive := with(func(p *policy) { p.name, p.permissive, p.using = "q", false, "false" })
	for name, row := range map[string]struct {
		table table
		want  []finding
	}{
		"row level security does not apply": {table: table{name: "tasks", policies: []policy{restrictive}}},
		"a policy for all":                  {table: table{name: "tasks", secured: true, policies: []policy{all}}},
		"none": {
			table{name: "tasks", secured: true},
			[]finding{{
				"row level security may hide rows of x_tasks from role app (no policy for SELECT, INSERT, UPDATE, DELETE is the expression true)",
				"CREATE POLICY connect_store ON x_tasks TO app USING (true)",
			}},
		},
		"none for the versions": {
			table{name: "schema", secured: true},
			[]finding{{
				"row level security may hide rows of x_schema from role app (no policy for SELECT is the expression true)",
				"CREATE POLICY connect_store ON x_schema FOR SELECT TO app USING (true)",
			}},
		},
		"an expression that is not plain": {
			table{name: "schema", secured: true, policies: []policy{with(func(p *policy) { p.using = "(1 = 1)" })}},
			[]finding{{
				"row level security may hide rows of x_schema from role app (no policy for SELECT is the expression true)",
				"CREATE POLICY connect_store ON x_schema FOR SELECT TO app USING (true)",
			}},
		},
		"a restrictive one beside it": {
			table{name: "tasks", secured: true, policies: []policy{all, restrictive}},
			[]finding{{
				"row level security may hide rows of x_tasks from role app (the restrictive policy q is not the expression true)",
				"DROP POLICY q ON x_tasks",
			}},
		},
		"the owner, forced": {
			table{name: "tasks", secured: true, owned: true},
			[]finding{{
				"row level security may hide rows of x_tasks from role app though it owns the table",
				"ALTER TABLE x_tasks NO FORCE ROW LEVEL SECURITY",
			}},
		},
		"a right that is missing": {
			table{name: "tasks", lacking: []right{rightInsert, rightDelete}},
			[]finding{{"role app lacks INSERT, DELETE on x_tasks", "GRANT INSERT, DELETE ON x_tasks TO app"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.table.role = "app"
			require.Equal(t, row.want, row.table.judge("x_"))
		})
	}

	require.NoError(t, asError(nil))
	require.EqualError(t, asError([]finding{{"a", "A"}, {"b", "B"}}), "a; b: as the owner of the tables run: A; B")
}

// mysqlUser creates a user without rights, and returns its name in SQL and a pool.
func mysqlUser(t *testing.T, d *database) (name string, db *sql.DB) {
	t.Helper()
	admin, err := d.pool()
	require.NoError(t, err)
	u, err := url.Parse(d.url(t))
	require.NoError(t, err)
	// The server may be behind a proxy, so ask it for the client's host.
	host := scalar[string](t, admin, "SELECT SUBSTRING_INDEX(USER(), '@', -1)")
	user, password := randomPrefix(), rand.Text()
	name = fmt.Sprintf("'%s'@'%s'", user, host)
	_, err = admin.Exec(fmt.Sprintf("CREATE USER %s IDENTIFIED BY '%s'", name, password))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP USER " + name)
		require.NoError(t, err)
	})
	u.User = url.UserPassword(user, password)
	return name, d.open(t, u.String())
}

func TestVerifyGrantsOnMySQL(t *testing.T) {
	t.Parallel()
	d := on(t, MySQL)
	all := make(map[string]string)
	for _, name := range tableNames {
		for _, right := range rightsOn(name) {
			all[name] += ", " + string(right)
		}
		all[name] = strings.TrimPrefix(all[name], ", ")
	}
	for _, name := range tableNames {
		for _, without := range append(rightsOn(name), "") {
			t.Run(fmt.Sprintf("%s without %q", name, without), func(t *testing.T) {
				t.Parallel()
				s := d.migrated(t)
				user, db := mysqlUser(t, d)
				for table, rights := range all {
					if table == name {
						rights = strings.Trim(strings.ReplaceAll(", "+rights+",", ", "+string(without)+",", ","), ", ")
					}
					if rights == "" {
						rights = "CREATE" // So that it sees the table.
					}
					_, err := s.db.Exec(fmt.Sprintf("GRANT %s ON %s TO %s", rights, s.prefix+table, user))
					require.NoError(t, err)
				}
				of := New(db, MySQL, WithTablePrefix(s.prefix))
				for _, err := range []error{of.Verify(t.Context()), of.Migrate(t.Context())} {
					if without == "" {
						require.NoError(t, err)
						continue
					}
					require.ErrorContains(t, err, string(without)+" command denied to user")
					require.ErrorContains(t, err, "so GRANT "+all[name]+" ON "+s.prefix+name+" TO it")
				}
			})
		}
	}

	t.Run("a user without any is told that it sees no tables", func(t *testing.T) {
		t.Parallel()
		s := d.migrated(t)
		user, db := mysqlUser(t, d)
		_, err := s.db.Exec(fmt.Sprintf("CREATE TABLE IF NOT EXISTS %sother (id INT)", s.prefix))
		require.NoError(t, err)
		defer s.db.Exec("DROP TABLE " + s.prefix + "other")
		_, err = s.db.Exec(fmt.Sprintf("GRANT SELECT ON %sother TO %s", s.prefix, user))
		require.NoError(t, err)
		require.ErrorContains(t, New(db, MySQL, WithTablePrefix(s.prefix)).Verify(t.Context()), "there are no tables")
	})
}
