package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireFlow goes through everything that a user does with connect in an app, and checks
// that each step leads to the next, at the URLs that browsers see.
func requireFlow(t *testing.T, a app) {
	t.Helper()
	ada := a.visitor(t)
	start := a.prefix + "/connect"
	status := func() (s struct {
		Connected  bool
		IdentityID string
	}) {
		t.Helper()
		got := ada.get(start + "/status")
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &s), got.body)
		return s
	}

	// Nobody is signed in.
	require.Equal(t, http.StatusUnauthorized, ada.get(start).status)
	got := ada.get(a.reports)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.NotContains(t, got.body, "reports of")
	ada.signIn("ada")
	require.False(t, status().Connected)

	// The guarded page redirects to the connect page, whose form starts a flow.
	reports := a.reports + "?year=2026&q=a+b"
	got = ada.get(reports)
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	require.NotContains(t, got.body, "reports of")
	require.Equal(t, a.origin+start+"?return_to="+url.QueryEscape(reports), got.location)
	page := ada.get(got.location)
	require.Equal(t, http.StatusOK, page.status, page.body)
	head := ada.do(http.MethodHead, got.location, "")
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
	action, form := readForm(t, page.body)
	require.Equal(t, start, action)
	require.Equal(t, url.Values{"return_to": {reports}}, form)
	a.fake.ForgetCalls()
	got = ada.submit(action, form)
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	requireCallbackURL(t, a)

	// The hosted page redirects to the callback. A link checker's HEAD does not spend the
	// flow.
	callback := ada.approve(got.location)
	require.True(t, strings.HasPrefix(callback, a.origin+a.prefix+"/identity-callback/"), callback)
	head = ada.do(http.MethodHead, callback, "")
	require.Equal(t, http.StatusMethodNotAllowed, head.status)
	elsewhere := a.visitor(t)
	elsewhere.signIn("ada")
	require.Equal(t, http.StatusForbidden, elsewhere.get(callback).status, "her other browser did not begin it")
	got = ada.get(callback)
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	require.Equal(t, a.origin+reports, got.location, "back where it began")
	require.Equal(t, got.location, ada.get(callback).location, "a reload")

	// Connected.
	first := status()
	require.True(t, first.Connected)
	identity, err := a.fake.WaitTagged(t.Context(), first.IdentityID)
	require.NoError(t, err)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	got = ada.get(reports)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, "reports of "+first.IdentityID, got.body)

	// Again from a script, in a browser without Sec-Fetch-Site.
	a.fake.ForgetCalls()
	got = ada.do(http.MethodPost, start, `{"return_to":"/elsewhere"}`,
		"Content-Type", "application/json", "Accept", "application/json", "Origin", a.origin)
	require.Equal(t, http.StatusOK, got.status, got.body)
	var begun struct{ RedirectURL string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &begun))
	requireCallbackURL(t, a)
	got = ada.get(ada.approve(begun.RedirectURL))
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	require.Equal(t, a.origin+"/elsewhere", got.location)
	second := status()
	require.True(t, second.Connected)
	require.NotEqual(t, first.IdentityID, second.IdentityID)

	// Requests from a page of another origin are refused.
	for _, path := range []string{start, a.prefix + "/disconnect"} {
		got = ada.do(http.MethodPost, path, "", "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site")
		require.Equal(t, http.StatusForbidden, got.status, got.body)
		got = ada.do(http.MethodPost, path, "", "Origin", "https://evil.test")
		require.Equal(t, http.StatusForbidden, got.status, "in a browser from before Sec-Fetch-Site")
	}

	// Disconnected.
	got = ada.submit(a.prefix+"/disconnect", nil)
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	require.Equal(t, a.origin+start, got.location)
	require.False(t, status().Connected)
	_, ok := a.fake.Identity(second.IdentityID)
	require.False(t, ok, "it is gone at Anchor too")
	require.Equal(t, http.StatusSeeOther, ada.get(reports).status)
	got = ada.do(http.MethodGet, reports, "", "Accept", "application/json")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, `"connectUrl":"`+start+`"`)
}

// requireNothingElse checks that connect answers 404 and 405 for other requests.
func requireNothingElse(t *testing.T, a app) {
	t.Helper()
	v := a.visitor(t)
	v.signIn("ada")
	require.Equal(t, http.StatusNotFound, v.get(a.prefix+"/connect/nothing").status)
	require.Equal(t, http.StatusNotFound, v.get(a.prefix+"/identity-callback/a/b").status)
	require.Equal(t, http.StatusMethodNotAllowed, v.do(http.MethodDelete, a.prefix+"/connect", "").status)
	require.Equal(t, http.StatusMethodNotAllowed, v.get(a.prefix+"/disconnect").status)
}

// requireCallbackURL checks the callback URL in the only call to Anchor since the calls
// were reset.
func requireCallbackURL(t *testing.T, a app) {
	t.Helper()
	calls := a.fake.Calls()
	require.Len(t, calls, 1)
	var token struct{ CallbackURL string }
	require.NoError(t, json.Unmarshal(calls[0].Body, &token))
	require.True(t, strings.HasPrefix(token.CallbackURL, a.origin+a.prefix+"/identity-callback/"), token.CallbackURL)
}
