package connect

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequireIdentityOfEachRequest(t *testing.T) {
	t.Parallel()
	const page, script = "text/html", "application/json"
	tests := []struct {
		name     string
		user     string
		method   string
		accept   string
		target   string
		signIn   string
		prefix   string
		status   int
		location string
		code     string
	}{
		{name: "a connected user passes", user: "ada", method: "GET", accept: page, target: "/reports", status: 200},
		{name: "a connected user passes with any method", user: "ada", method: "DELETE", accept: script, target: "/reports", status: 200},
		{name: "a page is redirected to the connect page with a return path", user: "eve", method: "GET", accept: page, target: "/reports?a=b&c=d", status: 303, location: "/connect?return_to=%2Freports%3Fa%3Db%26c%3Dd"},
		{name: "a page is redirected to the connect page under the prefix", user: "eve", method: "GET", accept: page, target: "/reports", prefix: "/tools", status: 303, location: "/tools/connect?return_to=%2Freports"},
		{name: "a path that leads to another site is no return path", user: "eve", method: "GET", accept: page, target: "//evil.test/x", status: 303, location: "/connect"},
		{name: "a script gets the URL of the connect page", user: "eve", method: "GET", accept: script, target: "/reports", status: 403, code: "not_connected"},
		{name: "a POST is never redirected", user: "eve", method: "POST", accept: page, target: "/reports", status: 403},
		{name: "a page without a signed-in user is redirected to the sign-in page with a return path", method: "GET", accept: page, target: "/reports", signIn: "/login", status: 303, location: "/login?return_to=%2Freports"},
		{name: "a sign-in address with a query keeps it", method: "GET", accept: page, target: "/reports", signIn: "/login?x=y", status: 303, location: "/login?x=y&return_to=%2Freports"},
		{name: "a page without a signed-in user is refused if SignInURL is not set", method: "GET", accept: page, target: "/reports", status: 401},
		{name: "a script without a signed-in user is refused", method: "GET", accept: script, target: "/reports", signIn: "/login", status: 401, code: "not_signed_in"},
		{name: "a POST without a signed-in user is refused", method: "POST", accept: page, target: "/reports", signIn: "/login", status: 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			connected(t, cfg.Store, "ada", identityA)
			cfg.User = func(*http.Request) (User, error) { return User{ID: test.user}, nil }
			cfg.SignInURL = test.signIn
			cfg.PublicURL += test.prefix
			cfg.Logger = slog.New(slog.DiscardHandler)
			h, err := New(cfg)
			require.NoError(t, err)

			reached := false
			guarded := h.RequireIdentity(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached = true
				c, ok := FromContext(r.Context())
				require.True(t, ok)
				require.Equal(t, identityA, c.IdentityID)
				require.Equal(t, "ada", c.UserID)
			}))
			r := httptest.NewRequest(test.method, "/", nil)
			r.URL, err = url.ParseRequestURI(test.target)
			r.RequestURI = test.target
			require.NoError(t, err)
			r.Header.Set("Accept", test.accept)
			w := httptest.NewRecorder()
			guarded.ServeHTTP(w, r)

			require.Equal(t, test.status, w.Code)
			require.Equal(t, test.status == 200, reached)
			require.Equal(t, test.location, w.Header().Get("Location"))
			if test.code != "" {
				body := jsonBody(t, w.Body.Bytes())
				require.Equal(t, test.code, body["error"])
				if test.code == "not_connected" {
					require.Equal(t, test.prefix+"/connect", body["connectUrl"])
				}
			}
			if test.status != 200 {
				require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			}
		})
	}
}

func TestRequireIdentityWithAStoreThatFails(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := goodConfig()
	cfg.Store = failingStore{Store: cfg.Store, err: errors.New("the disk is full")}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h, err := New(cfg)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.RequireIdentity(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/reports", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotContains(t, w.Body.String(), "disk")
	require.Contains(t, log.String(), "the disk is full")
}

func TestRequireIdentityWithAUserFunctionThatFails(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.User = func(*http.Request) (User, error) { return User{}, errors.New("the session store is down") }
	cfg.SignInURL = "/login"
	cfg.Logger = slog.New(slog.DiscardHandler)
	h, err := New(cfg)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.RequireIdentity(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/reports", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code, "signing in again would not help")
}

type failingStore struct {
	Store
	err error
}

func (s failingStore) Connections(context.Context, string, string) ([]Connection, error) {
	return nil, s.err
}

func TestFromContextIsEmptyWithoutTheMiddleware(t *testing.T) {
	t.Parallel()
	_, ok := FromContext(context.Background())
	require.False(t, ok)
}
