package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/sandbox"
)

// newApp serves an app in which one user is signed in.
func newApp(t *testing.T, anchor *sandbox.Server) (h *connect.Handler, browser *http.Client, url string) {
	t.Helper()
	mux := http.NewServeMux()
	app := httptest.NewTLSServer(mux)
	t.Cleanup(app.Close)
	h, err := connect.New(connect.Config{
		Anchor:        anchor.Client(),
		ApplicationID: anchor.ApplicationID(),
		PublicURL:     app.URL,
		Store:         connect.NewMemoryStore(),
		User:          func(*http.Request) (connect.User, error) { return connect.User{ID: "user-1"}, nil },
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		SuccessURL:    "/dashboard",
	})
	require.NoError(t, err)
	h.Register(mux)
	browser = app.Client()
	browser.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h, browser, app.URL
}

// docs: automation
// readInbox is an automation: it reads the inbox of a user's connected account.
func readInbox(ctx context.Context, h *connect.Handler, client *anchorhttp.Client, site, userID string) (subjects []string, err error) {
	session, err := h.NewSession(ctx, userID)
	if err != nil {
		return nil, err
	}
	defer client.EndSession(context.WithoutCancel(ctx), session.ID)
	ctx, cancel := remote.NewAllocator(ctx, session.CDPURL, remote.NoModifyURL)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(site+"/inbox")); err != nil {
		return nil, err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".subject")].map((e) => e.textContent)`))
}

func TestReadingTheInbox(t *testing.T) {
	anchor, err := sandbox.Start(t.Context())
	if errors.Is(err, sandbox.ErrNoBrowser) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer anchor.Close()
	h, browser, url := newApp(t, anchor) // your app, wired to anchor.Client() and anchor.ApplicationID()

	// The user connects an account: presses the button, signs in and returns.
	res, err := browser.Post(url+"/connect", "", nil)
	require.NoError(t, err)
	callback, err := anchor.SignIn(t.Context(), res.Header.Get("Location"), "ada", "ada-letters")
	require.NoError(t, err)
	res, err = browser.Get(callback)
	require.NoError(t, err)
	require.Equal(t, "/dashboard", res.Header.Get("Location"))

	subjects, err := readInbox(t.Context(), h, anchor.Client(), anchor.Site().URL(), "user-1")
	require.NoError(t, err)
	require.Equal(t, "Your book is ready", subjects[0])

	// Anchor signs in again if it can, and refuses the session otherwise.
	require.NoError(t, anchor.Site().SignOutEverywhere("ada"))
	_, err = readInbox(t.Context(), h, anchor.Client(), anchor.Site().URL(), "user-1")
	require.NoError(t, err)
	require.NoError(t, anchor.Site().SetPassword("ada", "another"))
	_, err = readInbox(t.Context(), h, anchor.Client(), anchor.Site().URL(), "user-1")
	require.True(t, anchorhttp.NeedsSignIn(err), "%v", err)
}

// docs: end

// README.md shows exactly this example.
func TestREADMEShowsTheTest(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("automation_test.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(source), "// docs: automation\n")
	require.True(t, found)
	example, _, found := strings.Cut(rest, "\n// docs: end")
	require.True(t, found)
	shown := regexp.MustCompile("(?ms)^```go\n(.*?)\n```$").FindStringSubmatch(string(readme))
	require.NotNil(t, shown)
	require.Equal(t, strings.TrimSpace(example), strings.TrimSpace(shown[1]))
}
