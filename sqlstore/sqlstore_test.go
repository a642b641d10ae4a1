package sqlstore

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestNewPanics(t *testing.T) {
	t.Parallel()
	db := new(sql.DB)
	require.PanicsWithValue(t, "sqlstore: the *sql.DB is nil", func() { New(nil, SQLite) })
	require.PanicsWithValue(t,
		`sqlstore: unknown dialect "oracle": want sqlstore.SQLite, sqlstore.PostgreSQL or sqlstore.MySQL`,
		func() { New(db, "oracle") })
	require.Panics(t, func() { New(db, "") })
	require.Panics(t, func() { Schema("oracle") })
	require.Panics(t, func() { SchemaSince("oracle", 1) })
	for _, version := range []int{-1, 0, 4} {
		require.PanicsWithValue(t, fmt.Sprintf("sqlstore: unknown schema version %d: want 1 to 3", version),
			func() { SchemaSince(SQLite, version) })
	}

	for _, prefix := range []string{
		"", "_", "1a_", "Connect_", "a-", "a.b", "a b", `a"`, "a;", "a`", "é_", "a\n", strings.Repeat("a", 31),
	} {
		require.Panics(t, func() { New(db, SQLite, WithTablePrefix(prefix)) }, "prefix %q", prefix)
		require.Panics(t, func() { Schema(SQLite, WithTablePrefix(prefix)) }, "prefix %q", prefix)
		require.Panics(t, func() { SchemaSince(SQLite, 1, WithTablePrefix(prefix)) }, "prefix %q", prefix)
	}
	for _, prefix := range []string{"a", "a1_", "connect_staging_", strings.Repeat("a", 30)} {
		require.NotPanics(t, func() { New(db, SQLite, WithTablePrefix(prefix)) }, "prefix %q", prefix)
	}
}

func TestTablePrefix(t *testing.T) {
	t.Parallel()

	for _, d := range databases {
		t.Run("every statement on "+d.name+" carries the prefix", func(t *testing.T) {
			t.Parallel()
			texts := reflect.ValueOf(statementsFor(d.dialect, "other_"))
			for i := range texts.NumField() {
				text := texts.Field(i).String()
				name := texts.Type().Field(i).Name
				require.NotContains(t, text, "connect_", name)
				if text != "" {
					require.Contains(t, text, "other_", name)
				}
				if d.dialect == PostgreSQL {
					require.NotContains(t, text, "?", name)
				}
			}
			require.NotContains(t, Schema(d.dialect, WithTablePrefix("other_")), "connect_")
			require.NotContains(t, Schema(d.dialect), "other_")
			require.NotContains(t, SchemaSince(d.dialect, 1, WithTablePrefix("other_")), "connect_")
			require.NotContains(t, SchemaSince(d.dialect, 1), "other_")
		})
	}

	onEach(t, func(t *testing.T, d *database) {
		t.Run("stores in one database share nothing", func(t *testing.T) {
			t.Parallel()
			one := d.migrated(t)
			// The longest valid prefix.
			prefix := randomPrefix() + strings.Repeat("x", 18)
			other := d.emptyIn(t, one.db, WithTablePrefix(prefix))
			require.Len(t, other.prefix, 30)
			require.NoError(t, other.Migrate(t.Context()))

			for _, s := range []*Store{one, other} {
				annas := flow("anna", "annas")
				bind(t, s, annas)
				complete(t, s, annas, "1")
			}
			disconnect(t, one, "anna")
			requireConnection(t, one, "anna", "")
			requireConnection(t, other, "anna", "1")
			requireTasks(t, one, deletion("anna", "1"))
			requireTasks(t, other, tag("anna", "1"))
			_, err := other.Sweep(t.Context(), noon.AddDate(1, 0, 0), 10)
			require.NoError(t, err)
			_, err = one.Pending(t.Context(), "annas")
			require.NoError(t, err)
			_, err = other.Pending(t.Context(), "annas")
			require.ErrorIs(t, err, connect.ErrStateUnknown)
		})
	})
}

func TestTextsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		db, w := watched(t, d)
		s := New(db, d.dialect)
		identified := func(identity string) connect.Connection {
			c := connection("anna", "1")
			c.IdentityID = identity
			return c
		}
		for what, odd := range map[string]string{
			"has a NUL byte":     "secret\x00",
			"is not valid UTF-8": "secret\xff",
			"has 256 bytes":      "secret" + strings.Repeat("x", 250),
		} {
			for method, call := range map[string]func() error{
				"Bind":                     func() error { return s.Bind(t.Context(), flow("anna", odd), plenty) },
				"Pending":                  func() error { _, err := s.Pending(t.Context(), odd); return err },
				"Spend":                    func() error { return s.Spend(t.Context(), odd) },
				"Complete, the token hash": func() error { _, err := s.Complete(t.Context(), odd, connection("anna", "1"), tagged); return err },
				"Complete, the identity":   func() error { _, err := s.Complete(t.Context(), "annas", identified(odd), tagged); return err },
				"Connections, the user":    func() error { _, err := s.Connections(t.Context(), application, odd); return err },
				"Connections, application": func() error { _, err := s.Connections(t.Context(), odd, "anna"); return err },
				"Queue":                    func() error { return s.Queue(t.Context(), tag("anna", odd)) },
				"List, application": func() error {
					_, err := s.List(t.Context(), connect.ListQuery{ApplicationID: odd, Limit: 1})
					return err
				},
				"List, after": func() error {
					_, err := s.List(t.Context(), connect.ListQuery{ApplicationID: application, After: odd, Limit: 1})
					return err
				},
				"SetLabel, the user":   func() error { _, err := s.SetLabel(t.Context(), application, odd, "1", ""); return err },
				"SetHealth":            func() error { _, _, err := s.SetHealth(t.Context(), odd, connect.HealthOK, noon); return err },
				"Claim":                func() error { _, err := s.Claim(t.Context(), odd, noon, tagDue, 1); return err },
				"Disconnect, the user": func() error { _, err := s.Disconnect(t.Context(), all(odd)); return err },
				"Disconnect, application": func() error {
					_, err := s.Disconnect(t.Context(), connect.Disconnection{ApplicationID: odd, UserID: "anna"})
					return err
				},
				"ApplicationsOf":     func() error { _, err := s.ApplicationsOf(t.Context(), odd); return err },
				"Done, the identity": func() error { return s.Done(t.Context(), tag("anna", odd)) },
				"Done, the kind":     func() error { return s.Done(t.Context(), connect.Task{Kind: connect.TaskKind(odd)}) },
				"Postpone":           func() error { return s.Postpone(t.Context(), tag("anna", odd), noon) },
			} {
				sent := w.during(func() {
					err := call()
					require.ErrorContains(t, err, "sqlstore: ", method)
					require.ErrorContains(t, err, what, method)
					require.NotContains(t, err.Error(), "secret", method)
				})
				require.Empty(t, sent, "%s with a text that %s is refused before anything is sent", method, what)
			}
		}
	})
}

func TestArgumentsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("a limit of flows below one, an empty user or a health that is none is refused before anything is sent", func(t *testing.T) {
			t.Parallel()
			db, w := watched(t, d)
			s := New(db, d.dialect)
			sent := w.during(func() {
				for _, limit := range []int{0, -1} {
					require.EqualError(t, s.Bind(t.Context(), flow("anna", "annas"), limit),
						fmt.Sprintf("sqlstore: bind a flow: the limit of flows is %d, and must be at least 1", limit))
				}
				c := connection("anna", "1")
				c.Health = "ill"
				_, err := s.Complete(t.Context(), "annas", c, tagged)
				require.ErrorContains(t, err, `sqlstore: complete a flow: Health is "ill"`)
				_, err = s.Disconnect(t.Context(), all(""))
				require.EqualError(t, err, "sqlstore: disconnect a user: the user id is empty")
				_, err = s.Disconnect(t.Context(), connect.Disconnection{UserID: "anna"})
				require.EqualError(t, err, "sqlstore: disconnect a user: the application id is empty")
				_, _, err = s.SetHealth(t.Context(), "", connect.HealthOK, noon)
				require.EqualError(t, err, "sqlstore: set the health of a connection: the identity id is empty")
				_, err = s.List(t.Context(), connect.ListQuery{ApplicationID: application, Health: "ill", Limit: 1})
				require.ErrorContains(t, err, `sqlstore: list connections: Health is "ill"`)
				require.ErrorContains(t, s.Queue(t.Context(), connect.Task{Kind: "odd"}), `sqlstore: queue a task: Kind is "odd"`)
				_, err = s.SetLabel(t.Context(), application, "anna", "1", strings.Repeat("é", 101))
				require.EqualError(t, err, "sqlstore: set the label of a connection: the label has 101 characters, over the limit of 100")
				_, _, err = s.SetHealth(t.Context(), "1", "ill", noon)
				require.ErrorContains(t, err, `sqlstore: set the health of a connection: Health is "ill"`)
			})
			require.Empty(t, sent)
		})
	})
}
