package connect

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func mustCookies(t *testing.T, secure bool, secrets ...[]byte) stateCookies {
	c, err := newStateCookies(secrets, secure)
	require.NoError(t, err)
	return c
}

// sealed returns the cookies that starting a flow sets, for a browser that sent others.
func sealed(t *testing.T, c stateCookies, s sealedState, begun time.Time, others ...*http.Cookie) []*http.Cookie {
	w := httptest.NewRecorder()
	require.NoError(t, c.set(w, requestWith(others...), s, begun))
	return w.Result().Cookies()
}

func requestWith(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return r
}

func TestStateIsUnguessableAndNeedsNoEscaping(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		state := newState()
		require.Regexp(t, `^[A-Z2-7]{32}$`, state) // 32 × 5 bits
		require.False(t, seen[state])
		seen[state] = true
	}
}

func TestStateCookieOpensForItsOwnState(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	s := sealedState{state: newState(), tokenHash: strings.Repeat("0f", 32)}
	cookies := sealed(t, c, s, noon)
	require.Len(t, cookies, 1)

	found, err := c.find(requestWith(cookies...), s.state)
	require.NoError(t, err)
	require.Equal(t, s, found)

	_, err = c.find(requestWith(cookies...), newState())
	require.ErrorIs(t, err, ErrNoStateCookie)
	_, err = c.find(requestWith(), s.state)
	require.ErrorIs(t, err, ErrNoStateCookie)
	cookies[0].Value = "x"
	_, err = c.find(requestWith(cookies...), newState())
	require.ErrorIs(t, err, ErrNoStateCookie, "another flow's broken cookie does not matter")
}

func TestStateCookieKeepsAnyTokenHash(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	for _, tokenHash := range []string{
		strings.Repeat("0f", 32), strings.Repeat("0F", 32), strings.Repeat("0f", 31) + "0", "0f.0f", ":0f", "..", "", "0g",
		"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", strings.Repeat("~", 255),
	} {
		s := sealedState{state: newState(), tokenHash: tokenHash}
		found, err := c.find(requestWith(sealed(t, c, s, noon)...), s.state)
		require.NoError(t, err)
		require.Equal(t, s, found)
	}
	_, ok := unpack([]byte(newState()))
	require.False(t, ok)
}

// The mark, which is in the cookie's name, is not enough to be a state.
func TestStateCookieDistinguishesStatesOfOneMark(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	s := sealedState{state: newState(), tokenHash: "hash"}
	r := requestWith(sealed(t, c, s, noon)...)
	mark := s.state[len(s.state)-stateMark:]
	require.Len(t, mark, 8)
	for _, state := range []string{"", mark[1:], mark, newState()[stateMark:] + mark} {
		_, err := c.find(r, state)
		require.ErrorIs(t, err, ErrNoStateCookie)
	}

	// Two flows of one mark do not hide each other.
	twin := sealedState{state: newState()[stateMark:] + mark, tokenHash: "twin"}
	both := append(sealed(t, c, s, noon), sealed(t, c, twin, noon.Add(time.Second))...)
	for _, want := range []sealedState{s, twin} {
		found, err := c.find(requestWith(both...), want.state)
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
}

func TestStateCookieTakesLittleOfARequest(t *testing.T) {
	t.Parallel()
	for _, state := range []string{newState(), newPopupState()} {
		s := sealedState{state: state, tokenHash: strings.Repeat("0f", 32), user: User{ID: "ada"}.mark()}
		cookie := sealed(t, mustCookies(t, true, secretA), s, noon)[0]
		require.LessOrEqual(t, len(cookie.Name+"="+cookie.Value+"; "), 350)
	}
}

func TestStateCookieHasStrictAttributes(t *testing.T) {
	t.Parallel()
	s := sealedState{state: newState(), tokenHash: "hash"}

	cookie := sealed(t, mustCookies(t, true, secretA), s, noon)[0]
	require.Regexp(t, `^__Host-connect-[0-9a-f]{10}-[A-Z2-7]{8}$`, cookie.Name)
	require.True(t, cookie.Secure)
	require.True(t, cookie.HttpOnly)
	require.Equal(t, "/", cookie.Path)
	require.Empty(t, cookie.Domain)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	require.Equal(t, 3600, cookie.MaxAge)

	// A browser takes __Host- over https only.
	plain := sealed(t, mustCookies(t, false, secretA), s, noon)[0]
	require.Regexp(t, `^connect-[0-9a-f]{10}-[A-Z2-7]{8}$`, plain.Name)
	require.False(t, plain.Secure)
	require.True(t, plain.HttpOnly)
}

func TestStateCookieShowsNothing(t *testing.T) {
	t.Parallel()
	s := sealedState{state: newState(), tokenHash: "the-hash-of-a-token"}
	cookie := sealed(t, mustCookies(t, true, secretA), s, noon)[0]
	require.NotContains(t, cookie.Name, s.state[len(s.state)-stateMark-1:], "the mark and nothing more")
	require.NotContains(t, cookie.Value, s.state)
	other := sealed(t, mustCookies(t, true, secretA), s, noon)[0]
	require.NotEqual(t, cookie.Value, other.Value, "sealed twice, it looks different")
}

func TestStateCookieThatIsAlteredIsRefused(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	s := sealedState{state: newState(), tokenHash: "hash"}
	good := sealed(t, c, s, noon)[0]

	for i := range strings.TrimRight(good.Value, "=") {
		bad := *good
		flipped := byte('A')
		if bad.Value[i] == 'A' {
			flipped = 'B'
		}
		bad.Value = bad.Value[:i] + string(flipped) + bad.Value[i+1:]
		if i == len(strings.TrimRight(good.Value, "="))-1 {
			continue // Its lowest bits may be padding, which carries nothing.
		}
		_, err := c.find(requestWith(&bad), s.state)
		require.ErrorIs(t, err, ErrStateInvalid, "byte %d", i)
	}

	// Sealed for one name, a value does not open under another.
	other := sealed(t, c, sealedState{state: newState(), tokenHash: "other"}, noon)[0]
	swapped := *good
	swapped.Value = other.Value
	_, err := c.find(requestWith(&swapped), s.state)
	require.ErrorIs(t, err, ErrStateInvalid)

	for _, value := range []string{"", "x", strings.Repeat("A", 5000), "%%%"} {
		bad := *good
		bad.Value = value
		_, err := c.find(requestWith(&bad), s.state)
		require.ErrorIs(t, err, ErrStateInvalid)
	}
}

func TestStateCookieSecretsRotate(t *testing.T) {
	t.Parallel()
	s := sealedState{state: newState(), tokenHash: "hash"}
	old := mustCookies(t, true, secretA)
	both := mustCookies(t, true, secretB, secretA)
	fresh := mustCookies(t, true, secretB)

	before := sealed(t, old, s, noon)
	found, err := both.find(requestWith(before...), s.state)
	require.NoError(t, err, "all open")
	require.Equal(t, s, found)
	_, err = fresh.find(requestWith(before...), s.state)
	require.ErrorIs(t, err, ErrStateInvalid, "a dropped secret opens nothing")

	after := sealed(t, both, s, noon)
	_, err = fresh.find(requestWith(after...), s.state)
	require.NoError(t, err, "the first seals")
	_, err = old.find(requestWith(after...), s.state)
	require.ErrorIs(t, err, ErrStateInvalid)
}

func TestStateCookieDoesNotOpenForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := mustCookies(t, true, secretA)
		s := sealedState{state: newState(), tokenHash: "hash"}
		cookies := sealed(t, c, s, time.Now())

		time.Sleep(stateCookieLife)
		_, err := c.find(requestWith(cookies...), s.state)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		_, err = c.find(requestWith(cookies...), s.state)
		require.ErrorIs(t, err, ErrStateInvalid)
	})
}

func TestStateCookiesAreFiveAtMost(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	jar := map[string]*http.Cookie{}
	var states []string
	for i := range 8 {
		var sent []*http.Cookie
		for _, cookie := range jar {
			sent = append(sent, cookie)
		}
		s := sealedState{state: newState(), tokenHash: fmt.Sprint(i)}
		states = append(states, s.state)
		for _, cookie := range sealed(t, c, s, noon.Add(time.Duration(i)*time.Second), sent...) {
			if cookie.MaxAge < 0 {
				require.True(t, cookie.Secure, "a browser ignores a __Host- cookie that is not")
				require.Equal(t, "/", cookie.Path)
				delete(jar, cookie.Name)
				continue
			}
			jar[cookie.Name] = cookie
		}
		require.LessOrEqual(t, len(jar), maxStateCookies)
	}
	var left []*http.Cookie
	for _, cookie := range jar {
		left = append(left, cookie)
	}
	r := requestWith(left...)
	for i, state := range states {
		_, err := c.find(r, state)
		if i < 3 {
			require.ErrorIs(t, err, ErrNoStateCookie, "flow %d is among the oldest", i)
		} else {
			require.NoError(t, err, "flow %d is among the newest", i)
		}
	}
	open := c.all(r)
	require.Len(t, open, maxStateCookies)
	require.Equal(t, "3", open[0].tokenHash, "the oldest comes first")
	require.Equal(t, "7", open[4].tokenHash)
}

func TestStateCookiesLeaveOthersAlone(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	var others []*http.Cookie
	for i := range 10 {
		others = append(others, &http.Cookie{Name: fmt.Sprintf("__Host-connect-app%d", i), Value: "x"})
	}
	for i := range 10 { // Near misses of a name of ours.
		for _, near := range []string{
			"__Host-connect-00000000%02d-ABCDEF2", "__Host-connect-00000000%02d-ABCDEF234", "__Host-connect-00000000%02d-ABCDEF21",
			"__Host-connect-00000000%02d-abcdef23", "__Host-connect-0000000x%02d-ABCDEF23", "__Host-connect-0000000%02d-ABCDEF23",
			"__Host-connect-000000000%02d-ABCDEF23", "x__Host-connect-00000000%02d-ABCDEF23", "00000000%02d-ABCDEF23",
		} {
			others = append(others, &http.Cookie{Name: fmt.Sprintf(near, i), Value: "x"})
		}
	}
	others = append(others, &http.Cookie{Name: "session", Value: "y"})
	require.Len(t, sealed(t, c, sealedState{state: newState(), tokenHash: "h"}, noon, others...), 1)
	require.Empty(t, c.all(requestWith(others...)))
}

// A sibling domain can set a cookie whose name becomes one of ours by trimming it, because
// browsers do not treat it as a __Host- cookie.
func TestStateCookieNamesAreNotTrimmed(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	s := sealedState{state: newState(), tokenHash: "hash"}
	cookie := sealed(t, c, s, noon)[0]
	for _, space := range []string{"\u2000", "\u00a0", "\u0085", "\u3000", "\ufeff", "\x85", "\v"} {
		r := requestWith()
		r.Header.Set("Cookie", "session=y; "+space+cookie.Name+"="+cookie.Value)
		_, err := c.find(r, s.state)
		require.ErrorIs(t, err, ErrNoStateCookie, "%q", space)
		require.Empty(t, c.all(r), "%q", space)
	}
}

func TestStateCookieRemovalsAreBounded(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA)
	var line strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&line, "__Host-connect-%010x-ABCDEF23=x; ", i)
	}
	r := requestWith()
	r.Header.Set("Cookie", line.String())
	w := httptest.NewRecorder()
	require.NoError(t, c.set(w, r, sealedState{state: newState(), tokenHash: "h"}, noon))
	require.Len(t, w.Result().Cookies(), 1)
}

// The name of the cookie holds only the mark of the state.
func TestReturnCookieServesItsOwnStateAlone(t *testing.T) {
	t.Parallel()
	c := mustCookies(t, true, secretA).at("https://app.example")
	state := newState()
	said := url.Values{"identity_id": {identityA}, "status": {"success"}}
	w := httptest.NewRecorder()
	require.NoError(t, c.keepReturn(w, state, said))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	require.NotContains(t, cookies[0].Value, identityA)
	r := requestWith(cookies...)
	kept, ok := c.keptReturn(r, state)
	require.True(t, ok)
	require.Equal(t, said, kept)

	mark := state[len(state)-stateMark:]
	for name, other := range map[string]string{"of the same mark": newState()[stateMark:] + mark, "the mark alone": mark, "none": "", "another": newState()} {
		_, ok = c.keptReturn(r, other)
		require.False(t, ok, name)
	}
	_, ok = c.at("https://other.example").keptReturn(r, state)
	require.False(t, ok, "another host")
	_, ok = mustCookies(t, true, secretB).at("https://app.example").keptReturn(r, state)
	require.False(t, ok, "another secret")
}
