package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/sessions"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/examples/internal/demo"
	"github.com/anchorconnect/connect/sandbox"
)

const (
	sessionName = "session"
	userKey     = "user"
	actsForKey  = "acts_for" // an organisation's ID

	// webhookPath is the route that receives Anchor's events.
	webhookPath = "/webhooks/anchor"
)

//go:embed pages
var pageFiles embed.FS

// app is the app that connect is added to: users, sessions, pages.
type app struct {
	publicURL string
	anchor    *anchorhttp.Client
	sandbox   *sandbox.Server // runs automations; nil without a browser
	sessions  *sessions.CookieStore
	user      func(*http.Request) (connect.User, error) // the signed-in user
	connect   *connect.Handler
	accounts  []account
	audit     audit
	templates *template.Template
	policy    string // the Content-Security-Policy of its pages

	webhookSecrets []string // empty: there is no webhook
	controlURL     string   // the built-in fake's page that makes sign-ins fail, or ""
}

// account is a kind of account that users can connect: one application of connect.
type account struct {
	Name string // the application's name in connect.Config, "" for the first
	Path string // the suffix of its routes
	Text string // its name on pages
}

func newAccount(name string) account {
	if name == "" {
		return account{Text: "Mail"}
	}
	return account{Name: name, Path: "/" + name, Text: strings.ToUpper(name[:1]) + name[1:]}
}

// newApp returns the app without connect, which addConnect adds.
func newApp(settings demo.Settings, publicURL string, local demo.Local) *app {
	anchor := settings.Anchor()
	a := &app{
		publicURL: publicURL,
		anchor:    anchor,
		sandbox:   local.Sandbox,
		sessions:  sessions.NewCookieStore(settings.SessionSecret),
		accounts:  []account{newAccount("")},
		templates: template.Must(template.ParseFS(pageFiles, "pages/*.html")),
		// The form that connects an account redirects to the hosted page, and Chromium
		// applies form-action to redirects too.
		policy: "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + anchor.AppOrigin(),

		webhookSecrets: settings.WebhookSecrets,
	}
	a.sessions.Options = &sessions.Options{
		Path:     "/",
		MaxAge:   7 * 24 * 60 * 60,
		HttpOnly: true,
		Secure:   demo.IsHTTPS(publicURL),
		SameSite: http.SameSiteLaxMode,
	}
	a.user = a.connectUser()
	if local.Fake != nil {
		a.controlURL = local.Fake.ControlURL()
	}
	for _, name := range slices.Sorted(maps.Keys(settings.Applications)) {
		a.accounts = append(a.accounts, newAccount(name))
	}
	return a
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("POST /act-for", a.actFor)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /dashboard", a.dashboard)
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", a.assets()))
	a.connect.Register(mux)
	if len(a.webhookSecrets) > 0 {
		mux.Handle("POST "+webhookPath, a.connect.Webhook(a.webhookSecrets...))
	}
	mux.Handle("GET /report", a.connect.RequireIdentity(http.HandlerFunc(a.report)))
	mux.HandleFunc("POST /api/run-automation", a.runAutomation)
	return http.NewCrossOriginProtection().Handler(mux)
}

// home is the sign-in page.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	if _, err := a.user(r); err == nil {
		http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
		return
	}
	a.render(w, http.StatusOK, "home.html", map[string]any{"ReturnTo": localPath(r.URL.Query().Get("return_to"))})
}

// login signs a user in by name alone. A real app checks a password.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := strings.TrimSpace(r.PostFormValue("user"))
	if !isName(name) {
		a.render(w, http.StatusUnprocessableEntity, "home.html", map[string]any{
			"ReturnTo": localPath(r.PostFormValue("return_to")),
			"Problem":  "Choose a name of 1 to 64 letters, without a colon.",
		})
		return
	}
	session, _ := a.sessions.Get(r, sessionName) // An invalid cookie is replaced.
	session.Values[userKey] = name
	delete(session.Values, actsForKey)
	if err := session.Save(r, w); err != nil {
		a.internal(w, "cannot save the session", err)
		return
	}
	to := localPath(r.PostFormValue("return_to"))
	if to == "" {
		to = "/dashboard"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// isName reports whether name is allowed as a user's name.
func isName(name string) bool {
	return len(name) <= 64 && utf8.ValidString(name) && strings.ContainsFunc(name, unicode.IsLetter) &&
		!strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) || c == ':' })
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	session, _ := a.sessions.Get(r, sessionName)
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		a.internal(w, "cannot end the session", err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// report is a page that needs a connected account. RequireIdentity redirects users
// without one to the connect page, and back afterwards.
func (a *app) report(w http.ResponseWriter, r *http.Request) {
	a.render(w, http.StatusOK, "report.html", named(a.accounts[0], connect.AllFromContext(r.Context())))
}

func (a *app) assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "app.css", "app.js":
			http.ServeFileFS(w, r, pageFiles, "pages/"+r.URL.Path)
		default:
			http.NotFound(w, r)
		}
	})
}

func (a *app) render(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", a.policy)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := a.templates.ExecuteTemplate(w, name, data); err != nil {
		slog.Error("cannot render a page", "page", name, "error", err)
	}
}

func (a *app) internal(w http.ResponseWriter, message string, err error) {
	slog.Error(message, "error", err)
	http.Error(w, "Something went wrong. Please try again in a moment.", http.StatusServiceUnavailable)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// localPath returns s if it is a path of this app, and "" otherwise. It prevents open
// redirects by a return_to parameter.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(s, "/") ||
		strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return ""
	}
	return s
}

// ready reports to a load balancer whether connect works.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.connect.Verify(r.Context()); err != nil {
		slog.ErrorContext(r.Context(), "connect is not ready", "error", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
