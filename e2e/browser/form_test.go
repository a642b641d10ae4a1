package browser

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

func TestFormConnectsAndReturns(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	connectByForm(a, tab)
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	tab.Wait(`document.body.dataset.user === "ada"`)
	require.Equal(t, "https://"+chromium.AnchorHost, strings.TrimSuffix(a.hosted, a.hosted[strings.LastIndex(a.hosted, ":"):]))
	first := a.connection(t, "ada")
	require.NotEmpty(t, first)
	_, err := a.fake.WaitTagged(t.Context(), first)
	require.NoError(t, err)
	identity, ok := a.fake.Identity(first)
	require.True(t, ok)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	require.Equal(t, "cross-site", a.last(t, http.MethodGet, "/identity-callback/").Header.Get("Sec-Fetch-Site"))

	// A reload stays where it is.
	callbacks := a.count(http.MethodGet, "/identity-callback/")
	tab.Reload()
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.Equal(t, callbacks, a.count(http.MethodGet, "/identity-callback/"), "the callback is no page that could be reloaded")

	// The back button leads to the hosted page, which has done its work. Pressing
	// its button again, where the browser has kept the page, comes to nothing.
	tab.Back()
	tab.At(a.hosted)
	if tab.Text(`document.querySelector("`+approveButton+`") ? "kept" : ""`) == "kept" {
		tab.Click(approveButton)
		tab.Wait(`!document.querySelector("` + approveButton + `")`)
	}
	require.Equal(t, first, a.connection(t, "ada"))
	require.Len(t, a.fake.Identities(), 1)

	// The browser remembers the callback's address. Opened once more, by hand or
	// from a list of closed tabs, it leads to the same page and changes nothing.
	callback := a.last(t, http.MethodGet, "/identity-callback/")
	tab.Open(a.origin + callback.RequestURI)
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.Equal(t, first, a.connection(t, "ada"))

	// Disconnected.
	tab.Click(disconnectButton)
	tab.At(a.origin + "/")
	tab.Wait(`document.body.dataset.page === "home"`)
	require.Empty(t, a.connection(t, "ada"))
	require.Empty(t, a.fake.Identities())
	require.Empty(t, tab.Problems())
}

func TestRequireIdentityRedirectsToConnectAndBack(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	reports := "/reports?year=2026&q=a+b"

	// Nobody is signed in: the app's own page comes first.
	tab.Open(a.origin + reports)
	tab.At(a.origin + "/sign-in?return_to=" + url.QueryEscape(reports))
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/sign-in'] button")

	tab.At(a.origin + "/connect?return_to=" + url.QueryEscape(reports))
	require.Zero(t, a.countStarts(), "nothing starts by looking at a page")
	// With the keyboard alone.
	tab.Press("\t")
	tab.Wait(`document.activeElement.matches("` + startButton + `")`)
	tab.Press("\r")
	atHostedPage(a, tab)
	tab.Click(approveButton)
	tab.At(a.origin + reports)
	tab.Wait(`document.body.dataset.page === "reports"`)

	// From now on it is just there.
	tab.Open(a.origin + reports)
	tab.At(a.origin + reports)
	require.Equal(t, 1, a.countStarts())
	require.Empty(t, tab.Problems())
}

func TestFormInTwoTabs(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	one := newPerson(t)
	signIn(a, one, "ada")
	two := one.NewTab()
	two.Open(a.origin + "/connect?return_to=/welcome")

	// Both begin before either ends, and the first to begin is the last to end.
	for _, tab := range []*chromium.Tab{one, two} {
		tab.Click(startButton)
		atHostedPage(a, tab)
	}
	two.Click(approveButton)
	two.At(a.origin + "/welcome")
	first := a.connection(t, "ada")
	require.NotEmpty(t, first)
	one.Click(approveButton)
	one.At(a.origin + "/elsewhere")
	require.NotEqual(t, first, a.connection(t, "ada"), "the last one counts")
	require.NotEmpty(t, a.connection(t, "ada"))
}

func TestFormAfterCancelAndFailureStartsANewFlow(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	for _, end := range []struct {
		button string
		err    error
	}{
		{cancelButton, connect.ErrCancelled},
		{failButton, connect.ErrSignInFailed},
	} {
		tab.Click(startButton)
		atHostedPage(a, tab)
		tab.Click(end.button)
		requireNotice(t, tab, end.err)
		require.Empty(t, a.connection(t, "ada"))
		tab.Click(nextStep)
		tab.At(a.origin + "/connect?return_to=" + url.QueryEscape("/elsewhere?q=a+b&x=%26"))
	}
	connectByForm(a, tab)
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.NotEmpty(t, a.connection(t, "ada"))
}

func TestFormAfterAnExpiredFlowStartsANewOne(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	tab.Click(startButton)
	atHostedPage(a, tab)
	a.wait(16 * time.Minute)
	tab.Click(approveButton)
	requireNotice(t, tab, connect.ErrStateExpired)
	require.Empty(t, a.connection(t, "ada"))

	tab.Click(nextStep)
	tab.At(a.origin + "/connect?return_to=")
	connectByForm(a, tab)
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.NotEmpty(t, a.connection(t, "ada"))
}

// A session cookie that is SameSite=Strict stays behind on the way back from the
// hosted page, which is on another site, whoever asked for it. Browsers send it
// with what our own page asks for next.
func TestFormWithAStrictSessionCookie(t *testing.T) {
	t.Parallel()
	for name, person := range map[string]func(*testing.T) *chromium.Tab{
		"with scripts": newPerson,
		"without":      newPersonWithoutScripts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, setup{sameSite: http.SameSiteStrictMode})
			tab := person(t)
			if name == "with scripts" {
				signIn(a, tab, "ada")
			} else {
				signInWithoutScripts(a, tab, "ada")
			}
			connectByForm(a, tab)
			tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
			tab.Wait(`document.body.dataset.user === "ada"`)
			require.NotEmpty(t, a.connection(t, "ada"))
			require.Equal(t, 2, a.count(http.MethodGet, "/identity-callback/"))
			a.mu.Lock()
			defer a.mu.Unlock()
			var came []bool
			for _, r := range a.requests {
				if strings.HasPrefix(r.URL.Path, "/identity-callback/") {
					_, err := r.Cookie("session")
					came = append(came, err == nil)
				}
			}
			require.Equal(t, []bool{false, true}, came, "the cookie comes along the second time")
		})
	}
}

// When nobody is signed in any more, the flow stays open until somebody is.
func TestFormSignInAndFinish(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	tab.Click(startButton)
	atHostedPage(a, tab)
	other := tab.NewTab()
	signOut(a, other)
	tab.Click(approveButton)
	requireNotice(t, tab, connect.ErrNotSignedIn)
	require.Empty(t, a.connection(t, "ada"))
	tab.Click(nextStep)
	tab.At(a.origin + "/sign-in")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/sign-in'] button")
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.NotEmpty(t, a.connection(t, "ada"))
}

func newPersonWithoutScripts(t *testing.T) *chromium.Tab {
	t.Helper()
	tab := newPerson(t)
	tab.WithoutScripts()
	return tab
}

func signInWithoutScripts(a *app, tab *chromium.Tab, user string) {
	tab.Open(a.origin + "/sign-in")
	tab.Fill("[name=user]", user)
	tab.Click("form[action='/sign-in'] button")
	tab.Wait(`document.body?.dataset.page === "home" && !document.body.dataset.ready`)
}

func TestFormWithoutJavaScript(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPersonWithoutScripts(t)
	tab.Open(a.origin + "/reports")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/sign-in'] button")
	tab.At(a.origin + "/connect?return_to=%2Freports")
	tab.Click(startButton)
	atHostedPage(a, tab)
	tab.Click(cancelButton)
	requireNotice(t, tab, connect.ErrCancelled)
	tab.Click(nextStep)
	tab.At(a.origin + "/connect")
	connectByForm(a, tab)
	tab.At(a.origin + "/reports")
	require.NotEmpty(t, a.connection(t, "ada"))
	tab.Click(disconnectButton)
	tab.Wait(`document.body?.dataset.page === "home"`)
	require.Empty(t, a.connection(t, "ada"))
	require.Zero(t, a.count(http.MethodGet, "/app.js"))
}

// Each start leaves a cookie behind, and servers answer 431 when there are many.
func TestFormAfterEightAbandonedFlows(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	for range 8 {
		tab.Click(startButton)
		atHostedPage(a, tab)
		tab.Open(a.origin + "/")
	}
	require.Equal(t, 8, a.countStarts())
	header := strings.Join(a.last(t, http.MethodGet, "/").Header["Cookie"], "; ")
	require.Equal(t, 5, strings.Count(header, "__Host-connect-"), header)
	require.Less(t, len(header), 2048)
	connectByForm(a, tab)
	tab.At(a.origin + "/elsewhere?q=a+b&x=%26")
	require.NotEmpty(t, a.connection(t, "ada"))
}

// Cookies of 127.0.0.1 are not those of localhost, so that a start at the one
// would not be known to the callback at the other.
func TestFormAtAnotherAddressThanPublicURL(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{host: "localhost"})
	tab := newPerson(t)
	wrong := "https://127.0.0.1:" + a.port
	tab.Open(wrong + "/sign-in")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/sign-in'] button")
	tab.At(wrong + "/")
	tab.Click(startButton)
	requireNotice(t, tab, connect.ErrWrongOrigin)
	said := tab.Text(`document.body.innerText`)
	require.Contains(t, said, wrong)
	require.Contains(t, said, a.origin)
	require.Zero(t, a.countStarts())

	// Its next step leads to the right one, where everything works.
	tab.Click(nextStep)
	tab.At(a.origin + "/connect")
	requireNotice(t, tab, connect.ErrNotSignedIn)
	tab.Click(nextStep)
	tab.At(a.origin + "/sign-in")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/sign-in'] button")
	tab.At(a.origin + "/connect")
	connectByForm(a, tab)
	require.NotEmpty(t, a.connection(t, "ada"))
}

// signOut ends the session, in every tab of the user.
func signOut(a *app, tab *chromium.Tab) {
	tab.Open(a.origin + "/sign-out")
}
