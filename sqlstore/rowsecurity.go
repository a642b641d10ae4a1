package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkAccess returns an error if the current role lacks a right on the tables, or if row
// level security on PostgreSQL may hide rows from it.
func (s *Store) checkAccess(ctx context.Context, r runner, tables []table) error {
	var findings []finding
	for _, t := range tables {
		if t.secured {
			var err error
			if t.policies, err = policiesOn(ctx, r, t.oid); err != nil {
				return err
			}
		}
		findings = append(findings, t.judge(s.prefix)...)
	}
	return asError(findings)
}

// A policy of row level security that applies to the current role.
type policy struct {
	name       string // quoted
	permissive bool   // Otherwise it is restrictive.
	command    string // "*" for all
	// using and check are expressions, empty if the policy has none.
	using, check string
}

// policiesOn returns the policies of a table that apply to the current role.
func policiesOn(ctx context.Context, r runner, oid int64) ([]policy, error) {
	rows, err := r.QueryContext(ctx, findPolicies, oid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []policy
	for rows.Next() {
		var p policy
		if err := rows.Scan(&p.name, &p.permissive, &p.command, &p.using, &p.check); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// findPolicies selects policies as PostgreSQL does: those for PUBLIC, whose oid is 0, and
// those for a role whose rights the current one has.
const findPolicies = `SELECT quote_ident(p.polname), p.polpermissive,
	CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE '*' END,
	COALESCE(pg_get_expr(p.polqual, p.polrelid), ''), COALESCE(pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM pg_catalog.pg_policy p
WHERE p.polrelid = $1::bigint
	AND EXISTS (SELECT 1 FROM unnest(p.polroles) AS role WHERE CASE role WHEN 0 THEN TRUE ELSE pg_has_role(role, 'USAGE') END)
ORDER BY p.polname`

// everyRow is the only expression that certainly lets every row through.
const everyRow = "true"

func (p policy) appliesTo(right right) bool { return p.command == "*" || p.command == string(right) }

// expressions returns the expressions for rows before and after the command. A policy
// without WITH CHECK uses USING for both.
func (p policy) expressions(right right) (before, after string) {
	before, after = p.using, p.check
	if after == "" {
		after = p.using
	}
	switch right {
	case rightSelect, rightDelete:
		after = everyRow
	case rightInsert:
		before = everyRow
	}
	return before, after
}

// isOpen reports whether the permissive policies let every row through. One policy is
// enough, and the ones for before and after may differ.
func isOpen(policies []policy, right right) bool {
	var openBefore, openAfter bool
	for _, p := range policies {
		if p.permissive && p.appliesTo(right) {
			before, after := p.expressions(right)
			openBefore = openBefore || before == everyRow
			openAfter = openAfter || after == everyRow
		}
	}
	return openBefore && openAfter
}

// restricts reports whether p is a restrictive policy that may hide rows. An absent
// expression hides none.
func (p policy) restricts(right right) bool {
	if p.permissive || !p.appliesTo(right) {
		return false
	}
	before, after := p.expressions(right)
	return before != everyRow && before != "" || after != everyRow && after != ""
}

// A finding is a problem with a table and the SQL that fixes it.
type finding struct{ problem, remedy string }

// judge returns what may keep the current role from reading and writing the table.
func (t table) judge(prefix string) (all []finding) {
	name := prefix + t.name
	if t.lacking != nil {
		all = append(all, finding{
			fmt.Sprintf("role %s lacks %s on %s", t.role, joined(t.lacking), name),
			fmt.Sprintf("GRANT %s ON %s TO %s", joined(t.lacking), name, t.role),
		})
	}
	if !t.secured {
		return all
	}
	var closed, restricted []right
	for _, right := range rightsOn(t.name) {
		if !isOpen(t.policies, right) {
			closed = append(closed, right)
		}
		if slices.ContainsFunc(t.policies, func(p policy) bool { return p.restricts(right) }) {
			restricted = append(restricted, right)
		}
	}
	if closed == nil && restricted == nil {
		return all
	}
	problem := fmt.Sprintf("row level security may hide rows of %s from role %s", name, t.role)
	if t.owned { // For owners it must have been forced.
		return append(all, finding{problem + " though it owns the table", "ALTER TABLE " + name + " NO FORCE ROW LEVEL SECURITY"})
	}
	if closed != nil {
		all = append(all, finding{
			fmt.Sprintf("%s (no policy for %s is the expression true)", problem, joined(closed)),
			t.policyFor(name, closed),
		})
	}
	for _, p := range t.policies {
		if slices.ContainsFunc(restricted, p.restricts) {
			all = append(all, finding{
				fmt.Sprintf("%s (the restrictive policy %s is not the expression true)", problem, p.name),
				fmt.Sprintf("DROP POLICY %s ON %s", p.name, name),
			})
		}
	}
	return all
}

// policyFor returns the SQL of a policy that lets the role do all that the store does.
// PostgreSQL combines it with existing policies.
func (t table) policyFor(name string, closed []right) string {
	command := ""
	if t.name == "schema" {
		command = " FOR " + joined(closed)
	}
	return fmt.Sprintf("CREATE POLICY connect_store ON %s%s TO %s USING (true)", name, command, t.role)
}

func joined(rights []right) string {
	texts := make([]string, len(rights))
	for i, right := range rights {
		texts[i] = string(right)
	}
	return strings.Join(texts, ", ")
}

// asError returns one error of one line for all findings, or nil.
func asError(findings []finding) error {
	if len(findings) == 0 {
		return nil
	}
	var problems, remedies []string
	for _, f := range findings {
		problems = append(problems, f.problem)
		remedies = append(remedies, f.remedy)
	}
	return errors.New(strings.Join(problems, "; ") + ": as the owner of the tables run: " + strings.Join(remedies, "; "))
}
