package connect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
)

func ExampleHandler_RequireIdentity() {
	app := newDemoApp()
	defer app.close()
	h, mux := app.connect, app.mux
	reports := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, ok := connect.FromContext(r.Context())
		fmt.Fprintln(w, connection.UserID, ok)
	})
	// docs: connections
	mux.Handle("GET /reports", h.RequireIdentity(reports))
	// docs: end
	app.get("/reports")
	app.connectAda()
	app.get("/reports")
	// Output:
	// 303 /connect?return_to=%2Freports
	// 200 ada true
}

// drive stands for the app's automation.
func drive(cdpURL string) { fmt.Println("a session with a URL:", cdpURL != "") }

func ExampleHandler_NewSession_route() {
	app := newDemoApp()
	defer app.close()
	h, mux, userID := app.connect, app.mux, "ada"
	// docs: connections
	mux.HandleFunc("POST /automation", func(w http.ResponseWriter, r *http.Request) {
		session, err := h.NewSession(r.Context(), userID, func(s *anchorhttp.SessionRequest) {
			s.Session.InitialURL = "https://example.com/inbox"
		})
		if err != nil {
			h.Error(w, r, err) // "Connect your account first", "Sign in to your account again"…
			return
		}
		drive(session.CDPURL) // with chromedp, Playwright or an agent
	})
	// docs: end
	app.post("/automation")
	app.connectAda()
	app.post("/automation")
	// Output:
	// 403 not_connected
	// a session with a URL: true
	// 200
}

// post sends a request that accepts JSON, and prints the answer's status and error.
func (a *demoApp) post(path string) {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	a.mux.ServeHTTP(w, r)
	_, code, _ := strings.Cut(w.Body.String(), `"error":"`)
	code, _, _ = strings.Cut(code, `"`)
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", code)))
}

func ExampleHandler_Webhook() {
	app := newDemoApp()
	defer app.close()
	os.Setenv("ANCHOR_WEBHOOK_SECRET", "whsec_of_the_example")
	h, mux := app.connect, app.mux
	// docs: connections
	mux.Handle("POST /webhooks/anchor", h.Webhook(os.Getenv("ANCHOR_WEBHOOK_SECRET")))
	// docs: end
	ctx := context.Background()
	app.fake.SetWebhook(app.server.URL+"/webhooks/anchor", "whsec_of_the_example")
	app.fake.SetWebhookClient(app.server.Client())
	app.connectAda()
	connection, _ := h.Connection(ctx, "ada")
	fmt.Println(connection.Health)
	_ = app.fake.FailIdentity(ctx, connection.IdentityID)
	_ = app.fake.WaitDelivered(ctx)
	connection, _ = h.Connection(ctx, "ada")
	fmt.Println(connection.Health)
	// Output:
	// ok
	// needs_sign_in
}

func ExampleHandler_DisconnectAll() {
	app := newDemoApp()
	defer app.close()
	app.connectAda()
	deleteUser := func(ctx context.Context, h *connect.Handler, userID string) error {
		// docs: connections
		if err := h.DisconnectAll(ctx, userID); err != nil {
			return err
		}
		// docs: end
		return nil
	}
	fmt.Println("identities at Anchor:", len(app.fake.Identities()))
	for range 2 { // It is idempotent.
		fmt.Println(deleteUser(context.Background(), app.connect, "ada"))
	}
	fmt.Println("identities at Anchor:", len(app.fake.Identities()))
	// Output:
	// identities at Anchor: 1
	// <nil>
	// <nil>
	// identities at Anchor: 0
}

func ExampleConfig_metadata() {
	plan := func(context.Context, string) (string, error) { return "pro", nil }
	app := newDemoApp(func(config *connect.Config) {
		// docs: connections
		config.Metadata = func(ctx context.Context, user connect.User) (map[string]any, error) {
			plan, err := plan(ctx, user.ID)
			return map[string]any{"plan": plan}, err
		}
		// docs: end
	})
	defer app.close()
	app.connectAda()
	identity, err := app.fake.WaitTagged(context.Background(), app.fake.Identities()[0].ID)
	fmt.Println(identity.Metadata["externalUserId"], identity.Metadata["plan"], err)
	// Output:
	// ada pro <nil>
}

// A rate limit in front of a handler under a path.
func ExampleHandler_limit() {
	app := newDemoApp(func(config *connect.Config) { config.PublicURL += "/integrations" })
	defer app.close()
	h, mux := app.connect, http.NewServeMux()
	limit := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	}
	// docs: flow
	mux.Handle("/integrations/", limit(h)) // PublicURL: "https://your-app.com/integrations"
	// docs: end
	app.mux = mux
	app.post("/integrations/connect")
	app.post("/connect")
	// Output:
	// 429
	// 404
}
