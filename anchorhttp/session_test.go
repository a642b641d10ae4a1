package anchorhttp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	cdpURL  = "wss://connect.example/?sessionId=s-1&apiKey=cdp-secret"
	liveURL = "https://live.example/inspector.html?token=live-secret"
	opened  = `{"id":"s-1","cdp_url":"` + cdpURL + `","live_view_url":"` + liveURL + `"}`
)

func TestCreateSession(t *testing.T) {
	t.Parallel()
	want := anchorhttp.Session{ID: "s-1", CDPURL: cdpURL, LiveViewURL: liveURL}
	on, off := &anchorhttp.Toggle{Active: true}, &anchorhttp.Toggle{}
	tests := []struct {
		name string
		req  anchorhttp.SessionRequest
		want string
	}{
		{"nothing asked for", anchorhttp.SessionRequest{}, `{}`},
		{"identities stand at the top", anchorhttp.SessionRequest{IdentityIDs: []string{idA, strings.ToUpper(idB)}},
			`{"identities":[{"id":"` + idA + `"},{"id":"` + idB + `"}]}`},
		{"as recommended", anchorhttp.AuthenticatedSession(idA), `{
			"identities": [{"id": "` + idA + `"}],
			"session": {"proxy": {"active": true}},
			"browser": {"captcha_solver": {"active": true}, "extra_stealth": {"active": true}}}`},
		{"empty structs", anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{}, Browser: &anchorhttp.BrowserConfig{}},
			`{"session":{},"browser":{}}`},
		{"everything on", anchorhttp.SessionRequest{
			Session: &anchorhttp.SessionConfig{
				InitialURL: "https://example.com/reports",
				Tags:       []string{"production", "customer-123"},
				Recording:  on,
				Proxy:      &anchorhttp.Proxy{Active: true, Type: anchorhttp.ProxyAnchor, CountryCode: "de", Region: "be", City: "berlin"},
				Timeout:    &anchorhttp.SessionTimeout{MaxDuration: 10, IdleTimeout: -1},
				LiveView:   &anchorhttp.LiveView{ReadOnly: true, OneTimeURL: true},
			},
			Browser: &anchorhttp.BrowserConfig{
				Profile: &anchorhttp.Profile{Name: "p", Persist: true}, Adblock: on, PopupBlocker: on, CaptchaSolver: on,
				ExtraStealth: on, Headless: on, Viewport: &anchorhttp.Viewport{Width: 1280, Height: 720}, Fullscreen: on,
			},
		}, `{
			"session": {
				"initial_url": "https://example.com/reports", "tags": ["production", "customer-123"], "recording": {"active": true},
				"proxy": {"active": true, "type": "anchor_proxy", "country_code": "de", "region": "be", "city": "berlin"},
				"timeout": {"max_duration": 10, "idle_timeout": -1}, "live_view": {"read_only": true, "one_time_url": true}},
			"browser": {
				"profile": {"name": "p", "persist": true}, "adblock": {"active": true}, "popup_blocker": {"active": true},
				"captcha_solver": {"active": true}, "extra_stealth": {"active": true}, "headless": {"active": true},
				"viewport": {"width": 1280, "height": 720}, "fullscreen": {"active": true}}}`},
		{"everything off", anchorhttp.SessionRequest{
			Session: &anchorhttp.SessionConfig{Recording: off, Proxy: &anchorhttp.Proxy{}},
			Browser: &anchorhttp.BrowserConfig{Adblock: off, PopupBlocker: off, CaptchaSolver: off, ExtraStealth: off, Headless: off, Fullscreen: off},
		}, `{
			"session": {"recording": {"active": false}, "proxy": {"active": false}},
			"browser": {"adblock": {"active": false}, "popup_blocker": {"active": false}, "captcha_solver": {"active": false},
				"extra_stealth": {"active": false}, "headless": {"active": false}, "fullscreen": {"active": false}}}`},
		{"a custom proxy", anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{Proxy: &anchorhttp.Proxy{
			Active: true, Type: anchorhttp.ProxyCustom, Server: "https://proxy.example:443", Username: "u", Password: "proxy-secret"}}},
			`{"session":{"proxy":{"active":true,"type":"custom","server":"https://proxy.example:443","username":"u","password":"proxy-secret"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, `{"data":`+opened+`}`))
			got, err := srv.client().CreateSession(t.Context(), tt.req)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, http.MethodPost, srv.requests()[0].method)
			require.Equal(t, "/v1/sessions", srv.requests()[0].path)
			requireJSON(t, tt.want, srv.requests()[0].body)
		})
	}

	t.Run("an answer that is not wrapped", func(t *testing.T) {
		t.Parallel()
		got, err := serve(t, says(200, opened)).client().CreateSession(t.Context(), anchorhttp.AuthenticatedSession(idA))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	for name, body := range map[string]string{
		"no id": `{"data":{"cdp_url":"` + cdpURL + `"}}`, "an id with a line break": `{"id":"s-1\nlevel=ERROR"}`,
		"an id of another type": `{"id":1}`, "a page": `<html>`, "nothing": ``,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := serve(t, says(200, body)).client().CreateSession(t.Context(), anchorhttp.AuthenticatedSession(idA))
			require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
			require.Zero(t, got)
		})
	}
	t.Run("one id of several that is no UUID", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(200, opened))
		_, err := srv.client().CreateSession(t.Context(), anchorhttp.SessionRequest{IdentityIDs: []string{idA, "x"}})
		require.ErrorIs(t, err, anchorhttp.ErrInvalidID)
		require.Empty(t, srv.requests())
	})
	t.Run("no credit", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(402, `{"error":{"code":402,"message":"Insufficient credits"}}`))
		_, err := srv.client(anchorhttp.WithMaxRetries(2)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(idA))
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, anchorhttp.Error{StatusCode: 402, Message: "Insufficient credits"}, *e)
		require.Len(t, srv.requests(), 1)
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(429, `{"error":{"code":429,"message":"Session creation rate limit exceeded."}}`, "Retry-After", "58"))
		// The wait is longer than the call may take, so it is not retried.
		_, err := srv.client(anchorhttp.WithMaxRetries(2)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(idA))
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 429, e.StatusCode)
		require.Equal(t, 58*time.Second, e.RetryAfter)
		require.Len(t, srv.requests(), 1)
	})
	t.Run("the error does not repeat a proxy's password", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(400, `{"message":"proxy https://u:proxy-secret@proxy.example is down"}`))
		_, err := srv.client().CreateSession(t.Context(), anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{
			Proxy: &anchorhttp.Proxy{Active: true, Type: anchorhttp.ProxyCustom, Password: "proxy-secret"}}})
		require.ErrorContains(t, err, "is down")
		require.NotContains(t, err.Error(), "proxy-secret")
	})
}

func TestSessionsAreNotPrinted(t *testing.T) {
	t.Parallel()
	v := anchorhttp.Session{ID: "s-1", CDPURL: cdpURL, LiveViewURL: liveURL}
	for _, v := range []any{v, &v} {
		text := printed(t, v)
		requireHidden(t, text, cdpURL, liveURL, "cdp-secret", "live-secret")
		require.Contains(t, text, "s-1", "the rest is shown")
		require.Contains(t, text, "v.id=s-1", "by slog too")
	}
}

func TestProxyPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	p := anchorhttp.Proxy{Type: anchorhttp.ProxyCustom, Username: "proxy-user", Password: "proxy-secret"}
	req := anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{Proxy: &p}}
	for _, v := range []any{p, &p, req, &req, req.Session, *req.Session} {
		text := printed(t, v)
		requireHidden(t, text, "proxy-secret")
	}
	require.Contains(t, printed(t, p), "proxy-user", "the rest is shown")
	text, err := json.Marshal(p)
	require.NoError(t, err)
	requireJSON(t, `{"active":false,"type":"custom","username":"proxy-user"}`, string(text))
}
