package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

// Two hosts of one site, such as two tenants' subdomains: only the origin differs.
func TestHostsOfOneApp(t *testing.T) {
	t.Parallel()
	var first, second string
	a := startApp(t, setup{
		sameSite: http.SameSiteNoneMode,
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/across" {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = fmt.Fprintf(w, `<!doctype html><title>Across</title><form method="post" action="%s/connect"><button>Connect</button></form>`, first)
			})
		},
		config: func(c *connect.Config) {
			first, second = c.PublicURL, strings.Replace(c.PublicURL, chromium.AppHost, chromium.SiblingHost, 1)
			c.PublicURLs = []string{second}
		},
	})
	vera := newPerson(t)
	signIn(a, vera, "vera")
	a.origin = second
	signIn(a, vera, "vera")

	// A flow of the second host returns there.
	vera.Open(second + "/connect")
	vera.Click("form[action='/connect'] button")
	atHostedPage(a, vera)
	vera.Click(approveButton)
	vera.At(second + "/welcome")
	require.NotEmpty(t, a.connection(t, "vera"))

	// Its callback link is refused at the first host, and changes nothing.
	identity := a.connection(t, "vera")
	callback := a.last(t, http.MethodGet, "/identity-callback/").RequestURI
	vera.Open(first + callback)
	requireNotice(t, vera, connect.ErrNoStateCookie)
	require.Equal(t, identity, a.connection(t, "vera"))

	// A page of the second host begins nothing at the first.
	starts := a.countStarts()
	vera.Open(second + "/across")
	vera.Click("button")
	vera.At(first + "/connect")
	requireNotice(t, vera, connect.ErrCrossOrigin)
	require.Equal(t, "same-site", a.last(t, http.MethodPost, "/connect").Header.Get("Sec-Fetch-Site"))
	require.Equal(t, starts, a.countStarts())
}
