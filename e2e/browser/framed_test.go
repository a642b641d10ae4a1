package browser

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

// withFramedPage gives the app a page that other sites frame. It signs vera in within
// the frame by a partitioned cookie, as such apps do, and sets cookies of other kinds. When
// it is clicked it does what its query says.
func withFramedPage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/framed" {
			next.ServeHTTP(w, r)
			return
		}
		http.SetCookie(w, &http.Cookie{
			Name: "session", Value: "vera", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, Partitioned: true,
		})
		for _, cookie := range []string{
			"partitioned=1; SameSite=None; Partitioned", "none=1; SameSite=None", "lax=1; SameSite=Lax", "unset=1",
		} {
			w.Header().Add("Set-Cookie", cookie+"; Path=/; Secure")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		what := r.URL.Query().Get("do")
		_, _ = io.WriteString(w, `<!doctype html><title>Framed</title>
			<style>button { position: fixed; inset: 0; width: 100%; height: 100% }</style>
			<form method="post" action="/connect" target="`+r.URL.Query().Get("target")+`"><button>Connect</button></form>
			<script type="module">
				import { connect } from "/connect/connect.js";
				const tell = (said) => parent.postMessage(said, "*");
				document.querySelector("button").onclick = async (e) => {
					if ("`+what+`" === "form") return;
					e.preventDefault();
					if ("`+what+`" === "connect.js") return tell(await connect({ popup: true }));
					const response = await fetch("/connect", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
					tell(response.status + " " + ((await response.json()).error ?? "begun"));
				};
				// connect.js asks each time that it looks after its window.
				const { hasFocus } = document;
				document.hasFocus = () => (tell("looked"), hasFocus.call(document));
				// Browsers pass clicks on to a frame that they have drawn.
				requestAnimationFrame(() => requestAnimationFrame(() => tell("ready")));
			</script>`)
	})
}

// frameIn opens a page at a host that frames the app's page, and waits for it.
func frameIn(t *testing.T, a *app, tab page, host, query string) {
	t.Helper()
	tab.Open("https://" + host + ":" + startStranger(t, fmt.Sprintf(
		`<script>
			window.looked = 0;
			onmessage = ({ data }) => data === "looked" ? window.looked++ : window.said = data;
		</script><iframe width="300" height="200" src="%s/framed?%s"></iframe>`, a.origin, query)))
	tab.Wait(`window.said === "ready"`)
}

// startFramedApp starts an app with a page to frame, in which vera is signed in.
func startFramedApp(t *testing.T, vera tab) *app {
	t.Helper()
	a := startApp(t, setup{sameSite: http.SameSiteNoneMode, wrap: withFramedPage})
	signIn(a, vera, "vera")
	return a
}

func TestFramedFetchIsRefusedBeforeATokenIsIssued(t *testing.T) {
	t.Parallel()
	inEachBrowser(t, func(t *testing.T, vera tab) {
		a := startFramedApp(t, vera)
		frameIn(t, a, vera, chromium.EvilHost, "do=fetch")
		vera.Click("iframe")
		vera.Wait(`window.said !== "ready"`)
		require.Equal(t, "403 framed", vera.Text(`window.said`))
		require.Zero(t, a.countStarts())
		asked := a.last(t, http.MethodPost, "/connect")
		require.Equal(t, "same-origin", asked.Header.Get("Sec-Fetch-Site"), "no header tells of the frame")
		require.Empty(t, asked.Header.Get("Sec-Fetch-Storage-Access"))
		_, err := asked.Cookie("session")
		require.NoError(t, err, "she is signed in there")

		// In a frame of the app's own site cookies are kept.
		for _, host := range []string{chromium.AppHost, chromium.SiblingHost} {
			before := a.countStarts()
			frameIn(t, a, vera, host, "do=fetch")
			vera.Click("iframe")
			vera.Wait(`window.said !== "ready"`)
			require.Equal(t, "200 begun", vera.Text(`window.said`))
			require.Equal(t, before+1, a.countStarts())
		}
	})
}

func TestFramedConnectJSOpensAWindow(t *testing.T) {
	t.Parallel()
	inEachBrowser(t, func(t *testing.T, vera tab) {
		a := startFramedApp(t, vera)
		frameIn(t, a, vera, chromium.EvilHost, "do=connect.js")
		vera.Click("iframe")
		window := vera.Popup()
		window.At(a.origin + "/connect")
		require.Zero(t, a.countStarts())
		window.Click("form[action='/connect'] button")
		atHostedPage(a, window)
		vera.Wait(fmt.Sprintf(`window.looked > %v + 1`, vera.Number(`window.looked`)))
		window.Click(approveButton)
		window.At(a.origin + "/welcome")
		require.NotEmpty(t, a.connection(t, "vera"))
		window.CloseWindow()
		vera.Windows(1)
		vera.Wait(`window.said !== "ready"`)
		require.Equal(t, "connected", vera.Text(`window.said`))
	})
}

func TestFramedFormNeedsATarget(t *testing.T) {
	t.Parallel()
	inEachBrowser(t, func(t *testing.T, vera tab) {
		a := startFramedApp(t, vera)
		frameIn(t, a, vera, chromium.EvilHost, "do=form")
		vera.Click("iframe")
		require.Eventually(t, func() bool { return a.count(http.MethodPost, "/connect") == 1 }, time.Minute, 10*time.Millisecond)
		require.Zero(t, a.countStarts())
		require.Equal(t, "iframe", a.last(t, http.MethodPost, "/connect").Header.Get("Sec-Fetch-Dest"))

		frameIn(t, a, vera, chromium.EvilHost, "do=form&target=_top")
		vera.Click("iframe")
		atHostedPage(a, vera)
		vera.Click(approveButton)
		vera.At(a.origin + "/welcome")
		require.NotEmpty(t, a.connection(t, "vera"))
	})
}

// The state cookie would not be better off partitioned: the hosted page returns in a
// window, which does not have the frame's cookies. docs/pages.md has the table of this.
func TestFramedCookiesDoNotLeaveTheFrame(t *testing.T) {
	t.Parallel()
	inEachBrowser(t, func(t *testing.T, vera tab) {
		kept := []string{"partitioned", "session"} // session is partitioned, too
		if _, ok := vera.(firefoxTab); ok {
			kept = []string{"none", "partitioned", "session", "unset"}
		}
		a := startFramedApp(t, vera)
		frameIn(t, a, vera, chromium.EvilHost, "do=fetch")
		vera.Click("iframe")
		vera.Wait(`window.said !== "ready"`)
		require.Empty(t, cookieNames(a.last(t, http.MethodGet, "/framed")), "the window's session stays out of the frame")
		require.Equal(t, kept, cookieNames(a.last(t, http.MethodPost, "/connect")))
		frameIn(t, a, vera, chromium.AnchorHost, "")
		require.Empty(t, cookieNames(a.last(t, http.MethodGet, "/framed")), "another site's frame has others")
		frameIn(t, a, vera, chromium.EvilHost, "")
		require.Equal(t, kept, cookieNames(a.last(t, http.MethodGet, "/framed")), "they are still there")
		vera.Open(a.origin + "/identity-callback/STATE?status=success")
		require.Equal(t, []string{"session"}, cookieNames(a.last(t, http.MethodGet, "/identity-callback/STATE")), "the window's own")
		waitForNotice(t, vera, connect.ErrNoStateCookie)
	})
}

// cookieNames returns the sorted names of a request's cookies.
func cookieNames(r *http.Request) (names []string) {
	for _, cookie := range r.Cookies() {
		names = append(names, cookie.Name)
	}
	slices.Sort(names)
	return names
}
