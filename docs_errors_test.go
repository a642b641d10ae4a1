package connect

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table is made from errors.go: the names and the comments of the errors, with what
// they say to users. To write it into the page:
//
//	UPDATE_DOCS=1 go test -run TestDocsListEveryError .
func TestDocsListEveryError(t *testing.T) {
	t.Parallel()
	const page = "docs/errors.md"
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	begin, rest, found := strings.Cut(text, "<!-- errors -->\n")
	require.True(t, found)
	_, end, found := strings.Cut(rest, "<!-- end of errors -->\n")
	require.True(t, found)

	want := begin + "<!-- errors -->\n" + errorTables(t) + "<!-- end of errors -->\n" + end
	if os.Getenv("UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, text, "see the comment of this test")
}

// errorTables returns a table for each group of errors in errors.go, in Markdown.
func errorTables(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, parser.ParseComments)
	require.NoError(t, err)
	var table strings.Builder
	rest := causes // in the order of the source
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR || !group.Lparen.IsValid() {
			continue
		}
		fmt.Fprintf(&table, "\n## %s\n\n", strings.TrimSuffix(oneLine(group.Doc), "."))
		table.WriteString("| error | code | status | returned when | what the user reads |\n|---|---|---|---|---|\n")
		for _, spec := range group.Specs {
			name := spec.(*ast.ValueSpec)
			c, e := rest[0], Explain(rest[0])
			rest = rest[1:]
			when, ok := strings.CutPrefix(oneLine(name.Doc), name.Names[0].Name+" is returned")
			require.True(t, ok, "%s: its comment begins \"%[1]s is returned when\"", name.Names[0])
			when = strings.TrimPrefix(strings.TrimLeft(when, ", "), "when ")
			when = regexp.MustCompile(`\[([^\]]+)\]|\b(Config\.\w+|return_to)\b`).ReplaceAllString(when, "`$1$2`")
			fmt.Fprintf(&table, "| `%s` | `%s` | %d | %s | **%s.** %s |\n",
				name.Names[0], c.Code, c.Status, when, e.Title, e.Help)
		}
	}
	require.Empty(t, rest)
	return table.String() + "\n"
}

// oneLine returns a comment's text on one line.
func oneLine(comment *ast.CommentGroup) string {
	return strings.Join(strings.Fields(comment.Text()), " ")
}

// Each proof of docs/flow.md has the errors that stand for it, in the order in which they
// are checked.
func TestDocsListEveryProof(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/flow.md")
	require.NoError(t, err)
	shown := regexp.MustCompile(`(?m)^\| (\d) \|.*\| (.*) \|$`).FindAllStringSubmatch(string(page), -1)
	var rows, want []string
	for _, row := range shown {
		rows = append(rows, row[1]+" "+row[2])
	}
	for number := 1; number <= proofs[len(proofs)-1].number; number++ {
		var errs []string
		for _, proof := range proofs {
			if proof.number == number {
				errs = append(errs, "`"+nameOf(t, proof.err)+"`")
			}
		}
		want = append(want, fmt.Sprint(number, " ", strings.Join(errs, ", ")))
	}
	require.Equal(t, want, rows)
}

// nameOf returns the name of an error's variable, by docs/errors.md.
func nameOf(t *testing.T, err error) string {
	t.Helper()
	page, readErr := os.ReadFile("docs/errors.md")
	require.NoError(t, readErr)
	row := regexp.MustCompile("(?m)^\\| `(Err\\w+)` \\| `" + Explain(err).Code + "` \\|").FindSubmatch(page)
	require.NotNil(t, row, err)
	return string(row[1])
}
