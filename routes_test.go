package connect

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoutesListsWhatTheHandlerServes(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.PublicURL = "https://app.example/tools"
	cfg.Applications = map[string]string{"mail": "44444444-4444-4444-8444-444444444444"}
	h, err := New(cfg)
	require.NoError(t, err)
	var all []string
	for method, path := range h.Routes(":state") {
		all = append(all, method+" "+path)
		require.Contains(t, methods[findRoute(path, h.hosts.prefix).kind], method, path)
	}
	require.ElementsMatch(t, []string{
		"GET /tools/identity-callback", "GET /tools/identity-callback/", "GET /tools/identity-callback/:state", "GET /tools/identity-callback/:state/",
		"GET /tools/connect/connect.js", "HEAD /tools/connect/connect.js",
		"GET /tools/connect", "HEAD /tools/connect", "POST /tools/connect", "GET /tools/connect/status", "HEAD /tools/connect/status",
		"POST /tools/connect/label", "POST /tools/disconnect",
		"GET /tools/connect/mail", "HEAD /tools/connect/mail", "POST /tools/connect/mail",
		"GET /tools/connect/mail/status", "HEAD /tools/connect/mail/status", "POST /tools/connect/mail/label", "POST /tools/disconnect/mail",
	}, all)

	for range h.Routes("{state}") {
		break // An iterator may be left at any time.
	}
}

func TestFindRouteWithThePrefixAndWithoutIt(t *testing.T) {
	t.Parallel()
	connect, status, disconnect := route{kind: routeConnect}, route{kind: routeStatus}, route{kind: routeDisconnect}
	callback := func(state string) route { return route{kind: routeCallback, state: state} }
	tests := []struct {
		name, path, prefix string
		want               route
	}{
		{"the root", "/connect", "", connect},
		{"status", "/connect/status", "", status},
		{"a callback", "/identity-callback/STATE", "", callback("STATE")},
		{"a callback without a state", "/identity-callback", "", callback("")},
		{"a callback with an empty state", "/identity-callback/", "", callback("")},
		{"a callback with a closing slash", "/identity-callback/STATE/", "", callback("STATE")},
		{"a callback with two closing slashes", "/identity-callback/STATE//", "", route{}},
		{"a callback without a state and with two closing slashes", "/identity-callback//", "", route{}},
		{"a callback under a prefix, with a closing slash", "/tools/identity-callback/STATE/", "/tools", callback("STATE")},
		{"disconnect", "/disconnect", "", disconnect},
		{"a prefix that is there", "/tools/connect", "/tools", connect},
		{"a prefix that was stripped", "/connect", "/tools", connect},
		{"a callback under a prefix", "/tools/identity-callback/STATE", "/tools", callback("STATE")},
		{"a prefix that was stripped in part", "/tools/connect", "/app/tools", connect},
		{"a prefix of three parts, two of them stripped", "/c/identity-callback/STATE", "/a/b/c", callback("STATE")},
		{"half of a part of the prefix", "/ols/connect", "/tools", route{}},
		{"a prefix that is a route, there", "/connect/connect", "/connect", connect},
		{"a prefix that is a route, stripped", "/connect", "/connect", connect},
		{"a prefix that is a route, status stripped", "/connect/status", "/connect", status},
		{"an application", "/connect/mail", "", route{kind: routeConnect, application: "mail"}},
		{"an application's status", "/connect/mail/status", "", route{kind: routeStatus, application: "mail"}},
		{"an application's end", "/disconnect/mail", "", route{kind: routeDisconnect, application: "mail"}},
		{"an application under a prefix", "/tools/connect/mail", "/tools", route{kind: routeConnect, application: "mail"}},
		{"an application, with a prefix that is a route and was stripped", "/connect/mail", "/connect", route{kind: routeConnect, application: "mail"}},
		{"below an application", "/connect/mail/more", "", route{}},
		{"below an application's status", "/connect/mail/status/more", "", route{}},
		{"below an application's end", "/disconnect/mail/more", "", route{}},
		{"status without an application", "/connect//status", "", route{}},
		{"a deeper path", "/identity-callback/STATE/more", "", route{}},
		{"a name that only begins alike", "/connected", "", route{}},
		{"a prefix that only begins alike", "/toolsconnect", "/tools", route{}},
		{"a closing slash", "/connect/", "", route{}},
		{"a closing slash of disconnect", "/disconnect/", "", route{}},
		{"another prefix", "/other/connect", "/tools", route{}},
		{"nothing", "", "", route{}},
		{"the prefix alone", "/tools", "/tools", route{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := findRoute(test.path, test.prefix)
			require.Equal(t, test.want, found)
			if found.kind != noRoute {
				require.Equal(t, found, findRoute(found.path(), ""), "a route's own path leads to it")
			}
		})
	}
}

func TestRegisterLeavesTheAppsOwnPages(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"/connect", "GET /connect"} {
		cfg := goodConfig()
		cfg.PublicURL += "/accounts"
		h, err := New(cfg)
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
		h.Register(mux)
		for path, want := range map[string]int{"/connect": http.StatusTeapot, "/accounts/connect": http.StatusOK, "/connect/status": http.StatusOK} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			require.Equal(t, want, w.Code, "%s beside %s", path, pattern)
		}
	}
}
