package connect

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A text that is missing here is to be added to pages/texts/{language}.json.
func TestTextsAreThereInEveryLanguage(t *testing.T) {
	t.Parallel()
	all := builtInTexts()
	require.Equal(t, []string{"de", "en", "es", "fr", "ja"}, slices.Sorted(maps.Keys(all)))
	for tag, texts := range all {
		for key, want := range all[english] {
			text, ok := texts[key]
			require.True(t, ok, "%s has no text %q, in English: %s", tag, key, want)
			require.NotEmpty(t, text, "%s in %s", key, tag)
			require.Equal(t, strings.TrimSpace(text), text, "%s in %s", key, tag)
			require.Equal(t, placeholders(want), placeholders(text), "%s in %s", key, tag)
			require.NotRegexp(t, `[<>&"'%]|  |\.\.\.`, text, "%s in %s: plain text, and marks as they are printed", key, tag)
		}
		for key := range texts {
			require.Contains(t, all[english], key, "%s has a text that nothing shows", tag)
		}
	}
}

// Punctuation follows the rules of the language.
func TestTextsHaveTheMarksOfTheirLanguage(t *testing.T) {
	t.Parallel()
	wrong := map[string]string{
		"en": `[^\x00-\x7f…]`,
		"de": `[¿¡’“”]| [:;!?]`,
		"fr": `[ \w][;:!?]|[“”„]`, // A no-break space precedes each.
		"es": `^[^¿]*\?|^[^¡]*!| [:;!?]`,
		"ja": `[.!?,;:]|\p{Hiragana} |[\p{Hiragana}\p{Katakana}\p{Han}] `,
	}
	for tag, texts := range builtInTexts() {
		for key, text := range texts {
			require.NotRegexp(t, wrong[tag], text, "%s in %s", key, tag)
			if strings.HasSuffix(key, ".title") {
				require.NotRegexp(t, `[.。]$`, text, "%s in %s: a title", key, tag)
			} else if strings.HasSuffix(key, ".help") {
				require.Regexp(t, `[.。]$`, text, "%s in %s: a sentence", key, tag)
			}
		}
	}
}

// Every key that templates and code use is in the catalogue, and every key there is used.
func TestTextsAreThereForEveryKey(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"message": true, "error.internal.title": true, "error.internal.help": true}
	templates, err := filepath.Glob("pages/*.html")
	require.NoError(t, err)
	for _, name := range templates {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, call := range regexp.MustCompile(`\.Text "([^"]*)"`).FindAllSubmatch(content, -1) {
			require.Contains(t, builtInTexts()[english], string(call[1]), name)
			used[string(call[1])] = true
		}
	}
	key := regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)+$`)
	eachLiteral(t, func(file, text string) {
		if strings.HasPrefix(text, "step.") || strings.HasPrefix(text, "popup.") && key.MatchString(text) {
			require.Contains(t, builtInTexts()[english], text, file)
		}
		used[text], used[text+".of"] = true, true
	})
	for key := range builtInTexts()[english] {
		code, isTitle := strings.CutSuffix(strings.TrimPrefix(key, "error."), ".title")
		if !isTitle {
			code, _ = strings.CutSuffix(code, ".help")
		}
		known := used[key] || strings.HasPrefix(key, "date.month.") ||
			slices.ContainsFunc(causes, func(c *causeError) bool { return c.Code == code })
		require.True(t, known, "nothing shows %q", key)
	}
}

// Every text that users read is in the catalogue.
func TestTextsAreNowhereButInTheCatalogue(t *testing.T) {
	t.Parallel()
	templates, err := filepath.Glob("pages/*.html")
	require.NoError(t, err)
	require.NotEmpty(t, templates)
	for _, name := range templates {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		text := regexp.MustCompile(`(?s)\{\{.*?\}\}`).ReplaceAllString(string(content), "")
		require.NotRegexp(t, `\s(aria-label|title|alt|placeholder)="[^"]*\pL`, text, name)
		text = regexp.MustCompile(`(?s)<.*?>`).ReplaceAllString(text, "")
		require.NotRegexp(t, `\pL`, text, name)
	}

	sentence := regexp.MustCompile(`^\p{Lu}\S* \S`)
	eachLiteral(t, func(file, text string) {
		require.NotRegexp(t, sentence, text, file)
	})

	script := string(moduleScript)
	line := moduleWords.FindString(script)
	for name, key := range map[string]string{"wait": "popup.wait", "failed": "popup.failed", "end": "popup.end"} {
		require.Contains(t, line, fmt.Sprintf("%s: %q", name, builtInTexts()[english][key]), "the file reads as it is served in English")
	}
	script = moduleWords.ReplaceAllString(script, "")
	for _, source := range []string{script, popupScript} {
		source = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`).ReplaceAllString(source, "")
		require.NotRegexp(t, "[\"`>]\\p{Lu}\\w* \\w", source)
	}
}

// The next step after an error is the key of a text.
func TestNextStepIsAKey(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "refusal.go", nil, 0)
	require.NoError(t, err)
	found := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "nextStep" && f.Name.Name != "signInStep" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			statement, ok := n.(*ast.ReturnStmt)
			if !ok || len(statement.Results) != 2 {
				return true
			}
			if literal, ok := statement.Results[1].(*ast.BasicLit); ok && literal.Value != `""` {
				key, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				require.Contains(t, builtInTexts()[english], key)
				found++
			}
			return true
		})
	}
	require.Greater(t, found, 5)
}

// eachLiteral calls f with every string of our code that users may see: all but those of
// errors, logs and panics.
func eachLiteral(t *testing.T, f func(file, text string)) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	silent := []string{"cause", "panic", "Errorf", "New", "bad", "unusable", "Warn", "WarnContext", "Error", "ErrorContext", "InfoContext", "Fprintf", "failed"}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch called := n.Fun.(type) {
				case *ast.Ident:
					return !slices.Contains(silent, called.Name)
				case *ast.SelectorExpr:
					return !slices.Contains(silent, called.Sel.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					text, err := strconv.Unquote(n.Value)
					require.NoError(t, err)
					f(name, text)
				}
			}
			return true
		})
	}
}

func TestNewNamesEveryProblemOfTexts(t *testing.T) {
	t.Parallel()
	type texts = map[string]map[string]string
	tests := []struct {
		name  string
		texts texts
		want  []string
	}{
		{"a tag that is none", texts{"Deutsch!": {}}, []string{"Config.Texts", `"Deutsch!"`}},
		{"an underscore", texts{"de_AT": {}}, []string{`"de_AT"`}},
		{"a tag twice", texts{"pt-BR": {}, "pt-br": {}}, []string{`"pt-br" twice`}},
		{"an unknown key", texts{"de": {"connect.titel": "x"}}, []string{`in "de"`, `"connect.titel"`, "BuiltInTexts", `"app."`}},
		{"a key of the app's own without English", texts{"de": {"app.x": "x"}}, []string{`"app.x"`, `"en" lacks`}},
		{"an empty text", texts{"en": {"connect.title": " "}}, []string{`empty text for "connect.title"`}},
		{"a placeholder that is missing", texts{"he": {"account.number": "x"}}, []string{`"account.number"`, "{number}"}},
		{"a placeholder too many", texts{"en": {"connect.title": "Hello {user}"}}, []string{`"connect.title"`, "{user}"}},
		{"a placeholder of another name", texts{"en": {"app.x": "{one}"}, "he": {"app.x": "{two}"}}, []string{"{one}", "{two}"}},
		{"a percent sign", texts{"de": {"%d%s": "x"}}, []string{`"%d%s"`}},
		{"several at once", texts{"de": {"x": "x"}, "fr": {"y": "y"}}, []string{`"x"`, `"y"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			cfg.Texts = test.texts
			_, err := New(cfg)
			require.Error(t, err)
			for _, part := range test.want {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "%!")
		})
	}
}

func TestTextFallsBackToTheParentLanguageAndEnglish(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Texts = map[string]map[string]string{
		"en":    {"connect.button": "Link your shop", "app.hello": "Hello {name}"},
		"de-CH": {"step.back": "Retour"},
		"de":    {"step.start": "Nochmals"},
		"he":    {"step.back": "חזרה", "app.hello": "שלום {name}"},
	}
	h, err := New(cfg)
	require.NoError(t, err)
	text := func(tag, key string, values ...any) string {
		l, ok := h.languages.find(tag)
		require.True(t, ok)
		text, err := l.Text(key, values...)
		require.NoError(t, err)
		return text
	}
	require.Equal(t, "Retour", text("de-CH", "step.back"))
	require.Equal(t, "Zurück", text("de", "step.back"))
	require.Equal(t, "Nochmals", text("de-CH", "step.start"), "the language without its region")
	require.Equal(t, "Weiter", text("de-CH", "step.on"))
	require.Equal(t, "Konto verbinden", text("de", "connect.button"), "the app's English is no German")
	require.Equal(t, "Link your shop", text("he", "connect.button"), "the app's English")
	require.Equal(t, "Hello Ada", text("de", "app.hello", "name", "Ada"))
	require.Equal(t, "שלום \u2068Ada\u2069", text("he", "app.hello", "name", "Ada"), "a name keeps its order")
	require.Equal(t, "Hello {name}", text("en", "app.hello", "name", "{name}"), "a value is not searched")

	_, err = h.languages.byTag["de"].Text("nope")
	require.ErrorContains(t, err, `"nope"`)

	copied := BuiltInTexts("de")
	require.Equal(t, "Zurück", copied["step.back"])
	copied["step.back"] = "x"
	require.Equal(t, "Zurück", BuiltInTexts("de")["step.back"])
	require.Nil(t, BuiltInTexts("nl"))
}
