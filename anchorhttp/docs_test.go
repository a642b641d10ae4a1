package anchorhttp_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// The code of docs/sessions.md is what stands between "docs: name" and "docs: end" in
// the examples, which run it.
func TestDocsOfSessionsAreTheExamples(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	var tested []string
	for _, match := range regexp.MustCompile(`(?ms)^(\t*)// docs: [^\n]+\n(.*?)\n\t*// docs: end$`).FindAllStringSubmatch(string(source), -1) {
		lines := strings.Split(match[2], "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, match[1])
		}
		tested = append(tested, strings.Join(lines, "\n"))
	}
	page, err := os.ReadFile("../docs/sessions.md")
	require.NoError(t, err)
	var shown []string
	for _, match := range regexp.MustCompile("(?ms)^```go\n(.*?)\n```$").FindAllStringSubmatch(string(page), -1) {
		shown = append(shown, match[1])
	}
	slices.Sort(tested)
	slices.Sort(shown)
	require.Len(t, shown, 3)
	require.Equal(t, tested, shown)
}

func TestDocsOfSessionsNameEveryStatus(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/sessions.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| (`.*) \\| (\\w+)").FindAllStringSubmatch(string(page), -1)
	want := map[string]anchorhttp.SignIn{}
	for _, status := range []string{
		anchorhttp.StatusPending, anchorhttp.StatusValidated, anchorhttp.StatusActive,
		anchorhttp.StatusFailed, anchorhttp.StatusAgentFailed, anchorhttp.StatusAgentInvalid,
	} {
		want[status] = anchorhttp.SignInOf(status)
	}
	for _, row := range rows {
		for _, status := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(row[1], -1) {
			require.Equal(t, row[2], want[status[1]].String(), status[1])
			delete(want, status[1])
		}
	}
	require.Empty(t, want)
}
