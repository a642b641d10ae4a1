package browser

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

// startStranger serves one page at any host, and returns the port.
func startStranger(t *testing.T, page string) (port string) {
	t.Helper()
	return startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Stranger</title>"+page)
	}))
}

// A session cookie that is SameSite=None comes along wherever a request is from:
// that a page of another origin is refused is up to what the browser says of it.
func TestCrossOriginPageNeitherStartsNorEndsAnything(t *testing.T) {
	t.Parallel()
	for host, site := range map[string]string{chromium.EvilHost: "cross-site", chromium.SiblingHost: "same-site"} {
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, setup{sameSite: http.SameSiteNoneMode})
			vera := newPerson(t)
			signIn(a, vera, "vera")
			connectByForm(a, vera)
			identity, starts := a.connection(t, "vera"), a.countStarts()
			require.NotEmpty(t, identity)

			evil := "https://" + host + ":" + startStranger(t, fmt.Sprintf(`
				<form method="post" action="%[1]s/connect"><input type="hidden" name="return_to" value="/"><button>Win</button></form>
				<form method="post" action="%[1]s/disconnect"><button>Win</button></form>`, a.origin))
			for _, path := range []string{"/connect", "/disconnect"} {
				before := a.count(http.MethodPost, path)
				vera.Open(evil)
				vera.Click("form[action='" + a.origin + path + "'] button")
				requireNotice(t, vera, connect.ErrCrossOrigin)
				asked := a.last(t, http.MethodPost, path)
				require.Equal(t, site, asked.Header.Get("Sec-Fetch-Site"))
				_, err := asked.Cookie("session")
				require.NoError(t, err, "it is asked in her name")

				// By a script, which is told nothing of the answer.
				vera.Open(evil)
				for _, contentType := range []string{"application/x-www-form-urlencoded", "text/plain"} {
					vera.Run(fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors", credentials: "include", headers: {"Content-Type": %q}, body: "x"}).catch(() => {})`,
						a.origin+path, contentType))
				}
				require.Equal(t, before+3, a.count(http.MethodPost, path), "these have come")
				require.Equal(t, "refused", vera.Text(fmt.Sprintf(
					`fetch(%q, {method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: "{}"}).then(() => "done", () => "refused")`,
					a.origin+path)))
				require.Equal(t, before+3, a.count(http.MethodPost, path), "for this one the browser asks first")
			}
			require.Equal(t, identity, a.connection(t, "vera"))
			require.Equal(t, starts, a.countStarts())

			// Nor is anything told.
			for _, ask := range []string{
				`fetch(%q, {credentials: "include"})`, `fetch(%q, {credentials: "include", mode: "no-cors"})`, `import(%q)`,
			} {
				for _, path := range []string{"/connect", "/connect/status", "/connect/connect.js"} {
					require.Equal(t, "refused", vera.Text(fmt.Sprintf(ask, a.origin+path)+`.then(() => "told", () => "refused")`), "%s of %s", ask, path)
				}
			}
		})
	}
}

// Whoever knows a person's callback link cannot have it opened behind her back: the
// state cookie is Lax, and stays behind. Nothing is spent by it either. (The windows
// of these tests are private ones, where Chromium keeps back all cookies from what a
// page of another site embeds, those that are SameSite=None among them.)
func TestCallbackLinkInAPageOfAnotherSite(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	vera := newPerson(t)
	signIn(a, vera, "vera")
	vera.Click(startButton)
	atHostedPage(a, vera)
	callback, err := a.fake.Approve(t.Context(), vera.Text(`location.href`))
	require.NoError(t, err)

	evil := "https://" + chromium.EvilHost + ":" + startStranger(t, `<body></body>`)
	vera.Open(evil)
	for i, embed := range []string{
		`fetch(%q, {mode: "no-cors", credentials: "include"}).catch(() => {})`,
		`new Promise((done) => { const image = new Image(); image.onload = image.onerror = done; image.src = %q })`,
		`new Promise((done) => { const frame = document.createElement("iframe"); frame.onload = done; frame.src = %q; document.body.append(frame) })`,
	} {
		vera.Run(fmt.Sprintf(embed, callback))
		require.Equal(t, i+1, a.count(http.MethodGet, "/identity-callback/"), embed)
		asked := a.last(t, http.MethodGet, "/identity-callback/")
		require.NotContains(t, asked.Header.Get("Cookie"), "__Host-connect-")
		require.Empty(t, a.connection(t, "vera"))
	}
	vera.Open(callback)
	vera.At(a.origin + "/elsewhere")
	identity := a.connection(t, "vera")
	require.NotEmpty(t, identity)

	// As a link that she follows, with another identity in it.
	other := a.fake.PutIdentity(anotherIdentity(a))
	vera.Open(evil)
	address, _, _ := strings.Cut(callback, "?")
	vera.Run(fmt.Sprintf(`document.body.innerHTML = '<a href="%s?identity_id=%s&status=success">Win</a>'`, address, other.ID))
	vera.Click("a")
	vera.Wait(`performance.getEntriesByType("navigation")[0].responseStatus === 409`) // ErrStateSpent
	require.Equal(t, identity, a.connection(t, "vera"))
}

// An attacker starts a flow, signs in to their own account, and makes a user open the
// callback, which would connect the attacker's account to the user.
func TestCallbackLinkOfAnAttacker(t *testing.T) {
	t.Parallel()
	for name, started := range map[string]bool{"nothing begun": false, "a start open": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, setup{})
			mallory := newPerson(t)
			signIn(a, mallory, "mallory")
			mallory.Click(startButton)
			atHostedPage(a, mallory)
			trap, err := a.fake.Approve(t.Context(), mallory.Text(`location.href`))
			require.NoError(t, err)

			vera := newPerson(t)
			signIn(a, vera, "vera")
			tab := vera
			if started {
				vera.Click(startButton)
				atHostedPage(a, vera)
				tab = vera.NewTab()
			}
			evil := "https://" + chromium.EvilHost + ":" + startStranger(t, `<a href="`+strings.ReplaceAll(trap, "&", "&amp;")+`">Win</a>`)
			tab.Open(evil)
			tab.Click("a")
			requireNotice(t, tab, connect.ErrNoStateCookie)
			require.Contains(t, a.last(t, http.MethodGet, "/identity-callback/").Header.Get("Cookie"), "session=vera")
			tab.Open(trap) // as it is typed in
			requireNotice(t, tab, connect.ErrNoStateCookie)
			require.Empty(t, a.connection(t, "vera"))
			require.Empty(t, a.connection(t, "mallory"))

			if started {
				vera.Click(approveButton)
				vera.At(a.origin + "/elsewhere")
				identity, err := a.fake.WaitTagged(t.Context(), a.connection(t, "vera"))
				require.NoError(t, err)
				require.Equal(t, "vera", identity.Metadata["externalUserId"])
			}
			require.NotContains(t, trap, "identity_id="+a.connection(t, "vera")+"&")
		})
	}
}

// The browser keeps the state cookie when another user signs in to the app.
func TestCallbackInABrowserOfAnotherUser(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	mallory := newPerson(t)
	signIn(a, mallory, "mallory")
	mallory.Click(startButton)
	atHostedPage(a, mallory)
	vera := mallory.NewTab()
	signIn(a, vera, "vera")
	mallory.Click(approveButton)
	requireNotice(t, mallory, connect.ErrAnotherUser)
	require.Empty(t, a.connection(t, "vera"))
	callback := a.origin + a.last(t, http.MethodGet, "/identity-callback/").RequestURI

	// The flow is also spent for the user who started it.
	signIn(a, vera, "mallory")
	vera.Open(callback)
	requireNotice(t, vera, connect.ErrStateSpent)
	require.Empty(t, a.connection(t, "mallory"))
}

// Clickjacking: no other site can frame a page with a button.
func TestPagesAreNotFramed(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{sameSite: http.SameSiteNoneMode})
	vera := newPerson(t)
	signIn(a, vera, "vera")
	for _, host := range []string{chromium.EvilHost, chromium.SiblingHost} {
		vera.Open("https://" + host + ":" + startStranger(t, `<body></body>`))
		frame := func(address string) string {
			vera.Run(fmt.Sprintf(`new Promise((done) => { const frame = document.createElement("iframe"); frame.onload = done; frame.src = %q; document.body.append(frame) })`, address))
			return strings.Join(vera.Problems(), "\n")
		}
		before := len(frame(a.origin + "/welcome")) // a page of the app's own, which does not mind
		for _, address := range []string{
			a.origin + "/notice/cancelled", a.origin + "/identity-callback/unknown?status=success",
			a.hosted + "/identity/create", a.hosted + "/fake",
		} {
			said := frame(address)
			require.Contains(t, said[before:], "frame-ancestors", address)
			before = len(said)
		}
		// The connect page is replaced by a notice, which has no button.
		require.Empty(t, frame(a.origin + "/connect")[before:])
		asked := a.last(t, http.MethodGet, "/connect")
		require.Equal(t, "iframe", asked.Header.Get("Sec-Fetch-Dest"))
	}
}

// A page that has opened the app's page keeps a reference to it. It can send it messages;
// assume that it also knows the popup's secret name.
func TestPopupIgnoresThePageThatOpenedTheApp(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	vera := newPerson(t)
	signIn(a, vera, "vera")
	vera.Open("https://" + chromium.EvilHost + ":" + startStranger(t, `
		<button id="open">Win</button>
		<script>
			window.heard = [];
			addEventListener("message", ({ data }) => heard.push(data));
			document.querySelector("#open").onclick = () => { window.opened = open(`+"`"+a.origin+"/`"+`) };
		</script>`))
	vera.Click("#open")
	tab := vera.Popup()
	tab.At(a.origin + "/")
	tab.Wait(`document.body.dataset.ready`)
	tab.Run(`(() => {
		addEventListener("message", ({ data }) => document.body.dataset.heard = data.word ?? data);
		const { fetch } = window;
		window.fetch = async (...what) => {
			const response = await fetch(...what);
			const { popup } = await response.clone().json();
			if (popup) document.body.dataset.popup = popup;
			return response;
		};
	})()`)
	popup := openPopup(a, tab)
	name := "connect-" + tab.Text(`document.body.dataset.popup`)

	vera.Run(fmt.Sprintf(`(() => {
		const channel = new BroadcastChannel(%[1]q);
		channel.onmessage = ({ data }) => heard.push(data);
		for (const word of ["connected", "failed"]) {
			channel.postMessage(word);
			for (const message of [word, { popup: %[1]q, word }]) opened.postMessage(message, "*");
		}
	})()`, name))
	tab.Wait(`document.body.dataset.heard === "failed"`)
	require.Empty(t, tab.Text(`document.body.dataset.outcome ?? ""`))
	popup.Click(cancelButton)
	require.Equal(t, "cancelled", outcome(t, tab))
	require.Empty(t, vera.Text(`heard.join()`))

	// A popup's last page sends its message to no other page, whoever has opened it.
	openPopup(a, tab).Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	callback := a.origin + a.last(t, http.MethodGet, "/identity-callback/").RequestURI
	vera.Run(fmt.Sprintf(`document.querySelector("#open").onclick = () => { window.opened = open(%q) }`, callback))
	vera.Click("#open")
	end := vera.Popup()
	end.Wait(`document.readyState === "complete" && document.querySelector("[data-outcome=connected]")`)
	require.Equal(t, "object", end.Text(`typeof window.opener`))
	end.Run(`new Promise((done) => setTimeout(done))`)
	vera.Run(`new Promise((done) => { addEventListener("message", done); postMessage("its own", location.origin) })`)
	require.Equal(t, "its own", vera.Text(`heard.join()`))
}

// anotherIdentity returns a new identity of another user of the same application.
func anotherIdentity(a *app) anchortest.Identity {
	return anchortest.Identity{ApplicationID: a.fake.ApplicationID(), Name: "mallory"}
}
