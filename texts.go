package connect

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The texts of each language, by key. Those of errors are "error.{code}.title" and
// "error.{code}.help".
//
//go:embed pages/texts/*.json
var textFiles embed.FS

const (
	english = "en"

	// ownTexts begins the keys of an app's own texts.
	ownTexts = "app."
)

// BuiltInTexts returns a copy of the built-in texts of a language, by key, or nil if there
// are none. The languages are "de", "en", "es", "fr" and "ja". Config.Texts overrides texts
// and adds languages.
func BuiltInTexts(language string) map[string]string {
	return maps.Clone(builtInTexts()[language])
}

var builtInTexts = sync.OnceValue(func() map[string]map[string]string {
	files, err := textFiles.ReadDir("pages/texts")
	if err != nil {
		panic(err)
	}
	all := map[string]map[string]string{}
	for _, file := range files {
		content, err := textFiles.ReadFile("pages/texts/" + file.Name())
		if err != nil {
			panic(err)
		}
		texts := map[string]string{}
		if err := json.Unmarshal(content, &texts); err != nil {
			panic(fmt.Errorf("%s: %w", file.Name(), err))
		}
		all[strings.TrimSuffix(file.Name(), path.Ext(file.Name()))] = texts
	}
	return all
})

func titleKey(code string) string { return "error." + code + ".title" }
func helpKey(code string) string  { return "error." + code + ".help" }

// builtInLocales are the languages of a handler whose app adds no texts. A text that a
// language lacks is in English.
var builtInLocales = sync.OnceValue(func() map[string]Locale {
	all := map[string]Locale{}
	for tag, texts := range builtInTexts() {
		merged := maps.Clone(builtInTexts()[english])
		maps.Copy(merged, texts)
		all[tag] = newLocale(tag, merged)
	}
	return all
})

// languageTag roughly matches a tag of RFC 5646.
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// newLocales returns the built-in languages with an app's texts, by their tags in lower
// case. A text that a language lacks is that of the language without its region, or else
// English. It reports what is wrong with the app's texts to unusable.
func newLocales(own map[string]map[string]string, unusable func(field, format string, args ...any)) map[string]Locale {
	if len(own) == 0 {
		return builtInLocales()
	}
	tags := map[string]string{} // by the tag in lower case
	for tag := range builtInTexts() {
		tags[tag] = tag
	}
	texts := map[string]map[string]string{} // the app's, by the tag in lower case
	for _, tag := range slices.Sorted(maps.Keys(own)) {
		lower := strings.ToLower(tag)
		switch {
		case !languageTag.MatchString(tag) || len(tag) > maxTag:
			unusable("Texts", "has the language %q: use a tag such as \"he\" or \"pt-BR\"", tag)
		case texts[lower] != nil:
			unusable("Texts", "has the language %q twice", lower)
		default:
			tags[lower], texts[lower] = tag, own[tag]
		}
	}
	reference := maps.Clone(builtInTexts()[english])
	for key, text := range texts[english] {
		if strings.HasPrefix(key, ownTexts) {
			reference[key] = text
		}
	}
	all := map[string]Locale{}
	for _, lower := range slices.Sorted(maps.Keys(tags)) {
		tag := tags[lower]
		for _, key := range slices.Sorted(maps.Keys(texts[lower])) {
			if problem := textProblem(reference, key, texts[lower][key]); problem != "" {
				unusable("Texts", "has in %q %s", tag, problem)
			}
		}
		merged := maps.Clone(reference)
		maps.Copy(merged, texts[english])
		var parents []string // from "de-AT" to "de"
		for t := lower; t != ""; t = parentTag(t) {
			parents = append(parents, t)
		}
		for _, t := range slices.Backward(parents) {
			maps.Copy(merged, builtInTexts()[t])
			maps.Copy(merged, texts[t])
		}
		all[lower] = newLocale(tag, merged)
	}
	return all
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// placeholders returns the placeholders of a text, sorted.
func placeholders(text string) []string {
	return slices.Sorted(slices.Values(placeholder.FindAllString(text, -1)))
}

// textProblem returns what is wrong with a text for a key of the reference, or "".
func textProblem(reference map[string]string, key, text string) string {
	want, ok := reference[key]
	switch {
	case !ok && strings.HasPrefix(key, ownTexts):
		return fmt.Sprintf("the key %q, which %q lacks: every text of the app's own needs one in English", key, english)
	case !ok:
		return fmt.Sprintf("the unknown key %q: connect.BuiltInTexts(%q) returns the known ones, and keys of the app's own begin with %q", key, english, ownTexts)
	case strings.TrimSpace(text) == "":
		return fmt.Sprintf("an empty text for %q", key)
	case !slices.Equal(placeholders(want), placeholders(text)):
		return fmt.Sprintf("the placeholders %v in %q, where English has %v", placeholders(text), key, placeholders(want))
	}
	return ""
}
