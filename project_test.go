package connect

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestProjectSurvivesATransportThatPanics(t *testing.T) {
	t.Parallel()
	transport := roundTripper(func(*http.Request) (*http.Response, error) { panic("broken transport") })
	p := project{anchor: anchorhttp.New("key", anchorhttp.WithHTTPClient(&http.Client{Transport: transport})), now: time.Now}
	for range 2 { // The second time too: nothing is left locked.
		_, err := p.ask(context.Background())
		require.ErrorContains(t, err, "broken transport")
	}
}

func TestSiteOfAnAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, address, want string }{
		{"a plain address", "https://example.com", "example.com"},
		{"a path does not matter", "https://example.com/login?x=y#z", "example.com"},
		{"the scheme does not matter", "http://example.com/", "example.com"},
		{"capitals do not matter", "HTTPS://Example.COM", "example.com"},
		{"www does not matter", "https://www.example.com", "example.com"},
		{"a closing dot does not matter", "https://example.com.", "example.com"},
		{"the scheme's own port does not matter", "https://example.com:443", "example.com"},
		{"another port matters", "http://127.0.0.1:8080", "127.0.0.1:8080"},
		{"a port of the other scheme matters", "http://example.com:443", "example.com:443"},
		{"a subdomain is another site", "https://login.example.com", "login.example.com"},
		{"a name that only begins with www stays", "https://wwwexample.com", "wwwexample.com"},
		{"a user is no host", "https://example.com@evil.test/", "evil.test"},
		{"nothing is no site", "", noSite},
		{"a bare host is an address", "www.example.com", "example.com"},
		{"a bare host with a path is an address", "example.com/login", "example.com"},
		{"a bare host with a port is none", "example.com:8443", noSite},
		{"garbage is no site", "https://[::1", noSite},
		{"a mail address is no site", "mailto:ada@example.com", noSite},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, siteOf(test.address))
		})
	}
}
