package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// A visitPage is the hosted page in a user's browser.
type visitPage struct {
	t    *testing.T
	s    *Server
	form url.Values
}

func visit(t *testing.T, s *Server) *visitPage {
	t.Helper()
	address := hosted(t, s)
	require.Equal(t, 200, get(t, address).status)
	u, err := url.Parse(address)
	require.NoError(t, err)
	return &visitPage{t, s, url.Values{"token": {u.Query().Get("token")}}}
}

// press fills in the form and presses a button.
func (v *visitPage) press(outcome string, fields ...string) response {
	v.t.Helper()
	form := url.Values{"outcome": {outcome}}
	for name, values := range v.form {
		form[name] = values
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return post(v.t, v.s.URL()+"/identity/create", form)
}

func TestHostedPageSignsInAtTheSite(t *testing.T) {
	t.Parallel()
	s := start(t)

	t.Run("with a password", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		res := v.press("approve", "account", "ada", "password", "ada-letters")
		require.Equal(t, http.StatusSeeOther, res.status)
		require.Regexp(t, `^https://app\.example/identity-callback/st4te\?identity_id=[0-9a-f-]{36}&status=success$`, res.location)
		id, err := identityOf(res.location)
		require.NoError(t, err)
		made, found := s.Fake().Identity(id)
		require.True(t, found)
		require.Equal(t, "ada", made.Name)
		require.Equal(t, s.Site().URL(), made.Source)
		ok, err := s.works(t.Context(), s.stored(id).cookies)
		require.NoError(t, err)
		require.True(t, ok, "the cookies are those of a session at the site")
		require.Equal(t, http.StatusGone, v.press("approve", "account", "ada", "password", "ada-letters").status)
	})

	t.Run("with a code", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		v := visit(t, s)
		_, waiting := s.Site().Code("alan")
		require.False(t, waiting)
		res := v.press("approve", "account", "alan", "password", "alan-letters")
		require.Equal(t, 200, res.status)
		require.Contains(t, res.body, `name="code"`)
		code, waiting := s.Site().Code("alan")
		require.True(t, waiting)
		require.Regexp(t, `^\d{6}$`, code)
		require.Contains(t, get(t, s.OverviewURL()).body, code)

		res = v.press("approve", "code", "wrong")
		require.Equal(t, http.StatusUnprocessableEntity, res.status)
		require.Contains(t, res.body, wrongCode)
		require.Contains(t, res.body, `name="code"`)
		res = v.press("approve", "code", code)
		require.Equal(t, http.StatusSeeOther, res.status)
		id, err := identityOf(res.location)
		require.NoError(t, err)
		ok, err := s.works(t.Context(), s.stored(id).cookies)
		require.NoError(t, err)
		require.True(t, ok)
		require.Len(t, s.stored(id).cookies, 1, "what the site has removed is not kept")
		_, waiting = s.Site().Code("alan")
		require.False(t, waiting)
	})

	t.Run("it says what was wrong, and fails the third time", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		for range 2 {
			res := v.press("approve", "account", "ada", "password", "<guess>")
			require.Equal(t, http.StatusUnprocessableEntity, res.status)
			require.Contains(t, res.body, `role="alert">`+wrongPassword)
			require.Contains(t, res.body, `value="ada"`)
			require.NotContains(t, res.body, "guess")
		}
		res := v.press("approve", "account", "ada", "password", "guess")
		require.Equal(t, http.StatusSeeOther, res.status)
		require.Contains(t, res.location, "status=failed&error=authentication_failed")
		require.Equal(t, http.StatusGone, v.press("approve", "account", "ada", "password", "ada-letters").status)
	})

	t.Run("a wrong password and wrong codes count together", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		v := visit(t, s)
		require.Equal(t, 422, v.press("approve", "account", "alan", "password", "guess").status)
		require.Equal(t, 200, v.press("approve", "account", "alan", "password", "alan-letters").status)
		require.Equal(t, 422, v.press("approve", "code", "wrong").status)
		require.Contains(t, v.press("approve", "code", "wrong").location, "status=failed")
	})

	t.Run("a code that nobody waits for leads back to the password", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		res := v.press("approve", "code", "123456")
		require.Equal(t, 200, res.status)
		require.Contains(t, res.body, `name="password"`)
		require.Contains(t, res.body, oldCode)
	})

	t.Run("cancelling", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		require.Equal(t, 422, v.press("approve", "account", "ada", "password", "guess").status)
		require.Contains(t, v.press("cancel").location, "status=cancelled&error=access_denied")
		require.Equal(t, http.StatusGone, get(t, s.Fake().HostedPageURL(v.form.Get("token"), "")).status)
	})

	t.Run("closing it leaves the link as it was", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		require.Equal(t, 422, v.press("approve", "account", "ada", "password", "guess").status)
		require.Equal(t, 200, get(t, s.Fake().HostedPageURL(v.form.Get("token"), "")).status)
		require.Equal(t, http.StatusSeeOther, v.press("approve", "account", "ada", "password", "ada-letters").status)
	})

	t.Run("a name that the app has given", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		require.Contains(t, get(t, s.Fake().HostedPageURL(v.form.Get("token"), "Ada L.")).body, `value="Ada L."`)
		id, err := identityOf(v.press("approve", "userName", "Ada L.", "account", "ada", "password", "ada-letters").location)
		require.NoError(t, err)
		made, _ := s.Fake().Identity(id)
		require.Equal(t, "Ada L.", made.Name)
	})

	t.Run("what it does not accept", func(t *testing.T) {
		t.Parallel()
		v := visit(t, s)
		require.Equal(t, 400, v.press("x").status)
		require.Equal(t, 404, get(t, s.URL()+"/identity/create?token=x").status)
		require.Equal(t, 404, get(t, s.URL()+"/identity/create").status)
	})

	t.Run("its headers", func(t *testing.T) {
		t.Parallel()
		h := get(t, hosted(t, s)).header
		require.Contains(t, h.Get("Content-Security-Policy"), "form-action 'self' https://app.example;")
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'")
		require.Equal(t, "no-store", h.Get("Cache-Control"))
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
	})
}

func TestHostedPageCallbackStyles(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		style  anchortest.CallbackStyle
		append bool
		want   string
	}{
		{name: "now", style: anchortest.CurrentCallback, want: "?identity_id=ID&status=success"},
		{name: "before", style: anchortest.OlderCallback, want: "?identityId=ID"},
		{name: "both", style: anchortest.BothCallback, want: "?identity_id=ID&status=success&identityId=ID"},
		{name: "at the very end", style: anchortest.CurrentCallback, append: true, want: "?identity_id=ID&status=success"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.Fake().SetCallbackStyle(row.style)
			s.Fake().SetCallbackAppend(row.append)
			callbackURL, err := s.SignIn(t.Context(), hosted(t, s), "ada", "ada-letters")
			require.NoError(t, err)
			id, err := identityOf(callbackURL)
			require.NoError(t, err)
			require.Equal(t, callback+strings.ReplaceAll(row.want, "ID", id), callbackURL)
			require.NotNil(t, s.stored(id))
		})
	}
}

func TestHostedPageIdentityOfCallback(t *testing.T) {
	t.Parallel()
	const id = "123e4567-e89b-42d3-a456-426614174000"
	for _, address := range []string{
		"https://a/?identity_id=" + id, "https://a/?identityId=" + id, "https://a/?x=1&identity_id=" + id + "&status=success#f",
		"https://a/?x=1?identity_id=" + id + "&status=success",
	} {
		got, err := identityOf(address)
		require.NoError(t, err, address)
		require.Equal(t, id, got)
	}
	for _, address := range []string{"https://a/", "https://a/?status=failed", "https://a/?identity_id=x", "https://a/?xidentity_id=" + id, "%"} {
		_, err := identityOf(address)
		require.Error(t, err, address)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := start(t)

	address := hosted(t, s)
	for range 2 {
		_, err := s.SignIn(t.Context(), address, "ada", "guess")
		require.ErrorContains(t, err, wrongPassword)
	}
	callbackURL, err := s.SignIn(t.Context(), address, "ada", "guess")
	require.NoError(t, err)
	require.Contains(t, callbackURL, "status=failed")

	callbackURL, err = s.SignIn(t.Context(), hosted(t, s), "alan", "alan-letters")
	require.NoError(t, err, "the code is entered")
	require.Contains(t, callbackURL, "status=success")
}

// If the site does not respond, the page does not count a wrong password.
func TestHostedPageWithoutTheSite(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := identity(t, s, "ada", "ada-letters")
	v := visit(t, s)
	require.NoError(t, s.pages.Close())
	for range maxWrong {
		res := v.press("approve", "account", "ada", "password", "ada-letters")
		require.Equal(t, http.StatusBadGateway, res.status)
		require.Contains(t, res.body, "The site does not respond.")
	}
	_, err := s.openSession(t.Context(), anchortest.Session{ID: "x", IdentityIDs: []string{id}})
	require.ErrorContains(t, err, "check the sign-in")
	require.Equal(t, anchortest.StatusValidated, statusOf(t, s, id))
}
