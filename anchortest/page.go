package anchortest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
)

// hostedPath is the hosted page's path, as on Anchor's own site.
const hostedPath = "/identity/create"

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageSource string

//go:embed control.html
var controlSource string

var (
	pageTemplate    = parsePage("page", pageSource)
	controlTemplate = parsePage("control", controlSource)

	// pageStyleSource allows the page its one style sheet and no other
	// (Content Security Policy Level 3, section 2.3.1).
	pageStyleSource = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

func parsePage(name, source string) *template.Template {
	style := func() template.CSS { return template.CSS(pageStyle) }
	return template.Must(template.New(name).Funcs(template.FuncMap{"style": style}).Parse(source))
}

// page is what the template shows: a form, or a message when Title is set.
type page struct {
	Token    string
	Name     string // of the application
	Site     string
	UserName string
	ReturnTo string // the origin of the callback

	Title, Help string
}

// showPage shows the form. Only submitting it uses up the token.
func (s *Server) showPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[token]
	if err := t.usable(now); err != nil {
		writeTokenError(w, err)
		return
	}
	app := s.applications.get(t.applicationID)
	writePage(w, http.StatusOK, formTarget(t.callbackURL), page{
		Token:    token,
		Name:     app.name,
		Site:     app.url,
		UserName: r.URL.Query().Get("userName"),
		ReturnTo: origin(t.callbackURL),
	})
}

// submitPage does what the pressed button says. The password field is not read.
func (s *Server) submitPage(w http.ResponseWriter, r *http.Request) {
	o := outcome(r.PostFormValue("outcome"))
	switch o {
	case approve, cancel, fail:
	default:
		writePage(w, http.StatusBadRequest, "", page{
			Title: "That did not work",
			Help:  "The form was sent without one of its buttons. Go back and press one.",
		})
		return
	}
	callbackURL, err := s.finish(r.PostFormValue("token"), r.PostFormValue("account"), o, approval{})
	if err != nil {
		writeTokenError(w, err)
		return
	}
	setPageHeaders(w, "'none'")
	http.Redirect(w, r, callbackURL, http.StatusSeeOther)
}

// writeTokenError tells a person why the link does not work.
func writeTokenError(w http.ResponseWriter, err error) {
	status, p := http.StatusNotFound, page{
		Title: "This link is not valid",
		Help:  "The fake does not know it. It forgets everything when it is restarted. Go back to the app and start again.",
	}
	switch {
	case errors.Is(err, ErrTokenUsed):
		status, p.Title, p.Help = http.StatusGone, "This link was used before",
			"It works once. Go back to the app, and start again if nothing came of it."
	case errors.Is(err, ErrTokenExpired):
		status, p.Title, p.Help = http.StatusGone, "This link has expired",
			"It works for 15 minutes. Go back to the app and start again."
	}
	writePage(w, status, "", p)
}

// writePage answers with a page whose form, if it has one, may end at formTarget.
func writePage(w http.ResponseWriter, status int, formTarget string, p page) {
	formAction := "'none'"
	if formTarget != "" {
		formAction = "'self' " + formTarget
	}
	writeTemplate(w, status, formAction, pageTemplate, p)
}

func writeTemplate(w http.ResponseWriter, status int, formAction string, t *template.Template, data any) {
	var body bytes.Buffer
	if err := t.Execute(&body, data); err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	setPageHeaders(w, formAction)
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

func setPageHeaders(w http.ResponseWriter, formAction string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+pageStyleSource+
		"; img-src data:; form-action "+formAction+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// plainHost is what a policy's host source can hold. Anything else that
// [url.Parse] takes for a host, an IPv6 address or a semicolon among them, has
// no place in the header.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// formTarget is the source expression that lets the form end at the callback:
// browsers hold form-action against the redirect after a submission too.
func formTarget(callbackURL string) string {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return ""
	}
	if !plainHost.MatchString(u.Host) {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// origin is the part of the callback that a person can make sense of.
func origin(callbackURL string) string {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
