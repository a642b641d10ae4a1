package anchortest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// submit presses a button of the hosted page.
func submit(t *testing.T, s *Server, form url.Values) response {
	t.Helper()
	req, err := http.NewRequest("POST", s.URL()+"/identity/create", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r, err := try(t.Context(), req)
	require.NoError(t, err)
	return r
}

// show opens the hosted page without a key, as a browser does.
func show(t *testing.T, s *Server, query string) response {
	t.Helper()
	req, err := http.NewRequest("GET", s.URL()+"/identity/create?"+query, nil)
	require.NoError(t, err)
	r, err := try(t.Context(), req)
	require.NoError(t, err)
	return r
}

func TestHostedPage(t *testing.T) {
	t.Parallel()

	t.Run("it names the application, says that it is a fake, and has the form", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithApplication("My Shop", "https://shop.example"))
		token := newToken(t, s, callback)
		r := show(t, s, "token="+token+"&userName=Ann+Smith")
		require.Equal(t, 200, r.status)
		for _, part := range []string{
			"Sign in to My Shop", "https://shop.example", "a fake of Anchor", `value="Ann Smith"`, `value="` + token + `"`,
			`<label for="account">`, `id="account"`, `<label for="password">`, `id="password"`,
			`value="approve"`, `value="cancel"`, `value="fail"`, "https://app.example",
		} {
			require.Contains(t, r.body, part)
		}
		require.NotContains(t, r.body, "<script")
	})

	t.Run("its headers let nothing in and nothing out but the return link", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		r := show(t, s, "token="+newToken(t, s, "http://localhost:8080/cb"))
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(r.body)
		require.NotNil(t, style)
		sum := sha256.Sum256([]byte(style[1]))
		require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
			"'; img-src data:; form-action 'self' http://localhost:8080; base-uri 'none'; frame-ancestors 'none'",
			r.header.Get("Content-Security-Policy"))
		require.Equal(t, "text/html; charset=utf-8", r.header.Get("Content-Type"))
		require.Equal(t, "no-store", r.header.Get("Cache-Control"))
		require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
	})

	t.Run("each button sends the browser back", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for button, want := range map[string]string{
			"approve": "?identity_id=", "cancel": "?status=cancelled&", "fail": "?status=failed&",
		} {
			r := submit(t, s, url.Values{"token": {newToken(t, s, callback)}, "account": {"Ann"}, "password": {"s3cret"}, "outcome": {button}})
			require.Equal(t, http.StatusSeeOther, r.status)
			require.Contains(t, r.header.Get("Location"), callback+want)
			require.Equal(t, "no-store", r.header.Get("Cache-Control"))
			require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
		}
		require.Len(t, s.Identities(), 1)
		require.Equal(t, "Ann", s.Identities()[0].Name)
	})

	t.Run("account and password may be empty", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		r := submit(t, s, url.Values{"token": {newToken(t, s, callback)}, "outcome": {"approve"}})
		require.Equal(t, http.StatusSeeOther, r.status)
		require.Equal(t, "Unnamed Identity", s.Identities()[0].Name)
	})

	t.Run("looking at it uses up nothing", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		token := newToken(t, s, callback)
		for range 3 {
			require.Equal(t, 200, show(t, s, "token="+token).status)
		}
		require.Equal(t, http.StatusSeeOther, submit(t, s, url.Values{"token": {token}, "outcome": {"approve"}}).status)
	})

	t.Run("what stands in the address of the form does not count", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		token := newToken(t, s, callback)
		for form, want := range map[string]int{"token=" + token: 400, "outcome=approve": 404} {
			req, err := http.NewRequest("POST", s.URL()+"/identity/create?outcome=approve&token="+token, strings.NewReader(form))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r, err := try(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, want, r.status)
		}
		require.Empty(t, s.Identities())
	})

	t.Run("no button or another one is a page that says so and uses up nothing", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		token := newToken(t, s, callback)
		for _, button := range []string{"", "Approve", "delete"} {
			r := submit(t, s, url.Values{"token": {token}, "outcome": {button}})
			require.Equal(t, 400, r.status)
			require.Contains(t, r.body, "<h1>That did not work</h1>")
		}
		require.Equal(t, 200, show(t, s, "token="+token).status)
	})

	t.Run("a token that cannot be used is a page that says why", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Now()
		s.SetNow(func() time.Time { return now })
		used, late := newToken(t, s, callback), newToken(t, s, callback)
		require.Equal(t, http.StatusSeeOther, submit(t, s, url.Values{"token": {used}, "outcome": {"cancel"}}).status)
		s.SetNow(func() time.Time { return now.Add(15 * time.Minute) })
		for token, want := range map[string]struct {
			status int
			title  string
		}{
			used:      {410, "This link was used before"},
			late:      {410, "This link has expired"},
			"unknown": {404, "This link is not valid"},
			"":        {404, "This link is not valid"},
		} {
			for _, r := range []response{show(t, s, "token="+token), submit(t, s, url.Values{"token": {token}, "outcome": {"approve"}})} {
				require.Equal(t, want.status, r.status)
				require.Contains(t, r.body, "<h1>"+want.title+"</h1>")
				require.Contains(t, r.body, "a fake of Anchor")
				require.NotContains(t, r.body, "<form")
				require.Contains(t, r.header.Get("Content-Type"), "text/html")
				require.Contains(t, r.header.Get("Content-Security-Policy"), "form-action 'none'")
			}
		}
		require.Empty(t, s.Identities())
	})

	t.Run("what others wrote is escaped", func(t *testing.T) {
		t.Parallel()
		evil := `"><script>alert(1)</script>`
		s := start(t, WithApplication(evil, "javascript:"+evil))
		r := show(t, s, "token="+newToken(t, s, `https://app.example/`)+"&userName="+url.QueryEscape(evil))
		require.Equal(t, 200, r.status)
		require.NotContains(t, r.body, "<script")
		require.NotContains(t, r.body, "href=\"javascript")
		require.Equal(t, 4, strings.Count(r.body, "&gt;&lt;script&gt;"), "title, heading, site and account name")
		require.NotContains(t, show(t, s, "token="+url.QueryEscape(evil)).body, "<script")
	})

	t.Run("a tampered form cannot choose where the browser goes", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		r := submit(t, s, url.Values{"token": {newToken(t, s, callback)}, "outcome": {"cancel"},
			"callbackUrl": {"https://evil.example"}, "callback": {"https://evil.example"}})
		require.NotContains(t, r.header.Get("Location"), "evil")
	})
}

func TestHostedPageFormTarget(t *testing.T) {
	t.Parallel()
	for callbackURL, want := range map[string]string{
		"https://app.example/cb?x#y":         "https://app.example",
		"https://app.example:8443/cb":        "https://app.example:8443",
		"http://localhost:8080/cb":           "http://localhost:8080",
		"https://user:pw@app.example/cb":     "https://app.example",
		"http://[::1]:8080/cb":               "http:",
		"https://a.example;script-src/*":     "https:",
		"https://a.example,b/":               "https:",
		"https://'unsafe-inline'/":           "https:",
		"https://*/":                         "https:",
		"https://b\u00fccher.example/cb":     "https:",
		"https://a.example;img-src%20*/path": "",
	} {
		require.Equal(t, want, formTarget(callbackURL), callbackURL)
	}
}
