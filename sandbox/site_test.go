package sandbox

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A person is a user of the site, with a browser.
type person struct {
	t    *testing.T
	s    *Server
	jar  http.CookieJar
	base *url.URL
}

func newPerson(t *testing.T, s *Server) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	base, err := url.Parse(s.Site().URL())
	require.NoError(t, err)
	return &person{t, s, jar, base}
}

func (p *person) do(r *http.Request) response {
	p.t.Helper()
	for _, cookie := range p.jar.Cookies(p.base) {
		r.AddCookie(cookie)
	}
	res := do(p.t, r)
	p.jar.SetCookies(p.base, (&http.Response{Header: res.header}).Cookies())
	return res
}

func (p *person) get(path string) response {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.s.Site().URL()+path, nil)
	require.NoError(p.t, err)
	return p.do(r)
}

func (p *person) post(path string, fields ...string) response {
	p.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequest(http.MethodPost, p.s.Site().URL()+path, strings.NewReader(form.Encode()))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(r)
}

// signIn signs in with only a password.
func (p *person) signIn(name, password string) *person {
	p.t.Helper()
	res := p.post("/sign-in", "name", name, "password", password)
	require.Equal(p.t, http.StatusSeeOther, res.status, res.body)
	require.Equal(p.t, "/inbox", res.location)
	return p
}

func (p *person) isSignedIn() bool {
	p.t.Helper()
	return p.get("/inbox").status == http.StatusOK
}

func TestSitePages(t *testing.T) {
	t.Parallel()
	s := start(t)

	t.Run("a person reads letters and signs out", func(t *testing.T) {
		t.Parallel()
		p := newPerson(t, s)
		require.Equal(t, "/inbox", p.get("/").location)
		require.Equal(t, "/sign-in", p.get("/inbox").location)
		require.Equal(t, 200, p.get("/sign-in").status)
		p.signIn("ada", "ada-letters")
		require.Equal(t, "/inbox", p.get("/sign-in").location)
		for _, subject := range inbox(t, s, "ada") {
			require.Contains(t, p.get("/inbox").body, subject)
		}
		require.Contains(t, p.get("/inbox/1").body, "Analytical Engine")
		for _, path := range []string{"/inbox/0", "/inbox/4", "/inbox/x", "/nowhere"} {
			require.Equal(t, 404, p.get(path).status, path)
		}
		require.Equal(t, "/sign-in", p.post("/sign-out").location)
		require.False(t, p.isSignedIn())
		require.Empty(t, p.jar.Cookies(p.base))
	})

	t.Run("a wrong sign-in is refused in the same words for all", func(t *testing.T) {
		t.Parallel()
		p := newPerson(t, s)
		for _, name := range []string{"ada", "nobody", ""} {
			res := p.post("/sign-in", "name", name, "password", "guess")
			require.Equal(t, http.StatusUnauthorized, res.status)
			require.Contains(t, res.body, wrongPassword)
		}
		require.False(t, p.isSignedIn())
		require.Empty(t, p.jar.Cookies(p.base))
	})

	t.Run("the cookie", func(t *testing.T) {
		t.Parallel()
		res := newPerson(t, s).post("/sign-in", "name", "ada", "password", "ada-letters")
		require.Regexp(t, `^letters-\d+=[A-Z2-7]{26}; Path=/; Expires=[^;]+; Max-Age=43200; HttpOnly; SameSite=Lax$`, res.header.Get("Set-Cookie"))
	})

	t.Run("a page of another site changes nothing", func(t *testing.T) {
		t.Parallel()
		p := newPerson(t, s).signIn("ada", "ada-letters")
		r, err := http.NewRequest(http.MethodPost, s.Site().URL()+"/sign-out", nil)
		require.NoError(t, err)
		r.Header.Set("Origin", "https://evil.example")
		require.Equal(t, http.StatusForbidden, p.do(r).status)
		require.True(t, p.isSignedIn())
	})

	t.Run("nothing is loaded from elsewhere", func(t *testing.T) {
		t.Parallel()
		res := newPerson(t, s).get("/sign-in")
		require.Contains(t, res.header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
		require.NotContains(t, res.body, "src=")
		require.NotContains(t, res.body, "https://")
	})
}

func TestSiteSecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newPerson(t, s)
	require.Equal(t, "/sign-in", p.get("/sign-in/code").location)
	begin := func() (code string) {
		require.Equal(t, "/sign-in/code", p.post("/sign-in", "name", "alan", "password", "alan-letters").location)
		require.Equal(t, 200, p.get("/sign-in/code").status)
		require.False(t, p.isSignedIn())
		code, waiting := s.Site().Code("alan")
		require.True(t, waiting)
		return code
	}
	code := begin()
	require.Equal(t, http.StatusUnauthorized, p.post("/sign-in/code", "code", "wrong").status)
	cookies := p.jar.Cookies(p.base)
	require.Equal(t, "/inbox", p.post("/sign-in/code", "code", " "+code+" ").location)
	require.True(t, p.isSignedIn())
	require.Equal(t, "/sign-in", p.post("/sign-in/code", "code", code).location, "a code works once")

	p.post("/sign-out")
	p.jar.SetCookies(p.base, cookies)
	require.Contains(t, p.post("/sign-in/code", "code", code).body, oldCode, "once, whatever the browser keeps")
	require.False(t, p.isSignedIn())
	code = begin()
	cookies = p.jar.Cookies(p.base)
	for range codeTries - 1 {
		require.Contains(t, p.post("/sign-in/code", "code", "wrong").body, wrongCode)
	}
	require.Contains(t, p.post("/sign-in/code", "code", "wrong").body, oldCode)
	require.Empty(t, p.jar.Cookies(p.base))
	p.jar.SetCookies(p.base, cookies)
	require.Contains(t, p.post("/sign-in/code", "code", code).body, oldCode, "it cannot be guessed, whatever the browser keeps")
	require.False(t, p.isSignedIn())

	code = begin()
	s.Site().mu.Lock()
	for _, awaited := range s.Site().codeFor {
		awaited.expiresAt = time.Now() // As if ten minutes had passed.
	}
	s.Site().mu.Unlock()
	_, waiting := s.Site().Code("alan")
	require.False(t, waiting)
	require.Contains(t, p.post("/sign-in/code", "code", code).body, oldCode)

	// It can be switched off and on.
	require.NoError(t, s.Site().SetSecondFactor("alan", false))
	p.signIn("alan", "alan-letters")
	require.Equal(t, "/settings?done=second-factor", p.post("/settings/second-factor").location)
	require.Contains(t, p.get("/settings?done=second-factor").body, "The second factor is on.")
	another := newPerson(t, s)
	require.Equal(t, "/sign-in/code", another.post("/sign-in", "name", "alan", "password", "alan-letters").location)
}

func TestSiteSessionsEnd(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (s *Server, ada, adasOther, grace *person) {
		s = start(t)
		return s, newPerson(t, s).signIn("ada", "ada-letters"), newPerson(t, s).signIn("ada", "ada-letters"), newPerson(t, s).signIn("grace", "grace-letters")
	}

	t.Run("everywhere, by the settings", func(t *testing.T) {
		t.Parallel()
		_, ada, other, grace := setup(t)
		require.Equal(t, "/sign-in", ada.post("/settings/sign-out-everywhere").location)
		require.False(t, ada.isSignedIn())
		require.False(t, other.isSignedIn())
		require.True(t, grace.isSignedIn())
	})

	t.Run("elsewhere, with a new password", func(t *testing.T) {
		t.Parallel()
		_, ada, other, grace := setup(t)
		require.Contains(t, ada.post("/settings/password", "password", "guess", "new", "n").body, "The current password is wrong.")
		require.Contains(t, ada.post("/settings/password", "password", "ada-letters", "new", "").body, "The new password is empty.")
		require.True(t, other.isSignedIn())
		require.Equal(t, "/settings?done=password", ada.post("/settings/password", "password", "ada-letters", "new", "n").location)
		require.True(t, ada.isSignedIn())
		require.False(t, other.isSignedIn())
		require.True(t, grace.isSignedIn())
		require.Equal(t, http.StatusUnauthorized, other.post("/sign-in", "name", "ada", "password", "ada-letters").status)
		other.signIn("ada", "n")
	})

	t.Run("for tests", func(t *testing.T) {
		t.Parallel()
		s, ada, _, grace := setup(t)
		require.NoError(t, s.Site().SignOutEverywhere("ada"))
		require.False(t, ada.isSignedIn())
		require.True(t, grace.isSignedIn())
		ada.signIn("ada", "ada-letters")
		require.NoError(t, s.Site().SetPassword("ada", "n"))
		require.False(t, ada.isSignedIn())
		s.Site().ExpireSessions()
		require.False(t, grace.isSignedIn())
		for _, err := range []error{
			s.Site().SignOutEverywhere("x"), s.Site().SetPassword("x", "n"), s.Site().SetSecondFactor("x", true),
			s.Site().SetPassword("ada", ""), s.Site().AddAccount(Account{Name: "ada", Password: "p"}),
		} {
			require.ErrorContains(t, err, "sandbox: ")
		}
	})

	t.Run("when their time is over", func(t *testing.T) {
		t.Parallel()
		s, ada, _, _ := setup(t)
		s.Site().SetSessionLife(time.Nanosecond)
		late := newPerson(t, s)
		res := late.post("/sign-in", "name", "ada", "password", "ada-letters")
		require.Equal(t, "/inbox", res.location)
		name, value, _ := strings.Cut(res.header.Get("Set-Cookie"), "=")
		value, _, _ = strings.Cut(value, ";")
		late.jar.SetCookies(late.base, []*http.Cookie{{Name: name, Value: value, Path: "/"}}) // A browser that keeps expired cookies.
		require.False(t, late.isSignedIn())
		require.True(t, ada.isSignedIn(), "those that have begun go on")
	})
}
