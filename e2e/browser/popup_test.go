package browser

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
)

// openPopup clicks the button that connects in a popup, and waits for the hosted page in
// it.
func openPopup(a *app, tab *chromium.Tab) *chromium.Tab {
	tab.Run(`delete document.body.dataset.outcome`)
	tab.Click(popupButton)
	popup := tab.Popup()
	atHostedPage(a, popup)
	return popup
}

// outcome waits for the outcome in the page that opened a popup.
func outcome(t *testing.T, tab *chromium.Tab) string {
	t.Helper()
	tab.Wait(`document.body.dataset.outcome`)
	return tab.Text(`document.body.dataset.outcome`)
}

func TestPopupConnects(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	popup := openPopup(a, tab)
	require.Equal(t, "null", popup.Text(`String(window.opener)`), "the hosted page gets no hold of the app's")
	popup.Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	require.NotEmpty(t, a.connection(t, "ada"))
	tab.Windows(1)
	require.Equal(t, a.origin+"/", tab.Text(`location.href`), "the page that opened it is where it was")
	require.Empty(t, tab.Problems())

	// Once more, for another identity.
	first := a.connection(t, "ada")
	openPopup(a, tab).Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	require.NotEqual(t, first, a.connection(t, "ada"))
	tab.Windows(1)
}

func TestPopupThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")

	openPopup(a, tab).Click(cancelButton)
	require.Equal(t, "cancelled", outcome(t, tab))
	tab.Windows(1)

	// A popup of a failed flow stays open and shows the reason.
	popup := openPopup(a, tab)
	popup.Click(failButton)
	require.Equal(t, "failed", outcome(t, tab))
	requireNotice(t, popup, connect.ErrSignInFailed)
	popup.Click("[data-connect-close]")
	tab.Windows(1)

	popup = openPopup(a, tab)
	lookAround()
	popup.CloseWindow()
	require.Equal(t, "cancelled", outcome(t, tab))
	require.Empty(t, a.connection(t, "ada"))
}

// lookAround is the moment that a person takes before closing a popup. connect.js
// looks at the popup and at the page twice a second.
func lookAround() { time.Sleep(1200 * time.Millisecond) }

// A hosted page with a Cross-Origin-Opener-Policy is put by itself: to the page
// that opened the popup its window looks closed from then on, and the popup's last
// page has no opener.
func TestPopupThatIsCutOff(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{hosted: http.Header{"Cross-Origin-Opener-Policy": {"same-origin"}}})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	// The windows of a browser without a screen have the focus all at once, or at the
	// mercy of the other tests' windows: here it is said who has it. The popup's
	// window is kept, to see that it was cut off at all.
	tab.Run(`(() => {
		window.focused = true;
		document.hasFocus = () => focused;
		const { open } = window;
		window.open = (...what) => { focused = false; return window.opened = open(...what); };
	})()`)
	popup := openPopup(a, tab)
	tab.Wait(`window.opened.closed`)
	popup.Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	require.NotEmpty(t, a.connection(t, "ada"))
	tab.Windows(1)

	// Closed by hand it cannot be told from one that is still open, until the
	// person comes back to the page.
	popup = openPopup(a, tab)
	lookAround()
	popup.CloseWindow()
	tab.Windows(1)
	tab.Run(`focused = true`)
	require.Equal(t, "cancelled", outcome(t, tab))
}

// Chromium lets a page open a popup in a click, and blocks any other.
func TestPopupThatIsBlocked(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	tab.Run(`void begin({ popup: true, returnTo: "/welcome" })`)
	atHostedPage(a, tab)
	tab.Windows(1)
	tab.Click(approveButton)
	tab.At(a.origin + "/welcome")
	require.NotEmpty(t, a.connection(t, "ada"))
}

func TestPopupWithAStrictSessionCookie(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{sameSite: http.SameSiteStrictMode})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	openPopup(a, tab).Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	require.Equal(t, 2, a.count(http.MethodGet, "/identity-callback/"))
	tab.Windows(1)
}

// In a popup, too, a user who is signed out first signs in.
func TestPopupInWhichTheUserSignsIn(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	popup := openPopup(a, tab)
	other := tab.NewTab()
	signOut(a, other)
	popup.Click(approveButton)
	requireNotice(t, popup, connect.ErrNotSignedIn)
	require.Empty(t, tab.Text(`document.body.dataset.outcome ?? ""`))
	popup.Click(nextStep)
	popup.At(a.origin + "/sign-in")
	popup.Fill("[name=user]", "ada")
	popup.Click("form[action='/sign-in'] button")
	require.Equal(t, "connected", outcome(t, tab))
	require.NotEmpty(t, a.connection(t, "ada"))
	tab.Windows(2)
}
