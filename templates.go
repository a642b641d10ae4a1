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

// A trial is data that a template is tried with, and what the resulting page must contain.
type trial struct {
	name  string
	data  any
	needs map[string]string // by the field of the data
}

// noData is the data of a part: a field of it is an error, where a field of nil would be
// empty.
type noData struct{}

// trials returns data with every field, and with every value that a template may
// distinguish.
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

// inline matches what the Content-Security-Policy of every page blocks.
var inline = regexp.MustCompile(`(?i)<(?:script|style)\b|<[a-z][^>]*\s(?:style|on[a-z]+)\s*=`)

// tryOwn executes each template of the app with each trial, and reports at most one problem
// of each to bad.
func (p pages) tryOwn(l Locale, bad func(format string, args ...any)) {
	if p.own == nil {
		return
	}
	if !slices.ContainsFunc(ownNames, p.isOwn) {
		bad(`defines none of %s: write {{define "%s"}}…{{end}} for the page to replace`, strings.Join(quoted(ownNames), ", "), connectName)
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
			bad("omits %s from %q, without which the page does not work", missing, t.name)
			continue
		}
		if found := inline.FindString(strings.ReplaceAll(text, t.needs[".Script"], "")); found != "" && t.name != alertName {
			bad("has %q in %q, which the pages' Content-Security-Policy blocks: link a style sheet of your own origin, and use no script", found, t.name)
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
