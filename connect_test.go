package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func goodConfig() Config {
	return Config{
		Anchor:        anchorhttp.New("test-key"),
		ApplicationID: testApp,
		PublicURL:     "https://app.example",
		Store:         NewMemoryStore(),
		User:          func(*http.Request) (User, error) { return User{ID: "ada"}, nil },
		Secrets:       [][]byte{secretA},
	}
}

func TestNewNamesEveryUnusableFieldAndTheRemedy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // all in the error
	}{
		{"no client", func(c *Config) { c.Anchor = nil }, []string{"Config.Anchor", "anchorhttp.New"}},
		{"a client without a key", func(c *Config) { c.Anchor = anchorhttp.New("") }, []string{"Config.Anchor", "key"}},
		{"no application", func(c *Config) { c.ApplicationID = "" }, []string{"Config.ApplicationID", "UUID"}},
		{"an application that is no UUID", func(c *Config) { c.ApplicationID = "my-app" }, []string{"Config.ApplicationID", `"my-app"`}},
		{"no application at all", func(c *Config) { c.ApplicationID, c.Applications = "", map[string]string{} }, []string{"Config.ApplicationID", "UUID"}},
		{"a named application that is no UUID", func(c *Config) { c.Applications = map[string]string{"mail": "my-app"} }, []string{`Config.Applications["mail"]`, `"my-app"`, "UUID"}},
		{"an application named in capitals", func(c *Config) { c.Applications = map[string]string{"Mail": identityA} }, []string{`Config.Applications["Mail"]`, "a-z"}},
		{"an application with a slash in its name", func(c *Config) { c.Applications = map[string]string{"a/b": identityA} }, []string{`Config.Applications["a/b"]`, "a-z"}},
		{"an application without a name", func(c *Config) { c.Applications = map[string]string{"": identityA} }, []string{`Config.Applications[""]`, "a-z"}},
		{"an application with a name of 33 letters", func(c *Config) { c.Applications = map[string]string{strings.Repeat("a", 33): identityA} }, []string{"a-z"}},
		{"an application named like a route", func(c *Config) { c.Applications = map[string]string{"status": identityA} }, []string{`Config.Applications["status"]`, "another"}},
		{"an application that the prefix hides", func(c *Config) {
			c.PublicURL, c.Applications = "https://your-app.com/connect", map[string]string{"disconnect": identityA}
		}, []string{`Config.Applications["disconnect"]`, "another"}},
		{"the default application under a name", func(c *Config) { c.Applications = map[string]string{"mail": strings.ToUpper(testApp)} }, []string{`Config.Applications["mail"]`, "ApplicationID", "one name"}},
		{"one application under two names", func(c *Config) { c.Applications = map[string]string{"mail": identityA, "post": identityA} }, []string{`Config.Applications["post"]`, `"mail"`}},
		{"no public URL", func(c *Config) { c.PublicURL = "" }, []string{"Config.PublicURL is missing", "https://your-app.com"}},
		{"a public URL without a scheme", func(c *Config) { c.PublicURL = "your-app.com" }, []string{"Config.PublicURL", "scheme"}},
		{"a public URL without a host", func(c *Config) { c.PublicURL = "https:///x" }, []string{"Config.PublicURL", "host"}},
		{"a public URL of another scheme", func(c *Config) { c.PublicURL = "ftp://your-app.com" }, []string{"Config.PublicURL", "scheme"}},
		{"a public URL with a query", func(c *Config) { c.PublicURL = "https://your-app.com/?a=b" }, []string{"Config.PublicURL", "query"}},
		{"a public URL with an empty query", func(c *Config) { c.PublicURL = "https://your-app.com/?" }, []string{"Config.PublicURL", "query"}},
		{"plain http at an address of the network", func(c *Config) { c.PublicURL = "http://192.0.2.1" }, []string{"Config.PublicURL", "https"}},
		{"a public URL with a fragment", func(c *Config) { c.PublicURL = "https://your-app.com/#a" }, []string{"Config.PublicURL", "fragment"}},
		{"a public URL with a user", func(c *Config) { c.PublicURL = "https://u:p@your-app.com" }, []string{"Config.PublicURL", "user"}},
		{"plain http in public", func(c *Config) { c.PublicURL = "http://your-app.com" }, []string{"Config.PublicURL", "https"}},
		{"a host that is not written as browsers do", func(c *Config) { c.PublicURL = "https://bücher.example" }, []string{"Config.PublicURL", "punycode"}},
		{"a prefix that needs escaping", func(c *Config) { c.PublicURL = "https://your-app.com/a%20b" }, []string{"Config.PublicURL", "escaping"}},
		{"a prefix that a browser would take for a host", func(c *Config) { c.PublicURL = "https://your-app.com//evil.test" }, []string{"Config.PublicURL", "dotted"}},
		{"a prefix with dots", func(c *Config) { c.PublicURL = "https://your-app.com/a/../b" }, []string{"Config.PublicURL", "dotted"}},
		{"a host with a semicolon", func(c *Config) { c.PublicURL = "https://your-app.com;x" }, []string{"Config.PublicURL", "host"}},
		{"a wildcard", func(c *Config) { c.PublicURL = "https://*.your-app.com" }, []string{"Config.PublicURL", "host"}},
		{"a port that is none", func(c *Config) { c.PublicURL = "https://your-app.com:99999" }, []string{"Config.PublicURL", "65535"}},
		{"an address with a zone", func(c *Config) { c.PublicURL = "http://[::1%25lo]:8080" }, []string{"Config.PublicURL"}},
		{"a public URL that does not parse", func(c *Config) { c.PublicURL = "https://[::1" }, []string{"Config.PublicURL"}},
		{"no store", func(c *Config) { c.Store = nil }, []string{"Config.Store", "NewMemoryStore"}},
		{"no user function", func(c *Config) { c.User = nil }, []string{"Config.User", "SessionUser"}},
		{"no secrets", func(c *Config) { c.Secrets = nil }, []string{"Config.Secrets", "openssl"}},
		{"a short secret", func(c *Config) { c.Secrets = [][]byte{secretA, []byte("short")} }, []string{"Config.Secrets", "5 bytes at index 1", "32"}},
		{"a secret of one byte", func(c *Config) { c.Secrets = [][]byte{secretA, make([]byte, 32)} }, []string{"Config.Secrets", "index 1", "repeated", "openssl"}},
		{"a secret of a few letters", func(c *Config) { c.Secrets = [][]byte{[]byte(strings.Repeat("abcdefg", 5))} }, []string{"Config.Secrets", "index 0", "repeated"}},
		{"a success URL of another scheme", func(c *Config) { c.SuccessURL = "javascript:alert(1)" }, []string{"Config.SuccessURL", "/dashboard"}},
		{"a success URL with a line of its own", func(c *Config) { c.SuccessURL = "https://app.example/#\r\nX: y" }, []string{"Config.SuccessURL", "/dashboard"}},
		{"a success URL that is no path", func(c *Config) { c.SuccessURL = "dashboard" }, []string{"Config.SuccessURL", "/dashboard"}},
		{"a sign-in URL that is no path", func(c *Config) { c.SignInURL = "//evil.test" }, []string{"Config.SignInURL"}},
		{"everything at once", func(c *Config) { *c = Config{} }, []string{"Anchor", "ApplicationID", "PublicURL", "Store", "User", "Secrets"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			test.change(&cfg)
			h, err := New(cfg)
			require.Error(t, err)
			require.Nil(t, h)
			for _, part := range test.want {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "%!", "a verb without its value")
		})
	}
}

func TestApplicationsAreInTheOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Applications = map[string]string{}
	want := []string{""}
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		cfg.Applications[name] = fmt.Sprintf("88888888-8888-4888-8888-88888888888%d", i)
		want = append(want, name)
	}
	h, err := New(cfg)
	require.NoError(t, err)
	var names []string
	for _, a := range h.applications {
		names = append(names, a.Name())
	}
	require.Equal(t, want, names)
}

func TestNewTakesWhatServes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ publicURL, origin, prefix string }{
		{"https://app.example", "https://app.example", ""},
		{"https://app.example/", "https://app.example", ""},
		{"https://APP.example:443/tools//", "https://app.example", "/tools"},
		{"https://app.example:8443/a/b", "https://app.example:8443", "/a/b"},
		{"http://localhost:8080", "http://localhost:8080", ""},
		{"http://127.0.0.1:80", "http://127.0.0.1", ""},
		{"http://[::1]:8080", "http://[::1]:8080", ""},
		{"http://[::1]", "http://[::1]", ""},
		{"http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080", ""},
		{"http://127.0.0.1:08080", "http://127.0.0.1:8080", ""},
		{"https://app.example:", "https://app.example", ""},
		{"https://xn--bcher-kva.example", "https://xn--bcher-kva.example", ""},
		{"http://my.localhost", "http://my.localhost", ""},
	} {
		t.Run(test.publicURL, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			cfg.PublicURL = test.publicURL
			h, err := New(cfg)
			require.NoError(t, err)
			require.Equal(t, test.origin, h.hosts.origin)
			require.Equal(t, test.prefix, h.hosts.prefix)
			require.Equal(t, "/", h.successURL)
		})
	}
}

func TestAHandlerPrintsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Anchor = anchorhttp.New("very-secret-key")
	cfg.Secrets = [][]byte{[]byte("very-secret-seal-very-secret-seal")}
	h, err := New(cfg)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "handler", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "handler", h)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&log, format, h)
		fmt.Fprintf(&log, format, *h)
	}
	for _, secret := range [][]byte{[]byte("very-secret-key"), cfg.Secrets[0]} {
		require.NotContains(t, log.String(), string(secret))
		require.NotContains(t, log.String(), fmt.Sprintf("%x", secret))
		require.NotContains(t, log.String(), strings.Trim(fmt.Sprint(secret), "[]"))
	}
}

func TestAReturnPathStaysOnThisSite(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/", "/dashboard", "/a/b?c=d&e=/f#g", "/?next=//evil.test", "/a//b", "/é", "/%2f/evil.test", "/a:b",
		"/" + strings.Repeat("a", maxReturnTo-1),
	} {
		require.True(t, isLocalPath(path), path)
	}
	for _, path := range []string{
		"", "dashboard", "//evil.test", "///evil.test", "https://evil.test", "https:evil.test", "javascript:alert(1)",
		`/\evil.test`, `\\evil.test`, `/a\b`, "/\t/evil.test", "/\n/evil.test", "/a\r\nSet-Cookie: x=y", "/a#\r\nSet-Cookie: x=y", "/a?\tb", "/#\x7f", "/\x00", "/\x7f", " /a",
		"/%zz", "/\xff", "?a=b", "#a", "@evil.test", "/" + strings.Repeat("a", maxReturnTo),
	} {
		require.False(t, isLocalPath(path), path)
	}
}

func TestADestinationIsAPathOrAnAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"/", "/dashboard?a=b#c", "https://app.example", "https://app.example/?x=y#z", "http://localhost:8080/", "HTTPS://app.example"} {
		destination, err := parseDestination(address, "/otherwise")
		require.NoError(t, err, address)
		require.Equal(t, address, destination)
	}
	for _, address := range []string{
		"dashboard", "//app.example", "https://", "https:///x", "https:x", "http:", "ftp://app.example", "javascript:alert(1)",
		"app.example", "https://[::1", "https://app.example/%zz", "https://app.example/#\r\nX: y", "https://app.example/#\x7f",
	} {
		_, err := parseDestination(address, "/otherwise")
		require.Error(t, err, address)
	}
	destination, err := parseDestination("", "/otherwise")
	require.NoError(t, err)
	require.Equal(t, "/otherwise", destination)
}

func TestARedirectIsInASCII(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/":                             "/",
		"/reports?a=b&c=%C3%A9#d":       "/reports?a=b&c=%C3%A9#d",
		"/é?ü#日":                        "/%C3%A9?%C3%BC#%E6%97%A5",
		"https://app.example/ü":         "https://app.example/%C3%BC",
		"https://app.example/?t=a+b%20": "https://app.example/?t=a+b%20",
		"/a/../b//c/":                   "/a/../b//c/",
	} {
		for header, name := range map[string]string{"": "Location", "true": "HX-Redirect"} {
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
			r.Header.Set("HX-Request", header)
			sendTo(w, r, address)
			require.Equal(t, want, w.Result().Header.Get(name))
		}
	}
}

// FuzzAReturnPath looks for a path that is let through and that some browser
// would take elsewhere.
func FuzzAReturnPath(f *testing.F) {
	for _, seed := range []string{"/", "//evil.test", `/\evil.test`, "/\t/evil.test", "/a/../../b", "/.//evil.test", "/%2e%2e//x", "/a#\r\nX: y"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://app.example/identity-callback/STATE")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path string) {
		if !isLocalPath(path) {
			return
		}
		w := httptest.NewRecorder()
		sendTo(w, httptest.NewRequest(http.MethodGet, "/identity-callback/STATE", nil), path)
		location := w.Result().Header.Get("Location")
		require.False(t, strings.ContainsFunc(location, func(c rune) bool { return c < ' ' || c > '~' }), "%q", location)
		// What browsers do before they parse (WHATWG URL, section 4.4).
		location = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(location))
		u, err := base.Parse(location)
		require.NoError(t, err)
		require.Equal(t, "https://app.example", u.Scheme+"://"+u.Host)
	})
}

func TestRoutesAreFoundWithThePrefixAndWithoutIt(t *testing.T) {
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

func TestAnAppsOwnPageIsNotTakenOver(t *testing.T) {
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

func TestWhoGetsJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, accept, contentType string
		json                      bool
		dest                      string
	}{
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/x-www-form-urlencoded", false, ""},
		{"a script", "application/json", "", true, ""},
		{"axios", "application/json, text/plain, */*", "", true, ""},
		{"a form without a word", "", "application/x-www-form-urlencoded", false, ""},
		{"fetch with a JSON body", "*/*", "application/json", true, ""},
		{"fetch without a body", "*/*", "", false, ""},
		{"fetch in a browser", "*/*", "", true, "empty"},
		{"a script that wants a piece of a page", "text/html", "", false, "empty"},
		{"a form in a browser without a word", "*/*", "application/x-www-form-urlencoded", false, "document"},
		{"a browser that would take JSON too", "text/html, application/json", "", false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/connect", nil)
			r.Header.Set("Accept", test.accept)
			r.Header.Set("Content-Type", test.contentType)
			r.Header.Set("Sec-Fetch-Dest", test.dest)
			want := clientPage
			if test.json {
				want = clientJSON
			}
			require.Equal(t, want, clientOf(r))
			r.Header.Set("HX-Request", "true")
			require.Equal(t, clientHTMX, clientOf(r))
		})
	}
}

func TestEveryCauseIsExplained(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	for _, c := range causes {
		require.False(t, codes[c.Code], "code %s twice", c.Code)
		codes[c.Code] = true
		require.Regexp(t, `^[a-z_]+$`, c.Code)
		require.GreaterOrEqual(t, c.Status, 400)
		require.NotEqual(t, http.StatusInternalServerError, c.Status)
		e := Explain(fmt.Errorf("doing something: %w", c))
		require.Equal(t, c.Status, e.Status)
		require.Equal(t, c.Code, e.Code)
		require.NotEmpty(t, e.Title)
		require.NotEmpty(t, e.Help)
	}
	require.Equal(t, http.StatusInternalServerError, Explain(errors.New("x")).Status)
}

// A refusal for lack of a proof is told with its number. Every other cause is here.
func TestEveryCauseIsAProofOrKnownToBeNone(t *testing.T) {
	t.Parallel()
	none := []error{
		ErrUserLookup, ErrHostLookup, ErrFramed, ErrCrossOrigin, ErrWrongOrigin, ErrBadRequest, ErrReturnTo, ErrBrowserInUse, ErrCancelled, ErrSignInFailed, ErrNotFinished,
		ErrUpstreamUnavailable, ErrUpstreamInvalid, ErrUpstreamTimeout, ErrStoreFailed,
		ErrConnectionUnknown, ErrConnectionLimit, ErrIdentityConnected, ErrWhichConnection, ErrBadLabel, ErrConnectionChanged, ErrAcceptFailed, ErrNotAccepted,
		ErrNotConnected, ErrNeedsSignIn, ErrNoCredit, ErrRateLimited,
	}
	for _, c := range causes {
		number, reason := failedProof(fmt.Errorf("doing something: %w", c))
		if number == 0 {
			require.Contains(t, none, error(c))
			continue
		}
		require.NotContains(t, none, error(c))
		require.Equal(t, error(c), reason)
	}
	for i, proof := range proofs[1:] {
		require.GreaterOrEqual(t, proof.number, proofs[i].number, "in the order in which they are held")
	}
}

// uuid is such a type as apps keep in their sessions.
type uuid [16]byte

func (u uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

type userNumber int

func (n userNumber) String() string { return fmt.Sprintf("user %d", int(n)) }

func TestSessionUserReadsTheUserOfAGorillaSession(t *testing.T) {
	t.Parallel()
	type id string
	tests := []struct {
		name  string
		value any
		want  string
		err   error
	}{
		{"a string", "ada", "ada", nil},
		{"an int", 42, "42", nil},
		{"an int64", int64(42), "42", nil},
		{"a uint", uint(42), "42", nil},
		{"a small int", int16(42), "42", nil},
		{"a Stringer", &url.URL{Path: "/ada"}, "/ada", nil},
		{"no value", nil, "", ErrNotSignedIn},
		{"a zero that was never set", 0, "", ErrNotSignedIn},
		{"a zero of another type", int64(0), "", ErrNotSignedIn},
		{"an empty string", "", "", ErrNotSignedIn},
		{"spaces", " \t\n", "", ErrNotSignedIn},
		{"a zero in letters", "0", "", ErrNotSignedIn},
		{"several zeros", "000", "", ErrNotSignedIn},
		{"an all-zero UUID in letters", "00000000-0000-0000-0000-000000000000", "", ErrNotSignedIn},
		{"an all-zero UUID", uuid{}, "", ErrNotSignedIn},
		{"a pointer to an all-zero UUID", &uuid{}, "", ErrNotSignedIn},
		{"a nil pointer", (*uuid)(nil), "", ErrNotSignedIn},
		{"a typed zero that prints as a text", userNumber(0), "", ErrNotSignedIn},
		{"a Stringer that prints nothing", &url.URL{OmitHost: true}, "", ErrNotSignedIn},
		{"a UUID", uuid{15: 1}, "00000000-0000-0000-0000-000000000001", nil},
		{"a typed number", userNumber(7), "user 7", nil},
		{"a number that ends in zeros", 1000, "1000", nil},
		{"another type", id("ada"), "", errors.New("any")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store := sessions.NewCookieStore(secretA)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			session, err := store.Get(r, "session")
			require.NoError(t, err)
			session.Values["user_id"] = test.value

			user, err := SessionUser(store, "session", "user_id")(r)
			require.Equal(t, test.want, user.ID)
			switch {
			case test.err == nil:
				require.NoError(t, err)
			case errors.Is(test.err, ErrNotSignedIn):
				require.ErrorIs(t, err, ErrNotSignedIn)
			default:
				require.Error(t, err)
				require.NotErrorIs(t, err, ErrNotSignedIn)
			}
		})
	}
}

func TestSessionUserTakesAForgedSessionForNobody(t *testing.T) {
	t.Parallel()
	store := sessions.NewCookieStore(secretA)
	for _, value := range []string{"", "forged", strings.Repeat("A", 5000), "MTIz|x|y"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: value})
		_, err := SessionUser(store, "session", "user_id")(r)
		require.ErrorIs(t, err, ErrNotSignedIn, "%.20q", value)
	}

	files := sessions.NewFilesystemStore(t.TempDir(), secretA)
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	session, err := files.Get(r, "session")
	require.NoError(t, err)
	require.NoError(t, session.Save(r, w))
	gone := sessions.NewFilesystemStore(t.TempDir(), secretA)
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	_, err = SessionUser(gone, "session", "user_id")(r)
	require.ErrorIs(t, err, ErrNotSignedIn, "its file is gone")
}

func TestSessionUserTellsAStoreThatFails(t *testing.T) {
	t.Parallel()
	down := errors.New("redis is down")
	_, err := SessionUser(failingSessions{down}, "session", "user_id")(httptest.NewRequest(http.MethodGet, "/", nil))
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, ErrNotSignedIn)
}

type failingSessions struct{ err error }

func (f failingSessions) Get(*http.Request, string) (*sessions.Session, error) { return nil, f.err }
func (f failingSessions) New(*http.Request, string) (*sessions.Session, error) { return nil, f.err }
func (f failingSessions) Save(*http.Request, http.ResponseWriter, *sessions.Session) error {
	return f.err
}

func TestWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		user User
		err  error
		want error
	}{
		{name: "somebody", user: User{ID: "ada"}},
		{name: "an id of 255 bytes", user: User{ID: strings.Repeat("a", 255)}},
		{name: "nobody", want: ErrNotSignedIn},
		{name: "an id of spaces is nobody's", user: User{ID: " \t"}, want: ErrNotSignedIn},
		{name: "a zero is nobody's id", user: User{ID: "0"}, want: ErrNotSignedIn},
		{name: "an all-zero UUID is nobody's", user: User{ID: "00000000-0000-0000-0000-000000000000"}, want: ErrNotSignedIn},
		{name: "an id with a zero", user: User{ID: "0a"}},
		{name: "nobody, as an error", err: ErrNotSignedIn, want: ErrNotSignedIn},
		{name: "nobody, wrapped", err: fmt.Errorf("no session: %w", ErrNotSignedIn), want: ErrNotSignedIn},
		{name: "an id beside an error counts for nothing", user: User{ID: "ada"}, err: ErrNotSignedIn, want: ErrNotSignedIn},
		{name: "a fault", err: errors.New("database is down"), want: ErrUserLookup},
		{name: "an id that is too long", user: User{ID: strings.Repeat("a", 256)}, want: ErrUserLookup},
		{name: "an id with a NUL byte", user: User{ID: "a\x00"}, want: ErrUserLookup},
		{name: "an id that is no UTF-8", user: User{ID: "a\xff"}, want: ErrUserLookup},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			cfg.User = func(*http.Request) (User, error) { return test.user, test.err }
			h, err := New(cfg)
			require.NoError(t, err)
			user, err := h.signedIn(httptest.NewRequest(http.MethodGet, "/", nil))
			require.ErrorIs(t, err, test.want)
			if test.want == nil {
				require.Equal(t, test.user, user)
			} else {
				require.Zero(t, user)
			}
		})
	}
}

func TestTheDelayOfATaskStaysShort(t *testing.T) {
	t.Parallel()
	failure := errors.New("x")
	require.Equal(t, "1s", taskDelay(0, failure).String())
	require.Equal(t, "2s", taskDelay(1, failure).String())
	require.Equal(t, "3s", taskDelay(2, failure).String())
	require.Equal(t, "30s", taskDelay(0, &anchorhttp.Error{StatusCode: 429, RetryAfter: 30 * time.Second}).String(), "as long as Anchor asks")
	require.Equal(t, "1m0s", taskDelay(0, &anchorhttp.Error{StatusCode: 429, RetryAfter: time.Hour}).String(), "within bounds")
	require.Equal(t, "1s", taskDelay(0, &anchorhttp.Error{StatusCode: 503, RetryAfter: time.Hour}).String(), "an outage ends when it ends")
	for attempts := range patientAttempts + 1 {
		require.LessOrEqual(t, taskDelay(attempts, failure), maxTaskDelay)
	}
	require.Equal(t, "6s", taskDelay(6, failure).String(), "what fails for long is tried more rarely")
	refused := &anchorhttp.Error{StatusCode: http.StatusForbidden}
	require.Equal(t, "32s", taskDelay(5, refused).String(), "and what is refused soon")
	for _, attempts := range []int{-1, 3, 10, 63, 64, 1 << 40} {
		require.LessOrEqual(t, taskDelay(attempts, failure), time.Minute)
		require.LessOrEqual(t, taskDelay(attempts, refused), time.Hour)
		require.Positive(t, taskDelay(attempts, failure))
	}
	require.Equal(t, "1h0m0s", taskDelay(12, refused).String())
	require.Less(t, taskLease+taskInterval, 10*time.Second, "the promise after a restart")
	require.LessOrEqual(t, taskTimeout+maxTaskDelay+taskInterval, 10*time.Second, "and after an outage in which calls hang")
}

func jsonBody(t *testing.T, body []byte) map[string]any {
	var v map[string]any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	return v
}

func TestAFormThatTheAppHasParsedIsRead(t *testing.T) {
	t.Parallel()
	sent := url.Values{"return_to": {"/reports"}}
	for name, r := range map[string]*http.Request{
		"Form":     {Method: http.MethodPost, URL: &url.URL{Path: "/connect"}, Form: sent},
		"PostForm": {Method: http.MethodPost, URL: &url.URL{Path: "/connect"}, PostForm: sent},
		"query":    {Method: http.MethodPost, URL: &url.URL{Path: "/connect", RawQuery: sent.Encode()}},
	} {
		form, err := readForm(httptest.NewRecorder(), r)
		require.NoError(t, err, name)
		require.Equal(t, "/reports", form.ReturnTo, name)
	}
	form, err := readForm(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/connect", nil))
	require.NoError(t, err)
	require.Zero(t, form)

	r := httptest.NewRequest(http.MethodPost, "/connect", nil)
	r.Header.Set("Content-Type", "multipart/form-data")
	_, err = readForm(httptest.NewRecorder(), r)
	require.ErrorIs(t, err, ErrBadRequest, "without a body as with one")
}
