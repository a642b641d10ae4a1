package connect_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// wire is the wiring that the README shows, so that it builds.
func wire(ctx context.Context, mux *http.ServeMux, sessionStore sessions.Store, reports http.Handler) {
	// README: wiring
	h, err := connect.New(connect.Config{
		Anchor:        anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY")),
		ApplicationID: os.Getenv("ANCHOR_APPLICATION_ID"),
		PublicURL:     "https://your-app.com",                                  // where browsers find the handler, prefix included
		Store:         connect.NewMemoryStore(),                                // for a first try; see "Stores"
		User:          connect.SessionUser(sessionStore, "session", "user_id"), // a gorilla session, or any func
		Secrets:       [][]byte{[]byte(os.Getenv("CONNECT_SECRET"))},           // 32 bytes or more: openssl rand -hex 32
		SuccessURL:    "/dashboard?connected=true",
	})
	if err != nil {
		log.Fatal(err) // names the field and the remedy
	}
	h.Register(mux)                                        // your *http.ServeMux or chi router
	mux.Handle("GET /reports", h.RequireIdentity(reports)) // sends who is not connected to /connect and back
	go h.Run(ctx)                                          // makes up for what an outage or a crash left undone
	// README: end
}

// use is what the README shows of the time after connecting.
func use(ctx context.Context, mux *http.ServeMux, h *connect.Handler, user connect.User) error {
	// README: automation
	mux.HandleFunc("POST /automation", func(w http.ResponseWriter, r *http.Request) {
		session, err := h.NewSession(r.Context(), user.ID, func(s *anchorhttp.SessionRequest) {
			s.Session.InitialURL = "https://example.com/inbox"
		})
		if err != nil {
			h.Error(w, r, err) // "connect your account first", "sign in again", "please try again"…
			return
		}
		drive(session.CDPURL) // with chromedp, Playwright or an agent of yours
	})
	// README: end

	// README: webhook
	mux.Handle("POST /webhooks/anchor", h.Webhook(os.Getenv("ANCHOR_WEBHOOK_SECRET")))
	// README: end

	// README: leave
	if err := h.DisconnectAll(ctx, user.ID); err != nil {
		return err
	}
	// README: end
	return nil
}

// several is what the README shows of more than one application.
func several(mux *http.ServeMux, config connect.Config, agenda http.Handler) error {
	// README: several
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
	// README: end
	return nil
}

// observe is what the README shows of events and metadata.
func observe(config connect.Config, audit *slog.Logger, plan func(context.Context, string) (string, error)) {
	// README: events
	config.OnEvent = func(ctx context.Context, e connect.Event) {
		audit.InfoContext(ctx, string(e.Kind), "user", e.UserID, "application", e.ApplicationID,
			"identity", e.IdentityID, "health", e.Health, "proof", e.Proof, "reason", e.Reason)
	}
	config.Metadata = func(ctx context.Context, user connect.User) (map[string]any, error) {
		plan, err := plan(ctx, user.ID)
		return map[string]any{"plan": plan}, err
	}
	// README: end
	_ = config
}

func drive(string) {}

// newApp is the reader's own app: it signs in whoever asks.
func newApp(t *testing.T, mux *http.ServeMux, publicURL string, anchor *anchorhttp.Client, applicationID string) {
	h, err := connect.New(connect.Config{
		Anchor: anchor, ApplicationID: applicationID, PublicURL: publicURL, Store: connect.NewMemoryStore(),
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")}, SuccessURL: "/dashboard?connected=true",
	})
	require.NoError(t, err)
	h.Register(mux)
}

// README: test
func TestConnecting(t *testing.T) {
	fake, err := anchortest.Start()
	require.NoError(t, err)
	defer fake.Close()

	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	newApp(t, mux, server.URL, fake.Client(), fake.ApplicationID()) // yours, wired to the fake

	browser := server.Client()
	browser.Jar, _ = cookiejar.New(nil)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// Sign in to your app here. Then press the button:
	res, err := browser.Post(server.URL+"/connect", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, res.StatusCode)

	// The person approves on the hosted page, and the browser goes back.
	callback, err := fake.Approve(t.Context(), res.Header.Get("Location"))
	require.NoError(t, err)
	res, err = browser.Get(callback)
	require.NoError(t, err)
	require.Equal(t, "/dashboard?connected=true", res.Header.Get("Location"))

	// connect answers first, and then writes at Anchor whose the identity is.
	identity, err := fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
}

// README: end

func TestTheREADMEShowsCodeThatBuilds(t *testing.T) {
	t.Parallel()
	_, _, _, _ = wire, use, several, observe
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, part := range []struct {
		mark, indent string
		most         int // lines
	}{
		{"wiring", "\t", 20},
		{"automation", "\t", 12},
		{"webhook", "\t", 1},
		{"leave", "\t", 3},
		{"several", "\t", 12},
		{"events", "\t", 8},
		{"test", "", 40},
	} {
		_, code, _ := strings.Cut(string(source), part.indent+"// README: "+part.mark+"\n")
		code, _, ok := strings.Cut(code, part.indent+"// README: end\n")
		require.True(t, ok, part.mark)
		lines := strings.Split(strings.TrimSpace(code), "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, part.indent)
		}
		require.LessOrEqual(t, len(lines), part.most)
		require.Contains(t, string(readme), "```go\n"+strings.Join(lines, "\n")+"\n```\n")
	}
}
