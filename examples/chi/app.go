package main

import (
	"bytes"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/sessions"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/examples/internal/demo"
)

// integrations is the path under which connect is mounted.
const integrations = "/integrations"

// requestTimeout bounds a request, including its waits for the database. It is longer
// than the 30 seconds that connect may wait for Anchor.
const requestTimeout = 40 * time.Second

const (
	// Browsers share cookies between the ports of a host, so each example's session
	// cookie has a name of its own.
	sessionName = "chi-session"
	userKey     = "user_id"
)

//go:embed pages
var pageFiles embed.FS

type config struct {
	db            *database
	anchor        *anchorhttp.Client
	applicationID string
	publicURL     string
	secrets       [][]byte
	sessionSecret []byte
}

type app struct {
	config
	sessions *sessions.CookieStore
	pages    *template.Template

	connect *connect.Handler
}

func newApp(cfg config) (*app, error) {
	a := &app{
		config:   cfg,
		sessions: sessions.NewCookieStore(cfg.sessionSecret),
		pages:    template.Must(template.ParseFS(pageFiles, "pages/*.html")),
	}
	a.sessions.Options = &sessions.Options{
		Path:     "/",
		MaxAge:   7 * 24 * 60 * 60,
		HttpOnly: true,
		Secure:   demo.IsHTTPS(cfg.publicURL),
		SameSite: http.SameSiteLaxMode,
	}
	var err error
	a.connect, err = connect.New(connect.Config{
		Anchor:        cfg.anchor,
		ApplicationID: cfg.applicationID,
		PublicURL:     cfg.publicURL + integrations,
		Store:         cfg.db.store,
		// connect.SessionUser would return the ID. This function also returns the name,
		// which Anchor shows with the identity.
		User: func(r *http.Request) (connect.User, error) {
			u, err := a.currentUser(r)
			return connect.User{ID: u.ID, Name: u.Name}, err
		},
		Secrets:    cfg.secrets,
		SuccessURL: "/account?connected=true",
		SignInURL:  "/",
	})
	return a, err
}

func (a *app) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(logRequests, middleware.Recoverer, middleware.Timeout(requestTimeout))
	r.Use(http.NewCrossOriginProtection().Handler)
	// The form that connects an account redirects to the hosted page, and Chromium
	// applies form-action to redirects too. connect's pages replace this policy.
	r.Use(middleware.SetHeader("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+a.anchor.AppOrigin()))

	r.Get("/", a.home)
	r.Post("/login", a.login)
	r.Post("/logout", a.logout)
	r.Get("/account", a.account)
	r.Post("/account/delete", a.deleteAccount)
	r.Get("/readyz", a.ready)
	r.Get("/style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, "pages/style.css")
	})

	// connect's routes: /integrations/connect and others.
	r.Route(integrations, func(r chi.Router) { a.connect.Register(r) })

	// Routes of the app that need a connected account.
	r.Route("/api/reports", func(r chi.Router) {
		r.Use(a.connect.RequireIdentity)
		r.Get("/", a.reports)
		r.Post("/", a.startReport)
	})
	return r
}

// reports returns the account that the reports come from.
func (a *app) reports(w http.ResponseWriter, r *http.Request) {
	connection, _ := connect.FromContext(r.Context())
	writeJSON(w, http.StatusOK, map[string]any{"identityId": connection.IdentityID, "connectedAt": connection.ConnectedAt})
}

// startReport opens a browser session that is signed in to the user's account. A real
// app would drive it at session.CDPURL.
func (a *app) startReport(w http.ResponseWriter, r *http.Request) {
	connection, _ := connect.FromContext(r.Context())
	session, err := a.anchor.CreateSession(r.Context(), anchorhttp.AuthenticatedSession(connection.IdentityID))
	if err != nil {
		slog.ErrorContext(r.Context(), "cannot open a browser session", "user", connection.UserID, "error", err)
		writeJSON(w, http.StatusBadGateway, map[string]any{"error": "upstream", "message": "The browser session could not be opened. Try again in a moment, or connect your account again."})
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"sessionId": session.ID})
}

// deleteAccount disconnects the user, then deletes the row. If another tab connects an
// account in between, deleteUser fails and the row stays.
func (a *app) deleteAccount(w http.ResponseWriter, r *http.Request) {
	u, err := a.currentUser(r)
	if err != nil {
		a.fault(w, r, "cannot look up the user", err)
		return
	}
	if u.ID == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if err := a.connect.DisconnectAll(r.Context(), u.ID); err != nil {
		a.fault(w, r, "cannot disconnect the user", err)
		return
	}
	if err := a.db.deleteUser(r.Context(), u.ID); err != nil {
		a.fault(w, r, "cannot delete the user", err)
		return
	}
	a.logout(w, r)
}

// ready reports to a load balancer whether connect works.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.connect.Verify(r.Context()); err != nil {
		a.fault(w, r, "connect is not ready", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"ready": true})
}

// The code below does not depend on connect, except for the connection in account.

// home is the sign-in page.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	u, err := a.currentUser(r)
	if err != nil {
		a.fault(w, r, "cannot look up the user", err)
		return
	}
	to := localPath(r.URL.Query().Get("return_to"), "/account")
	if u.ID != "" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	a.render(w, http.StatusOK, "home.html", map[string]any{"ReturnTo": to})
}

// login signs a user in by name alone. A real app checks a password.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := strings.TrimSpace(r.PostFormValue("user"))
	to := localPath(r.PostFormValue("return_to"), "/account")
	if name == "" || len(name) > 64 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		a.render(w, http.StatusUnprocessableEntity, "home.html", map[string]any{
			"ReturnTo": to, "Problem": "Choose a name of 1 to 64 letters.",
		})
		return
	}
	u, err := a.db.userNamed(r.Context(), name)
	if err != nil {
		a.fault(w, r, "cannot find or create the user", err)
		return
	}
	session, _ := a.sessions.Get(r, sessionName) // An invalid cookie is replaced.
	session.Values[userKey] = u.ID
	if err := session.Save(r, w); err != nil {
		a.fault(w, r, "cannot save the session", err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	session, _ := a.sessions.Get(r, sessionName)
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		a.fault(w, r, "cannot end the session", err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// account is the page of the signed-in user.
func (a *app) account(w http.ResponseWriter, r *http.Request) {
	u, err := a.currentUser(r)
	if err != nil {
		a.fault(w, r, "cannot look up the user", err)
		return
	}
	if u.ID == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	connection, err := a.connect.Connection(r.Context(), u.ID)
	if err != nil && !errors.Is(err, connect.ErrNotConnected) {
		a.fault(w, r, "cannot look up the connection", err)
		return
	}
	a.render(w, http.StatusOK, "account.html", map[string]any{
		"Name":       u.Name,
		"Connected":  err == nil,
		"Connection": connection,
		"JustNow":    err == nil && r.URL.Query().Get("connected") == "true",
	})
}

// currentUser returns the signed-in user, or a user with an empty ID.
func (a *app) currentUser(r *http.Request) (user, error) {
	session, _ := a.sessions.Get(r, sessionName) // An invalid cookie is no session.
	id, _ := session.Values[userKey].(string)
	if id == "" {
		return user{}, nil
	}
	u, err := a.db.userByID(r.Context(), id)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, nil // Deleted after signing in.
	}
	return u, err
}

// logRequests logs the route of each request. It replaces chi's middleware.Logger, which
// logs the path: the path of a callback contains a state.
func logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		slog.InfoContext(r.Context(), "request", "method", r.Method, "route", chi.RouteContext(r.Context()).RoutePattern(),
			"status", ww.Status(), "took", time.Since(begun).Round(time.Microsecond))
	})
}

func (a *app) render(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer
	if err := a.pages.ExecuteTemplate(&body, page, data); err != nil {
		panic(err) // Our own template on our own data.
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

func (a *app) fault(w http.ResponseWriter, r *http.Request, message string, err error) {
	slog.ErrorContext(r.Context(), message, "error", err)
	http.Error(w, "Something went wrong. Please try again in a moment.", http.StatusServiceUnavailable)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// localPath returns s if it is a path of this app, and fallback otherwise. It prevents
// open redirects by a return_to parameter.
func localPath(s, fallback string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(s, "/") ||
		strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return fallback
	}
	return s
}
