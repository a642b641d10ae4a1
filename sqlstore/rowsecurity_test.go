package sqlstore

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/storetest"
)

// A realm is a schema of PostgreSQL with its own roles. They are dropped after the test.
type realm struct {
	d      *database
	admin  *sql.DB
	schema string
	roles  []string
	owner  *sql.DB // of the role that may make tables in the schema
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	d := on(t, PostgreSQL)
	admin, err := d.pool()
	require.NoError(t, err)
	r := &realm{d: d, admin: admin, schema: "realm_" + strings.ToLower(rand.Text()[:10])}
	r.run(t, admin, "CREATE SCHEMA "+r.schema)
	t.Cleanup(func() {
		r.run(t, admin, "DROP SCHEMA "+r.schema+" CASCADE")
		for _, role := range r.roles {
			r.run(t, admin, "DROP OWNED BY "+role, "DROP ROLE "+role)
		}
	})
	r.owner = r.role(t, "owner", "")
	r.run(t, admin, "GRANT CREATE ON SCHEMA :schema TO :owner")
	return r
}

// role creates a role that may use the schema, and opens a pool for it.
func (r *realm) role(t *testing.T, name, attributes string) *sql.DB {
	t.Helper()
	u, err := url.Parse(r.d.url(t))
	require.NoError(t, err)
	role, password := r.schema+"_"+name, rand.Text()
	r.run(t, r.admin, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", role, password, attributes))
	r.roles = append(r.roles, role)
	r.run(t, r.admin, "GRANT USAGE ON SCHEMA :schema TO "+role)
	u.User = url.UserPassword(role, password)
	query := u.Query()
	query.Set("search_path", r.schema)
	u.RawQuery = query.Encode()
	db := r.d.open(t, u.String())
	db.SetMaxOpenConns(12) // The server has other clients.
	return db
}

// migrated returns a store of the owner with its own tables. They are dropped when t ends,
// because a schema with thousands of tables cannot be dropped at once.
func (r *realm) migrated(t *testing.T) *Store {
	t.Helper()
	s := New(r.owner, PostgreSQL, WithTablePrefix(randomPrefix()))
	require.NoError(t, s.Migrate(t.Context()))
	t.Cleanup(func() {
		for _, name := range tableNames {
			r.run(t, r.admin, "DROP TABLE "+r.schema+"."+s.prefix+name)
		}
	})
	return s
}

// run runs statements, in which :name is a role of the realm and :schema its schema.
func (r *realm) run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := db.Exec(r.named(statement)) // The test may be over.
		require.NoError(t, err, statement)
	}
}

func (r *realm) named(statement string) string {
	statement = strings.ReplaceAll(statement, ":schema", r.schema)
	return strings.ReplaceAll(statement, " :", " "+r.schema+"_")
}

// documented returns the SQL of docs/databases.md for a role, with the prefix of s.
func (r *realm) documented(t *testing.T, s *Store, role string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/databases.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(text), "As the owner of the tables, run:\n\n```sql\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	block = strings.ReplaceAll(block, "TO app", "TO "+r.schema+"_"+role)
	return strings.Split(strings.TrimSuffix(prefixed(s, block), ";\n"), ";\n")
}

// requireDenied requires that PostgreSQL has refused a right, or a new row.
func requireDenied(t *testing.T, err error, statement string) {
	t.Helper()
	var denied *pgconn.PgError
	require.ErrorAs(t, err, &denied, statement)
	require.Equal(t, "42501", denied.Code, statement)
}

// Supabase grants public roles all rights on the tables of its schema "public".
const platform = "ALTER DEFAULT PRIVILEGES FOR ROLE :owner IN SCHEMA :schema GRANT ALL ON TABLES TO :anon"

func TestRowSecurityAgainstAPlatformsRole(t *testing.T) {
	t.Parallel()
	for name, makeTables := range map[string]func(t *testing.T, s *Store){
		"Migrate": func(t *testing.T, s *Store) {},
		"Schema":  func(t *testing.T, s *Store) { require.NoError(t, byHand(s, Schema(PostgreSQL))) },
		"version 1 and SchemaSince": func(t *testing.T, s *Store) {
			require.NoError(t, s.migrate(t.Context(), migrationsFor(PostgreSQL, s.prefix)[:1]))
			require.NoError(t, byHand(s, SchemaSince(PostgreSQL, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRealm(t)
			anon := r.role(t, "anon", "")
			r.run(t, r.admin, platform)
			s := New(r.owner, PostgreSQL)
			makeTables(t, s)
			prepare(t, s)
			bind(t, s, flow("bert", "of bert"))
			connected(t, s, "carl", "3")
			disconnect(t, s, "carl")
			before := append(contents(t, s), rowsOf(t, s, "SELECT user_id, ended_at FROM connect_disconnects")...)

			for _, table := range tableNames {
				table = s.prefix + table
				const has = "SELECT has_table_privilege($1, $2)"
				for _, right := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
					require.True(t, scalar[bool](t, anon, has, table, right), "the platform has granted %s", right)
				}
				for _, right := range []string{"TRUNCATE", "REFERENCES", "TRIGGER"} {
					require.False(t, scalar[bool](t, anon, has, table, right), right)
				}
				require.Positive(t, scalar[int](t, r.owner, "SELECT COUNT(*) FROM "+table), table)
				require.Zero(t, scalar[int](t, anon, "SELECT COUNT(*) FROM "+table), table)
				for _, statement := range []string{"DELETE FROM " + table, "UPDATE " + table + " SET " + firstColumn(t, r.owner, table) + " = NULL"} {
					n, err := send(t.Context(), anon, statement)
					require.NoError(t, err, statement)
					require.Zero(t, n, statement)
				}
			}
			for _, statement := range []string{
				insertOlder("mallory", "1"),
				insertOlder("anna", "1") + " ON CONFLICT (identity_id) DO UPDATE SET user_id = 'mallory'",
				"INSERT INTO connect_pending VALUES ('x', 'application', 'mallory', '/', 0, 0, FALSE, '')",
				"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'anna', 0, 0)",
				"INSERT INTO connect_disconnects VALUES ('application', 'anna', 0)",
				"INSERT INTO connect_schema VALUES (7)",
				"TRUNCATE connect_connections", "TRUNCATE connect_pending", "TRUNCATE connect_tasks", "TRUNCATE connect_disconnects", "TRUNCATE connect_schema",
				"CREATE TRIGGER t BEFORE INSERT ON connect_pending EXECUTE FUNCTION suppress_redundant_updates_trigger()",
				"ALTER TABLE connect_pending DISABLE ROW LEVEL SECURITY",
				"CREATE POLICY mine ON connect_pending USING (true)",
			} {
				_, err := anon.Exec(statement)
				requireDenied(t, err, statement)
			}
			require.Equal(t, before, append(contents(t, s), rowsOf(t, s, "SELECT user_id, ended_at FROM connect_disconnects")...))
			require.NoError(t, s.Verify(t.Context()))
			require.ErrorContains(t, New(anon, PostgreSQL).Verify(t.Context()), "row level security may hide rows of connect_schema")
		})
	}
}

func firstColumn(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	return scalar[string](t, db, "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum = 1", table)
}

// The suite passes for the owner and for another role.
func TestContractWithRowSecurity(t *testing.T) {
	t.Parallel()
	t.Run("as the owner", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t)
		storetest.Run(t, func(t *testing.T) connect.Store { return r.migrated(t) })
	})
	t.Run("as a role that is admitted", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t)
		app := r.role(t, "app", "")
		storetest.Run(t, func(t *testing.T) connect.Store {
			owners := r.migrated(t)
			r.run(t, r.owner, r.documented(t, owners, "app")...)
			s := New(app, PostgreSQL, WithTablePrefix(owners.prefix))
			require.NoError(t, s.Verify(t.Context()))
			require.NoError(t, s.Migrate(t.Context()), "it only reads")
			return s
		})
	})
}

// grants are those of docs/databases.md, without the policies.
var grants = []string{
	"GRANT SELECT ON connect_schema TO :app",
	"GRANT SELECT, INSERT, UPDATE, DELETE ON connect_pending, connect_connections, connect_tasks, connect_disconnects TO :app",
}

func onTables(format string, tables ...string) (all []string) {
	for _, table := range tables {
		all = append(all, fmt.Sprintf(format, "connect_"+table))
	}
	return all
}

func TestRowSecurityOfEachRole(t *testing.T) {
	t.Parallel()
	join := func(lists ...[]string) (all []string) {
		for _, list := range lists {
			all = append(all, list...)
		}
		return all
	}
	const open = "CREATE POLICY p ON %s TO :app USING (true)"
	// openBut opens all tables but connect_tasks, which these statements are for.
	openBut := func(tasks ...string) []string {
		return join(grants, onTables(open, "schema", "pending", "connections", "disconnects"), tasks)
	}
	const tasks = "row level security may hide rows of connect_tasks from role :app "

	for name, row := range map[string]struct {
		attributes string
		owner      []string // what the owner of the tables does
		admin      []string // what an administrator does then
		says       []string // nothing: the role may do all
	}{
		"no grants and no policies": {says: []string{
			"role :app lacks SELECT on connect_schema", "row level security may hide rows of connect_schema from role :app",
		}},
		"grants and no policies":            {owner: grants, says: []string{"row level security may hide rows of connect_schema from role :app (no policy for SELECT is the expression true)"}},
		"policies that are open":            {owner: join(grants, onTables(open, tableNames...))},
		"policies for everybody":            {owner: join(grants, onTables("CREATE POLICY p ON %s USING (true)", tableNames...))},
		"policies and no grants":            {owner: onTables(open, tableNames...), says: []string{"role :app lacks SELECT on connect_schema"}},
		"policies and no grant of versions": {owner: append(openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)"), "REVOKE SELECT ON connect_schema FROM :app"), says: []string{"role :app lacks SELECT on connect_schema: "}},
		"policies, and some grants are missing": {
			owner: join(openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)"), []string{
				"REVOKE INSERT, UPDATE ON connect_tasks FROM :app", "REVOKE DELETE ON connect_disconnects FROM :app", "REVOKE SELECT ON connect_pending FROM :app",
			}),
			says: []string{"role :app lacks INSERT, UPDATE on connect_tasks", "role :app lacks DELETE on connect_disconnects", "role :app lacks SELECT on connect_pending"},
		},
		"grants to everybody": {owner: join(onTables(open, tableNames...), []string{
			"GRANT SELECT ON connect_schema TO PUBLIC", "GRANT ALL ON connect_pending, connect_connections, connect_tasks, connect_disconnects TO PUBLIC",
		})},
		"the versions are hidden": {
			owner: join(grants, onTables(open, tableNames[1:]...)),
			says:  []string{"row level security may hide rows of connect_schema from role :app (no policy for SELECT is the expression true)"},
		},
		"one table is hidden": {owner: openBut(), says: []string{tasks + "(no policy for SELECT, INSERT, UPDATE, DELETE is the expression true)"}},
		"two tables are hidden": {
			owner: join(grants, onTables(open, "schema", "pending", "connections")),
			says:  []string{tasks, "row level security may hide rows of connect_disconnects from role :app "},
		},
		"a policy for reading": {
			owner: openBut("CREATE POLICY p ON connect_tasks FOR SELECT TO :app USING (true)"),
			says:  []string{tasks + "(no policy for INSERT, UPDATE, DELETE is the expression true)"},
		},
		"a policy for each command": {owner: openBut(
			"CREATE POLICY a ON connect_tasks FOR SELECT TO :app USING (true)", "CREATE POLICY b ON connect_tasks FOR INSERT TO :app WITH CHECK (true)",
			"CREATE POLICY c ON connect_tasks FOR UPDATE TO :app USING (true)", "CREATE POLICY d ON connect_tasks FOR DELETE TO :app USING (true)")},
		"a policy for each command, but it checks what is changed": {
			owner: openBut(
				"CREATE POLICY a ON connect_tasks FOR SELECT TO :app USING (true)", "CREATE POLICY b ON connect_tasks FOR INSERT TO :app WITH CHECK (true)",
				"CREATE POLICY c ON connect_tasks FOR UPDATE TO :app USING (true) WITH CHECK (attempts < 3)", "CREATE POLICY d ON connect_tasks FOR DELETE TO :app USING (true)"),
			says: []string{tasks + "(no policy for UPDATE is the expression true)"},
		},
		"a policy that depends on the row": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (user_id = 'anna')"),
			says:  []string{tasks + "(no policy for SELECT, INSERT, UPDATE, DELETE is the expression true)"},
		},
		"a policy that depends on who asks": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (current_user = ':app')"), says: []string{tasks},
		},
		"a policy that checks what is written": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true) WITH CHECK (user_id <> '')"),
			says:  []string{tasks + "(no policy for INSERT, UPDATE is the expression true)"},
		},
		"a policy for another role": {owner: openBut("CREATE POLICY p ON connect_tasks TO :owner USING (true)"), says: []string{tasks}},
		"a policy for a group of the role": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :group USING (true)"), admin: []string{"GRANT :group TO :app"},
		},
		"a policy for a group that the role does not inherit from": {
			attributes: "NOINHERIT",
			owner:      openBut("CREATE POLICY p ON connect_tasks TO :group USING (true)"), admin: []string{"GRANT :group TO :app"},
			says: []string{tasks},
		},
		"a restrictive policy": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)", `CREATE POLICY "Not ""x""" ON connect_tasks AS RESTRICTIVE USING (user_id <> 'x')`),
			says:  []string{tasks + `(the restrictive policy "Not ""x""" is not the expression true)`},
		},
		"a restrictive policy for deleting": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)", `CREATE POLICY q ON connect_tasks AS RESTRICTIVE FOR DELETE TO :app USING (false)`),
			says:  []string{tasks + `(the restrictive policy q is not the expression true)`},
		},
		"a restrictive policy that checks what is written": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)", `CREATE POLICY q ON connect_tasks AS RESTRICTIVE TO :app USING (true) WITH CHECK (attempts = 0)`),
			says:  []string{tasks + `(the restrictive policy q is not the expression true)`},
		},
		"a restrictive policy that restricts nothing": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)", "CREATE POLICY q ON connect_tasks AS RESTRICTIVE TO :app USING (true)"),
		},
		"a restrictive policy for another role": {
			owner: openBut("CREATE POLICY p ON connect_tasks TO :app USING (true)", "CREATE POLICY q ON connect_tasks AS RESTRICTIVE TO :owner USING (false)"),
		},
		"a restrictive policy and no other": {
			owner: openBut("CREATE POLICY q ON connect_tasks AS RESTRICTIVE TO :app USING (true)"), says: []string{tasks + "(no policy for SELECT"},
		},
		"row level security is off": {owner: join(grants, onTables("ALTER TABLE %s DISABLE ROW LEVEL SECURITY", tableNames...))},
		"BYPASSRLS":                 {attributes: "BYPASSRLS", owner: grants},
		"BYPASSRLS without grants":  {attributes: "BYPASSRLS", says: []string{"role :app lacks SELECT on connect_schema: "}},
		"a superuser":               {attributes: "SUPERUSER"},
		"a member of the owner":     {admin: []string{"GRANT :owner TO :app"}},
		"the schema may not be used": {
			owner: join(grants, onTables(open, tableNames...)), admin: []string{"REVOKE USAGE ON SCHEMA :schema FROM :app"},
			says: []string{"and that this role may use: create the schema, or grant USAGE on it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRealm(t)
			r.role(t, "group", "")
			app := r.role(t, "app", row.attributes)
			require.NoError(t, New(r.owner, PostgreSQL).Migrate(t.Context()))
			r.run(t, r.owner, row.owner...)
			r.run(t, r.admin, row.admin...)

			s := New(app, PostgreSQL)
			checks := map[string]func() error{"verify": func() error { return s.Verify(t.Context()) }, "migrate": func() error { return s.Migrate(t.Context()) }}
			if row.says == nil {
				for _, check := range checks {
					require.NoError(t, check())
				}
				return
			}
			hidden := strings.Contains(row.says[0], "USAGE")
			for doing, check := range checks {
				err := check()
				require.ErrorContains(t, err, "sqlstore: "+doing+": ")
				require.NotContains(t, err.Error(), "\n")
				for _, says := range row.says {
					require.ErrorContains(t, err, r.named(says))
				}
			}
			if hidden {
				return
			}
			// The SQL in the error is enough. Hidden versions are reported first.
			for range 2 {
				if err := s.Verify(t.Context()); err != nil {
					_, remedy, found := strings.Cut(err.Error(), ": as the owner of the tables run: ")
					require.True(t, found, err.Error())
					r.run(t, r.owner, strings.Split(remedy, "; ")...)
				}
			}
			require.NoError(t, s.Verify(t.Context()))
		})
	}
}

// Without a policy these calls do not fail, so Verify must.
func TestRowSecurityHidesRowsWithoutAnError(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	app := r.role(t, "app", "")
	owners, s := New(r.owner, PostgreSQL), New(app, PostgreSQL)
	prepare(t, owners)
	r.run(t, r.owner, grants...)

	requireConnection(t, s, "anna", "")
	requireTasks(t, s)
	require.Error(t, s.Verify(t.Context()))

	r.run(t, r.owner, r.documented(t, owners, "app")...)
	require.NoError(t, s.Verify(t.Context()))
	requireConnection(t, s, "anna", "1")
	requireTasks(t, s, tag("anna", "1"))
}

func TestRowSecurityForced(t *testing.T) {
	t.Parallel()
	for _, forced := range tableNames {
		t.Run(forced, func(t *testing.T) {
			t.Parallel()
			r := newRealm(t)
			s := New(r.owner, PostgreSQL)
			require.NoError(t, s.Migrate(t.Context()))
			r.run(t, r.owner, "ALTER TABLE connect_"+forced+" FORCE ROW LEVEL SECURITY")
			for doing, err := range map[string]error{"verify": s.Verify(t.Context()), "migrate": s.Migrate(t.Context())} {
				require.EqualError(t, err, r.named("sqlstore: "+doing+": row level security may hide rows of connect_"+forced+
					" from role :owner though it owns the table: as the owner of the tables run: ALTER TABLE connect_"+forced+" NO FORCE ROW LEVEL SECURITY"))
			}
			r.run(t, r.owner, "CREATE POLICY p ON connect_"+forced+" TO :owner USING (true)")
			require.NoError(t, s.Verify(t.Context()), "with a policy it may be forced")
		})
	}
}

// Version 1 had no row level security. A role keeps working during the migration if its
// policies exist before.
func TestRowSecurityPoliciesBeforeVersion2(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	app := r.role(t, "app", "")
	owners, s := New(r.owner, PostgreSQL), New(app, PostgreSQL)
	require.NoError(t, owners.migrate(t.Context(), migrationsFor(PostgreSQL, owners.prefix)[:1]))
	r.run(t, r.owner, insertConnection("anna", "1"))
	var later []string
	for _, statement := range r.documented(t, owners, "app") {
		if strings.HasSuffix(statement, "_disconnects") || strings.Contains(statement, "connect_disconnects") {
			later = append(later, statement)
			statement = strings.ReplaceAll(statement, ", connect_disconnects", "")
		}
		if !strings.Contains(statement, "connect_disconnects") {
			r.run(t, r.owner, statement)
		}
	}
	require.ErrorContains(t, s.Verify(t.Context()), "have schema version 1")
	require.NoError(t, owners.Migrate(t.Context()))
	requireConnection(t, s, "anna", "1")
	require.ErrorContains(t, s.Verify(t.Context()), r.named("role :app lacks SELECT, INSERT, UPDATE, DELETE on connect_disconnects; row level security may hide rows of connect_disconnects"))
	r.run(t, r.owner, later...)
	require.NoError(t, s.Verify(t.Context()))
}

// Verify checks only the tables that the store's statements reach.
func TestVerifyTablesOfAnotherSchema(t *testing.T) {
	t.Parallel()
	first, second := newRealm(t), newRealm(t)
	for _, r := range []*realm{first, second} {
		require.NoError(t, New(r.owner, PostgreSQL).Migrate(t.Context()))
	}
	first.run(t, first.admin, "GRANT USAGE ON SCHEMA "+second.schema+" TO :owner")
	for path, reaches := range map[string]*realm{first.schema + "," + second.schema: first, second.schema + "," + first.schema: second} {
		first.run(t, first.admin, "ALTER ROLE :owner SET search_path = "+path)
		u, err := url.Parse(first.d.url(t))
		require.NoError(t, err)
		password := rand.Text()
		first.run(t, first.admin, "ALTER ROLE :owner PASSWORD '"+password+"'")
		u.User = url.UserPassword(first.schema+"_owner", password)
		err = New(first.d.open(t, u.String()), PostgreSQL).Verify(t.Context())
		if reaches == first {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "lacks SELECT on connect_schema")
		}
	}
}

// A view with the name of a table hides the table.
func TestVerifyTakesNoViewForATable(t *testing.T) {
	t.Parallel()
	first, second := newRealm(t), newRealm(t)
	for _, r := range []*realm{first, second} {
		require.NoError(t, New(r.owner, PostgreSQL).Migrate(t.Context()))
	}
	first.run(t, first.admin, "GRANT :owner TO "+second.schema+"_owner", "ALTER TABLE :schema.connect_tasks RENAME TO other",
		"CREATE VIEW :schema.connect_tasks AS SELECT * FROM :schema.other")
	second.owner.SetMaxOpenConns(1)
	conn, err := second.owner.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "SET search_path = "+first.schema+", "+second.schema)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.ErrorContains(t, New(second.owner, PostgreSQL).Verify(t.Context()), "this user sees no table connect_tasks")
}

// The judgment of random policies is compared with what PostgreSQL lets through.
func TestRowSecurityPoliciesAsPostgreSQLSeesThem(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	app := r.role(t, "app", "")
	require.NoError(t, New(r.owner, PostgreSQL).Migrate(t.Context()))
	oid := scalar[int64](t, r.owner, "SELECT 'connect_tasks'::regclass::bigint")
	r.run(t, r.owner, grants...)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	randomPolicy := func(i int) string {
		command := pick("ALL", "ALL", "SELECT", "INSERT", "UPDATE", "DELETE")
		text := fmt.Sprintf("CREATE POLICY p%d ON connect_tasks AS %s FOR %s TO %s",
			i, pick("PERMISSIVE", "PERMISSIVE", "PERMISSIVE", "RESTRICTIVE"), command, pick(":app", ":app", "PUBLIC", ":owner"))
		if command != "INSERT" {
			text += pick("", " USING (true)", " USING (true)", " USING (false)")
		}
		if command != "SELECT" && command != "DELETE" {
			text += pick("", " WITH CHECK (true)", " WITH CHECK (false)")
		}
		return text
	}
	// Without a WHERE and a column to read, only the policies of the command count.
	commands := map[right]string{
		rightInsert: "INSERT INTO connect_tasks VALUES ('new', 'tag', 'application', 'anna', 0, 0)",
		rightUpdate: "UPDATE connect_tasks SET attempts = 3",
		rightDelete: "DELETE FROM connect_tasks",
	}
	seen := make(map[bool]int)
	for range 200 {
		var made []string
		for i := range 1 + random.IntN(5) {
			made = append(made, randomPolicy(i))
		}
		r.run(t, r.owner, made...)
		policies, err := policiesOn(t.Context(), app, oid)
		require.NoError(t, err)
		for _, right := range rightsOn("tasks") {
			r.run(t, r.owner, "DELETE FROM connect_tasks", "INSERT INTO connect_tasks VALUES ('old', 'tag', 'application', 'anna', 0, 0)")
			want := isOpen(policies, right)
			for _, p := range policies {
				want = want && !p.restricts(right)
			}
			var n int64
			if right == rightSelect {
				n = scalar[int64](t, app, "SELECT COUNT(*) FROM connect_tasks")
			} else if n, err = send(t.Context(), app, commands[right]); err != nil {
				requireDenied(t, err, commands[right])
			}
			require.Equal(t, want, n == 1 && err == nil, "%s with %q", right, made)
			err = nil
			seen[want]++
		}
		for i := range made {
			r.run(t, r.owner, fmt.Sprintf("DROP POLICY p%d ON connect_tasks", i))
		}
	}
	require.Greater(t, min(seen[true], seen[false]), 50, "both have been seen: %v", seen)
}
