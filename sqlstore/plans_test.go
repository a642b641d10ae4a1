package sqlstore

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rows is the number of rows of each table, enough for a planner to avoid a scan.
var rows = map[Dialect]int{SQLite: 1000, PostgreSQL: 20_000, MySQL: 4000}

// fill adds rows to each table, and updates the planner's statistics.
func fill(t *testing.T, s *Store) {
	t.Helper()
	text := func(prefix string) string { return "'" + prefix + " ' || n" }
	numbers := fmt.Sprintf("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d) SELECT ", rows[s.dialect])
	into := func(table, values string) string {
		return "INSERT INTO " + table + " " + numbers + values + " FROM numbers"
	}
	if s.dialect == MySQL {
		text = func(prefix string) string { return "CONCAT('" + prefix + " ', n)" }
		numbers = "SELECT "
		into = func(table, values string) string {
			return fmt.Sprintf("INSERT INTO %s SELECT %s FROM (SELECT seq AS n FROM (%s) s) numbers", table, values, series())
		}
	}
	statements := []string{
		into("connect_pending", text("hash")+", 'application', "+text("user")+", '/', 0, n, FALSE, '', n, '', '', FALSE, ''"),
		into("connect_connections", "'application', "+text("user")+", "+text("identity")+", n, 'ok', n, "+text("id")+", '', '', n, 0"),
		into("connect_disconnects", "'application', "+text("user")+", n"),
		into("connect_tasks", text("identity")+", 'tag', 'application', "+text("user")+", n, 0"),
	}
	for _, statement := range statements {
		_, err := s.db.ExecContext(t.Context(), prefixed(s, statement))
		require.NoError(t, err, statement)
	}
	analyze(t, s, "pending", "connections", "disconnects", "tasks")
}

// series is a query for the numbers from 1. MySQL's limit on recursion is too low for it.
func series() string {
	digits := "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	return fmt.Sprintf("SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS seq FROM %[1]s a, %[1]s b, %[1]s c, %[1]s e HAVING seq <= %[2]d", digits, rows[MySQL])
}

// explain returns the plan of a statement, a line for each step.
func explain(t *testing.T, s *Store, statement string, args []any) []string {
	t.Helper()
	how := map[Dialect]string{SQLite: "EXPLAIN QUERY PLAN ", PostgreSQL: "EXPLAIN ", MySQL: "EXPLAIN FORMAT=TRADITIONAL "}[s.dialect]
	found, err := s.db.QueryContext(t.Context(), how+statement, args...)
	require.NoError(t, err, statement)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	var plan []string
	for found.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(t, found.Scan(values...))
		var step strings.Builder
		for i, value := range values {
			value := *value.(*any)
			if b, ok := value.([]byte); ok {
				value = string(b)
			}
			fmt.Fprintf(&step, "%s=%v; ", columns[i], value)
		}
		plan = append(plan, step.String())
	}
	require.NoError(t, found.Err())
	require.NotEmpty(t, plan)
	return plan
}

// No statement may read a whole table.
func TestPlans(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		s := d.migrated(t)
		fill(t, s)

		const hash, user, identity, us, limit = "hash 7", "user 7", "identity 7", int64(20), 10
		args := map[string][]any{
			"pending":            {hash},
			"spend":              {hash},
			"sweep":              {us, limit},
			"bindAtOnce":         {"new", application, user, "", "", false, "", "/", us, us, us, limit},
			"flowsOf":            {application, user, ""},
			"bind":               nil,
			"removeSome":         {application, user, hash, "hash 8"},
			"spendSome":          {application, user, hash, "hash 8"},
			"completeAtOnce":     {hash, application, user, "new", us, us, "ok", us, true, "", "id", "", limit, true, "", ""},
			"completeFlow":       {"new", hash},
			"facts":              {identity, identity, application, user, hash},
			"addConnection":      nil,
			"renewConnection":    {"", "new", "", us, us, "ok", us, application, user, 0},
			"dropTag":            {identity},
			"queueTag":           nil,
			"dropIndexOne":       nil,
			"connections":        {application, user},
			"lockConnections":    {application, user},
			"connectionWith":     {identity},
			"withIdentities":     {identity, "identity 8"},
			"lockConnectionWith": {identity},
			"list":               {application, "id 7", limit},
			"listHealth":         {application, "id 7", "ok", limit},
			"changeConnection":   {"ok", us, "work", application, user, "id 7", "", identity, us, "ok", us, ""},
			"recordDisconnect":   nil,
			"spendFlows":         {application, user},
			"spendFlowsFor":      {application, user, "id 7", application, user, "id 7"},
			"dropConnection":     {application, user, "id 7"},
			"queueDeletion":      nil,
			"replaceTag":         nil,
			"isConnected":        {identity},
			"beginWriting":       nil,
			"forgetDisconnects":  {us, limit},
			"applicationsOf":     {user, user},
			"nextApplication":    {"", ""},
			"claimAtOnce":        {application, us, us, limit},
			"due":                {application, us},
			"pick":               {application, us, limit},
			"lease":              {us, identity, "identity 8"},
			"done":               {identity, "tag"},
			"postpone":           {us, identity, "tag"},
		}
		texts := reflect.ValueOf(s.sql)
		for i := range texts.NumField() {
			name, text := texts.Type().Field(i).Name, texts.Field(i).String()
			require.Contains(t, args, name)
			if text == "" {
				continue
			}
			if strings.HasSuffix(text, " IN") {
				text += " (?, ?)"
				if d.dialect == PostgreSQL { // Of these texts none has parameters before.
					text = numbered(text)
				}
			}
			if args[name] == nil {
				continue // It reads nothing.
			}
			for _, step := range explain(t, s, text, args[name]) {
				switch d.dialect {
				case SQLite:
					require.NotContains(t, step, "detail=SCAN p", name)
					require.NotContains(t, step, "detail=SCAN c", name)
					require.NotContains(t, step, "detail=SCAN t", name)
				case PostgreSQL:
					require.NotContains(t, step, "Seq Scan", name)
				case MySQL:
					if strings.Contains(step, "table=<union") || strings.Contains(step, "table=<derived") || strings.Contains(step, "select_type=INSERT") {
						continue // what other steps have read, and on MySQL the table that is written to
					}
					require.NotContains(t, step, "type=ALL", name)
					require.NotContains(t, step, "type=index;", name)
				}
			}
		}

		t.Run("a flow is found by its token hash, however many its user has", func(t *testing.T) {
			for _, name := range []string{"completeAtOnce", "completeFlow", "facts"} {
				text := texts.FieldByName(name).String()
				if text == "" {
					continue
				}
				plan := strings.Join(explain(t, s, text, args[name]), "\n")
				require.Contains(t, plan, map[Dialect]string{
					SQLite: "USING PRIMARY KEY (token_hash=?)", PostgreSQL: s.prefix + "pending_pkey", MySQL: "key=PRIMARY",
				}[d.dialect], name)
				require.NotContains(t, strings.ReplaceAll(plan, "possible_keys=PRIMARY,"+s.prefix+"pending_user", ""), s.prefix+"pending_user", name)
			}
		})

		t.Run("the next application is the first entry of an index", func(t *testing.T) {
			plan := strings.Join(explain(t, s, s.sql.nextApplication, args["nextApplication"]), "\n")
			switch d.dialect {
			case MySQL: // It has looked already.
				require.Equal(t, 2, strings.Count(plan, "Select tables optimized away"), plan)
			case PostgreSQL:
				require.Equal(t, 2, strings.Count(plan, "Limit"), plan)
				fallthrough
			default:
				require.Contains(t, plan, s.prefix+"connections_list")
				require.Contains(t, plan, s.prefix+"tasks_due")
			}
		})

		t.Run("sweeping, claiming and making room walk along their index, and sort nothing", func(t *testing.T) {
			for name, index := range map[string]string{
				"sweep": "pending_expiry", "forgetDisconnects": "disconnects_ended",
				"bindAtOnce": "pending_user", "flowsOf": "pending_user",
				"claimAtOnce": "tasks_due", "pick": "tasks_due", "list": "connections_list", "listHealth": "connections_list",
			} {
				text := texts.FieldByName(name).String()
				if text == "" {
					continue
				}
				plan := strings.Join(explain(t, s, text, args[name]), "\n")
				require.Contains(t, plan, s.prefix+index, name)
				require.NotContains(t, plan, "Sort", name)
				require.NotContains(t, plan, "filesort", name)
				require.NotContains(t, plan, "TEMP B-TREE", name)
			}
		})
	})
}
