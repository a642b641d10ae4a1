package browser

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/e2e/internal/chromium"
	"github.com/anchorconnect/connect/e2e/internal/demo"
)

//go:embed axe/package.json axe/package-lock.json axe/.npmrc
var axeFiles embed.FS

// axe is the script that checks a page for accessibility: axe-core, from npm.
var axe = sync.OnceValues(func() (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "connect-axe")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	files, err := fs.Sub(axeFiles, "axe")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return "", err
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(script), err
})

func needAxe(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: apt-get install npm")
	}
	script, err := axe()
	require.NoError(t, err)
	return script
}

// The lock file works with every registry: see .npmrc.
func TestAxeLockFileNamesNoHost(t *testing.T) {
	t.Parallel()
	lock, err := axeFiles.ReadFile("axe/package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), "resolved")
	require.NotContains(t, string(lock), "://")
}

// requireGoodPage checks the page that a tab shows: on the screen of a small phone,
// which it fits in width, and of a desktop; in light and dark. axe-core finds
// nothing wrong with it, and nothing on it was refused by its own policy.
func requireGoodPage(t *testing.T, tab *chromium.Tab, what string) {
	t.Helper()
	script := needAxe(t)
	tab.Wait(`document.readyState === "complete"`)
	tab.Run(`(() => { ` + script + ` })()`)
	for _, look := range []struct {
		scheme string
		width  int64
		rules  string
	}{
		{"light", 360, `{}`},
		{"light", 1280, `{}`},
		{"dark", 1280, `{runOnly: ["color-contrast"]}`},
	} {
		tab.ColorScheme(look.scheme)
		tab.Screen(look.width, 740, 1, look.width < 500)
		require.LessOrEqual(t, tab.Number(`document.documentElement.scrollWidth`), float64(look.width), "%s at %d", what, look.width)
		require.LessOrEqual(t, tab.Number(`innerWidth`), float64(look.width), "%s at %d", what, look.width)
		var found struct {
			Passes   int
			Problems []string
		}
		tab.JSON(`axe.run(document, `+look.rules+`).then(({ passes, violations, incomplete }) => ({
			passes: passes.length,
			problems: [...violations, ...incomplete].flatMap(({ id, help, nodes }) =>
				nodes.map(({ html, failureSummary }) => [id, help, html, failureSummary].join("\n"))),
		}))`, &found)
		require.NotZero(t, found.Passes, what)
		require.Empty(t, found.Problems, "%s, %v", what, look)
	}
	require.Empty(t, tab.Problems(), what)
}

func TestPagesOfAFlow(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{sameSite: http.SameSiteStrictMode, wrap: withoutHaste})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	tab.Open(a.origin + "/connect?return_to=/welcome")
	requireGoodPage(t, tab, "connect")
	tab.Click(startButton)
	atHostedPage(a, tab)
	requireGoodPage(t, tab, "the hosted page")

	// The page that repeats the request stays here. Its link does what it does by
	// itself everywhere else.
	tab.Click(approveButton)
	tab.Wait(`document.readyState === "complete" && document.querySelector("meta[http-equiv=refresh]")`)
	requireGoodPage(t, tab, "repeat")
	tab.Click(nextStep)
	tab.At(a.origin + "/welcome")

	tab.Open(a.origin + "/connect")
	requireGoodPage(t, tab, "connect, connected")
	require.NoError(t, a.needSignIn(t, "ada"))
	tab.Open(a.origin + "/connect")
	tab.Wait(`!document.querySelector(".other")`)
	requireGoodPage(t, tab, "connect, needs sign-in")

	tab.Click(startButton)
	atHostedPage(a, tab)
	other := tab.NewTab()
	other.Open(a.origin + "/sign-out")
	tab.Click(approveButton)
	tab.Wait(`document.readyState === "complete" && document.querySelector("meta[http-equiv=refresh]")`)
	tab.Click(nextStep)
	requireNotice(t, tab, connect.ErrNotSignedIn)
	requireGoodPage(t, tab, "sign in and finish")
}

func TestPagesLastOfAPopup(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	for button, outcome := range map[string]string{approveButton: "connected", cancelButton: "cancelled", failButton: "failed"} {
		// With nobody there to hear its word, it stays.
		tab.Open(a.origin + "/")
		tab.Run(`fetch("/connect", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"popup": true}'})
			.then((response) => response.json()).then(({ redirectUrl }) => { location.href = redirectUrl })`)
		atHostedPage(a, tab)
		tab.Click(button)
		tab.Wait(`document.readyState === "complete" && document.querySelector("[data-outcome=` + outcome + `]")`)
		requireGoodPage(t, tab, outcome)
	}
}

// notices are the errors that have a page.
var notices = map[string]error{}

func init() {
	for _, err := range []error{
		connect.ErrNotSignedIn, connect.ErrUserLookup, connect.ErrCrossOrigin, connect.ErrBadRequest, connect.ErrReturnTo,
		&connect.WrongOriginError{Origin: "https://an-address-of-some-length.app.example:8443", PublicOrigin: "https://app.example"},
		connect.ErrStateMissing, connect.ErrNoStateCookie, connect.ErrStateInvalid, connect.ErrStateUnknown,
		connect.ErrAnotherUser, connect.ErrBrowserInUse, connect.ErrStateSpent, connect.ErrStateExpired, connect.ErrCancelled,
		connect.ErrSignInFailed, connect.ErrNotFinished, connect.ErrBadIdentityID, connect.ErrIdentityNotFound,
		connect.ErrIdentityFailed, connect.ErrWrongApplication, connect.ErrIdentityTooOld, connect.ErrIdentityTaken,
		connect.ErrIdentityRetired, connect.ErrUpstreamUnavailable, connect.ErrUpstreamInvalid, connect.ErrUpstreamTimeout,
		connect.ErrStoreFailed, connect.ErrHostLookup, connect.ErrFramed, connect.ErrConnectionUnknown, connect.ErrConnectionLimit,
		connect.ErrIdentityConnected, connect.ErrWhichConnection, connect.ErrBadLabel, connect.ErrConnectionChanged, connect.ErrAcceptFailed, connect.ErrNotAccepted,
		connect.ErrNotConnected, connect.ErrNeedsSignIn, connect.ErrNoCredit, connect.ErrRateLimited,
		fmt.Errorf("something else"),
	} {
		notices[connect.Explain(err).Code] = err
	}
}

// docs/errors.md lists the errors.
func TestEveryErrorIsLookedAt(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	want := []string{connect.Explain(fmt.Errorf("something else")).Code}
	for _, row := range regexp.MustCompile("(?m)^\\| `Err\\w+` \\| `(\\w+)` \\|").FindAllStringSubmatch(string(page), -1) {
		want = append(want, row[1])
	}
	require.Greater(t, len(want), 20)
	var have []string
	for code := range notices {
		have = append(have, code)
	}
	require.ElementsMatch(t, want, have)
}

func TestNoticeOfEveryError(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{})
	var codes []string
	for code := range notices {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	tab := newPerson(t)
	for _, code := range codes {
		tab.Open(a.origin + "/notice/" + code)
		requireNotice(t, tab, notices[code])
		requireGoodPage(t, tab, code)
	}
}

func TestPagesOfTheFake(t *testing.T) {
	t.Parallel()
	needAxe(t)
	a := startApp(t, setup{})
	tab := newPerson(t)
	tab.Open(a.fake.ControlURL())
	requireGoodPage(t, tab, "control, empty")
	good := a.fake.PutIdentity(anotherIdentity(a))
	bad := anotherIdentity(a)
	bad.Status, bad.Name = anchortest.StatusFailed, strings.Repeat("a-long-name@", 10)
	a.fake.PutIdentity(bad)
	tab.Open(a.fake.ControlURL())
	tab.Wait(`document.querySelector("[name=identity][value='` + good.ID + `']")`)
	requireGoodPage(t, tab, "control")
	tab.Open(a.hosted + "/identity/create?token=unknown")
	requireGoodPage(t, tab, "a hosted page whose link is not valid")
}

// The demo is run as people run it, and everything in it pressed once.
func TestDemoPages(t *testing.T) {
	t.Parallel()
	needAxe(t)
	tab := newPerson(t)
	demo, err := demo.Start()
	require.NoError(t, err)
	t.Cleanup(demo.Close)
	mail, calendar := "[aria-labelledby=account-Mail] ", "[aria-labelledby=account-Calendar] "

	tab.Open(demo.Origin + "/report")
	tab.At(demo.Origin + "/?return_to=%2Freport")
	requireGoodPage(t, tab, "the demo's sign-in page")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/login'] button")
	tab.At(demo.Origin + "/connect?return_to=%2Freport")
	requireGoodPage(t, tab, "connect, in the demo")
	tab.Click(startButton)
	tab.Click(approveButton)
	tab.At(demo.Origin + "/report")
	requireGoodPage(t, tab, "the demo's report")

	tab.Open(demo.Origin + "/dashboard")
	requireGoodPage(t, tab, "the demo's dashboard")
	tab.Click("form[data-automation] button")
	tab.Wait(`/[0-9a-f]{8}-[0-9a-f-]{27}/.test(document.querySelector("[data-outcome]").textContent)`)
	requireGoodPage(t, tab, "the demo's dashboard after an automation")

	// An account of another kind, by its form.
	tab.Click(calendar + "form[data-connect] button")
	tab.Click(approveButton)
	tab.At(demo.Origin + "/dashboard?connected=true")
	tab.Wait(`document.querySelector("form[action='/disconnect/calendar']")`)
	requireGoodPage(t, tab, "the demo's dashboard, all connected")

	// Two more of a kind, in a popup and as htmx does it: there may be three.
	for i, way := range []string{"popup", "htmx"} {
		tab.Click("[name=way][value=" + way + "]")
		tab.Fill("#new-Mail", way)
		tab.Click("#new-Mail + button")
		if way == "popup" {
			tab.Popup().Click(approveButton)
		} else {
			tab.Click(approveButton)
		}
		tab.At(demo.Origin + "/dashboard?connected=true")
		tab.Wait(fmt.Sprintf(`document.querySelectorAll(%q).length === %d`, mail+"h3", i+2))
		tab.Windows(1)
	}
	requireGoodPage(t, tab, "the demo's dashboard, as many as there may be")
	var kept []string
	mails := `[...document.querySelectorAll("` + mail + `h3, ` + mail + `code")].map((element) => element.textContent)`
	tab.JSON(mails, &kept)
	require.Equal(t, []string{"Mail account 1", "popup", "htmx"}, []string{kept[0], kept[2], kept[4]})

	// One of them is signed in to again, in a popup, and renamed.
	tab.Click("[name=way][value=popup]")
	tab.Click(mail + "li:nth-child(2) form[data-connect] button")
	tab.Popup().Click(approveButton)
	tab.Wait(mails + `[3] !== "` + kept[3] + `"`)
	tab.Windows(1)
	tab.Click(mail + "li:nth-child(2) summary")
	requireGoodPage(t, tab, "the demo's dashboard, renaming")
	tab.Fill(mail+"li:nth-child(2) [name=label]", "home")
	tab.Click(mail + "li:nth-child(2) [action$=label] button")
	tab.Wait(mails + `[2] === "home"`)
	kept[2], kept[3] = "home", tab.Text(mails+`[3]`)
	var have []string
	tab.JSON(mails, &have)
	require.Equal(t, kept, have)
	tab.Click(mail + "li:nth-child(3) summary")
	tab.Click(mail + "li:nth-child(3) [action='/disconnect'] button")
	tab.Wait(mails + `.length === 4`)

	// A sign-in that fails at the fake arrives by the webhook.
	control := tab.NewTab()
	control.Open(tab.Text(`document.querySelector("a[href$='/fake']").href`))
	control.Click("button[value=fail]")
	for range 100 { // Each is a request and an answer: the event is on its way meanwhile.
		tab.Open(demo.Origin + "/dashboard")
		if tab.Text(`document.querySelector(".badge.off") ? "off" : ""`) == "off" {
			break
		}
	}
	tab.Wait(`document.querySelector(".badge.off")`)
	requireGoodPage(t, tab, "the demo's dashboard, with a sign-in that does not work")

	// An organisation's accounts are others, and its members share them.
	tab.Click(".owners button[value^=organisation]")
	tab.Wait(`document.readyState === "complete" && document.querySelector("[aria-pressed=true][value^=organisation]")`)
	require.Zero(t, tab.Number(`document.querySelectorAll("h3").length`))
	requireGoodPage(t, tab, "the demo's dashboard, an organisation's")
	tab.Fill("#new-Mail", "orders")
	tab.Click("#new-Mail + button")
	tab.Click(approveButton)
	tab.At(demo.Origin + "/dashboard?connected=true")
	grace := newPerson(t)
	grace.Open(demo.Origin + "/")
	grace.Fill("[name=user]", "grace")
	grace.Click("form[action='/login'] button")
	grace.Click(".owners button[value^=organisation]")
	grace.Wait(`document.querySelector("h3")?.textContent === "orders"`)
	require.Contains(t, grace.Text(`document.querySelector(".accounts").innerText`), "Signed in by\nada")
	grace.Click("form[data-automation] button")
	grace.Wait(`/[0-9a-f]{8}-[0-9a-f-]{27}/.test(document.querySelector("[data-outcome]").textContent)`)
	grace.Click(mail + "summary")
	grace.Click(mail + "[action='/disconnect'] button")
	grace.Wait(`location.pathname === "/dashboard" && document.readyState === "complete" && !document.querySelector("h3")`)
	tab.Open(demo.Origin + "/dashboard")
	require.Zero(t, tab.Number(`document.querySelectorAll("h3").length`))
	require.Contains(t, tab.Text(`document.querySelector(".audit").innerText`), "was disconnected by grace")

	tab.Click("form[action='/logout'] button")
	tab.Wait(`document.readyState === "complete" && location.pathname === "/" && document.querySelector("[name=user]")`)
}
