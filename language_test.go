package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLanguageOfARequest(t *testing.T) {
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

func TestDirectionOfALanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"en": ltr, "ja": ltr, "de-AT": ltr, "zh-Hant-TW": ltr, "ar-Latn": ltr, "az": ltr, "id": ltr,
		"ar": rtl, "he": rtl, "HE-IL": rtl, "fa-AF": rtl, "ur": rtl, "az-Arab": rtl, "pa-Arab-PK": rtl, "yi": rtl, "ckb": rtl,
	} {
		require.Equal(t, want, direction(tag), tag)
	}
}

func TestDateInEachLanguage(t *testing.T) {
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

func TestExplainKnowsEveryCauseInEachLanguage(t *testing.T) {
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

func TestModuleHasItsWordsInEachLanguage(t *testing.T) {
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
