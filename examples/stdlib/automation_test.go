package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/sandbox"
)

// The letters of the site's accounts, newest first.
var (
	adasLetters   = []string{"Your book is ready", "Notes on the engine", "Your order of Saturday"}
	gracesLetters = []string{"We found the bug", "Your ticket to New York"}
)

// startSandbox starts a demo with a sandbox. It skips the test without a browser.
func startSandbox(t *testing.T) *program {
	t.Helper()
	p := newAlone(t, "DEMO_BROWSER=")
	p.start()
	if text := p.output.String(); strings.Contains(text, "no Chromium or Chrome was found") {
		t.Skip(text)
	}
	return p
}

// link returns the first URL on the dashboard that matches a pattern.
func (a at) link(pattern string) string {
	a.t.Helper()
	found := regexp.MustCompile(`href="(` + pattern + `)"`).FindStringSubmatch(a.page("/dashboard"))
	require.NotNil(a.t, found, pattern)
	return found[1]
}

func (a at) site() string     { return a.link(`http://127\.0\.0\.1:\d+`) }
func (a at) overview() string { return a.link(`http://127\.0\.0\.1:\d+/sandbox/\w+`) }

// connectLetters connects an account of the site and returns the connection's ID.
func (a at) connectLetters(account string, fields ...string) string {
	a.t.Helper()
	u, err := url.Parse(a.begin(a.p.addr, fields...))
	require.NoError(a.t, err)
	sent := form("token", u.Query().Get("token"), "outcome", "approve", "account", account, "password", account+"-letters")
	u.RawQuery = ""
	status, callback, body, err := a.post(u.String(), sent)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusSeeOther, status, "%s", body)
	a.finish(callback)
	id, all := "", a.accounts(a.p.addr)
	for _, c := range all {
		if c.IdentityID == identityIn(callback) {
			id = c.ID
		}
	}
	require.NotEmpty(a.t, id)
	return id
}

// run runs an automation as the dashboard's script does.
func (a at) run(connection string) (status int, updates []update) {
	a.t.Helper()
	status, _, body, err := a.post(a.url("/api/run-automation"), form("connection", connection))
	require.NoError(a.t, err)
	for line := range strings.Lines(body) {
		var u update
		require.NoError(a.t, json.Unmarshal([]byte(line), &u), "%s", body)
		updates = append(updates, u)
	}
	return status, updates
}

// reads runs an automation and checks its result.
func (a at) reads(connection, title string, letters []string) {
	a.t.Helper()
	status, updates := a.run(connection)
	require.Equal(a.t, http.StatusOK, status, "%v", updates)
	require.Len(a.t, updates, 2, "%v", updates)
	require.Contains(a.t, updates[0].Progress, "Reading the inbox")
	read := updates[1].Inbox
	require.NotNil(a.t, read, "%v", updates[1])
	require.Equal(a.t, title, read.Title)
	require.Equal(a.t, letters, read.Subjects)
	encoded, found := strings.CutPrefix(string(read.Screenshot), "data:image/png;base64,")
	require.True(a.t, found)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(a.t, err)
	picture, err := png.Decode(bytes.NewReader(decoded))
	require.NoError(a.t, err)
	require.Equal(a.t, 960, picture.Bounds().Dx())
	a.noneIsOpen()
}

// noneIsOpen requires that all browser sessions have ended.
func (a at) noneIsOpen() {
	a.t.Helper()
	_, _, body, err := a.get(a.overview())
	require.NoError(a.t, err)
	require.Contains(a.t, body, "No session is open.")
}

// needsSignIn runs an automation and requires that it asks for a new sign-in.
func (a at) needsSignIn(connection string) {
	a.t.Helper()
	status, updates := a.run(connection)
	require.Equal(a.t, http.StatusForbidden, status)
	require.Len(a.t, updates, 1)
	require.Equal(a.t, "needs_sign_in", updates[0].Error)
	require.Contains(a.t, updates[0].Message, connect.Explain(connect.ErrNeedsSignIn).Help)
	a.noneIsOpen()
}

// signOutEverywhere signs out everywhere on the site's pages, as a user does.
func (a at) signOutEverywhere(account string) {
	a.t.Helper()
	site := a.site()
	status, to, _, err := a.post(site+"/sign-in", form("name", account, "password", account+"-letters"))
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusSeeOther, status)
	require.Equal(a.t, "/inbox", to)
	status, to, _, err = a.post(site+"/settings/sign-out-everywhere", nil)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusSeeOther, status)
	require.Equal(a.t, "/sign-in", to)
}

// asPage runs an automation with the form, without the script.
func (a at) asPage(connection string) (status int, body string) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url("/api/run-automation"), strings.NewReader(form("connection", connection).Encode()))
	require.NoError(a.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	status, _, body, err = read(a.client.Do(r))
	require.NoError(a.t, err)
	return status, body
}

func TestAutomationReadsTheInboxOfEachAccount(t *testing.T) {
	t.Parallel()
	p := startSandbox(t)
	ada, grace := visit(t, p, nil, "ada"), visit(t, p, nil, "grace")
	page := ada.page("/dashboard")
	for _, account := range []string{"ada", "grace", "alan"} {
		require.Contains(t, page, "<code>"+account+"</code>, password <code>"+account+"-letters</code>")
		require.Contains(t, p.output.String(), account+" (password "+account+"-letters")
	}
	work := ada.connectLetters("ada", "label", "work")
	home := ada.connectLetters("grace", "label", "home")
	graces := grace.connectLetters("grace")
	ada.reads(work, "Inbox of ada", adasLetters)
	ada.reads(home, "Inbox of grace", gracesLetters)
	ada.reads(work, "Inbox of ada", adasLetters)
	grace.reads(graces, "Inbox of grace", gracesLetters)

	// A user cannot run an automation in another user's account.
	for other, connections := range map[at][]string{grace: {work, home}, ada: {graces}} {
		for _, connection := range connections {
			status, updates := other.run(connection)
			require.Equal(t, http.StatusNotFound, status)
			require.Equal(t, "connection_unknown", updates[0].Error)
			status, body := other.asPage(connection)
			require.Equal(t, http.StatusNotFound, status)
			require.NotContains(t, body, "Inbox")
		}
	}

	// Without the script, the form leads to a page.
	status, body := ada.asPage(work)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "<h1>Inbox of ada</h1>")
	for _, subject := range adasLetters {
		require.Contains(t, body, "<li>"+subject+"</li>")
	}
	require.Contains(t, body, `<img src="data:image/png;base64,`)
	ada.noneIsOpen()
}

func TestAutomationAsksForANewSignInAfterSignOutEverywhere(t *testing.T) {
	t.Parallel()
	p := startSandbox(t)
	ada := visit(t, p, nil, "ada")
	work := ada.connectLetters("ada", "label", "work")
	home := ada.connectLetters("grace", "label", "home")
	ada.signOutEverywhere("ada")
	ada.needsSignIn(work)
	require.Eventually(t, func() bool {
		return strings.Contains(ada.page("/dashboard"), "Mail “\u2068work\u2069” needs a new sign-in")
	}, 10*time.Second, 20*time.Millisecond, "%s", p.output)
	ada.needsSignIn(work)
	status, body := ada.asPage(work)
	ada.explains(connect.ErrNeedsSignIn, status, body)
	ada.reads(home, "Inbox of grace", gracesLetters)

	require.Equal(t, work, ada.connectLetters("ada", "connection", work))
	ada.reads(work, "Inbox of ada", adasLetters)

	// A killed sandbox forgets everything, but the connections remain.
	p.kill()
	p.start()
	ada.signIn(p.addr, "ada")
	ada.needsSignIn(work)
	require.Equal(t, work, ada.connectLetters("ada", "connection", work))
	ada.reads(work, "Inbox of ada", adasLetters)
}

func TestAutomationWithoutABrowserReturnsTheSession(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ env, notice string }{
		"none is installed":  {"CHROME_PATH=/nowhere/chromium", "Automations do not run: no Chromium or Chrome was found: install one"},
		"it is switched off": {"DEMO_BROWSER=off", "using a built-in fake of Anchor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newAlone(t, "DEMO_BROWSER=", row.env)
			p.start()
			require.Contains(t, p.output.String(), row.notice)
			ada := at{browser: newBrowser(t), p: p}
			ada.signIn(p.addr, "ada")
			ada.approve(ada.begin(p.addr))
			page := ada.page("/dashboard")
			require.NotContains(t, page, "Letters")
			status, updates := ada.run(ada.accounts(p.addr)[0].ID)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, []update{{SessionID: updates[0].SessionID}}, updates)
			status, body := ada.asPage(ada.accounts(p.addr)[0].ID)
			require.Equal(t, http.StatusOK, status)
			require.Regexp(t, `Browser session <code>[0-9a-f-]{36}</code> is open and signed in`, body)
		})
	}
}

// The site can sign the account out after the session was opened.
func TestAutomationNoticesThatItIsSignedOut(t *testing.T) {
	t.Parallel()
	anchor, err := sandbox.Start(t.Context())
	if errors.Is(err, sandbox.ErrNoBrowser) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer anchor.Close()
	session, err := anchor.Client().CreateSession(t.Context(), anchorhttp.SessionRequest{})
	require.NoError(t, err)
	_, err = readInbox(t.Context(), session, anchor.Site().URL())
	require.ErrorIs(t, err, connect.ErrNeedsSignIn)
	require.Equal(t, "needs_sign_in", explain(t.Context(), session, err).Code)

	require.NoError(t, anchor.Client().EndSession(t.Context(), session.ID))
	_, err = readInbox(t.Context(), session, anchor.Site().URL())
	require.Error(t, err)
	require.Equal(t, http.StatusBadGateway, explain(t.Context(), session, err).Status)
}

// Not parallel: it replaces the default logger.
func TestAutomationLogOmitsTheSessionURL(t *testing.T) {
	var logged bytes.Buffer
	before, writer, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() { // SetDefault also changes package log.
		slog.SetDefault(before)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	const address = "ws://127.0.0.1:1/cdp/secret/devtools/browser/1"
	explained := explain(t.Context(), anchorhttp.Session{CDPURL: address}, errors.New("dial "+address+": refused"))
	require.Equal(t, "automation_failed", explained.Code)
	require.Contains(t, logged.String(), "dial …: refused")
	require.NotContains(t, logged.String(), "secret")
}
