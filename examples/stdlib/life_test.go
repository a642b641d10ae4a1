package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newAlone prepares a demo without a browser and without configuration, except for its
// address and its database file. Later variables replace earlier ones.
func newAlone(t *testing.T, env ...string) *program {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	return &program{t: t, addr: addr, env: append([]string{
		"ADDR=" + addr, "DATABASE_URL=file:" + filepath.Join(t.TempDir(), "demo.db"), "DEMO_BROWSER=off",
	}, env...)}
}

// approve presses a button on the built-in fake's hosted page and follows the redirect
// to the demo.
func (b *browser) approve(hosted string) {
	b.t.Helper()
	u, err := url.Parse(hosted)
	require.NoError(b.t, err)
	token := u.Query().Get("token")
	u.RawQuery = ""
	status, callback, body, err := b.post(u.String(), url.Values{"token": {token}, "account": {"ada"}, "outcome": {"approve"}})
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusSeeOther, status, "%s", body)
	status, to, body, err := b.get(callback)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusSeeOther, status, "%s", body)
	require.Equal(b.t, "/dashboard?connected=true", to)
}

// Two accounts, from connecting to disconnecting, on the demo's pages.
func TestAccountsFromConnectingToDisconnecting(t *testing.T) {
	t.Parallel()
	p := newAlone(t)
	p.start()
	at := "http://" + p.addr
	ada := newBrowser(t)
	automation := func(account string) (int, string) {
		_, _, body, err := ada.get(at + "/connect/" + account + "/status")
		if account == "" {
			_, _, body, err = ada.get(at + "/connect/status")
		}
		require.NoError(t, err)
		var of struct{ ConnectionID string }
		require.NoError(t, json.Unmarshal([]byte(body), &of), "%s", body)
		status, _, body, err := ada.post(at+"/api/run-automation", form("account", account, "connection", of.ConnectionID))
		require.NoError(t, err)
		return status, body
	}
	dashboard := func() string {
		_, _, body, err := ada.get(at + "/dashboard")
		require.NoError(t, err)
		return body
	}

	status, body := automation("")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, body, "not_signed_in")
	ada.signIn(p.addr, "ada")
	require.Equal(t, 2, strings.Count(dashboard(), "No account is connected"))
	_, to, _, err := ada.get(at + "/report")
	require.NoError(t, err)
	require.Equal(t, "/connect?return_to=%2Freport", to)

	ada.approve(ada.begin(p.addr))
	status, hosted, _, err := ada.post(at+"/connect/calendar", url.Values{"return_to": {"/dashboard?connected=true"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, status)
	ada.approve(hosted)
	for _, account := range []string{"", "calendar"} {
		status, body := automation(account)
		require.Equal(t, http.StatusOK, status)
		require.Regexp(t, `^{"sessionId":"[0-9a-f-]{36}"}`, body)
	}
	status, _, _, err = ada.post(at+"/api/run-automation", form("account", "bank"))
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
	_, _, body, err = ada.get(at + "/report")
	require.NoError(t, err)
	require.Contains(t, body, "These are yours")

	// A sign-in fails, set on the fake's control page, and the webhook arrives.
	control := regexp.MustCompile(`http://[^"]*/fake`).FindString(dashboard())
	require.NotEmpty(t, control)
	_, _, body, err = ada.get(at + "/connect/status")
	require.NoError(t, err)
	mail := regexp.MustCompile(`"identityId":"([^"]*)"`).FindStringSubmatch(body)[1]
	outcome := func(name string) {
		status, _, _, err := ada.post(control, url.Values{"identity": {mail}, "outcome": {name}})
		require.NoError(t, err)
		require.Equal(t, http.StatusSeeOther, status)
	}
	outcome("fail")
	require.Eventually(t, func() bool {
		return strings.Contains(dashboard(), "Mail needs a new sign-in")
	}, 10*time.Second, 20*time.Millisecond, "%s", p.output)
	status, body = automation("")
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, body, "needs_sign_in")
	status, _ = automation("calendar")
	require.Equal(t, http.StatusOK, status, "the other account is well")
	outcome("approve")
	require.Eventually(t, func() bool {
		return strings.Contains(dashboard(), "Mail signs in again")
	}, 10*time.Second, 20*time.Millisecond, "%s", p.output)

	_, to, _, err = ada.post(at+"/disconnect/calendar", url.Values{"return_to": {"/dashboard"}})
	require.NoError(t, err)
	require.Equal(t, "/dashboard", to)
	require.Contains(t, dashboard(), "Calendar was disconnected")
	require.Equal(t, 1, strings.Count(dashboard(), "No account is connected"))

	// The fake forgets everything at a restart; connections still work.
	p.kill()
	p.start()
	ada.signIn(p.addr, "ada")
	status, body = automation("")
	require.Equal(t, http.StatusOK, status, "%s", body)

	grace := newBrowser(t)
	grace.signIn(p.addr, "grace")
	_, _, body, err = grace.get(at + "/dashboard")
	require.NoError(t, err)
	require.Contains(t, body, "Nothing yet", "what has happened is each user's own")
}
