package connect

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ownNames are the templates that an app may define.
var ownNames = []string{connectName, noticeName, repeatName, popupName, alertName, headName, brandName}

// A trial is data that a template is tried with, and what has to be in the page
// that comes of it.
type trial struct {
	name  string
	data  any
	needs map[string]string // by what it is called in the data
}

// noData is what a part is given: a field of it is an error, where one of nil is
// empty.
type noData struct{}

// trials are enough to meet every field, and every value that a template may
// tell apart.
func trials(l Locale) []trial {
	all := []trial{
		{headName, noData{}, nil},
		{brandName, noData{}, nil},
		{connectName, ConnectPage{Locale: l, Title: "sample-title", Action: "/sample-action", CanAdd: true}, map[string]string{".Action": "/sample-action"}},
		{connectName, ConnectPage{
			Locale: l, Title: "sample-title", Action: "/sample-action", Application: "sample", User: "sample-user", ReturnTo: "/sample-return", Connected: true, KeepURL: "/sample-keep",
			Accounts: []ConnectedAccount{{ID: "sample", Number: 1}},
		}, map[string]string{".Action": "/sample-action", ".ReturnTo": "/sample-return"}},
		{connectName, ConnectPage{
			Locale: l, Title: "sample-title", Action: "/sample-action", Connected: true, NeedsSignIn: true, Accounts: []ConnectedAccount{{ID: "sample", Number: 1, NeedsSignIn: true}},
		}, map[string]string{".Action": "/sample-action"}},
		{connectName, ConnectPage{
			Locale: l, Title: "sample-title", Action: "/sample-action", LabelAction: "/sample-label", DisconnectAction: "/sample-end", PageURL: "/sample-page",
			Connected: true, Several: true, CanAdd: true,
			Accounts: []ConnectedAccount{{ID: "sample", Number: 1, Label: "sample-label"}, {ID: "another", Number: 2, NeedsSignIn: true}},
		}, map[string]string{".Action": "/sample-action"}},
		{repeatName, RepeatPage{Locale: l, Title: "sample-title", URL: "?sample=url"}, map[string]string{".URL": "?sample=url"}},
	}
	for _, outcome := range []string{outcomeConnected, outcomeCancelled, outcomeFailed} {
		page := newPopupPage(l, "sample", outcome, Explanation{Status: http.StatusOK, Code: "sample", Title: "sample-title", Help: "Sample."})
		all = append(all, trial{popupName, page, map[string]string{".Script": string(page.Script), ".Title": "sample-title"}})
	}
	errs := []error{errors.New("internal")}
	for _, c := range causes {
		errs = append(errs, c)
	}
	for _, err := range errs {
		e := Explain(err)
		e.Title = "sample-title"
		for _, name := range []string{noticeName, alertName} {
			all = append(all,
				trial{name, NoticePage{Locale: l, Explanation: e}, map[string]string{".Title": "sample-title"}},
				trial{name, NoticePage{Locale: l, Explanation: e, NextURL: "/sample-next", NextText: "sample-next"}, map[string]string{".NextURL": "/sample-next"}})
		}
	}
	return all
}

// inline finds what the Content-Security-Policy of every page keeps from working.
var inline = regexp.MustCompile(`(?i)<(?:script|style)\b|<[a-z][^>]*\s(?:style|on[a-z]+)\s*=`)

// tryOwn executes each template of the app's with each trial, and tells what is
// wrong: once for each template.
func (p pages) tryOwn(l Locale, bad func(format string, args ...any)) {
	if p.own == nil {
		return
	}
	if !slices.ContainsFunc(ownNames, p.isOwn) {
		bad(`defines none of %s: write {{define "%s"}}…{{end}} for what it replaces`, strings.Join(quoted(ownNames), ", "), connectName)
	}
	wrong := map[string]bool{}
	for _, t := range trials(l) {
		if wrong[t.name] || !p.isOwn(t.name) {
			continue
		}
		wrong[t.name] = true
		var page strings.Builder
		if err := p.own.ExecuteTemplate(&page, t.name, t.data); err != nil {
			bad("cannot show %q: %w", t.name, err)
			continue
		}
		text := page.String()
		if missing := lacks(text, t.needs); missing != "" {
			bad("leaves %s out of %q, without which nobody gets on", missing, t.name)
			continue
		}
		if found := inline.FindString(strings.ReplaceAll(text, t.needs[".Script"], "")); found != "" && t.name != alertName {
			bad("has %q in %q, which the pages' Content-Security-Policy does not let work: link a style sheet of your own origin, and do without a script", found, t.name)
			continue
		}
		wrong[t.name] = false
	}
}

func lacks(text string, needs map[string]string) string {
	for field, sample := range needs {
		if !strings.Contains(text, sample) {
			return field
		}
	}
	return ""
}

func quoted(names []string) []string {
	var all []string
	for _, name := range names {
		all = append(all, strconv.Quote(name))
	}
	return all
}
