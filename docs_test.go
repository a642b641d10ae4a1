package connect_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// repository returns the files of the repository whose names end in extension, by path
// with slashes.
func repository(t *testing.T, extension string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || path.Ext(name) != extension {
			return nil
		}
		content, err := os.ReadFile(name)
		files[filepath.ToSlash(name)] = strings.ReplaceAll(string(content), "\r\n", "\n")
		return err
	})
	require.NoError(t, err)
	return files
}

// blocks returns a page's code blocks in one of the languages, a pattern.
func blocks(page, languages string) []string {
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```(?:"+languages+")\n(.*?)\n```$").FindAllStringSubmatch(page, -1) {
		found = append(found, match[1])
	}
	return found
}

// isFile reports whether a Go block is a whole file: the test of programs compiles it.
func isFile(block string) bool { return strings.HasPrefix(block, "package ") }

// lines are the lines of the repository's Go files, without their indentation.
type lines struct {
	files map[string][]string
	where map[string][]place
}

type place struct {
	file string
	line int
}

func readLines(files map[string]string) lines {
	l := lines{map[string][]string{}, map[string][]place{}}
	for file, source := range files {
		l.files[file] = strings.Split(source, "\n")
		for i, line := range l.files[file] {
			line = strings.TrimLeft(line, "\t")
			l.where[line] = append(l.where[line], place{file, i})
		}
	}
	return l
}

// contain reports whether a block is in one of the files, at whatever indentation.
func (l lines) contain(block string) bool {
	shown := strings.Split(block, "\n")
	return slices.ContainsFunc(l.where[strings.TrimLeft(shown[0], "\t")], func(p place) bool {
		source := l.files[p.file][p.line:]
		if len(source) < len(shown) {
			return false
		}
		indentation, ok := strings.CutSuffix(source[0], shown[0])
		if !ok {
			return false
		}
		for i, line := range shown {
			if source[i] != indentation+line && (line != "" || source[i] != "") {
				return false
			}
		}
		return true
	})
}

// Each Go and nginx block of a page is, line for line, a part of a Go file, which the
// tests of its module compile and, in an example or a test, run. In the source it is
// between "docs: …" and "docs: end", so that an editor of the source knows of the page.
func TestDocsShowCodeOfTheRepository(t *testing.T) {
	t.Parallel()
	pages, sources := repository(t, ".md"), repository(t, ".go")
	code := readLines(sources)
	shown := map[string]bool{}
	for name, page := range pages {
		for _, block := range blocks(page, "go|nginx") {
			shown[block] = true
			if !isFile(block) {
				require.True(t, code.contain(block), "%s: no Go file has this code:\n%s", name, block)
			}
		}
	}
	region := regexp.MustCompile(`(?ms)^(\t*)(?://|#) docs: [^\n]+\n+(.*?)\n+\t*(?://|#) docs: end$`)
	var regions int
	for name, source := range sources {
		for _, match := range region.FindAllStringSubmatch(source, -1) {
			regions++
			marked := strings.ReplaceAll("\n"+match[2], "\n"+match[1], "\n")[1:]
			require.True(t, shown[marked], "%s: no page shows this code:\n%s", name, marked)
		}
	}
	require.Greater(t, regions, 50)
}

func TestDocsCodeIsCompared(t *testing.T) {
	t.Parallel()
	code := readLines(map[string]string{"a.go": "func a() {\n\t\tif b {\n\t\t\tc()\n\n\t\t}\n\t\td()\n}\n"})
	for block, want := range map[string]bool{
		"if b {\n\tc()\n\n}":      true,
		"if b {\n\tc()\n\n}\nd()": true,
		"d()":                     true,
		"if b {\nc()\n\n}":        false,
		"if b {\n\tc()\n}":        false,
		"if b {\n\tc(1)\n\n}":     false,
		"d(":                      false,
		"()":                      false,
		"d()\n}":                  false,
	} {
		require.Equal(t, want, code.contain(block), block)
	}
}

// anchors returns the fragments that GitHub gives to a page's headings.
func anchors(page string) []string {
	var found []string
	page = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(page, "")
	for _, match := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(page, -1) {
		heading := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(match[1], "$1")
		anchor := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
		found = append(found, strings.ReplaceAll(anchor, " ", "-"))
	}
	return found
}

func TestDocsLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := repository(t, ".md")
	code := regexp.MustCompile("(?ms)^```.*?^```$|``[^\n]*?``|`[^`]*`|^    .*?$")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"|(?m)^\[[^\]]+\]: *(\S+)`)
	var checked int
	for name, page := range pages {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(page, ""), -1) {
			target := match[1] + match[2] + match[3]
			if strings.Contains(target, ":") {
				continue // Another site, or a mail address.
			}
			checked++
			file, anchor, hasAnchor := strings.Cut(target, "#")
			if file = path.Join(path.Dir(name), file); strings.HasPrefix(target, "#") {
				file = name
			}
			_, err := os.Stat(file)
			require.NoError(t, err, "%s links to %s", name, target)
			if hasAnchor {
				require.Contains(t, anchors(pages[file]), anchor, "%s links to %s", name, target)
			}
		}
	}
	require.Greater(t, checked, 100)
}

// Comments refer to pages by their paths from the repository's root.
func TestDocsThatCommentsReferToExist(t *testing.T) {
	t.Parallel()
	for name, source := range repository(t, ".go") {
		for _, page := range regexp.MustCompile(`\bdocs/[a-z]+\.md\b`).FindAllString(source, -1) {
			_, err := os.Stat(page)
			require.NoError(t, err, name)
		}
	}
}

func TestDocsIndexNamesEveryPage(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("docs/README.md")
	require.NoError(t, err)
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			require.Contains(t, string(index), "("+name+")")
		}
	}
}

func TestDocsREADMEIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, len(strings.Fields(string(text))), 1500)
	version := names(t, "go.mod", `(?m)^go (\d+\.\d+)`)[0]
	require.Contains(t, string(text), "It needs Go "+version+" or later.")
	// The repository is cloned before anything in it can run.
	clone, run := strings.Index(string(text), "    git clone "), strings.Index(string(text), "    go run ./examples/stdlib")
	require.Positive(t, clone)
	require.Greater(t, run, clone)
}

func TestDocsTemplatesServe(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/pages.md")
	require.NoError(t, err)
	var served int
	for _, block := range blocks(string(text), "html") {
		if !strings.HasPrefix(block, "{{define") {
			continue
		}
		served++
		_, err := newWith(t, block)
		require.NoError(t, err)
		require.Contains(t, everyPage(newSite(t, templates(t, block)))["connect"].body, "Errand")
	}
	require.Equal(t, 3, served)
}

func TestDocsNameEveryFieldOfAPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/pages.md")
	require.NoError(t, err)
	for _, page := range []any{connect.ConnectPage{}, connect.ConnectedAccount{}, connect.NoticePage{}, connect.RepeatPage{}, connect.PopupPage{}} {
		require.Contains(t, string(text), "`"+reflect.TypeOf(page).Name()+"`")
		for _, field := range reflect.VisibleFields(reflect.TypeOf(page)) {
			if !field.Anonymous && field.IsExported() {
				require.Contains(t, string(text), "`."+field.Name+"`")
			}
		}
	}
}

// names returns what the pattern's group matches in a file.
func names(t *testing.T, file, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	require.NotEmpty(t, found)
	return found
}

func TestDocsNameEveryRoute(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/routes.md")
	require.NoError(t, err)
	app := newDemoApp(func(config *connect.Config) {
		config.Applications = map[string]string{"calendar": "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"}
		config.FixedCallbackURL = true
	})
	defer app.close()
	for method, path := range app.connect.Routes("{state}") {
		if method == http.MethodHead {
			continue
		}
		path = strings.TrimSuffix(strings.Replace(path, "/calendar", "/{application}", 1), "/")
		require.Contains(t, string(text), "\n| `"+method+" "+path+"` |")
	}
}

func TestDocsNameEveryFieldOfTheStatus(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/routes.md")
	require.NoError(t, err)
	app := newDemoApp(func(config *connect.Config) {
		config.User = func(*http.Request) (connect.User, error) { return connect.User{ID: "acme", Actor: "ada"}, nil }
	})
	defer app.close()
	app.connectAda()
	response, err := app.browser.Get(app.server.URL + "/connect/status")
	require.NoError(t, err)
	defer response.Body.Close()
	var status map[string]any
	require.NoError(t, json.NewDecoder(response.Body).Decode(&status))
	require.Equal(t, true, status["connected"])
	for _, fields := range []map[string]any{status, status["connections"].([]any)[0].(map[string]any)} {
		for field := range fields {
			require.Contains(t, string(text), "`"+field+"`")
		}
	}
}

func TestDocsNameEveryEvent(t *testing.T) {
	t.Parallel()
	events := names(t, "event.go", `EventKind = "(\w+)"`)
	require.Greater(t, len(events), 5)
	rows := strings.Join(names(t, "docs/running.md", "(?m)^\\| (`[a-z_`, ]+`) \\|"), " ")
	for _, kind := range events {
		require.Contains(t, rows, "`"+kind+"`")
	}
}

func TestDocsNameEverySettingOfTheDemo(t *testing.T) {
	t.Parallel()
	shown := names(t, "docs/demo.md", "(?m)^\\| `([A-Z_]+)` \\|")
	for _, name := range names(t, "examples/internal/demo/settings.go", `getenv\("(\w+)"\)`) {
		require.Contains(t, shown, name)
	}
}
