package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheLanguageOfARequest(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Texts = map[string]map[string]string{"pt-BR": {}, "de-CH": {}, "zh-Hans": {}, "zh-Hant": {}, "he": {}}
	cfg.Language = func(r *http.Request) string { return r.Header.Get("Choice") }
	h, err := New(cfg)
	require.NoError(t, err)
	many := strings.Repeat("xx,", maxRanges)
	tests := []struct {
		name, choice string
		accept       []string
		want         string
	}{
		{"nothing is known", "", nil, "en"},
		{"an empty header", "", []string{""}, "en"},
		{"a language that we have", "", []string{"fr"}, "fr"},
		{"any case", "", []string{"FR"}, "fr"},
		{"a region of it", "", []string{"de-AT"}, "de"},
		{"a region that we have", "", []string{"de-ch"}, "de-CH"},
		{"a script and a region", "", []string{"zh-Hant-TW"}, "zh-Hant"},
		{"a language of which we have a region", "", []string{"pt"}, "pt-BR"},
		{"another region than ours is another language", "", []string{"pt-PT"}, "en"},
		{"a prefix is no parent", "", []string{"dex"}, "en"},
		{"what a browser sends", "", []string{"ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7"}, "ja"},
		{"the first that we have", "", []string{"nl, es;q=0.8, fr;q=0.7"}, "es"},
		{"the highest quality", "", []string{"de;q=0.5, fr;q=0.9, es;q=0.7"}, "fr"},
		{"the first of one quality", "", []string{"de;q=0.5, fr;q=0.5"}, "de"},
		{"English is preferred", "", []string{"en-GB, de;q=0.9"}, "en"},
		{"one that is not wanted", "", []string{"de;q=0, fr;q=0.1"}, "fr"},
		{"only what is not wanted", "", []string{"de;q=0"}, "en"},
		{"whatever there is", "", []string{"*"}, "en"},
		{"whatever there is, rather than German", "", []string{"nl, *;q=0.5, de;q=0.3"}, "en"},
		{"German rather than whatever there is", "", []string{"*;q=0.1, de;q=0.3"}, "de"},
		{"blanks", "", []string{"  de ; q = 0.3 ,  fr\t;q=0.8"}, "fr"},
		{"two headers", "", []string{"nl", "es"}, "es"},
		{"a quality that is no number", "", []string{"de;q=x, es;q=0.1"}, "es"},
		{"NaN", "", []string{"de;q=NaN, es;q=0.1"}, "es"},
		{"a quality above 1", "", []string{"de;q=9, es;q=0.1"}, "es"},
		{"a quality below 0", "", []string{"de;q=-1, es;q=0.1"}, "es"},
		{"another parameter", "", []string{"de;level=1, es;q=0.1"}, "es"},
		{"two parameters", "", []string{"de;q=1;q=1, es;q=0.1"}, "es"},
		{"nothing but signs", "", []string{",;,=;q,-,--,;q=1,*-*"}, "en"},
		{"bytes that are no text", "", []string{"\xff\xfe, es"}, "es"},
		{"as many as are read", "", []string{many[3:] + "fr"}, "fr"},
		{"more than are read", "", []string{many + "fr"}, "en"},
		{"a very long one", "", []string{strings.Repeat("de-", 1000) + "AT"}, "en"},

		{"the app's choice", "es", []string{"fr"}, "es"},
		{"a region of the app's choice", "es-MX", []string{"fr"}, "es"},
		{"as some libraries write it", "de_CH", []string{"fr"}, "de-CH"},
		{"a choice that we do not have", "nl", []string{"fr"}, "fr"},
		{"a choice that is none", "*", []string{"fr"}, "fr"},
		{"English is a choice", "en", []string{"fr"}, "en"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Accept-Language"] = test.accept
			r.Header.Set("Choice", test.choice)
			require.Equal(t, test.want, h.Locale(r).Lang)
		})
	}
}

func FuzzAcceptLanguage(f *testing.F) {
	f.Add("ja-JP,ja;q=0.9,en-US;q=0.8", "de")
	f.Add("*;q=0.5,, ;q=, de-;q=1", "-")
	ls := newLanguages(nil, builtInLocales())
	f.Fuzz(func(t *testing.T, header, tag string) {
		require.Contains(t, ls.byTag, ls.accepted([]string{header, tag}).Lang)
		if l, ok := ls.find(tag); ok {
			require.True(t, strings.HasPrefix(strings.ToLower(tag), l.Lang))
		}
	})
}

func TestTheDirectionOfALanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"en": ltr, "ja": ltr, "de-AT": ltr, "zh-Hant-TW": ltr, "ar-Latn": ltr, "az": ltr, "id": ltr,
		"ar": rtl, "he": rtl, "HE-IL": rtl, "fa-AF": rtl, "ur": rtl, "az-Arab": rtl, "pa-Arab-PK": rtl, "yi": rtl, "ckb": rtl,
	} {
		require.Equal(t, want, direction(tag), tag)
	}
}

func TestADateInEachLanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string][2]string{
		"en": {"1 March 2026", "22 December 2026"},
		"de": {"1. März 2026", "22. Dezember 2026"},
		"fr": {"1er mars 2026", "22 décembre 2026"},
		"es": {"1 de marzo de 2026", "22 de diciembre de 2026"},
		"ja": {"2026年3月1日", "2026年12月22日"},
	} {
		l := builtInLocales()[tag]
		require.Equal(t, want[0], l.Date(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)))
		require.Equal(t, want[1], l.Date(time.Date(2026, 12, 22, 9, 0, 0, 0, time.UTC)))
	}
	require.Equal(t, "1 March 2026", Locale{}.Date(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)), "the zero value is English")
}

// A text that is missing here is to be added to pages/texts/{language}.json.
func TestEveryLanguageHasEveryText(t *testing.T) {
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

// Marks stand as the language has them.
func TestTheMarksOfEachLanguage(t *testing.T) {
	t.Parallel()
	wrong := map[string]string{
		"en": `[^\x00-\x7f…]`,
		"de": `[¿¡’“”]| [:;!?]`,
		"fr": `[ \w][;:!?]|[“”„]`, // A no-break space stands before each.
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

// What templates and code use is in the catalogue, and all that is there is used.
func TestEveryKeyThatIsUsedHasAText(t *testing.T) {
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

// Nothing that a person reads is anywhere but in the catalogue.
func TestNoTextIsOutsideOfTheCatalogue(t *testing.T) {
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
func TestEveryNextStepIsAKey(t *testing.T) {
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

// eachLiteral calls f with every string of our code that may be shown to a person:
// all but those of errors, of logs and of panics.
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

func TestEveryCauseIsExplainedInEachLanguage(t *testing.T) {
	t.Parallel()
	for tag, l := range builtInLocales() {
		for _, c := range causes {
			e := l.Explain(fmt.Errorf("doing something: %w", c))
			require.Equal(t, c.Status, e.Status)
			require.Equal(t, c.Code, e.Code)
			require.Equal(t, builtInTexts()[tag][titleKey(c.Code)], e.Title)
			require.Equal(t, builtInTexts()[tag][helpKey(c.Code)], e.Help)
			require.Equal(t, tag == english, e.Help == Explain(c).Help, "%s in %s", c.Code, tag)
		}
		require.Equal(t, "internal", l.Explain(errors.New("x")).Code)
		origins := l.Explain(&WrongOriginError{Origin: "https://a.example", PublicOrigin: "https://b.example"})
		require.Contains(t, origins.Help, "https://a.example")
		require.Contains(t, origins.Help, "https://b.example")
		require.Equal(t, "Nein.", l.Explain(NotAccepted("Nein.")).Help, "the app's own words")
	}
}

func TestTheModuleHasItsWordsInEachLanguage(t *testing.T) {
	t.Parallel()
	for tag, l := range builtInLocales() {
		line := moduleWords.Find(moduleIn(l))
		require.NotNil(t, line)
		var words map[string]string
		require.NoError(t, json.Unmarshal(regexp.MustCompile(`\{.*\}`).Find(line), &words))
		require.Equal(t, map[string]string{
			"lang": tag, "dir": ltr, "wait": l.text("popup.wait"), "failed": l.text("popup.failed"), "end": l.text("popup.end"),
		}, words)
	}
	own := newLocale("he", map[string]string{"popup.wait": "</script>\u2028`${x}`\"", "popup.failed": "x", "popup.end": "x"})
	require.Contains(t, string(moduleIn(own)), `"\u003c/script\u003e\u2028`+"`${x}`"+`\""`)
	require.Contains(t, string(moduleIn(own)), `"dir":"rtl"`)
}

func TestNewTellsWhatIsWrongWithTexts(t *testing.T) {
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

func TestATextThatALanguageLacks(t *testing.T) {
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
