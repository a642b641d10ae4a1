package browser

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
	"github.com/anchorconnect/connect/e2e/internal/demo"
)

// The parts of the demo's dashboard and of the sandbox's pages.
const (
	runButton = "form[data-automation] button"
	subjects  = `[...document.querySelectorAll("li")].map((item) => item.textContent)`
	inMail    = "[aria-labelledby=account-Mail] "
)

// signInAtDemo opens the demo's dashboard.
func signInAtDemo(d *demo.Demo, tab *chromium.Tab, user string) {
	tab.Open(d.Origin + "/")
	tab.Fill("[name=user]", user)
	tab.Click("form[action='/login'] button")
	tab.At(d.Origin + "/dashboard")
}

// connectLetters connects an account of the sandbox's site, from the dashboard.
func connectLetters(d *demo.Demo, tab *chromium.Tab, account string) {
	tab.Click(inMail + "#new-Mail + button")
	tab.Fill("[name=account]", account)
	tab.Fill("[name=password]", account+"-letters")
	tab.Click(approveButton)
	tab.At(d.Origin + "/dashboard?connected=true")
}

// The demo runs automations, from the first sign-in until the site has ended it.
func TestDemoRunsAnAutomation(t *testing.T) {
	t.Parallel()
	tab := newPerson(t)
	demo, err := demo.Start("DEMO_BROWSER=")
	require.NoError(t, err)
	t.Cleanup(demo.Close)
	signInAtDemo(demo, tab, "ada")
	requireGoodPage(t, tab, "the demo's dashboard, with a sandbox")
	connectLetters(demo, tab, "ada")
	connectLetters(demo, tab, "grace")
	tab.Wait(`document.querySelectorAll(".accounts > li").length === 2`)

	for i, want := range []string{"Your book is ready", "We found the bug"} {
		account := fmt.Sprintf(".accounts > li:nth-child(%d) ", i+1)
		tab.Click(account + runButton)
		tab.Wait(`document.querySelector("` + account + `[data-inbox] li")?.textContent === "` + want + `"`)
		tab.Wait(`document.querySelector("` + account + `[data-inbox] img").naturalWidth === 960`)
		require.Contains(t, tab.Text(`document.querySelector("`+account+`[data-outcome]").textContent`), "The browser session has ended.")
	}
	requireGoodPage(t, tab, "the demo's dashboard after automations")

	// What the dashboard proposes: sign out everywhere at the site.
	site := tab.NewTab()
	site.Open(tab.Text(`document.querySelector("[aria-labelledby=site] a").href`))
	site.Fill("[name=name]", "ada")
	site.Fill("[name=password]", "ada-letters")
	site.Click("main button")
	site.Click("a[href='/settings']")
	site.Click("form[action$=sign-out-everywhere] button")
	site.Wait(`document.readyState === "complete" && location.pathname === "/sign-in"`)
	tab.Click(".accounts > li:nth-child(1) " + runButton)
	tab.Wait(fmt.Sprintf(`document.querySelector(".accounts > li:nth-child(1) [data-outcome]").textContent.includes(%s)`,
		asJSON(t, connect.Explain(connect.ErrNeedsSignIn).Help)))
	require.Equal(t, "Needs a new sign-in", tab.Text(`document.querySelector("[data-badge]").textContent`))
	require.Equal(t, "hidden", tab.Text(`document.querySelector("[data-inbox]").hidden ? "hidden" : ""`), "what was read before")
	tab.Click(".accounts > li:nth-child(2) " + runButton)
	tab.Wait(`document.querySelector(".accounts > li:nth-child(2) [data-outcome]").textContent.includes("has ended")`)
	requireGoodPage(t, tab, "the demo's dashboard after a run that needs a new sign-in")

	// submit does not call the script.
	tab.Run(`document.querySelector(".accounts > li:nth-child(2) form[data-automation]").submit()`)
	tab.Wait(`document.readyState === "complete" && document.querySelector("h1")?.textContent === "Inbox of grace"`)
	requireGoodPage(t, tab, "the result of an automation")
}

func TestDemoRunsAnAutomationWithoutScripts(t *testing.T) {
	t.Parallel()
	tab := newPersonWithoutScripts(t)
	demo, err := demo.Start("DEMO_BROWSER=")
	require.NoError(t, err)
	t.Cleanup(demo.Close)
	signInAtDemo(demo, tab, "ada")
	connectLetters(demo, tab, "grace")
	tab.Click(runButton)
	tab.Wait(`document.readyState === "complete" && document.querySelector("h1")?.textContent === "Inbox of grace"`)
	var read []string
	tab.JSON(subjects, &read)
	require.Equal(t, []string{"We found the bug", "Your ticket to New York"}, read)
	require.Equal(t, 960, int(tab.Number(`document.querySelector("img").naturalWidth`)))
	require.Empty(t, tab.Problems())
}
