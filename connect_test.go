package connect

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

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
		{"an application that is not a UUID", func(c *Config) { c.ApplicationID = "my-app" }, []string{"Config.ApplicationID", `"my-app"`}},
		{"no application at all", func(c *Config) { c.ApplicationID, c.Applications = "", map[string]string{} }, []string{"Config.ApplicationID", "UUID"}},
		{"a named application that is not a UUID", func(c *Config) { c.Applications = map[string]string{"mail": "my-app"} }, []string{`Config.Applications["mail"]`, `"my-app"`, "UUID"}},
		{"an application named in capitals", func(c *Config) { c.Applications = map[string]string{"Mail": identityA} }, []string{`Config.Applications["Mail"]`, "a-z"}},
		{"an application with a slash in its name", func(c *Config) { c.Applications = map[string]string{"a/b": identityA} }, []string{`Config.Applications["a/b"]`, "a-z"}},
		{"an application with a percent sign in its name", func(c *Config) { c.Applications = map[string]string{"50%d": identityA} }, []string{`Config.Applications["50%d"] has an unusable name: use`}},
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

func TestNewAcceptsEveryUsablePublicURL(t *testing.T) {
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

func TestHandlerPrintsNoSecret(t *testing.T) {
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
