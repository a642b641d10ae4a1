package connect

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsLocalPathRefusesOtherSites(t *testing.T) {
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

func TestParseDestinationTakesAPathOrAnAddress(t *testing.T) {
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

func TestSendToRedirectsInASCII(t *testing.T) {
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

// FuzzIsLocalPath looks for a path that is let through and that some browser
// would take elsewhere.
func FuzzIsLocalPath(f *testing.F) {
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
