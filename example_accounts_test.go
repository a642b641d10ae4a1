package connect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/anchorconnect/connect"
)

// connectWith goes through a flow that is started with these fields, and prints how it
// ended.
func (a *demoApp) connectWith(fields ...string) {
	started, err := a.browser.PostForm(a.server.URL+"/connect", form(fields...))
	if err != nil {
		panic(err)
	}
	started.Body.Close()
	callback, err := a.fake.Approve(context.Background(), started.Header.Get("Location"))
	if err != nil {
		panic(err)
	}
	a.get(strings.TrimPrefix(callback, a.server.URL))
}

func ExampleApplication_NewSessionByID() {
	app := newDemoApp(func(config *connect.Config) {
		// docs: accounts
		config.MaxConnections = 5
		// docs: end
	})
	defer app.close()
	app.connectWith("label", "work")
	app.connectWith("label", "home")

	open := func(ctx context.Context, h *connect.Handler, userID, connectionID string) error {
		// docs: accounts
		session, err := h.Application("").NewSessionByID(ctx, userID, connectionID)
		// docs: end
		if err != nil {
			return err
		}
		fmt.Println(session.ID != "")
		return nil
	}
	ctx := context.Background()
	connections, err := app.connect.AllConnections(ctx, "ada")
	fmt.Println(len(connections), err)
	for _, c := range connections {
		fmt.Println(c.Label, open(ctx, app.connect, "ada", c.ID))
	}
	fmt.Println(open(ctx, app.connect, "eve", connections[0].ID))
	_, err = app.connect.NewSession(ctx, "ada")
	fmt.Println(err)
	// Output:
	// 303 /dashboard
	// 303 /dashboard
	// 2 <nil>
	// true
	// work <nil>
	// true
	// home <nil>
	// connect: the user has no such connection
	// connect: the user has several connections
}

func ExampleUser_actor() {
	type member struct{ Organisation, ID, Name string }
	currentMember := func(*http.Request) (*member, error) { return &member{"acme", "ada", "Ada"}, nil }
	app := newDemoApp(func(config *connect.Config) {
		// docs: accounts
		config.User = func(r *http.Request) (connect.User, error) {
			member, err := currentMember(r)
			if err != nil {
				return connect.User{}, err
			}
			if member == nil {
				return connect.User{}, connect.ErrNotSignedIn
			}
			return connect.User{ID: member.Organisation, Actor: member.ID, Name: member.Name}, nil
		}
		// docs: end
	})
	defer app.close()
	app.connectWith()
	c, err := app.connect.Connection(context.Background(), "acme")
	fmt.Println(c.UserID, c.ActorID, err)
	// Output:
	// 303 /dashboard
	// acme ada <nil>
}

func ExampleConfig_accept() {
	name := "ada@site.example" // What a browser session would show.
	signedInAs := func(context.Context, string) (string, error) { return name, nil }
	accounts := map[string]string{} // By connection; the app's own data.
	app := newDemoApp(func(config *connect.Config) {
		// docs: accounts
		config.Accept = func(r *http.Request, c connect.Candidate) error {
			name, err := signedInAs(r.Context(), c.Identity.ID)
			if err != nil {
				return err // The user can try again.
			}
			if before := accounts[c.Connection.ID]; before != "" && before != name {
				return connect.NotAccepted("Sign in as " + before + " again, not as " + name + ".")
			}
			return nil
		}
		// docs: end
	})
	defer app.close()
	app.connectWith()
	c, err := app.connect.Connection(context.Background(), "ada")
	accounts[c.ID] = name
	fmt.Println(err)

	name = "eve@site.example"
	app.browser.Transport = asJSON{app.browser.Transport}
	app.connectWith()
	// Output:
	// 303 /dashboard
	// <nil>
	// 409 {"error":"not_accepted","message":"That account cannot be used. Sign in as ada@site.example again, not as eve@site.example."}
}

// asJSON asks for JSON on callbacks, so that the example shows the message alone.
type asJSON struct{ http.RoundTripper }

func (t asJSON) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		r.Header.Set("Accept", "application/json")
	}
	return t.RoundTripper.RoundTrip(r)
}

// questions are an app's table of decisions, in the examples.
type questions struct {
	asked   []string          // user, connection and identity
	answers map[string]string // by question
}

func (q *questions) about(userID, connectionID, identityID string) (question, decision string) {
	row := userID + " " + connectionID + " " + identityID
	i := slices.Index(q.asked, row)
	if i < 0 {
		q.asked, i = append(q.asked, row), len(q.asked)
	}
	question = fmt.Sprint("question ", i+1)
	return url.QueryEscape(question), q.answers[question]
}

func (q *questions) decide(question, decision string) { q.answers[question] = decision }

func ExampleAskFirst() {
	decisions := &questions{answers: map[string]string{}}
	app := newDemoApp(func(config *connect.Config) {
		// docs: accounts
		config.Accept = func(r *http.Request, c connect.Candidate) error {
			if c.Replaces.ID == "" {
				return nil
			}
			// The decision is about this very replacement, not about the next one.
			question, decision := decisions.about(c.User.ID, c.Replaces.ID, c.Identity.ID)
			switch decision {
			case "replace":
				return nil
			case "keep":
				return connect.NotAccepted("Your account stays as it was.")
			}
			return connect.AskFirst("/replace-account?question=" + question)
		}
		// docs: end
	})
	defer app.close()
	var back string
	app.mux.HandleFunc("GET /replace-account", func(w http.ResponseWriter, r *http.Request) {
		back = r.FormValue("return_to")
		fmt.Fprint(w, "Replace your account?")
	})
	app.connectAda()

	res, err := app.browser.PostForm(app.server.URL+"/connect", nil)
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	callback, err := app.fake.Approve(context.Background(), res.Header.Get("Location"))
	if err != nil {
		panic(err)
	}
	res, err = app.browser.Get(callback)
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	app.get(res.Header.Get("Location"))
	decisions.decide("question 1", "replace")
	app.get(back)
	// Output:
	// 200 Replace your account?
	// 303 /dashboard
}

func ExampleConfig_applications() {
	app := newDemoApp()
	defer app.close()
	agenda := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the agenda") })
	several := func(mux *http.ServeMux, config connect.Config) error {
		// docs: accounts
		config.Applications = map[string]string{
			"mail":     "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01",
			"calendar": "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02",
		}
		h, err := connect.New(config)
		if err != nil {
			return err
		}
		h.Register(mux)
		mux.Handle("GET /agenda", h.Application("calendar").RequireIdentity(agenda))
		// docs: end
		return nil
	}
	mux := http.NewServeMux()
	fmt.Println(several(mux, connect.Config{
		Anchor:    app.fake.Client(),
		PublicURL: app.server.URL,
		Store:     connect.NewMemoryStore(),
		User:      func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets:   [][]byte{[]byte("a secret of the tests, not random")},
	}))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/agenda", nil))
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output:
	// <nil>
	// 303 /connect/calendar?return_to=%2Fagenda
}
