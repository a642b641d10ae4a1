package connect_test

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing/fstest"
	"time"

	"github.com/gorilla/sessions"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// demoApp is the app of the examples: ada is signed in to it.
type demoApp struct {
	fake    *anchortest.Server
	mux     *http.ServeMux
	server  *httptest.Server
	browser *http.Client
	connect *connect.Handler
}

func newDemoApp(options ...func(*connect.Config)) *demoApp {
	fake, err := anchortest.Start()
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	cfg := connect.Config{
		Anchor:        fake.Client(),
		ApplicationID: fake.ApplicationID(),
		PublicURL:     server.URL,
		Store:         connect.NewMemoryStore(),
		User:          func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		SuccessURL:    "/dashboard",
		Logger:        slog.New(slog.DiscardHandler),
	}
	for _, option := range options {
		option(&cfg)
	}
	h, err := connect.New(cfg)
	if err != nil {
		panic(err)
	}
	h.Register(mux)
	browser := server.Client()
	browser.Jar, _ = cookiejar.New(nil)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &demoApp{fake, mux, server, browser, h}
}

func (a *demoApp) close() {
	a.server.Close()
	_ = a.fake.Close()
}

// connectAda goes through the flow as a user does.
func (a *demoApp) connectAda() {
	res, err := a.browser.Post(a.server.URL+"/connect", "", nil)
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	callback, err := a.fake.Approve(context.Background(), res.Header.Get("Location"))
	if err != nil {
		panic(err)
	}
	if res, err = a.browser.Get(callback); err != nil {
		panic(err)
	}
	res.Body.Close()
}

// get prints the answer to a GET.
func (a *demoApp) get(path string) {
	res, err := a.browser.Get(a.server.URL + path)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, res.Header.Get("Location")+strings.TrimSpace(string(body)))
}

func ExampleNew() {
	_, err := connect.New(connect.Config{
		Anchor:        anchorhttp.New("sk-example"),
		ApplicationID: "my-app",
		PublicURL:     "https://your-app.com",
		Store:         connect.NewMemoryStore(),
		User:          func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets:       [][]byte{[]byte("short")},
	})
	fmt.Println(err)
	// Output:
	// connect: Config.ApplicationID is "my-app", not a UUID: copy the application's id from Anchor's dashboard
	// connect: Config.Secrets has 5 bytes at index 0: each needs at least 32 random bytes (openssl rand -hex 32)
}

func ExampleHandler_Register() {
	app := newDemoApp()
	defer app.close()

	mux := http.NewServeMux() // the app's own
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a page of the app") })
	app.connect.Register(mux)

	for _, path := range []string{"/", "/connect/status"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/connect", nil))
	fmt.Println(w.Code, strings.HasPrefix(w.Header().Get("Location"), app.fake.URL()+"/identity/create?token="))
	// Output:
	// 200 a page of the app
	// 200 {"applicationId":"fa4e0000-0000-4000-8000-000000000001","connected":false,"connections":[],"maxConnections":1}
	// 303 true
}

func ExampleHandler_NewSession() {
	app := newDemoApp()
	defer app.close()

	_, err := app.connect.NewSession(context.Background(), "ada")
	fmt.Println(errors.Is(err, connect.ErrNotConnected))

	app.connectAda()
	session, err := app.connect.NewSession(context.Background(), "ada", func(r *anchorhttp.SessionRequest) {
		r.Session.Tags = []string{"weekly report"}
	})
	fmt.Println(session.ID != "", err)
	fmt.Println(session.CDPURL != "", "and it is not printed:", !strings.Contains(fmt.Sprint(session), session.CDPURL))
	// Output:
	// true
	// true <nil>
	// true and it is not printed: true
}

func ExampleHandler_AllConnections() {
	app := newDemoApp()
	defer app.close()
	app.connectAda()
	connections, err := app.connect.AllConnections(context.Background(), "ada")
	for _, c := range connections {
		fmt.Println(c.ApplicationID, c.Health, err)
	}
	// Output:
	// fa4e0000-0000-4000-8000-000000000001 ok <nil>
}

func ExampleHandler_Application() {
	const calendar = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"
	app := newDemoApp(func(c *connect.Config) {
		c.Applications = map[string]string{"calendar": calendar}
	})
	defer app.close()
	app.mux.Handle("/agenda", app.connect.Application("calendar").RequireIdentity(http.NotFoundHandler()))

	app.get("/connect/calendar/status")
	app.get("/agenda")
	// Output:
	// 200 {"application":"calendar","applicationId":"6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02","connected":false,"connections":[],"maxConnections":1}
	// 303 /connect/calendar?return_to=%2Fagenda
}

func ExampleConfig_onEvent() {
	told := make(chan connect.Event, 10)
	app := newDemoApp(func(c *connect.Config) {
		c.OnEvent = func(_ context.Context, e connect.Event) { told <- e }
	})
	defer app.close()
	if res, err := app.browser.Get(app.server.URL + "/identity-callback/A-FORGED-STATE"); err == nil {
		res.Body.Close()
	}
	e := <-told
	fmt.Println(e.Kind, e.UserID, "proof", e.Proof, errors.Is(e.Reason, connect.ErrNoStateCookie))

	app.connectAda()
	for range 2 {
		e = <-told
		fmt.Println(e.Kind, e.UserID)
	}
	// Output:
	// refused ada proof 3 true
	// started ada
	// connected ada
}

func ExampleSessionUser() {
	store := sessions.NewCookieStore([]byte(strings.Repeat("s", 32)))
	user := connect.SessionUser(store, "session", "user_id")

	r := httptest.NewRequest("GET", "/", nil)
	_, err := user(r)
	fmt.Println(err)

	session, _ := store.Get(r, "session")
	session.Values["user_id"] = 42
	fmt.Println(user(r))
	// Output:
	// connect: nobody is signed in
	// {42  } <nil>
}

func ExampleExplain() {
	err := fmt.Errorf("an error handler gets: %w", connect.ErrStateExpired)
	e := connect.Explain(err)
	fmt.Println(e.Status, e.Code)
	fmt.Println(e.Title)
	fmt.Println(e.Help)
	// Output:
	// 410 state_expired
	// That took too long
	// You have a limited time to sign in, and it is over. Your account was not connected. Start again whenever you are ready.
}

// It is one look-up in the store, and needs no request.
func ExampleHandler_Connection() {
	app := newDemoApp()
	defer app.close()

	_, err := app.connect.Connection(context.Background(), "ada")
	fmt.Println(errors.Is(err, connect.ErrNotConnected))
	app.connectAda()
	connection, err := app.connect.Connection(context.Background(), "ada")
	fmt.Println(connection.UserID, connection.Health, err)
	// Output:
	// true
	// ada ok <nil>
}

// Run outlives the server, and the app waits for it.
func ExampleHandler_Run() {
	app := newDemoApp()
	app.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503, Times: 3}) // Anchor is down for the tag…
	app.connectAda()

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- app.connect.Run(ctx) }()

	for app.fake.Identities()[0].Metadata["externalUserId"] != "ada" { // … which Run retries.
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("tagged")
	app.close()
	cancel()
	fmt.Println(<-ended)
	// Output:
	// tagged
	// context canceled
}

// The app answers errors itself. They are logged as before.
func ExampleConfig_errorHandler() {
	app := newDemoApp(func(c *connect.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
			e := connect.Explain(err)
			w.WriteHeader(e.Status)
			fmt.Fprintln(w, "Sorry:", e.Title)
		}
	})
	defer app.close()
	app.get("/identity-callback/AN-OLD-LINK")
	// Output:
	// 403 Sorry: Finish in the browser you started in
}

// The app replaces one page.
func ExampleConfig_templates() {
	files := fstest.MapFS{"templates/connect.html": {Data: []byte(
		`{{define "connect"}}<form method="post" action="{{.Action}}">` +
			`{{with .ReturnTo}}<input type="hidden" name="return_to" value="{{.}}">{{end}}<button>Link your shop</button></form>{{end}}`)}}
	app := newDemoApp(func(config *connect.Config) {
		// docs: pages
		config.Templates = template.Must(template.ParseFS(files, "templates/connect.html"))
		// docs: end
	})
	defer app.close()
	app.get("/connect")
	// Output:
	// 200 <form method="post" action="/connect"><button>Link your shop</button></form>
}
