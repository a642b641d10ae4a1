package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestErrorHandlerAnswersInTheAppsOwnWay(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			e := connect.Explain(err)
			http.Error(w, "mine: "+e.Title, e.Status)
		}
	})
	ada := s.signedIn("ada")
	a := ada.get("/identity-callback/NONE?identityId=x")
	ada.refused(connect.ErrNoStateCookie, a)
	require.True(t, strings.HasPrefix(a.body, "mine: "))
}

func TestSignInURLGetsTheReturnPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login" })
	nobody := s.browser()
	for _, test := range []struct{ method, path, back string }{
		{"GET", "/connect?return_to=%2Freports", "/connect?return_to=%2Freports"},
		{"POST", "/connect", "/connect"},
		{"POST", "/disconnect", "/connect"},
		{"GET", "/identity-callback/STATE?identity_id=x&status=success&other=y", "/identity-callback/STATE"},
		{"GET", "/identity-callback?identityId=x", "/identity-callback"},
	} {
		a := nobody.do(test.method, test.path, "", "")
		nobody.refused(connect.ErrNotSignedIn, a)
		u, err := url.Parse(follow(t, s.server.URL, a.body))
		require.NoError(t, err)
		require.Equal(t, "/login", u.Path)
		require.Equal(t, test.back, u.Query().Get("return_to"), test.method+test.path)
	}
}

func TestErrorAnswersTheAppsOwnRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mux := s.mux
	mux.HandleFunc("/automation", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.handler.NewSession(r.Context(), r.FormValue("user")); err != nil {
			s.handler.Error(w, r, err)
		}
	})
	ada := s.signedIn("ada")
	ada.connect()
	require.Equal(t, http.StatusOK, ada.get("/automation?user=ada").status)
	a := ada.get("/automation?user=eve")
	ada.refused(connect.ErrNotConnected, a)
	require.Contains(t, a.body, `href="/connect"`)

	s.fake.Fault(anchortest.Fault{Path: "/v1/sessions", Status: 429, Header: http.Header{"Retry-After-Ms": {"61100"}}})
	a = ada.get("/automation?user=ada")
	ada.refused(connect.ErrRateLimited, a)
	require.Equal(t, "62", a.header.Get("Retry-After"), "whole seconds, rounded up")
	require.NotContains(t, a.body, "href", "there is no next step")
	require.NotContains(t, a.body, "429")

	require.Equal(t, "connect: Anchor refused because of too many calls", (&connect.RateLimitError{}).Error())
}
