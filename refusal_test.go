package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNextStepAfterEachError(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.PublicURL = "https://app.example/tools"
	cfg.Applications = map[string]string{"calendar": identityB}
	h, err := New(cfg)
	require.NoError(t, err)
	cfg.SignInURL = "/login"
	withSignIn, err := New(cfg)
	require.NoError(t, err)
	mail, calendar := h.Application(""), h.Application("calendar")
	started := func(err error) error { return &applicationError{err, calendar, "/events"} }
	internal := errors.New("internal")

	tests := []struct {
		name          string
		request, body string
		err           error
		address, text string
	}{
		{"a POST to connect that may work in a moment", "POST /connect", "", concerning(mail, ErrUpstreamUnavailable), "/tools/connect", "Try again"},
		{"the return path is kept", "POST /connect", "return_to=%2Freports%3Fa%3Db", concerning(mail, ErrStoreFailed), "/tools/connect?return_to=%2Freports%3Fa%3Db", "Try again"},
		{"a connect page that may work in a moment", "GET /connect?return_to=%2Freports", "", concerning(mail, ErrStoreFailed), "/tools/connect?return_to=%2Freports", "Try again"},
		{"an application's own", "GET /tools/connect/calendar", "", concerning(calendar, ErrUserLookup), "/tools/connect/calendar", "Try again"},
		{"a return path that is refused is not kept", "GET /connect?return_to=//evil.test", "", concerning(mail, ErrReturnTo), "/tools/connect", "Start again"},
		{"a POST to connect from another origin", "POST /connect", "", concerning(mail, ErrCrossOrigin), "/tools/connect", "Start again"},
		{"a POST to connect at another address", "POST /connect", "", concerning(mail, &WrongOriginError{PublicOrigin: "https://app.example"}), "https://app.example/tools/connect", "Open the site there"},

		{"a callback that may work in a moment", "GET /identity-callback/S?identity_id=x", "", started(ErrUpstreamTimeout), "?identity_id=x&repeated=1", "Try again"},
		{"a cancelled callback keeps the flow's return path", "GET /identity-callback/S", "", started(ErrCancelled), "/tools/connect/calendar?return_to=%2Fevents", "Start again"},
		{"a callback of an unknown flow", "GET /identity-callback/S", "", ErrNoStateCookie, "/tools/connect", "Start again"},
		{"an internal error", "GET /identity-callback/S", "", started(internal), "/tools/connect/calendar?return_to=%2Fevents", "Start again"},

		{"a disconnect that may work in a moment", "POST /disconnect", "return_to=%2Fsettings", concerning(mail, ErrStoreFailed), "/settings", "Go back"},
		{"a disconnect without a return path", "POST /disconnect/calendar", "", concerning(calendar, ErrCrossOrigin), "/tools/connect/calendar", "Go back"},

		{"a page of the app's that needs a connection", "POST /reports", "", concerning(calendar, ErrNotConnected), "/tools/connect/calendar", "Connect your account"},
		{"a page of the app's that needs a sign-in", "POST /reports", "", concerning(mail, ErrNeedsSignIn), "/tools/connect", "Connect again"},
		{"a page of the app's that may work in a moment", "GET /reports?a=b", "", concerning(mail, ErrUpstreamUnavailable), "/reports?a=b", "Try again"},
		{"a POST of the app's cannot be repeated by a link", "POST /reports", "", concerning(mail, ErrUpstreamUnavailable), "", ""},
		{"a page of the app's at an address that leads elsewhere", "GET //evil.test/x", "", concerning(mail, ErrStoreFailed), "", ""},
		{"a rate limit has no next step", "GET /reports", "", concerning(mail, &RateLimitError{}), "", ""},
		{"missing credit has no next step", "GET /reports", "", concerning(mail, ErrNoCredit), "", ""},

		{"a request without a signed-in user, if SignInURL is not set", "GET /connect", "", ErrNotSignedIn, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			method, target, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequest(method, target, strings.NewReader(test.body))
			if test.body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				require.NoError(t, r.ParseForm())
			}
			address, step := h.nextStep(r, findRoute(r.URL.Path, h.hosts.prefix), fmt.Errorf("doing something: %w", test.err))
			require.Equal(t, test.address, address)
			require.Equal(t, test.text, inEnglish(step))
		})
	}

	for request, want := range map[string][3]string{
		"GET /connect?return_to=%2Fx":            {"/login?return_to=%2Ftools%2Fconnect%3Freturn_to%3D%252Fx", "Sign in", "Sign in to continue"},
		"GET /identity-callback/S?identity_id=x": {"/login?return_to=%2Ftools%2Fidentity-callback%2FS", "Sign in and finish", "to finish connecting"},
	} {
		method, target, _ := strings.Cut(request, " ")
		r, w := httptest.NewRequest(method, target, nil), httptest.NewRecorder()
		address, step := withSignIn.nextStep(r, findRoute(r.URL.Path, withSignIn.hosts.prefix), ErrNotSignedIn)
		require.Equal(t, want[0], address)
		require.Equal(t, want[1], inEnglish(step))
		withSignIn.defaultErrorHandler(w, r, ErrNotSignedIn)
		require.Contains(t, w.Body.String(), want[2])
	}
}

func inEnglish(step string) string {
	if step == "" {
		return ""
	}
	return Locale{}.text(step)
}

// Every cause has a page with its own texts, and at most one next step.
func TestErrorPageOfEveryCause(t *testing.T) {
	t.Parallel()
	h, err := New(goodConfig())
	require.NoError(t, err)
	for _, c := range causes {
		w := httptest.NewRecorder()
		h.defaultErrorHandler(w, httptest.NewRequest(http.MethodGet, "/identity-callback/S", nil), c)
		require.Equal(t, c.Status, w.Code)
		require.Contains(t, w.Body.String(), "<h1>"+Explain(c).Title+"</h1>")
		require.Contains(t, w.Body.String(), "<p>"+Explain(c).Help+"</p>")
		require.LessOrEqual(t, strings.Count(w.Body.String(), "href="), 1)
	}
}

func TestLogMessageOfEachErrorSaysWhoHasToAct(t *testing.T) {
	t.Parallel()
	unfinished := []error{
		ErrNotSignedIn, ErrNotConnected, ErrNeedsSignIn, ErrCancelled, ErrNotFinished, ErrSignInFailed, ErrConnectionLimit, ErrWhichConnection,
		ErrBadLabel, ErrNotAccepted, ErrConnectionChanged, ErrFramed, ErrStateExpired,
	}
	for _, c := range causes {
		want := "level=WARN msg=\"connect: refused\""
		switch {
		case c.Status >= 500:
			want = "level=ERROR msg=\"connect: fault\""
		case slices.Contains(unfinished, error(c)):
			want = "level=INFO msg=\"connect: not finished\""
		}
		var log strings.Builder
		cfg := goodConfig()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		h, err := New(cfg)
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "/connect", nil)
		h.Error(httptest.NewRecorder(), r, fmt.Errorf("doing something: %w", c))
		require.Contains(t, log.String(), want)
		require.Contains(t, log.String(), "code="+c.Code)

		log.Reset()
		gone, cancel := context.WithCancel(r.Context())
		cancel()
		h.Error(httptest.NewRecorder(), r.WithContext(gone), c)
		require.Contains(t, log.String(), "level=INFO")
		require.Equal(t, c.Status >= 500, strings.Contains(log.String(), "connect: request cancelled"))
	}
}
