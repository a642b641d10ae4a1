package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestNewRefusesSeveralAccountsWithAFixedCallback(t *testing.T) {
	t.Parallel()
	_, err := connect.New(connect.Config{FixedCallbackURL: true, MaxConnections: 2})
	require.ErrorContains(t, err, "MaxConnections is 2 with FixedCallbackURL")
	for _, n := range []int{-1, 101} {
		_, err = connect.New(connect.Config{MaxConnections: n})
		require.ErrorContains(t, err, "Config.MaxConnections is")
	}
}

func TestHandlerSurvivesHostileInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	u, err := url.Parse(callback)
	require.NoError(t, err)
	nasty := []string{
		`"><script>alert(1)</script>`, `';alert(1)//`, "\r\nSet-Cookie: a=b", "\x00", "%00", "../../etc/passwd", "..%2f..%2f",
		strings.Repeat("A", 4000), "\xff\xfe", "{{.}}", "javascript:alert(1)", "//evil.test", "?identityId=x", "#", "💥", "%zz", ";",
	}
	for _, text := range nasty {
		escaped := url.QueryEscape(text)
		for _, address := range []string{
			"/identity-callback/" + url.PathEscape(text),
			"/identity-callback/" + url.PathEscape(text) + "?identity_id=" + escaped,
			"/identity-callback?identityId=" + escaped,
			u.Path + "?identity_id=" + escaped,
			u.Path + "?identityId=" + escaped + "&status=" + escaped,
			u.Path + "?status=" + escaped,
			u.Path + "?error=" + escaped + "&error_description=" + escaped,
			u.Path + "?" + escaped,
			u.Path + "?repeated=" + escaped,
			"/connect?return_to=" + escaped,
			"/connect/status?" + escaped,
		} {
			for _, b := range []*browser{ada, s.browser()} {
				a := b.get(address)
				require.Less(t, a.status, 500, "%s", address)
				require.NotContains(t, a.body, "<script")
				require.NotContains(t, a.body, "onerror")
				require.Empty(t, a.header.Values("Set-Cookie"))
				require.NotContains(t, a.location, "evil.test")
			}
		}
		a := ada.do(http.MethodPost, "/connect", "application/x-www-form-urlencoded", "return_to="+escaped)
		require.Less(t, a.status, 500)
		require.NotContains(t, a.body, "<script")

		forged := s.signedIn("eve")
		forged.header.Set("Cookie", "__Host-connect-0000000000-0000000000000000="+strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return -1
			}
			return c
		}, text))
		require.Less(t, forged.get(callback).status, 500)
	}
	for _, call := range s.fake.Calls() {
		require.Regexp(t, `^/(v1/applications/[0-9a-f-]{36}/tokens|identity/create)$`, call.Path, "no path that we did not mean")
	}
	require.Zero(t, s.connection("ada"))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "and the flow is still open")
}

func TestHandlerForbidsCachingAndReferrers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	answers := everyPage(s)
	answers["start"] = ada.post("/connect", nil)
	answers["callback"] = ada.get(s.approve(ada.start()))
	answers["status"] = ada.get("/connect/status")
	answers["disconnect"] = ada.post("/disconnect", nil)
	for name, a := range answers {
		require.Equal(t, "no-store", a.header.Get("Cache-Control"), name)
		if name != "connect" { // Its form's Origin would be null.
			require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"), name)
		}
	}
}

func TestHandlerLogsNoSecret(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	var secrets []string
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	note := func(hosted, callback string) {
		h, err := url.Parse(hosted)
		require.NoError(t, err)
		c, err := url.Parse(callback)
		require.NoError(t, err)
		secrets = append(secrets, h.Query().Get("token"), strings.TrimPrefix(c.Path, "/identity-callback/"))
		for _, cookie := range ada.client.Jar.Cookies(u) {
			secrets = append(secrets, cookie.Value)
		}
	}
	hosted := ada.start()
	callback := s.approve(hosted)
	note(hosted, callback)
	for _, fault := range []anchortest.Fault{
		{Status: 500}, {Status: 400}, {Drop: true}, {Body: "x"}, {Status: 302, Header: http.Header{"Location": {callback}}},
		{Status: 400, Body: fmt.Sprintf(`{"error":{"message":"the key %s is blocked"}}`, s.fake.APIKey())},
	} {
		fault.Times = 1
		s.fake.Fault(fault)
		ada.post("/connect", nil)
		s.fake.Fault(fault)
		ada.get(callback)
		s.fake.ClearFaults()
	}
	ada.get(withIdentity(callback, "x"))
	s.signedIn("eve").get(callback)
	ada.get(callback)
	ada.post("/disconnect", nil)
	log := s.log.String()
	require.Contains(t, log, "connect: connected")
	require.Regexp(t, `"connect: refused" code=bad_identity_id .* application=`+s.fake.ApplicationID(), log)
	for _, secret := range append(secrets, s.fake.APIKey(), "a secret of the tests, not random") {
		require.NotEmpty(t, secret)
		require.NotContains(t, log, secret)
	}
}
