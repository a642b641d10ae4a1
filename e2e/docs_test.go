package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The code blocks of docs/routers.md are exactly the regions between "docs: name" and
// "docs: end" in the tests, which run them.
func TestDocsShowTheRecipesOfTheTests(t *testing.T) {
	t.Parallel()
	recipe := regexp.MustCompile(`(?ms)^(\t*)(?://|#) docs: [^\n]+\n(.*?)\n\t*(?://|#) docs: end$`)
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var tested []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range recipe.FindAllStringSubmatch(string(source), -1) {
			lines := strings.Split(strings.TrimSpace(match[2]), "\n")
			for i, line := range lines {
				lines[i] = strings.TrimPrefix(line, match[1])
			}
			tested = append(tested, strings.Join(lines, "\n"))
		}
	}

	page, err := os.ReadFile("../docs/routers.md")
	require.NoError(t, err)
	var shown []string
	for _, match := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)\n```$").FindAllStringSubmatch(string(page), -1) {
		shown = append(shown, match[1])
	}
	slices.Sort(tested)
	slices.Sort(shown)
	require.NotEmpty(t, shown)
	require.Equal(t, tested, shown)
}
