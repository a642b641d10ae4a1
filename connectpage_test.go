package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestConnectPageShowsEveryAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	page := ada.get("/connect").body
	require.Contains(t, page, "<h1>Connect your account</h1>")
	ada.connectWith("label", `<script>alert("ada")</script>`)
	s.clock.advance(time.Minute)
	dead := identityIn(ada.connect())
	_, _, err := s.store.SetHealth(t.Context(), dead, connect.HealthNeedsSignIn, s.clock.now().Add(time.Hour))
	require.NoError(t, err)

	page = ada.get("/connect?return_to=/reports").body
	require.NotContains(t, page, "<script")
	require.Contains(t, page, "<bdi>&lt;script&gt;")
	require.Contains(t, page, "<bdi>Account 2</bdi>")
	require.Contains(t, page, "Needs a new sign-in")
	require.Contains(t, page, s.clock.now().UTC().Format("2 January 2006"))
	for _, c := range s.connections("ada") {
		require.Equal(t, 3, strings.Count(page, `name="connection" value="`+c.ID+`"`), "sign in again, rename, disconnect")
		require.NotContains(t, page, c.IdentityID)
	}
	require.Contains(t, page, `name="return_to" value="/connect?return_to=%2Freports"`, "renaming leads back here")
	require.Contains(t, page, `name="return_to" value="/reports"`)
	require.NotContains(t, page, "Connect another", "there is no room for more")
	ada.post("/disconnect", form("connection", s.connections("ada")[1].ID))
	require.Contains(t, ada.get("/connect").body, "Connect another account")
}

func TestConnectPageHasAFormThatStartsAFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	a := ada.get("/connect?return_to=" + url.QueryEscape(`/reports?a=b&c="d"`))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `<form method="post" action="/connect">`)
	require.Contains(t, a.body, `name="return_to" value="/reports?a=b&amp;c=&#34;d&#34;"`)
	require.Contains(t, a.header.Get("Content-Security-Policy"), "form-action 'self' "+s.fake.URL(), "Chromium holds redirects to it too")
	require.Equal(t, "same-origin", a.header.Get("Referrer-Policy"), "or the form's Origin is null")
	require.NotContains(t, a.body, "Connect again")

	ada.connect()
	require.Contains(t, ada.get("/connect").body, "Connect again")
}

func TestConnectPageKnowsTheConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, templates(t, `{{define "connect"}}{{.Application}}|{{.Connected}}|{{.NeedsSignIn}}|{{.KeepURL}}|{{.Action}}|{{.ReturnTo}}{{end}}`))
	ada := s.signedIn("ada")
	require.Equal(t, "|false|false||/connect|", ada.get("/connect").body)
	callback := ada.connect()
	require.Equal(t, "|true|false|/dashboard?connected=true|/connect|", ada.get("/connect").body)
	require.Equal(t, "|true|false|/reports|/connect|/reports", ada.get("/connect?return_to=/reports").body)
	require.Equal(t, "calendar|false|false||/connect/calendar|/reports", ada.get("/connect/calendar?return_to=/reports").body)
	_, _, err := s.store.SetHealth(t.Context(), identityIn(callback), connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, "|true|true||/connect|/reports", ada.get("/connect?return_to=/reports").body, "there is no working connection to keep")
}

// A user who was tricked into signing in as another user of the app can see that.
func TestConnectPageNamesTheUser(t *testing.T) {
	t.Parallel()
	named := func(name string) func(*connect.Config) {
		return func(c *connect.Config) {
			user := c.User
			c.User = func(r *http.Request) (connect.User, error) {
				u, err := user(r)
				u.Name = name
				return u, err
			}
		}
	}
	s := newSite(t, named(`Eve <b>Attacker</b>`))
	eve := s.signedIn("eve")
	says := "You are signed in to this site as <bdi><strong>Eve &lt;b&gt;Attacker&lt;/b&gt;</strong></bdi>."
	require.Contains(t, eve.get("/connect").body, says)
	eve.connect()
	require.Contains(t, eve.get("/connect").body, says)

	require.NotContains(t, newSite(t).signedIn("ada").get("/connect").body, "You are signed in", "Config.User returns no name")
	own := newSite(t, named("Ada"), templates(t, `{{define "connect"}}{{.Action}} {{.User}}{{.ReturnTo}}{{end}}`))
	require.Equal(t, "/connect Ada", own.signedIn("ada").get("/connect").body)
}
