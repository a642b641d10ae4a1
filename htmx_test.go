package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// withHTMX returns the same browser, sending requests as htmx does from a page.
func (b *browser) withHTMX(page string) *browser {
	htmx := *b
	htmx.header = http.Header{"Accept": {"*/*"}, "Sec-Fetch-Site": {"same-origin"}}
	htmx.header.Set("HX-Request", "true")
	htmx.header.Set("HX-Current-URL", b.site.server.URL+page)
	return &htmx
}

// sent checks that htmx is redirected to an address, and gets nothing else.
func (b *browser) sent(to string, a answer) {
	t := b.site.t
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(t, to, a.header.Get("HX-Redirect"))
	require.Empty(t, a.location, "a redirect would be followed within the request")
	require.Empty(t, a.body)
}

func TestHTMXStartsAFlowAndDisconnects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	a := ada.withHTMX("/settings").post("/connect", url.Values{"return_to": {"/reports"}})
	hosted := a.header.Get("HX-Redirect")
	ada.sent(hosted, a)
	require.Contains(t, hosted, s.fake.URL()+"/identity/create?token=")
	require.Equal(t, "/reports", ada.get(s.approve(hosted)).location)

	// The extension that sends JSON does not make the request a script's.
	htmx := ada.withHTMX("/settings")
	a = htmx.do(http.MethodPost, "/connect", "application/json", `{"return_to":"/reports","popup":true}`)
	require.Equal(t, "/reports", ada.get(s.approve(a.header.Get("HX-Redirect"))).location, "and no popup")

	ada.sent("/bye", ada.withHTMX("/settings").post("/disconnect", url.Values{"return_to": {"/bye"}}))
	ada.sent("/connect", htmx.do(http.MethodPost, "/disconnect", "application/json", "{}"))
}

func TestHTMXIsSentToTheConnectPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	ada.sent("/connect", ada.withHTMX("/settings").get("/connect"))
	ada.sent("/connect/calendar?return_to=%2Freports%3Fa%3Db", ada.withHTMX("/settings").get("/connect/calendar?return_to=%2Freports%3Fa%3Db&x=y"))
	a := ada.withHTMX("/settings").get("/connect?return_to=//evil.test")
	ada.refused(connect.ErrReturnTo, a)
	require.Empty(t, a.header.Get("HX-Redirect"))
}

func TestHTMXGetsAnErrorAsAFragment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "POST", Status: 503})
	a := ada.withHTMX("/settings").post("/connect", url.Values{"return_to": {"/reports"}})
	ada.refused(connect.ErrUpstreamUnavailable, a)
	e := connect.Explain(connect.ErrUpstreamUnavailable)
	require.Equal(t, fmt.Sprintf(`<p role="alert" lang="en" dir="ltr"><strong>%s.</strong> %s <a href="/connect?return_to=%%2Freports">Try again</a></p>`+"\n", e.Title, e.Help), a.body)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Empty(t, a.header.Get("HX-Redirect"))

	// No sign-in page is configured.
	nobody := s.browser().withHTMX("/settings")
	a = nobody.post("/connect", nil)
	nobody.refused(connect.ErrNotSignedIn, a)
	require.Empty(t, a.header.Get("HX-Redirect"))
	require.NotContains(t, a.body, "<a ")
}

func TestHTMXIsSentToTheSignInPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
	nobody := s.browser()
	for _, test := range []struct{ page, want string }{
		{"/settings?tab=2#accounts", "/login?return_to=%2Fsettings%3Ftab%3D2"},
		// Of the page's URL, only a local path is used.
		{"//evil.test/x", "/login"},
		{`/\evil.test`, "/login?return_to=%2F%255Cevil.test"},
	} {
		a := nobody.withHTMX(test.page).post("/connect", nil)
		nobody.refused(connect.ErrNotSignedIn, a)
		require.Equal(t, test.want, a.header.Get("HX-Redirect"), test.page)
	}
	foreign := nobody.withHTMX("")
	foreign.header.Set("HX-Current-URL", "https://evil.test/reports")
	require.Equal(t, "/login?return_to=%2Freports", foreign.post("/connect", nil).header.Get("HX-Redirect"), "its host is ignored")
	foreign.header.Set("HX-Current-URL", "javascript:alert(1)")
	require.Equal(t, "/login?return_to=%2Fconnect", foreign.post("/connect", nil).header.Get("HX-Redirect"))

	// A script reads a header as Latin-1.
	s = newSite(t, func(c *connect.Config) { c.SignInURL = "/anmelden-für-alle" })
	a := s.browser().withHTMX("/settings").post("/connect", nil)
	require.Equal(t, "/anmelden-f%C3%BCr-alle?return_to=%2Fsettings", a.header.Get("HX-Redirect"))
}

func TestRequireIdentityRedirectsHTMX(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
	mux := s.mux
	mux.Handle("/piece", s.handler.RequireIdentity(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "reached")
	})))
	nobody := s.browser()
	nobody.sent("/login?return_to=%2Freports", nobody.withHTMX("/reports").get("/piece"))
	ada := s.signedIn("ada")
	ada.sent("/connect?return_to=%2Freports", ada.withHTMX("/reports").get("/piece"))
	a := ada.withHTMX("/reports").post("/piece", nil)
	ada.refused(connect.ErrNotConnected, a)
	require.Contains(t, a.body, `<a href="/connect">Connect your account</a>`)
	ada.connect()
	require.Equal(t, "reached", ada.withHTMX("/reports").get("/piece").body)
}

func TestRequireIdentityReturnsHTMXToTheWholePage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mux.Handle("/piece", s.handler.RequireIdentity(http.NotFoundHandler()))
	ada := s.signedIn("ada")
	ada.header.Set("HX-Request", "true")
	ada.header.Set("Accept", "*/*")
	for current, want := range map[string]string{
		s.server.URL + "/reports?month=5#top": "/connect?return_to=%2Freports%3Fmonth%3D5",
		"https://evil.test/elsewhere":         "/connect?return_to=%2Felsewhere", // A path of ours, wherever it was.
		"https://evil.test//evil.test":        "/connect",
		"javascript:alert(1)":                 "/connect?return_to=%2Fpiece",
		"":                                    "/connect?return_to=%2Fpiece",
	} {
		ada.header.Set("HX-Current-URL", current)
		for _, dest := range []string{"", "empty"} {
			ada.header.Set("Sec-Fetch-Dest", dest)
			a := ada.get("/piece")
			require.Equal(t, http.StatusOK, a.status, current)
			require.Equal(t, want, a.header.Get("HX-Redirect"), current)
		}
	}
}
