package sandbox

import (
	"bytes"
	"context"
	"image/jpeg"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// dial opens a WebSocket and returns the status of the response.
func dial(t *testing.T, address string, header http.Header, host string) int {
	t.Helper()
	socket, res, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPHeader: header, Host: host})
	if err == nil {
		require.NoError(t, socket.CloseNow())
		return http.StatusSwitchingProtocols
	}
	require.NotNil(t, res, "%v", err)
	if res.Body != nil {
		res.Body.Close()
	}
	return res.StatusCode
}

func TestCDPRefusesOtherOriginsAndHosts(t *testing.T) {
	t.Parallel()
	s := start(t)
	session := open(t, s, identity(t, s, "ada", "ada-letters"))
	u, err := url.Parse(session.CDPURL)
	require.NoError(t, err)
	other := open(t, s, identity(t, s, "grace", "grace-letters"))

	for _, row := range []struct {
		name, address, host string
		origin              []string
		status              int
	}{
		{name: "a program", status: 101},
		{name: "a program that says where it goes", origin: []string{"http://" + u.Host}, status: 101},
		{name: "a program by another name of this machine", host: "localhost:" + u.Port(), status: 101},
		{name: "a program by a name under localhost", host: "letters.localhost:" + u.Port(), status: 101},
		{name: "an origin that is none", origin: []string{"http://["}, status: 403},
		{name: "a page of another site", origin: []string{"https://evil.example"}, status: 403},
		{name: "a page of another port", origin: []string{"http://127.0.0.1:1"}, status: 403},
		{name: "a page of the site", origin: []string{s.Site().URL()}, status: 403},
		{name: "a page over https", origin: []string{"https://" + u.Host}, status: 403},
		{name: "a page of a file", origin: []string{"null"}, status: 403},
		{name: "an empty origin", origin: []string{""}, status: 403},
		{name: "two origins", origin: []string{"http://" + u.Host, "https://evil.example"}, status: 403},
		{name: "a name that resolves to this machine", host: "evil.example:" + u.Port(), status: 421},
		{name: "the same with its own origin", host: "evil.example", origin: []string{"http://evil.example"}, status: 421},
		{name: "an address of another machine", host: "192.0.2.1", status: 421},
		{name: "a name that begins like this machine's", host: "localhost.evil.example", status: 421},
		{name: "another secret", address: strings.Replace(session.CDPURL, s.session(session.ID).secret, strings.Repeat("A", 26), 1), status: 404},
		{name: "the secret of another session", address: strings.Replace(session.CDPURL, session.ID, other.ID, 1), status: 404},
		{name: "the secret of the live view", address: strings.Replace(session.CDPURL, s.session(session.ID).secret, s.session(session.ID).liveSecret, 1), status: 404},
		{name: "the live view's address", address: session.LiveViewURL, status: 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			address := session.CDPURL
			if row.address != "" {
				address = row.address
			}
			require.Equal(t, row.status, dial(t, address, http.Header{"Origin": row.origin}, row.host))
		})
	}

	t.Run("what is no WebSocket", func(t *testing.T) {
		require.Equal(t, http.StatusUpgradeRequired, get(t, "http"+strings.TrimPrefix(session.CDPURL, "ws")).status)
	})

	t.Run("everything else, by a foreign host", func(t *testing.T) {
		for _, address := range []string{session.LiveViewURL, s.OverviewURL(), s.URL() + "/v1/applications", s.Site().URL() + "/sign-in"} {
			r, err := http.NewRequest(http.MethodGet, address, nil)
			require.NoError(t, err)
			r.Host = "evil.example"
			r.Header.Set("anchor-api-key", s.APIKey())
			require.Equal(t, http.StatusMisdirectedRequest, do(t, r).status, address)
		}
	})

	t.Run("a session that has ended", func(t *testing.T) {
		call(t, s, 200, "DELETE", "/v1/sessions/"+session.ID, "")
		require.Equal(t, 404, dial(t, session.CDPURL, nil, ""))
		require.Equal(t, 404, get(t, session.LiveViewURL).status)
	})
}

// A page of another site tries to drive a session from a real browser.
func TestCDPRefusesARealPageOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := open(t, s, identity(t, s, "ada", "ada-letters"))
	ctx := drive(t, open(t, s, identity(t, s, "grace", "grace-letters")))
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("data:text/html,evil")))
	said, err := chromedp.Run(ctx, chromedp.Evaluate[string](`new Promise((done) => {
		const socket = new WebSocket("`+victim.CDPURL+`");
		socket.onopen = () => done("open");
		socket.onerror = () => done("refused");
	})`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	require.Equal(t, "refused", said)
}

func TestStartListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	session := open(t, s, identity(t, s, "ada", "ada-letters"))
	for _, address := range []string{s.URL(), s.Site().URL(), session.CDPURL, session.LiveViewURL, s.OverviewURL()} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.True(t, net.ParseIP(u.Hostname()).IsLoopback(), address)
	}
}

func TestLiveViewShowsTheCurrentPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	session := open(t, s, identity(t, s, "ada", "ada-letters"))
	driven := drive(t, session)
	require.NoError(t, chromedp.Do(driven, chromedp.Navigate(s.Site().URL()+"/inbox")))

	page := get(t, session.LiveViewURL)
	require.Equal(t, 200, page.status)
	require.Contains(t, page.body, "Captchas are not solved.")
	shows := func(path string) {
		require.Eventually(t, func() bool {
			frame := get(t, session.LiveViewURL+"/frame")
			if frame.status != 200 {
				return false
			}
			picture, err := jpeg.DecodeConfig(bytes.NewReader([]byte(frame.body)))
			require.NoError(t, err)
			require.Equal(t, []int{1440, 900}, []int{picture.Width, picture.Height})
			address, err := url.PathUnescape(frame.header.Get("Page-Url"))
			require.NoError(t, err)
			return address == s.Site().URL()+path
		}, 20*time.Second, 20*time.Millisecond)
	}
	shows("/inbox")
	require.NoError(t, chromedp.Do(driven, chromedp.Navigate(s.Site().URL()+"/settings")))
	shows("/settings")

	t.Run("it can only be watched", func(t *testing.T) {
		for _, address := range []string{session.LiveViewURL, session.LiveViewURL + "/frame"} {
			require.Equal(t, 404, post(t, address, url.Values{"x": {"1"}}).status)
		}
		require.Equal(t, 404, get(t, strings.Replace(session.LiveViewURL, s.session(session.ID).liveSecret, "x", 1)).status)
	})

	t.Run("a person sees it, and that it has ended", func(t *testing.T) {
		viewer := drive(t, open(t, s, identity(t, s, "grace", "grace-letters")))
		require.NoError(t, chromedp.Do(viewer, chromedp.Navigate(session.LiveViewURL)))
		says(t, viewer, `document.querySelector("#screen").naturalWidth === 1440 && document.querySelector("#state").textContent === "`+s.Site().URL()+`/settings"`)
		call(t, s, 200, "DELETE", "/v1/sessions/"+session.ID, "")
		says(t, viewer, `document.querySelector("#state").textContent === "The session has ended."`)
	})
}

// says waits until a condition holds in a page.
func says(t *testing.T, ctx context.Context, condition string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		return err == nil && ok
	}, 20*time.Second, 20*time.Millisecond, condition)
}

func TestPagesCurrentIsTheOneThatChangedLast(t *testing.T) {
	t.Parallel()
	p := newPages()
	event := func(method, id, kind, url string) {
		p.event(method, []byte(`{"targetId":"`+id+`","targetInfo":{"targetId":"`+id+`","type":"`+kind+`","url":"`+url+`"}}`))
	}
	current := func() string { id, _, _ := p.current(); return id }
	_, _, ok := p.current()
	require.False(t, ok)

	event("Target.targetCreated", "W", "service_worker", "http://a/w")
	event("Target.targetCreated", "A", "page", "about:blank")
	require.Equal(t, "A", current(), "an empty page is better than none")
	event("Target.targetInfoChanged", "A", "page", "http://a/")
	event("Target.targetCreated", "B", "page", "")
	require.Equal(t, "A", current())
	event("Target.targetInfoChanged", "B", "page", "http://b/")
	require.Equal(t, "B", current())
	event("Target.targetInfoChanged", "A", "page", "http://a/")
	require.Equal(t, "B", current(), "another title is no other page")
	event("Target.targetInfoChanged", "A", "page", "http://a/2")
	require.Equal(t, "A", current())
	event("Target.targetDestroyed", "A", "", "")
	require.Equal(t, "B", current())
	event("Target.targetDestroyed", "B", "", "")
	_, _, ok = p.current()
	require.False(t, ok)
}

// Other users of the machine can reach the ports.
func TestOverviewAndKeyAreNotDisclosed(t *testing.T) {
	t.Parallel()
	s, other := start(t), start(t)
	require.NotEqual(t, s.APIKey(), other.APIKey())
	require.NotEqual(t, anchortest.New().APIKey(), s.APIKey())
	for _, page := range []string{"/", "/sign-in", "/inbox", "/settings"} {
		require.NotContains(t, get(t, s.Site().URL()+page).body, s.secret)
	}
	chosen := start(t, WithFake(anchortest.WithAPIKey("sk-of-the-test")))
	require.Equal(t, "sk-of-the-test", chosen.APIKey())
}

func TestOverviewNeedsItsSecretURL(t *testing.T) {
	t.Parallel()
	s := start(t)
	session := open(t, s, identity(t, s, "ada", "ada-letters"))
	_, err := s.SignIn(t.Context(), hosted(t, s), "alan", "wrong")
	require.Error(t, err)
	page := get(t, s.OverviewURL())
	require.Equal(t, 200, page.status)
	for _, shown := range []string{"ada-letters", s.Site().URL(), session.ID, session.LiveViewURL, "Captchas are not solved."} {
		require.Contains(t, page.body, shown)
	}
	require.NotContains(t, page.body, session.CDPURL)
	require.Equal(t, 404, get(t, s.URL()+"/sandbox/x").status)
}

func TestCDPIsSharedBySeveralPrograms(t *testing.T) {
	t.Parallel()
	s := start(t)
	session, err := s.Client().CreateSession(t.Context(), anchorhttp.SessionRequest{})
	require.NoError(t, err)
	first, second := connectTo(t, session.CDPURL), connectTo(t, session.CDPURL)
	page := first.page(t)
	require.Equal(t, page, second.page(t))
	require.Equal(t, "2", first.evaluate(t, page.ID, `String(1 + 1)`))
	require.NoError(t, first.socket.CloseNow())
	require.Equal(t, "4", second.evaluate(t, page.ID, `String(2 + 2)`))
}
