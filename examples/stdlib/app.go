package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
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
	actsForKey  = "acts_for" // an organisation's id

	// webhookPath is where Anchor sends its events.
	webhookPath = "/webhooks/anchor"
)

//go:embed pages
var pageFiles embed.FS

// app is what stands for an app that exists already: users, sessions, pages.
type app struct {
	anchor    *anchorhttp.Client
	sandbox   *sandbox.Server // runs automations; nil without a browser
	sessions  *sessions.CookieStore
	user      func(*http.Request) (connect.User, error) // who is signed in, and for whom
	connect   *connect.Handler
	accounts  []account
	audit     audit
	templates *template.Template
	policy    string

	webhookSecrets []string // none: there is no webhook
	controlURL     string   // where the built-in fake lets sign-ins fail; empty without it
}

// account is what this app calls an application: a kind of account to connect.
type account struct {
	Name string // connect's name of it; empty for the first
	Path string // what its routes end with
	Text string // for people
}

func newAccount(name string) account {
	if name == "" {
		return account{Text: "Mail"}
	}
	return account{Name: name, Path: "/" + name, Text: strings.ToUpper(name[:1]) + name[1:]}
}

func newApp(publicURL string, sessionSecret []byte, anchor *anchorhttp.Client) *app {
	store := sessions.NewCookieStore(sessionSecret)
	store.Options = &sessions.Options{
		Path:     "/",
		MaxAge:   7 * 24 * 60 * 60,
		HttpOnly: true,
		Secure:   demo.IsHTTPS(publicURL),
		SameSite: http.SameSiteLaxMode,
	}
	a := &app{
		anchor:    anchor,
		sessions:  store,
		accounts:  []account{newAccount("")},
		templates: template.Must(template.ParseFS(pageFiles, "pages/*.html")),
		// The form that starts a connection is redirected to the hosted page,
		// and Chromium holds redirects to form-action too.
		policy: "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + anchor.AppOrigin(),
	}
	a.user = a.connectUser()
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

// login signs in whoever says who they are. A real app asks for proof.
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
	session, _ := a.sessions.Get(r, sessionName) // A cookie that does not open is replaced.
	session.Values[userKey] = name
	delete(session.Values, actsForKey)
	if err := session.Save(r, w); err != nil {
		a.internal(w, "save the session", err)
		return
	}
	to := localPath(r.PostFormValue("return_to"))
	if to == "" {
		to = "/dashboard"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// isName reports whether somebody may be called this.
func isName(name string) bool {
	return len(name) <= 64 && utf8.ValidString(name) && strings.ContainsFunc(name, unicode.IsLetter) &&
		!strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) || c == ':' })
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	session, _ := a.sessions.Get(r, sessionName)
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		a.internal(w, "end the session", err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// report is a page that needs an account: RequireIdentity sends users without one to
// the connect page first.
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
		slog.Error("render", "page", name, "error", err)
	}
}

func (a *app) internal(w http.ResponseWriter, doing string, err error) {
	slog.Error(doing, "error", err)
	http.Error(w, "Something went wrong. Please try again in a moment.", http.StatusServiceUnavailable)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// localPath returns s when it leads to this app, and nothing otherwise: what
// comes in a URL must not send people elsewhere.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(s, "/") ||
		strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return ""
	}
	return s
}

// ready says whether connect can work, for a load balancer.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.connect.Verify(r.Context()); err != nil {
		slog.ErrorContext(r.Context(), "connect is not ready", "error", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
