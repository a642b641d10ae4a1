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

// hostedPath is the path of the hosted page, as at Anchor.
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

	// pageStyleSource allows only the page's own style sheet (Content Security
	// Policy Level 3, section 2.3.1).
	pageStyleSource = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

func parsePage(name, source string) *template.Template {
	style := func() template.CSS { return template.CSS(pageStyle) }
	return template.Must(template.New(name).Funcs(template.FuncMap{"style": style}).Parse(source))
}

// A page is the data of the hosted page: a form, or a message if Title is set.
type page struct {
	Token    string
	Name     string // of the application
	Site     string
	UserName string
	ReturnTo string // the origin of the callback

	Title, Help string
}

// showPage shows the form. It does not use the token; submitting the form does.
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

// submitPage handles the buttons of the form. It does not read the password.
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

// writeTokenError shows why the link does not work.
func writeTokenError(w http.ResponseWriter, err error) {
	status, p := http.StatusNotFound, page{
		Title: "This link is not valid",
		Help:  "It is unknown here. The fake forgets everything when it restarts. Go back to the app and start again.",
	}
	switch {
	case errors.Is(err, ErrTokenUsed):
		status, p.Title, p.Help = http.StatusGone, "This link was used before",
			"It works once. Go back to the app. If the account is not connected, start again."
	case errors.Is(err, ErrTokenExpired):
		status, p.Title, p.Help = http.StatusGone, "This link has expired",
			"It works for 15 minutes. Go back to the app and start again."
	}
	writePage(w, status, "", p)
}

// writePage writes a page. Its form, if it has one, may redirect to formTarget.
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

// plainHost matches the hosts that a policy's source expression allows. [url.Parse]
// accepts others, such as IPv6 addresses and hosts with a semicolon, which must not
// get into the header.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// formTarget returns the source expression that allows the form to redirect to the
// callback, because browsers apply form-action to redirects too.
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

// origin returns the origin of the callback, for display.
func origin(callbackURL string) string {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
