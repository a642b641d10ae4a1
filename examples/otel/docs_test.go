package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The code blocks of docs/telemetry.md are exactly the regions between "docs: telemetry"
// and "docs: end" in the example, which the tests run.
func TestDocsShowTheExample(t *testing.T) {
	t.Parallel()
	region := regexp.MustCompile(`(?ms)^(\t*)// docs: telemetry\n\n?(.*?)\n+\t*// docs: end$`)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var tested []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range region.FindAllStringSubmatch(string(source), -1) {
			lines := strings.Split(match[2], "\n")
			for i, line := range lines {
				lines[i] = strings.TrimPrefix(line, match[1])
			}
			tested = append(tested, strings.Join(lines, "\n"))
		}
	}
	page, err := os.ReadFile("../../docs/telemetry.md")
	require.NoError(t, err)
	var shown []string
	for _, match := range regexp.MustCompile("(?ms)^```go\n(.*?)\n```$").FindAllStringSubmatch(string(page), -1) {
		shown = append(shown, match[1])
	}
	require.NotEmpty(t, shown)
	require.ElementsMatch(t, tested, shown)
}
