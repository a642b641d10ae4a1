package connect_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// byScript makes the browser send the headers that fetch sends from a page of the app.
func (b *browser) byScript() *browser {
	b.header = http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Origin": {b.site.server.URL},
	}
	return b
}

func TestCookieTrialBeginsAScriptsFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada").byScript()
	a := ada.do(http.MethodPost, "/connect?return_to=/mail", "application/json", `{"label": "work"}`)
	require.Equal(t, http.StatusTemporaryRedirect, a.status, "%s", a.body)
	require.Equal(t, "?cookie-tried=1&return_to=%2Fmail", a.location)
	require.Regexp(t, `^__Host-connect-trial=1; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax$`, a.header.Get("Set-Cookie"))
	require.Empty(t, s.fake.Calls(), "no token was issued")

	a = ada.do(http.MethodPost, "/connect"+a.location, "application/json", `{"label": "work"}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Contains(t, a.body, "redirectUrl")
	a = ada.do(http.MethodPost, "/connect", "application/json", "{}")
	require.Equal(t, http.StatusOK, a.status, "the trial is not repeated")

	// A browser that holds a state cookie keeps cookies.
	grace := s.signedIn("grace")
	grace.start()
	require.Equal(t, http.StatusOK, grace.byScript().do(http.MethodPost, "/connect", "application/json", "{}").status)
}

func TestFramedPageBeginsNoFlow(t *testing.T) {
	t.Parallel()
	// The session comes along, as a SameSite=None or partitioned cookie does; ours do not.
	s := newSite(t, func(c *connect.Config) {
		c.User = func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil }
	})
	blocked := s.browser().byScript()
	blocked.client.Jar = nil
	for _, htmx := range []string{"", "true"} {
		blocked.header.Set("Hx-Request", htmx)
		a := blocked.post("/connect", nil)
		require.Equal(t, http.StatusTemporaryRedirect, a.status)
		a = blocked.post("/connect"+a.location, nil)
		require.Equal(t, http.StatusForbidden, a.status)
		if htmx == "" {
			require.Contains(t, a.body, `"connectUrl":"/connect","error":"framed"`)
		} else {
			blocked.refused(connect.ErrFramed, a)
			require.Contains(t, a.body, `target="_blank"`)
		}
	}

	framed := s.browser()
	for _, dest := range []string{"iframe", "frame", "fencedframe", "embed", "object"} {
		framed.header.Set("Sec-Fetch-Dest", dest)
		for _, a := range []answer{framed.post("/connect", nil), framed.get("/connect"), framed.get("/connect?return_to=//evil.test")} {
			framed.refused(connect.ErrFramed, a)
			require.Contains(t, a.body, `href="/connect" target="_blank"`)
			require.NotContains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors", "the frame shows it")
			require.Contains(t, a.header.Get("Content-Security-Policy"), "form-action 'none'")
		}
		a := framed.get("/identity-callback/STATE")
		require.Contains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'", "no other page is framed")
	}
	require.Empty(t, s.fake.Calls(), "no token was issued")

	// A form that opens a new tab.
	framed.header.Set("Sec-Fetch-Dest", "document")
	require.Equal(t, http.StatusSeeOther, framed.post("/connect", nil).status)
}

// Cookies of the app, such as its session, do not count as the one that is tried.
func TestCookieTrialIgnoresTheAppsCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada").byScript()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	for _, cookie := range ada.client.Jar.Cookies(u) {
		if !strings.HasPrefix(cookie.Name, "__Host-connect") {
			cookie.Path, cookie.Secure = "/", true
			jar.SetCookies(u, []*http.Cookie{cookie})
		}
	}
	ada.client.Jar = jar
	require.Equal(t, http.StatusTemporaryRedirect, ada.post("/connect", nil).status)
}
