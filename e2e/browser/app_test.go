package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

// start starts the browser of all tests.
var start = sync.OnceValues(chromium.Start)

func TestMain(m *testing.M) {
	code := m.Run()
	if browser, err := start(); err == nil {
		browser.Close()
	}
	closeFirefox()
	os.Exit(code)
}

// newPerson opens a tab for somebody who has not been anywhere yet.
func newPerson(t *testing.T) *chromium.Tab {
	t.Helper()
	browser, err := start()
	if errors.Is(err, chromium.ErrNotInstalled) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return browser.NewTab(t)
}

// setup is what a test changes about its app. The zero value is an app as most are.
type setup struct {
	// sameSite is the session cookie's. Defaults to Lax.
	sameSite http.SameSite
	// host is where the app is served. Defaults to chromium.AppHost.
	host string
	// hosted is added to the headers of the hosted page.
	hosted http.Header
	// wrap stands before the app.
	wrap func(http.Handler) http.Handler
	// config changes connect's configuration.
	config func(*connect.Config)
}

// An app is somebody's app with connect in it, and a fake of Anchor on another site.
type app struct {
	origin string
	port   string
	fake   *anchortest.Server
	// hosted is the origin of the hosted page.
	hosted  string
	connect *connect.Handler
	store   connect.Store

	mu       sync.Mutex
	late     time.Duration
	requests []*http.Request // all but those for scripts
}

func startApp(t *testing.T, s setup) *app {
	t.Helper()
	a := &app{}
	var err error
	a.fake, err = anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.fake.Close()) })
	hosted := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range s.hosted {
			w.Header()[name] = values
		}
		a.fake.ServeHTTP(w, r)
	}))
	a.hosted = "https://" + chromium.AnchorHost + ":" + hosted
	api := a.fake.URL()
	a.fake.SetURL(a.hosted)

	var mux http.ServeMux
	var serve http.Handler = &mux
	if s.wrap != nil {
		serve = s.wrap(serve)
	}
	a.port = startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		serve.ServeHTTP(w, r)
	}))
	a.origin = "https://" + cmp.Or(s.host, chromium.AppHost) + ":" + a.port
	cfg := connect.Config{
		Anchor:        a.fake.Client(anchorhttp.WithBaseURL(api), anchorhttp.WithMaxRetries(0)),
		ApplicationID: a.fake.ApplicationID(),
		PublicURL:     a.origin,
		Store:         connect.NewMemoryStore(),
		User: func(r *http.Request) (connect.User, error) {
			session, err := r.Cookie("session")
			if err != nil {
				return connect.User{}, connect.ErrNotSignedIn
			}
			return connect.User{ID: session.Value}, nil
		},
		Secrets:    [][]byte{[]byte("a secret of the tests, not random")},
		SignInURL:  "/sign-in",
		SuccessURL: "/welcome",
		Logger:     slog.New(slog.DiscardHandler),
		Now:        a.now,
	}
	if s.config != nil {
		s.config(&cfg)
	}
	a.store = cfg.Store
	a.connect, err = connect.New(cfg)
	require.NoError(t, err)
	a.connect.Register(&mux)
	mux.HandleFunc("GET /{$}", a.page("home"))
	mux.HandleFunc("GET /welcome", a.page("welcome"))
	mux.HandleFunc("GET /elsewhere", a.page("elsewhere"))
	mux.HandleFunc("GET /sign-in", a.page("sign-in"))
	mux.Handle("GET /reports", a.connect.RequireIdentity(a.page("reports")))
	mux.HandleFunc("GET /app.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, appScript)
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{
			Name: "session", Value: r.PostFormValue("user"), Path: "/", Secure: true, HttpOnly: true,
			SameSite: cmp.Or(s.sameSite, http.SameSiteLaxMode),
		})
		http.Redirect(w, r, r.PostFormValue("return_to"), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /sign-out", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", Secure: true, MaxAge: -1})
	})
	mux.HandleFunc("GET /notice/{code}", func(w http.ResponseWriter, r *http.Request) {
		a.connect.Error(w, r, notices[r.PathValue("code")])
	})
	return a
}

// startServer serves over TLS, under any name, and returns the port.
func startServer(t *testing.T, h http.Handler) (port string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // What a browser breaks off is no news.
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return u.Port()
}

// appPage is every page of the app's own: it says where one is and as whom. Its
// buttons connect by a form and by the script, and disconnect.
var appPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<link rel="icon" href="data:,">
<script type="module" src="/app.js"></script>
</head>
<body data-page="{{.Name}}" data-user="{{.User}}">
<main>
<h1>{{.Name}}</h1>
{{if eq .Name "sign-in"}}
<form method="post" action="/sign-in">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<label>Name <input name="user"></label> <button>Sign in</button>
</form>
{{else}}
<form method="post" action="/connect"><input type="hidden" name="return_to" value="/elsewhere?q=a+b&amp;x=%26"><button>Connect</button></form>
<form method="post" action="/disconnect"><input type="hidden" name="return_to" value="/"><button>Disconnect</button></form>
<button id="popup">Connect in a popup</button>
{{end}}
</main>
</body>
</html>
`))

// appScript is what docs/pages.md tells apps to write. What comes of connecting
// is put where tests can see it.
const appScript = `
import { connect } from "/connect/connect.js";
const outcomes = document.body.dataset;
window.begin = async (options) => { outcomes.outcome = await connect(options); };
document.querySelector("#popup")?.addEventListener("click", ({ target }) =>
	begin({ popup: true, returnTo: "/welcome", ...JSON.parse(target.dataset.options ?? "{}") }));
outcomes.ready = "yes";
`

func (a *app) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := r.Cookie("session")
		user := ""
		if err == nil {
			user = session.Value
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self' "+a.hosted)
		_ = appPage.Execute(w, map[string]string{
			"Name": name, "User": user, "ReturnTo": cmp.Or(r.URL.Query().Get("return_to"), "/"),
		})
	}
}

// note keeps a request.
func (a *app) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, ".js") {
		a.requests = append(a.requests, r.Clone(context.Background()))
	}
}

// withoutHaste serves pages that go on at once so that they stay for a day.
func withoutHaste(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = strings.NewReplacer(`content="0;`, `content="86400;`).WriteString(w, answer.Body.String())
	})
}

// last is the latest request for a path that begins like this.
func (a *app) last(t *testing.T, method, path string) *http.Request {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.requests) - 1; i >= 0; i-- {
		if r := a.requests[i]; r.Method == method && strings.HasPrefix(r.URL.Path, path) {
			return r
		}
	}
	require.Failf(t, "no such request", "%s %s", method, path)
	return nil
}

// count is how many requests there were for a path that begins like this.
func (a *app) count(method, path string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.requests {
		if r.Method == method && strings.HasPrefix(r.URL.Path, path) {
			n++
		}
	}
	return n
}

// now is the app's clock.
func (a *app) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Add(a.late)
}

// wait lets time pass for the app.
func (a *app) wait(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late += d
}

// countStarts is how many identity tokens Anchor was asked for.
func (a *app) countStarts() int {
	return a.fake.CountCalls(http.MethodPost, "/v1/applications/*/tokens")
}

// connection is what the app knows of a user; it is empty for nobody connected.
func (a *app) connection(t *testing.T, user string) string {
	t.Helper()
	c, err := a.connect.Application("").Connection(t.Context(), user)
	if err != nil {
		require.ErrorIs(t, err, connect.ErrNotConnected)
		return ""
	}
	return c.IdentityID
}

// needSignIn has the store know that a user's sign-in does not work any more, as an
// event of Anchor's says it.
func (a *app) needSignIn(t *testing.T, user string) error {
	_, _, err := a.store.SetHealth(t.Context(), a.connection(t, user), connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	return err
}

// signIn signs a person in to the app, in its own page.
func signIn(a *app, tab page, user string) {
	tab.Open(a.origin + "/sign-in")
	tab.Fill("[name=user]", user)
	tab.Click("form[action='/sign-in'] button")
	tab.At(a.origin + "/")
	tab.Wait(`document.body.dataset.page === "home" && document.body.dataset.ready`)
}

// The buttons.
const (
	startButton      = "form[action='/connect'] button"
	disconnectButton = "form[action='/disconnect'] button"
	popupButton      = "#popup"
	approveButton    = "button[value=approve]"
	cancelButton     = "button[value=cancel]"
	failButton       = "button[value=fail]"
	// nextStep is the one link of a page that says how something ended.
	nextStep = "main a.button"
)

// atHostedPage waits for the hosted page.
func atHostedPage(a *app, tab page) {
	tab.At(a.hosted + "/identity/create")
	tab.Wait(`document.querySelector("` + approveButton + `")`)
}

// connectByForm goes from a page with the form to where it leads back to.
func connectByForm(a *app, tab *chromium.Tab) {
	tab.Click(startButton)
	atHostedPage(a, tab)
	tab.Click(approveButton)
	tab.At(a.origin)
}

// requireNotice checks that a page of connect's own says how something ended.
func requireNotice(t *testing.T, tab *chromium.Tab, err error) {
	t.Helper()
	waitForNotice(t, tab, err)
	require.Empty(t, tab.Problems())
}

// waitForNotice waits for a page of connect's own that says how something ended.
func waitForNotice(t *testing.T, tab page, err error) {
	t.Helper()
	e := connect.Explain(err)
	tab.Wait(fmt.Sprintf(`document.readyState === "complete" &&
		document.querySelector("h1")?.textContent.includes(%s) &&
		performance.getEntriesByType("navigation")[0].responseStatus === %d`, asJSON(t, e.Title), e.Status))
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}
