package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
	"github.com/anchorconnect/connect/e2e/internal/demo"
)

// upTo lets users connect n accounts, and shows who is signed in.
func upTo(n int) func(*connect.Config) {
	return func(c *connect.Config) {
		c.MaxConnections = n
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = u.ID
			return u, err
		}
	}
}

// connections are the user's accounts in the store.
func (a *app) connections(t *testing.T, user string) []connect.Connection {
	t.Helper()
	connections, err := a.connect.Application("").Connections(t.Context(), user)
	require.NoError(t, err)
	return connections
}

// connectAccount connects one more account, by the app's script.
func connectAccount(t *testing.T, a *app, tab *chromium.Tab, label string) {
	t.Helper()
	tab.Open(a.origin + "/")
	tab.Wait(`document.body.dataset.ready`)
	tab.Run(`void begin({ returnTo: "/welcome", label: ` + asJSON(t, label) + ` })`)
	atHostedPage(a, tab)
	tab.Click(approveButton)
	tab.At(a.origin + "/welcome")
}

// account is a selector of something in the place of the n-th account, from 1.
func account(n int, what string) string {
	return fmt.Sprintf(".accounts > li:nth-child(%d) %s", n, what)
}

// Things in the place of an account.
const (
	againButton  = "form[action='/connect'] button"
	summary      = "summary"
	labelField   = "[name=label]"
	renameButton = "form[action='/connect/label'] button"
	endButton    = "form[action='/disconnect'] button"
)

// names are the names of the accounts that the connect page shows.
func names(tab *chromium.Tab) (names []string) {
	tab.JSON(`[...document.querySelectorAll(".accounts h2")].map((name) => name.textContent)`, &names)
	return names
}

func TestAccountsOnTheConnectPage(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{config: upTo(3)})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	page := a.origin + "/connect?return_to=/welcome"
	tab.Open(page)
	requireGoodPage(t, tab, "no account")

	connectAccount(t, a, tab, "work")
	tab.Open(page)
	requireGoodPage(t, tab, "one account")

	connectAccount(t, a, tab, "")
	_, _, err := a.store.SetHealth(t.Context(), a.connections(t, "ada")[1].IdentityID, connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	tab.Open(page)
	require.Equal(t, []string{"work", "Account 2"}, names(tab))
	require.Contains(t, tab.Text(`document.querySelector(".accounts > li:nth-child(2)").innerText`), "Needs a new sign-in")
	tab.Click(account(1, summary))
	tab.Click(account(2, summary))
	requireGoodPage(t, tab, "two accounts, one of which needs a new sign-in")

	connectAccount(t, a, tab, strings.Repeat("W", 100))
	tab.Open(page)
	tab.Click(account(3, summary))
	requireGoodPage(t, tab, "as many accounts as there may be, with a long name")
	require.Empty(t, tab.Text(`document.querySelector(".another")?.outerHTML ?? ""`))
}

// A screen reader's list of buttons says which account each is for.
func TestAccountsNameTheirButtons(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{config: upTo(3)})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	connectAccount(t, a, tab, "work")
	connectAccount(t, a, tab, "home")
	tab.Open(a.origin + "/connect")
	tab.Click(account(1, summary))
	tab.Click(account(2, summary))
	require.ElementsMatch(t, []string{
		"Sign in again work", "Rename work", "Disconnect work",
		"Sign in again home", "Rename home", "Disconnect home",
		"Connect another account",
	}, tab.Names("button"))
}

// A label is text, whatever is in it, and its direction does not change what is
// around it.
func TestAccountsLabelStaysInItsPlace(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{config: upTo(3)})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	markup := `</bdi></h2><img src=x onerror="document.title=1"><script>document.title=1</script> "&amp; <b>`
	hebrew := "דואר של אבא (work)"
	override := "\u202egpj.work\u2067"
	labels := []string{markup, hebrew, override}
	for _, label := range labels {
		connectAccount(t, a, tab, label)
	}
	tab.Open(a.origin + "/connect?return_to=/welcome")
	require.Equal(t, labels, names(tab))
	require.Zero(t, tab.Number(`document.querySelectorAll("main img, main script, main b").length`))
	require.Equal(t, "Your connected accounts", tab.Text(`document.title`))
	for n, label := range labels {
		tab.Click(account(n+1, summary))
		require.Equal(t, label, tab.Text(fmt.Sprintf(`document.querySelector(%q).value`, account(n+1, labelField))))
		require.Equal(t, "isolate", tab.Text(fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).unicodeBidi`, account(n+1, "h2 bdi"))))
	}
	for selector, want := range map[string]string{
		account(2, "h2 bdi"): "rtl", account(2, labelField): "rtl", account(2, "h2"): "ltr",
		account(1, "h2 bdi"): "ltr", account(3, "h2"): "ltr",
	} {
		require.Equal(t, want, tab.Text(fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).direction`, selector)), selector)
	}
	requireGoodPage(t, tab, "labels with markup and of both directions")
}

// reach presses the tab key until an element has the focus, as it is seen to have.
func reach(t *testing.T, tab *chromium.Tab, selector string) {
	t.Helper()
	tab.Wait(`performance.getEntriesByType("paint").length > 0`) // Before that Chromium drops keys.
	has := fmt.Sprintf(`document.activeElement.matches(%q)`, selector)
	for range 40 {
		tab.Press("\t")
		if tab.Text(has+` ? "there" : ""`) == "there" {
			require.NotEqual(t, "none", tab.Text(`getComputedStyle(document.activeElement).outlineStyle`), "the focus is seen")
			return
		}
	}
	require.Failf(t, "out of reach", "%s", selector)
}

// All that the page can do, by the keyboard and without a script.
func TestAccountsByKeyboard(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{config: upTo(3)})
	tab := newPersonWithoutScripts(t)
	tab.Screen(360, 740, 1, true)
	signInWithoutScripts(a, tab, "ada")
	page := a.origin + "/connect?return_to=%2Fwelcome"
	reach := func(selector string) { t.Helper(); reach(t, tab, selector) }
	approve := func() {
		t.Helper()
		atHostedPage(a, tab)
		tab.Click(approveButton) // The page is Anchor's.
		tab.At(a.origin + "/welcome")
		tab.Open(page)
	}

	tab.Open(page)
	reach(startButton)
	tab.Press("\r")
	approve()
	require.Equal(t, []string{"Account 1"}, names(tab))

	// Another, with a name.
	reach("#label")
	tab.Press("home\r")
	approve()
	require.Equal(t, []string{"Account 1", "home"}, names(tab))
	first, second := a.connections(t, "ada")[0], a.connections(t, "ada")[1]

	// Renamed. The browser selects what is in the field that the tab key leads to.
	reach(account(1, summary))
	tab.Press(" ")
	reach(account(1, labelField))
	tab.Press("work\r")
	tab.Wait(`document.readyState === "complete" && document.querySelector("h2")?.textContent === "work"`)
	require.Equal(t, page, tab.Text(`location.href`))

	// Signed in to again: the other one is as it was.
	reach(account(2, againButton))
	tab.Press("\r")
	approve()
	after := a.connections(t, "ada")
	require.Equal(t, first.IdentityID, after[0].IdentityID)
	require.Equal(t, second.ID, after[1].ID)
	require.NotEqual(t, second.IdentityID, after[1].IdentityID)
	require.Equal(t, []string{"work", "home"}, names(tab))

	// Ended.
	reach(account(1, summary))
	tab.Press("\r")
	reach(account(1, endButton))
	tab.Press("\r")
	tab.Wait(`document.readyState === "complete" && document.querySelectorAll(".accounts > li").length === 1`)
	require.Equal(t, []string{"home"}, names(tab))
	require.Equal(t, after[1:], a.connections(t, "ada"))

	reach("main a")
	tab.Press("\r")
	tab.At(a.origin + "/welcome")
	require.Empty(t, tab.Problems())
}

// popupFor opens a popup for these options of connect.js, in JSON.
func popupFor(t *testing.T, a *app, tab *chromium.Tab, options map[string]string) *chromium.Tab {
	t.Helper()
	tab.Run(fmt.Sprintf(`document.querySelector(%q).dataset.options = %q`, popupButton, asJSON(t, options)))
	return openPopup(a, tab)
}

func TestPopupSignsInToAnAccountAgain(t *testing.T) {
	t.Parallel()
	a := startApp(t, setup{config: upTo(3)})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	for _, label := range []string{"work", "home"} {
		popupFor(t, a, tab, map[string]string{"label": label}).Click(approveButton)
		require.Equal(t, "connected", outcome(t, tab))
		tab.Windows(1)
	}
	before := a.connections(t, "ada")
	require.Equal(t, "work", before[0].Label)
	require.Equal(t, "home", before[1].Label)
	again := map[string]string{"connection": before[0].ID}

	// The other account is connected all the while: that is no success.
	popupFor(t, a, tab, again).Click(cancelButton)
	require.Equal(t, "cancelled", outcome(t, tab))
	tab.Windows(1)
	popup := popupFor(t, a, tab, again)
	lookAround()
	popup.CloseWindow()
	require.Equal(t, "cancelled", outcome(t, tab))
	require.Equal(t, before, a.connections(t, "ada"))

	popupFor(t, a, tab, again).Click(approveButton)
	require.Equal(t, "connected", outcome(t, tab))
	tab.Windows(1)
	after := a.connections(t, "ada")
	require.Equal(t, before[1], after[1])
	require.Equal(t, before[0].ID, after[0].ID)
	require.Equal(t, "work", after[0].Label)
	require.NotEqual(t, before[0].IdentityID, after[0].IdentityID)

	// It ends elsewhere meanwhile.
	popup = popupFor(t, a, tab, again)
	require.NoError(t, a.connect.Application("").DisconnectByID(t.Context(), "ada", before[0].ID))
	popup.Click(approveButton)
	require.Equal(t, "failed", outcome(t, tab))
	requireNotice(t, popup, connect.ErrStateSpent)
	popup.Click("[data-connect-close]")
	tab.Windows(1)

	// A popup for it is not sent anywhere any more, and says so.
	starts := a.countStarts()
	tab.Run(`delete document.body.dataset.outcome`)
	tab.Click(popupButton)
	popup = tab.Popup()
	require.Equal(t, "failed", outcome(t, tab))
	popup.Wait(fmt.Sprintf(`document.body?.textContent.includes(%s)`, asJSON(t, connect.Explain(connect.ErrConnectionUnknown).Help)))
	require.Equal(t, starts, a.countStarts())
	require.Equal(t, before[1:], a.connections(t, "ada"))
}

// What a user does with several accounts in the demo, by the keyboard and without a
// script.
func TestDemoByKeyboard(t *testing.T) {
	t.Parallel()
	tab := newPersonWithoutScripts(t)
	demo, err := demo.Start()
	require.NoError(t, err)
	t.Cleanup(demo.Close)
	tab.Screen(360, 740, 1, true)
	mail := "[aria-labelledby=account-Mail] "
	do := func(selector, keys string) { t.Helper(); reach(t, tab, selector); tab.Press(keys) }
	approve := func() {
		t.Helper()
		tab.Click(approveButton) // The page is Anchor's.
		tab.At(demo.Origin + "/dashboard?connected=true")
		tab.Wait(`document.querySelector("h3")`)
	}
	shows := func(want ...string) {
		t.Helper()
		tab.Wait(fmt.Sprintf(`document.readyState === "complete" && [...document.querySelectorAll("h3")].map((name) => name.textContent).join() === %q`, strings.Join(want, ",")))
		require.LessOrEqual(t, tab.Number(`document.documentElement.scrollWidth`), 360.0)
	}

	tab.Open(demo.Origin + "/")
	tab.Wait(`performance.getEntriesByType("paint").length > 0 && document.activeElement.matches("[name=user]")`)
	tab.Press("ada\r")
	tab.At(demo.Origin + "/dashboard")
	require.Equal(t, "none", tab.Text(`getComputedStyle(document.querySelector("[data-ways]")).display`), "these need a script")
	do("#new-Mail", "work\r")
	approve()
	shows("work")
	do("#new-Mail", strings.Repeat("W", 100)+"\r")
	approve()
	shows("work", strings.Repeat("W", 100))
	do(mail+"li:nth-child(2) summary", " ")
	do(mail+"li:nth-child(2) [name=label]", "home\r")
	shows("work", "home")

	identities := `[...document.querySelectorAll("code")].map((code) => code.textContent)`
	var before, after []string
	tab.JSON(identities, &before)
	do(mail+"li:nth-child(1) form[data-connect] button", "\r")
	approve()
	shows("work", "home")
	tab.JSON(identities, &after)
	require.NotEqual(t, before[0], after[0])
	require.Equal(t, before[1], after[1])

	do(mail+"li:nth-child(1) form[data-automation] button", "\r")
	tab.Wait(`document.querySelector("h1")?.textContent === "The automation can begin"`)
	tab.Open(demo.Origin + "/dashboard")
	do(mail+"li:nth-child(1) summary", "\r")
	do(mail+"li:nth-child(1) [action='/disconnect'] button", "\r")
	shows("home")
	do(".owners button[value^=organisation]", "\r")
	shows()
	do(".owners button[value='']", " ")
	shows("home")
	require.Empty(t, tab.Problems())
}
