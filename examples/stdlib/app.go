package main

import (
	"embed"
	"encoding/json"
	"errors"
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
)

const (
	sessionName = "session"
	userKey     = "user"
)

//go:embed pages
var pageFiles embed.FS

// app is what stands for an app that exists already: users, sessions, pages.
type app struct {
	sessions  *sessions.CookieStore
	connect   *connect.Handler
	anchor    *anchorhttp.Client
	templates *template.Template
	policy    string
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
	return &app{
		sessions:  store,
		anchor:    anchor,
		templates: template.Must(template.ParseFS(pageFiles, "pages/*.html")),
		// The form that starts a connection is redirected to the hosted page,
		// and Chromium holds redirects to form-action too.
		policy: "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + anchor.AppOrigin(),
	}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("GET /dashboard", a.dashboard)
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", a.assets()))
	a.connect.Register(mux)
	mux.Handle("POST /api/run-automation", wantJSON(a.connect.RequireIdentity(http.HandlerFunc(a.runAutomation))))
	return http.NewCrossOriginProtection().Handler(mux)
}

// home is the sign-in page.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	if a.user(r) != "" {
		http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
		return
	}
	a.render(w, http.StatusOK, "home.html", map[string]any{"ReturnTo": localPath(r.URL.Query().Get("return_to"))})
}

// login signs in whoever says who they are. A real app asks for proof.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := strings.TrimSpace(r.PostFormValue("user"))
	if name == "" || len(name) > 64 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		a.render(w, http.StatusUnprocessableEntity, "home.html", map[string]any{
			"ReturnTo": localPath(r.PostFormValue("return_to")),
			"Problem":  "Choose a name of 1 to 64 letters.",
		})
		return
	}
	session, _ := a.sessions.Get(r, sessionName) // A cookie that does not open is replaced.
	session.Values[userKey] = name
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

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	session, _ := a.sessions.Get(r, sessionName)
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		a.internal(w, "end the session", err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// dashboard shows the connected account.
func (a *app) dashboard(w http.ResponseWriter, r *http.Request) {
	user := a.user(r)
	if user == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	connection, err := a.connect.Connection(r.Context(), user)
	if err != nil && !errors.Is(err, connect.ErrNotConnected) {
		a.internal(w, "look up the connection", err)
		return
	}
	a.render(w, http.StatusOK, "dashboard.html", map[string]any{
		"User":       user,
		"Connected":  err == nil,
		"Connection": connection,
		"JustNow":    r.URL.Query().Get("connected") == "true" && err == nil,
	})
}

// runAutomation opens a browser session that is signed in to the user's
// account. What an app does in it is up to the app.
func (a *app) runAutomation(w http.ResponseWriter, r *http.Request) {
	connection, _ := connect.FromContext(r.Context())
	session, err := a.anchor.CreateSession(r.Context(), anchorhttp.AuthenticatedSession(connection.IdentityID))
	if err != nil {
		slog.Error("open a browser session", "user", connection.UserID, "error", err)
		writeJSON(w, http.StatusBadGateway, map[string]string{"error": "upstream", "message": "No browser session could be opened. Try again in a moment, or connect your account again."})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"sessionId": session.ID})
}

// user returns the signed-in user, or nothing.
func (a *app) user(r *http.Request) string {
	session, _ := a.sessions.Get(r, sessionName)
	user, _ := session.Values[userKey].(string)
	return user
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

// wantJSON makes a route answer its errors as JSON to every client.
func wantJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept", "application/json")
		next.ServeHTTP(w, r)
	})
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
