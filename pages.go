package connect

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
)

//go:embed pages/*.html pages/pages.css
var pageFiles embed.FS

// pages renders what a person sees. The pages need no script, load nothing, and
// say so in their Content-Security-Policy.
type pages struct {
	templates  *template.Template
	plainCSP   string
	connectCSP string
}

// newPages prepares the pages. hostedOrigin is where the form of the connect
// page ends up: Chromium holds a form's redirects to form-action too.
func newPages(hostedOrigin string) pages {
	css, err := pageFiles.ReadFile("pages/pages.css")
	if err != nil {
		panic(err) // Embedded: it is there or nothing builds.
	}
	sum := sha256.Sum256(css)
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'; form-action "
	templates := template.New("").Funcs(template.FuncMap{
		"css": func() template.CSS { return template.CSS(css) },
	})
	return pages{
		templates:  template.Must(templates.ParseFS(pageFiles, "pages/*.html")),
		plainCSP:   policy + "'none'",
		connectCSP: policy + "'self' " + hostedOrigin,
	}
}

// connectData is what connect.html shows.
type connectData struct {
	Action      string // where the form goes
	Application string // the short name; may be empty
	ReturnTo    string // where to go after connecting; may be empty
	Connected   bool   // connecting again replaces what is there
	NeedsSignIn bool   // what is there does not work any more
}

func (p pages) connect(w http.ResponseWriter, data connectData) {
	p.render(w, http.StatusOK, p.connectCSP, "connect.html", data)
}

// repeat shows the page that makes the same request once more.
func (p pages) repeat(w http.ResponseWriter, address string) {
	p.render(w, http.StatusOK, p.plainCSP, "repeat.html", address)
}

// noticeData is what notice.html shows: an error and the next step.
type noticeData struct {
	Explanation
	NextURL, NextText string // empty: there is none
}

func (p pages) notice(w http.ResponseWriter, data noticeData) {
	p.render(w, data.Status, p.plainCSP, "notice.html", data)
}

func (p pages) render(w http.ResponseWriter, status int, policy, name string, data any) {
	var page bytes.Buffer
	if err := p.templates.ExecuteTemplate(&page, name, data); err != nil {
		panic(err) // Our own template on our own data.
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// Error answers a request of the app's own with an error of this package, as the
// handler's routes do: the log gets it, and Config.ErrorHandler answers.
//
//	session, err := h.NewSession(r.Context(), user.ID)
//	if err != nil {
//		h.Error(w, r, err)
//		return
//	}
func (h *Handler) Error(w http.ResponseWriter, r *http.Request, err error) { h.fail(w, r, err) }

// fail logs an error and has it answered.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := Explain(err)
	level := slog.LevelWarn
	switch {
	case r.Context().Err() != nil:
		level = slog.LevelInfo // Somebody closed the tab.
	case e.Status >= 500:
		level = slog.LevelError
	case errors.Is(err, ErrNotSignedIn), errors.Is(err, ErrNotConnected),
		errors.Is(err, ErrNeedsSignIn), errors.Is(err, ErrCancelled), errors.Is(err, ErrNotFinished):
		level = slog.LevelInfo
	}
	// Not the URL: a callback's path is a state.
	h.log.Log(r.Context(), level, "connect: refused", "code", e.Code, "status", e.Status, "error", err)
	h.errorHandler(w, r, err)
}

// defaultErrorHandler says what happened and what to do next, as JSON or as a
// page, and keeps the rest to the log.
func (h *Handler) defaultErrorHandler(w http.ResponseWriter, r *http.Request, err error) {
	e := Explain(err)
	// RequireIdentity brings requests here from any route of the app.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	var limit *RateLimitError
	if errors.As(err, &limit) && limit.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limit.RetryAfter.Seconds()))))
	}
	if acceptsJSON(r.Header) || findRoute(r.URL.Path, h.prefix).kind == routeStatus {
		body := map[string]any{"error": e.Code, "message": e.Title + ". " + e.Help}
		if errors.Is(err, ErrNotConnected) || errors.Is(err, ErrNeedsSignIn) {
			body["connectUrl"] = e.ConnectURL
		}
		writeJSON(w, e.Status, body)
		return
	}
	data := noticeData{Explanation: e}
	data.NextURL, data.NextText = h.nextStep(r, err)
	h.pages.notice(w, data)
}

// nextStep is the one thing to do after an error.
func (h *Handler) nextStep(r *http.Request, err error) (address, text string) {
	at := findRoute(r.URL.Path, h.prefix)
	switch {
	case errors.Is(err, ErrNotSignedIn):
		return h.signInStep(r, at, err)
	case at.kind == routeCallback && mayRepeat(err):
		return readReturn(r.URL.Query()).repeat(), "Try again"
	case errors.Is(err, ErrNoCredit), errors.Is(err, ErrRateLimited):
		return "", ""
	}
	connect := connectURLOf(err)
	if a := h.applications.named(at.application); connect == "" && a != nil {
		connect = a.connectURL()
	}
	switch {
	case connect == "":
		return "/", "Go on" // Which account it was about is not known.
	case errors.Is(err, ErrWrongOrigin):
		return h.origin + connect, "Open the site there"
	}
	return connect, "Connect your account"
}

// signInStep leads to the app's sign-in page, and from there back to what was
// wanted. The way back is the public address, whatever was stripped off it.
func (h *Handler) signInStep(r *http.Request, at route, err error) (address, text string) {
	if h.signInURL == "" {
		return "", ""
	}
	back := &url.URL{}
	switch {
	case at.kind == routeCallback:
		// Signing in leads back to this very return.
		back.Path, back.RawQuery = h.prefix+at.path(), readReturn(r.URL.Query()).query.Encode()
	case at.kind == routeConnect && r.Method != http.MethodPost:
		back.Path, back.RawQuery = h.prefix+at.path(), r.URL.RawQuery
	case connectURLOf(err) != "":
		back.Path = connectURLOf(err)
	default:
		return h.signInURL, "Sign in"
	}
	return withReturnTo(h.signInURL, back), "Sign in"
}

// mayRepeat tells whether the same return can still succeed.
func mayRepeat(err error) bool {
	for _, open := range []error{
		ErrUserLookup, ErrUpstreamUnavailable, ErrUpstreamInvalid, ErrUpstreamTimeout, ErrStoreFailed,
	} {
		if errors.Is(err, open) {
			return true
		}
	}
	return false
}
