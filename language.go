package connect

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRanges is how many languages of an Accept-Language header are read. A
	// browser sends some ten at most.
	maxRanges = 50

	// maxTag is the longest language tag that is read, in bytes (RFC 5646, section
	// 4.4.1).
	maxTag = 35
)

// A Locale is the language that a request is answered in. [Handler.Locale] returns
// it, and every template's data has it. The zero value is English.
type Locale struct {
	// Lang is the language's BCP 47 tag, for the attribute lang.
	Lang string
	// Dir is "ltr" or "rtl", for the attribute dir.
	Dir string

	texts map[string]string // nil stands for English
}

func newLocale(tag string, texts map[string]string) Locale {
	return Locale{Lang: tag, Dir: direction(tag), texts: texts}
}

// Text returns the text with this key, with the placeholders replaced by values:
// pairs of a name and a value. It is plain text: escape it in HTML. In a template:
//
//	{{.Text "account.number" "number" .Number}}
//
// It returns an error for an unknown key. [New] finds unknown keys in Config.Templates.
func (l Locale) Text(key string, values ...any) (string, error) {
	text, ok := l.all()[key]
	if !ok {
		return "", fmt.Errorf("connect: no text has the key %q", key)
	}
	if l.Dir == rtl {
		// So that a name or an address from left to right keeps its order.
		values = slices.Clone(values)
		for i := 1; i < len(values); i += 2 {
			values[i] = firstStrongIsolate + fmt.Sprint(values[i]) + popIsolate
		}
	}
	return fill(text, values...), nil
}

// Date returns a date in the language's form, such as "2 January 2006".
func (l Locale) Date(t time.Time) string {
	form := "date"
	if t.Day() == 1 {
		form = "date.first"
	}
	return fill(l.text(form), "day", t.Day(), "month", l.text("date.month."+strconv.Itoa(int(t.Month()))), "year", t.Year())
}

// Explain returns the explanation of an error in this language: see [Explain].
func (l Locale) Explain(err error) Explanation { return explain(l, err) }

// text is Text for a built-in key. A test proves that every key in use has a text.
func (l Locale) text(key string, values ...any) string {
	text, err := l.Text(key, values...)
	if err != nil {
		panic(err)
	}
	return text
}

// sentence returns an Explanation as one text.
func (l Locale) sentence(e Explanation) string {
	return fill(l.text("message"), "title", e.Title, "help", e.Help)
}

func (l Locale) all() map[string]string {
	if l.texts == nil {
		return builtInTexts()[english]
	}
	return l.texts
}

// U+2068 and U+2069 keep the direction of what is between them apart from the text
// around it (UAX #9).
const (
	firstStrongIsolate = "\u2068"
	popIsolate         = "\u2069"
)

// fill replaces the placeholders of a text. It does not search the values for placeholders.
func fill(text string, values ...any) string {
	if len(values) == 0 {
		return text
	}
	var pairs []string
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, fmt.Sprintf("{%v}", values[i]), fmt.Sprint(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

const (
	ltr = "ltr"
	rtl = "rtl"
)

// rightToLeft are the scripts from right to left, and the languages usually written in one.
var rightToLeft = strings.Fields("adlm arab hebr mand mend nkoo rohg samr syrc thaa " +
	"ar arc ckb dv fa he iw ks lrc mzn nqo pnb ps rhg sd syr ug ur yi")

// direction returns the direction of a language: that of the script, if the tag names one.
func direction(tag string) string {
	subtags := strings.Split(strings.ToLower(tag), "-")
	decides := subtags[0]
	if len(subtags) > 1 && len(subtags[1]) == 4 {
		decides = subtags[1]
	}
	if slices.Contains(rightToLeft, decides) {
		return rtl
	}
	return ltr
}

// languages are the languages that a handler has texts in.
type languages struct {
	choose func(*http.Request) string // may be nil
	byTag  map[string]Locale          // by the tag in lower case
	sorted []string                   // the keys of byTag
}

func newLanguages(choose func(*http.Request) string, byTag map[string]Locale) languages {
	return languages{choose: choose, byTag: byTag, sorted: slices.Sorted(maps.Keys(byTag))}
}

// Locale returns the language that the handler answers a request in: the choice of
// Config.Language, or else what Accept-Language prefers, or else English.
func (h *Handler) Locale(r *http.Request) Locale {
	l, _ := h.languages.of(r)
	return l
}

// answerIn is Locale for an answer. It sets Vary and Content-Language.
func (h *Handler) answerIn(w http.ResponseWriter, r *http.Request) Locale {
	l, negotiated := h.languages.of(r)
	if negotiated && !slices.Contains(w.Header().Values("Vary"), "Accept-Language") {
		w.Header().Add("Vary", "Accept-Language")
	}
	w.Header().Set("Content-Language", l.Lang)
	return l
}

// of returns the language of a request, and reports whether it depends on
// Accept-Language.
func (ls languages) of(r *http.Request) (l Locale, negotiated bool) {
	if ls.choose != nil {
		if l, ok := ls.find(ls.choose(r)); ok {
			return l, false
		}
	}
	return ls.accepted(r.Header.Values("Accept-Language")), true
}

// accepted returns the language that an Accept-Language header prefers (RFC 9110, section
// 12.5.4), or English. It skips malformed parts.
func (ls languages) accepted(header []string) Locale {
	best, quality, ranges := ls.byTag[english], 0.0, 0
	for _, line := range header {
		for text := range strings.SplitSeq(line, ",") {
			if ranges++; ranges > maxRanges {
				return best
			}
			tag, q := parseRange(text)
			if q <= quality {
				continue
			}
			if l, ok := ls.find(tag); ok {
				best, quality = l, q
			} else if tag == "*" {
				best, quality = ls.byTag[english], q
			}
		}
	}
	return best
}

// parseRange parses one language of an Accept-Language header, such as "de;q=0.8". q is 0
// if it is malformed or unwanted.
func parseRange(text string) (tag string, q float64) {
	tag, parameter, weighted := strings.Cut(text, ";")
	if !weighted {
		return strings.TrimSpace(tag), 1
	}
	name, value, _ := strings.Cut(parameter, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return "", 0
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(q >= 0 && q <= 1) { // NaN is neither.
		return "", 0
	}
	return strings.TrimSpace(tag), q
}

// find looks a tag up by RFC 4647, section 3.4: "de-AT" finds "de". A tag without a region
// also finds one with a region: "pt" finds "pt-BR". It accepts "de_AT", which some libraries
// write.
func (ls languages) find(tag string) (Locale, bool) {
	if tag == "" || len(tag) > maxTag {
		return Locale{}, false
	}
	tag = strings.ReplaceAll(strings.ToLower(tag), "_", "-")
	for t := tag; t != ""; t = parentTag(t) {
		if l, ok := ls.byTag[t]; ok {
			return l, true
		}
	}
	for _, t := range ls.sorted {
		if strings.HasPrefix(t, tag+"-") {
			return ls.byTag[t], true
		}
	}
	return Locale{}, false
}

// parentTag returns a tag without its last subtag, or "".
func parentTag(tag string) string { return tag[:max(strings.LastIndexByte(tag, '-'), 0)] }
