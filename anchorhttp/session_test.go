package anchorhttp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
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
		{"identities stand at the top", anchorhttp.SessionRequest{Identities: []anchorhttp.SessionIdentity{{ID: idA}, {ID: strings.ToUpper(idB)}}},
			`{"identities":[{"id":"` + idA + `"},{"id":"` + idB + `"}]}`},
		{"as recommended", anchorhttp.AuthenticatedSession(idA), `{
			"identities": [{"id": "` + idA + `"}],
			"session": {"proxy": {"active": true}},
			"browser": {"captcha_solver": {"active": true}, "extra_stealth": {"active": true}}}`},
		{"without a check of the sign-in", anchorhttp.SessionRequest{Identities: []anchorhttp.SessionIdentity{{ID: idA}}, IdentitySkipValidation: true},
			`{"identities":[{"id":"` + idA + `"}],"identity_skip_validation":true}`},
		{"empty structs", anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{}, Browser: &anchorhttp.BrowserConfig{}},
			`{"session":{},"browser":{}}`},
		{"everything on", anchorhttp.SessionRequest{
			Session: &anchorhttp.SessionConfig{
				InitialURL: "https://example.com/reports",
				Tags:       []string{"production", "customer-123"},
				Recording:  on,
				Proxy:      &anchorhttp.ProxyConfig{Active: true, Type: anchorhttp.ProxyAnchor, CountryCode: "de", Region: "be", City: "berlin"},
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
			Session: &anchorhttp.SessionConfig{Recording: off, Proxy: &anchorhttp.ProxyConfig{}},
			Browser: &anchorhttp.BrowserConfig{Adblock: off, PopupBlocker: off, CaptchaSolver: off, ExtraStealth: off, Headless: off, Fullscreen: off},
		}, `{
			"session": {"recording": {"active": false}, "proxy": {"active": false}},
			"browser": {"adblock": {"active": false}, "popup_blocker": {"active": false}, "captcha_solver": {"active": false},
				"extra_stealth": {"active": false}, "headless": {"active": false}, "fullscreen": {"active": false}}}`},
		{"a custom proxy", anchorhttp.SessionRequest{Session: &anchorhttp.SessionConfig{Proxy: &anchorhttp.ProxyConfig{
			Active: true, Type: anchorhttp.ProxyCustom, Server: "https://proxy.example:443", Username: "u", Password: "proxy-secret"}}},
			`{"session":{"proxy":{"active":true,"type":"custom","server":"https://proxy.example:443","username":"u","password":"proxy-secret"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, `{"data":`+opened+`}`))
			got, err := srv.client().CreateSession(t.Context(), tt.req)
			require.NoError(t, err)
			requireDated(t, &got.Date)
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
		requireDated(t, &got.Date)
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
		_, err := srv.client().CreateSession(t.Context(), anchorhttp.SessionRequest{Identities: []anchorhttp.SessionIdentity{{ID: idA}, {ID: "x"}}})
		require.ErrorIs(t, err, anchorhttp.ErrInvalidID)
		require.Empty(t, srv.requests())
	})
	t.Run("no credit", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(402, `{"error":{"code":402,"message":"Insufficient credits"}}`))
		_, err := srv.client(anchorhttp.WithMaxRetries(2)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(idA))
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		requireDated(t, &e.Date)
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
			Proxy: &anchorhttp.ProxyConfig{Active: true, Type: anchorhttp.ProxyCustom, Password: "proxy-secret"}}})
		require.ErrorContains(t, err, "is down")
		require.NotContains(t, err.Error(), "proxy-secret")
	})
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	const (
		unauthorized = `{"error":{"code":401,"message":"Invalid API Key or browser session ID"}}`
		odd          = "s-1~:@!$&'()*+,;=_."
	)
	tests := []struct {
		name        string
		status      int // of the DELETE
		body        string
		asked       int // status of the GET; 0: there is none
		askedBody   string
		fails       int // status of the *Error; 0: none
		failsInText string
	}{
		{name: "it ends", status: 200, body: `{"data":{"status":"success"}}`},
		{name: "the answer may be empty", status: 204},
		{name: "the answer may name the session", status: 200, body: `{"data":{"id":"s-1"}}`},
		{name: "one that is unknown is over", status: 404, body: `{"error":{"code":404,"message":"Session not found"}}`},
		{name: "the 404 of a gateway says nothing", status: 404, body: "<html>", fails: 404},
		{name: "a page is no answer", status: 200, body: "<html>", failsInText: "the answer is invalid"},
		{name: "a failure is told", status: 500, body: `{"message":"no"}`, fails: 500},
		{name: "401 for one that has ended is success", status: 401, body: unauthorized, asked: 200, askedBody: `{"data":{"session_id":"s-1","status":"ended"}}`},
		{name: "401 for one that is unknown is success", status: 401, body: unauthorized, asked: 404, askedBody: `{"message":"Session not found"}`},
		{name: "401 for one that runs is told", status: 401, body: unauthorized, asked: 200, askedBody: `{"data":{"status":"running"}}`, fails: 401},
		{name: "401 for one that is active is told", status: 401, body: unauthorized, asked: 200, askedBody: `{"data":{"status":"active"}}`, fails: 401},
		{name: "401 for a key that is wrong is told", status: 401, body: unauthorized, asked: 401, askedBody: unauthorized, fails: 401},
		{name: "401 is told when the question fails", status: 401, body: unauthorized, asked: 503, askedBody: ``, fails: 401},
		{name: "401 is told when the answer to the question is a page", status: 401, body: unauthorized, asked: 200, askedBody: `<html>`, fails: 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					says(tt.status, tt.body)(w, r)
					return
				}
				says(tt.asked, tt.askedBody)(w, r)
			})
			err := srv.client().EndSession(t.Context(), odd)
			for i, method := range []string{"DELETE", "GET"} {
				if i == 1 && tt.asked == 0 {
					require.Len(t, srv.requests(), 1)
					break
				}
				require.Equal(t, method, srv.requests()[i].method)
				require.Equal(t, "/v1/sessions/"+url.PathEscape(odd), srv.requests()[i].path)
				require.Empty(t, srv.requests()[i].body)
			}
			var e *anchorhttp.Error
			switch {
			case tt.fails != 0:
				require.ErrorAs(t, err, &e)
				require.Equal(t, tt.fails, e.StatusCode)
				require.ErrorContains(t, err, "anchorhttp: DELETE /v1/sessions/{session}: ")
			case tt.failsInText != "":
				require.ErrorContains(t, err, tt.failsInText)
			default:
				require.NoError(t, err)
			}
		})
	}
	for _, id := range []string{"", ".", "..", "a/b", "a%2fb", "a?b", "a#b", `a\b`, "a b", "é", strings.Repeat("a", 256)} {
		srv := serve(t, says(200, `{}`))
		require.ErrorIs(t, srv.client().EndSession(t.Context(), id), anchorhttp.ErrInvalidID, "%q", id)
		require.Empty(t, srv.requests())
	}
}

func TestSessionIsNotPrinted(t *testing.T) {
	t.Parallel()
	v := anchorhttp.Session{ID: "s-1", CDPURL: cdpURL, LiveViewURL: liveURL}
	for _, v := range []any{v, &v} {
		text := printed(t, v)
		requireHidden(t, text, cdpURL, liveURL, "cdp-secret", "live-secret")
		require.Contains(t, text, "s-1", "the rest is shown")
		require.Contains(t, text, "v.id=s-1", "by slog too")
	}
}

func TestSessionProxyPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	p := anchorhttp.ProxyConfig{Type: anchorhttp.ProxyCustom, Username: "proxy-user", Password: "proxy-secret"}
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
