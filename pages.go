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

	// Parts of every built-in page, which are empty unless the app defines them.
	headName  = "head"
	brandName = "brand"
)

// ConnectPage is the data of the template "connect": the page with the button, at GET
// /connect. If a user may have several accounts, the page lists those that are connected.
type ConnectPage struct {
	// Locale has the language, and its texts.
	Locale
	// Title is the page's title.
	Title string
	// Action is where the form that starts a flow is posted. Its field "connection" is the
	// ID of an account to sign in to again. Without that field the form adds an account,
	// or, if a user may have only one, connects or replaces that one. The field "label"
	// names the account.
	Action string
	// LabelAction and DisconnectAction are where the forms that rename and disconnect an
	// account are posted. Each has a field "connection", and the first one also "label".
	// Without "connection", DisconnectAction ends all connections.
	LabelAction, DisconnectAction string
	// PageURL is this page's own address, a local path: the value of the field "return_to"
	// of forms that return here.
	PageURL string
	// Application is the short name of the application. It is empty for that of
	// Config.ApplicationID.
	Application string
	// User is the name of the user for whom the account is connected, from Config.User. It
	// may be empty. Show it: somebody who was signed in as another user of the app notices
	// only by it.
	User string
	// ReturnTo is the value of the form's field return_to, a local path. If it is empty,
	// the field may be omitted.
	ReturnTo string
	// Connected reports whether the user has a connection.
	Connected bool
	// NeedsSignIn reports whether none of the user's connections works any more.
	NeedsSignIn bool
	// KeepURL is where to go on without connecting again: ReturnTo or Config.SuccessURL. It
	// is empty if there is no connection, or none that works.
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
	// Number is the position among the user's accounts, from 1.
	Number int
	// Label is the user's own name for the account. It may be empty.
	Label string
	// Since is when the account was first connected, and ConnectedAt when the user last
	// signed in to it. Both are in UTC.
	Since, ConnectedAt time.Time
	// NeedsSignIn reports whether the account's sign-in does not work any more.
	NeedsSignIn bool
}

// NoticePage is the data of the templates "notice" and "alert": the error of a request, and
// the next step. "notice" is a page; "alert" is the markup that answers htmx.
type NoticePage struct {
	// Locale has the language, and its texts.
	Locale
	// Explanation has the error's texts and its Code.
	Explanation
	// NextURL and NextText are the next step, a link. They are empty if the user can only
	// wait, or if Config.SignInURL is needed and not set.
	NextURL, NextText string
}

// RepeatPage is the data of the template "repeat": the page that repeats the callback's
// request, so that the browser sends a session cookie that is SameSite=Strict. It is
// visible for a moment.
type RepeatPage struct {
	// Locale has the language, and its texts.
	Locale
	// Title is the page's title.
	Title string
	// URL is where to go at once, by <meta http-equiv="refresh">, and by a link for browsers
	// that do not.
	URL string
}

// PopupPage is the data of the template "popup": the last page of a popup that connect.js
// has opened. It closes by itself, unless connecting failed.
type PopupPage struct {
	// Locale has the language, and its texts.
	Locale
	// Outcome is "connected", "cancelled" or "failed".
	Outcome string
	// Explanation has the texts. Its Code is "connected" for that outcome.
	Explanation
	// Script is the element that reports the outcome to the page which opened the popup,
	// and closes the popup. If a template omits it, the popup stays open. If there is an
	// element with the attributes data-connect-close and hidden, the script shows it, and
	// closes the popup when it is pressed.
	Script template.HTML
}

// pages renders the pages. The built-in ones need no script and load nothing; an app's own
// may load style sheets, fonts and images from its own origin. Each page's
// Content-Security-Policy enforces that.
type pages struct {
	builtIn  *template.Template
	own      *template.Template // the app's; may be nil
	policies map[string]string  // by name
	log      *slog.Logger
}

// newPages returns the pages. It tries the app's own templates in the language l, and
// reports what is wrong to unusable.
func newPages(cfg Config, l Locale, unusable func(field, format string, args ...any)) pages {
	p := pages{own: cfg.Templates, policies: map[string]string{}, log: cmp.Or(cfg.Logger, slog.Default())}
	if p.own != nil {
		// After it was executed, a set of templates can no longer be extended or cloned.
		// The app may still want to do so with its own.
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

// policy returns the Content-Security-Policy of a page. hostedOrigin is where the form of
// the connect page is redirected to: Chromium applies form-action to redirects, too.
func (p pages) policy(name, hostedOrigin string) string {
	style, load, script, form := hashSource(pageStyle), "", "", "'none'"
	if p.isOwn(name) || p.isOwn(headName) || p.isOwn(brandName) {
		// The app's own markup may load from the app's own origin, but no scripts: a
		// callback's address has a state and an identity.
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

// noAncestors forbids framing.
const noAncestors = "frame-ancestors 'none'; "

// hashSource returns the source that allows one element's content (Content Security Policy Level 3,
// section 2.3.1).
func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// around is the text before and after a placeholder.
type around struct{ Before, After string }

// split splits a text at a placeholder, for a template that puts an element there.
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
	w.Header().Del("Content-Length") // A redirect of htmx may have set it to 0.
	if policy := p.policies[name]; policy != "" {
		if notice, ok := data.(NoticePage); ok && notice.Code == Explain(ErrFramed).Code {
			// The notice has to be visible in the frame. It has no data of the user, and its
			// link only opens a page.
			policy = strings.Replace(policy, noAncestors, "", 1)
		}
		w.Header().Set("Content-Security-Policy", policy)
	}
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// execute returns a page. If the app's own template fails on data that it was not tried
// with, the built-in one is used.
func (p pages) execute(name string, data any) []byte {
	var page bytes.Buffer
	if p.isOwn(name) {
		err := p.own.ExecuteTemplate(&page, name, data) // A function that panics is an error, too.
		if err == nil {
			return page.Bytes()
		}
		p.log.Error("connect: a template of Config.Templates failed", "template", name, "error", err)
		page.Reset()
	}
	if err := p.builtIn.ExecuteTemplate(&page, name+".html", data); err != nil {
		panic(err) // Our own template on our own data.
	}
	return page.Bytes()
}
