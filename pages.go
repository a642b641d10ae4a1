package connect

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed pages/pages.css
var pageStyle string

// The pages, by the names of their templates in Config.Templates.
const (
	connectName = "connect"
	noticeName  = "notice"
	repeatName  = "repeat"
	popupName   = "popup"
	alertName   = "alert"

	// Parts that every page of ours has, empty by themselves.
	headName  = "head"
	brandName = "brand"
)

// ConnectPage is what the template "connect" gets: the page with the button, at GET
// /connect. If a user may have several accounts, it lists those that are connected.
type ConnectPage struct {
	// Locale has the language, and its texts.
	Locale
	// Title is what the page is called.
	Title string
	// Action is where the form that begins a flow goes, by POST. Its field "connection"
	// is the ID of an account to sign in to again; without it, the form connects one
	// more account or, where one is all, the only one. A field "label" names the
	// account.
	Action string
	// LabelAction and DisconnectAction are where the forms go that rename and
	// disconnect an account, by POST. Each has a field "connection"; the first also has
	// "label". Without "connection", DisconnectAction ends all.
	LabelAction, DisconnectAction string
	// PageURL is this page's own address, a local path: the value of the field
	// "return_to" of the forms that lead back here.
	PageURL string
	// Application is the short name of the application. It is empty for that of
	// Config.ApplicationID.
	Application string
	// User is the name of the user whom the account is connected for, from
	// Config.User. Show it: a person who has been signed in to somebody else's
	// account of the app sees only by it whose account theirs would become. It is
	// empty when the app gives no name.
	User string
	// ReturnTo is the value of the form's field return_to, a local path. When it
	// is empty the field may be left out.
	ReturnTo string
	// Connected reports whether the user has a connection.
	Connected bool
	// NeedsSignIn reports whether none of the user's connections works any more.
	NeedsSignIn bool
	// KeepURL leads on without connecting again: ReturnTo, or Config.SuccessURL.
	// It is empty if there is nothing to keep, or if that needs a new sign-in.
	KeepURL string
	// Several reports whether the page is about several accounts: the user may have
	// more than one, or has.
	Several bool
	// CanAdd reports whether the user may connect one more account.
	CanAdd bool
	// Accounts are the user's connections, the oldest first.
	Accounts []ConnectedAccount
}

// ConnectedAccount is a connection as the template "connect" gets it.
type ConnectedAccount struct {
	// ID is the connection's ID.
	ID string
	// Number is its place among the user's accounts, from 1.
	Number int
	// Label is the user's own word for the account. It may be empty.
	Label string
	// Since is when the account was first connected, and ConnectedAt when the user last
	// signed in to it. Both are in UTC.
	Since, ConnectedAt time.Time
	// NeedsSignIn reports whether the account's sign-in does not work any more.
	NeedsSignIn bool
}

// NoticePage is what the templates "notice" and "alert" are given: an error that a
// request ended in, and the next step. "notice" is a page, "alert" the piece of
// markup that a request of htmx is answered with.
type NoticePage struct {
	// Locale has the language, and its texts.
	Locale
	// Explanation has the texts, and the Code to tell the errors apart by.
	Explanation
	// NextURL and NextText are the next step, a link. They are empty when there is
	// nothing to do but wait, or when the app has not said where to sign in.
	NextURL, NextText string
}

// RepeatPage is what the template "repeat" is given: the page that makes the
// callback's request once more, so that a session cookie that is SameSite=Strict
// comes along. It is seen for a moment.
type RepeatPage struct {
	// Locale has the language, and its texts.
	Locale
	// Title is what the page is called.
	Title string
	// URL is where to go at once, by <meta http-equiv="refresh">, and what a link
	// offers where that does not happen.
	URL string
}

// PopupPage is what the template "popup" is given: the last page of a popup that
// the module connect.js opened. It closes by itself, unless connecting failed.
type PopupPage struct {
	// Locale has the language, and its texts.
	Locale
	// Outcome is "connected", "cancelled" or "failed".
	Outcome string
	// Explanation has the texts. Of "connected" its Code is that word too.
	Explanation
	// Script is the element that tells the page which opened the popup, and closes
	// it. Without it the popup's page still reads well. It shows an element with
	// the attributes data-connect-close and hidden, if there is one, and closes the
	// window when that is pressed.
	Script template.HTML
}

// pages renders what a person sees. The built-in pages need no script and load
// nothing; an app's own may load style sheets, fonts and images of its own origin.
// Each page's Content-Security-Policy says so.
type pages struct {
	builtIn  *template.Template
	own      *template.Template // the app's; may be nil
	policies map[string]string  // by name
	log      *slog.Logger
}

// newPages prepares the pages. What is wrong with the app's own templates, tried in
// the language l, is told by unusable.
func newPages(cfg Config, l Locale, unusable func(field, format string, args ...any)) pages {
	p := pages{own: cfg.Templates, policies: map[string]string{}, log: cmp.Or(cfg.Logger, slog.Default())}
	if p.own != nil {
		// Once a set has been executed it cannot be parsed into or cloned. What the
		// app does with its own is not for us to end.
		if own, err := p.own.Clone(); err == nil {
			p.own = own
		}
	}
	p.tryOwn(l, func(format string, args ...any) { unusable("Templates", format, args...) })
	parts := map[string]template.HTML{}
	for _, name := range []string{headName, brandName} {
		if p.isOwn(name) {
			var part strings.Builder
			_ = p.own.ExecuteTemplate(&part, name, noData{}) // It was tried above.
			parts[name] = template.HTML(part.String())
		}
	}
	p.builtIn = template.Must(template.New("").Funcs(template.FuncMap{
		"css":   func() template.CSS { return template.CSS(pageStyle) },
		"head":  func() template.HTML { return parts[headName] },
		"brand": func() template.HTML { return parts[brandName] },
		"split": split,
	}).ParseFS(pageFiles, "pages/*.html"))
	hostedOrigin := ""
	if cfg.Anchor != nil {
		hostedOrigin = cfg.Anchor.AppOrigin()
	}
	for _, name := range []string{connectName, noticeName, repeatName, popupName} {
		p.policies[name] = p.policy(name, hostedOrigin)
	}
	return p
}

// policy is the Content-Security-Policy of a page. Nothing is loaded or run that
// it does not name. hostedOrigin is where the form of the connect page ends up:
// Chromium holds a form's redirects to form-action too.
func (p pages) policy(name, hostedOrigin string) string {
	style, load, script, form := hashSource(pageStyle), "", "", "'none'"
	if p.isOwn(name) || p.isOwn(headName) || p.isOwn(brandName) {
		// What the app's own markup may load comes from the app's own origin.
		// Scripts do not: a callback's address holds a state and an identity.
		style += " 'self'"
		load = "img-src 'self'; font-src 'self'; "
	}
	switch name {
	case connectName:
		form = "'self' " + hostedOrigin
	case popupName:
		script = "script-src " + hashSource(popupScript) + "; "
	}
	return "default-src 'none'; style-src " + style + "; " + load + script +
		"base-uri 'none'; " + noAncestors + "form-action " + form
}

// noAncestors lets nobody frame a page.
const noAncestors = "frame-ancestors 'none'; "

// hashSource allows one element's content (Content Security Policy Level 3,
// section 2.3.1).
func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// around is the text before and after a placeholder.
type around struct{ Before, After string }

// split parts a text at a placeholder, for a template to put an element there.
func split(text, name string) around {
	before, after, _ := strings.Cut(text, "{"+name+"}")
	return around{before, after}
}

func (p pages) isOwn(name string) bool {
	return p.own != nil && p.own.Lookup(name) != nil && p.own.Lookup(name).Tree != nil
}

func (p pages) render(w http.ResponseWriter, status int, name string, data any) {
	page := p.execute(name, data)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Del("Content-Length") // A redirect of htmx's may have said that there is none.
	if policy := p.policies[name]; policy != "" {
		if notice, ok := data.(NoticePage); ok && notice.Code == Explain(ErrFramed).Code {
			// It is about the frame that it is in. It shows nothing of the user's, and
			// its link does nothing but open a page.
			policy = strings.Replace(policy, noAncestors, "", 1)
		}
		w.Header().Set("Content-Security-Policy", policy)
	}
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// execute makes a page. An app's own template that fails after all, on data that
// it was not tried with, is made up for by the built-in one.
func (p pages) execute(name string, data any) []byte {
	var page bytes.Buffer
	if p.isOwn(name) {
		err := p.own.ExecuteTemplate(&page, name, data) // A function that panics is an error, too.
		if err == nil {
			return page.Bytes()
		}
		p.log.Error("connect: Config.Templates", "template", name, "error", err)
		page.Reset()
	}
	if err := p.builtIn.ExecuteTemplate(&page, name+".html", data); err != nil {
		panic(err) // Our own template on our own data.
	}
	return page.Bytes()
}
