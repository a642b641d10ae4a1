package connect_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
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
	h.Register(mux)                                    // your *http.ServeMux or chi router
	mux.Handle("/reports", h.RequireIdentity(reports)) // sends who is not connected to /connect and back
	go h.Run(ctx)                                      // makes up for what an outage or a crash left undone
	// README: end
}

func TestTheREADMEShowsWiringThatBuilds(t *testing.T) {
	t.Parallel()
	_ = wire
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, wiring, _ := strings.Cut(string(source), "\t// README: wiring\n")
	wiring, _, ok := strings.Cut(wiring, "\t// README: end\n")
	require.True(t, ok)
	lines := strings.Split(strings.TrimSuffix(wiring, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "\t")
	}
	require.LessOrEqual(t, len(lines), 20)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\n"+strings.Join(lines, "\n")+"\n```\n")
}
