package main

import (
	"crypto/rand"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// at is a user's browser at one demo.
type at struct {
	*browser
	p    *program
	fake *anchortest.Server
}

// visit opens a browser and signs in.
func visit(t *testing.T, p *program, fake *anchortest.Server, person string) at {
	a := at{newBrowser(t), p, fake}
	a.signIn(p.addr, person)
	return a
}

func (a at) url(path string) string { return "http://" + a.p.addr + path }

// page returns the text of a page.
func (a at) page(path string) string {
	a.t.Helper()
	status, _, body, err := a.get(a.url(path))
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, status, "%s", body)
	return body
}

// send submits a form and requires a redirect to the dashboard.
func (a at) send(path string, fields ...string) {
	a.t.Helper()
	status, to, body, err := a.post(a.url(path), form(append(fields, "return_to", "/dashboard")...))
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusSeeOther, status, "%s", body)
	require.Equal(a.t, "/dashboard", to)
}

// refused submits a form and requires a refusal.
func (a at) refused(want error, path string, fields ...string) {
	a.t.Helper()
	status, _, body, err := a.post(a.url(path), form(fields...))
	require.NoError(a.t, err)
	a.explains(want, status, body)
}

func (a at) explains(want error, status int, body string) {
	a.t.Helper()
	e := connect.Explain(want)
	require.Equal(a.t, e.Status, status, "%s", body)
	require.Contains(a.t, html.UnescapeString(body), e.Help)
}

// connect completes a flow and returns the new identity.
func (a at) connect(fields ...string) string {
	a.t.Helper()
	callback, err := a.fake.Approve(a.t.Context(), a.begin(a.p.addr, fields...))
	require.NoError(a.t, err)
	a.finish(callback)
	return identityIn(callback)
}

// runs opens a browser session for an account and requires that it uses an identity.
func (a at) runs(connection, identityID string) {
	a.t.Helper()
	status, _, body, err := a.post(a.url("/api/run-automation"), form("connection", connection))
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, status, "%s", body)
	opened := a.fake.Sessions()
	last := opened[len(opened)-1]
	require.Contains(a.t, body, last.ID)
	require.Equal(a.t, []string{identityID}, last.IdentityIDs)
}

func TestAccountsOfOneUser(t *testing.T) {
	t.Parallel()
	fake := startedFake(t)
	secret := rand.Text()
	p := newProgram(t, fake, sqliteDatabase(t).url, "ANCHOR_WEBHOOK_SECRET="+secret)
	fake.SetWebhook("http://"+p.addr+webhookPath, secret)
	p.start()
	ada := visit(t, p, fake, "ada")
	identities := []string{ada.connect("label", "work"), ada.connect("label", `<b>"home"</b>`), ada.connect()}
	accounts := ada.accounts(p.addr)
	require.Len(t, accounts, 3)
	for i, c := range accounts {
		require.Equal(t, identities[i], c.IdentityID)
		ada.runs(c.ID, c.IdentityID)
	}

	// The dashboard shows each account with its forms.
	page := ada.page("/dashboard")
	require.NotContains(t, page, "<b>")
	for _, name := range []string{"work", "&lt;b&gt;&#34;home&#34;&lt;/b&gt;", "Mail account 3"} {
		require.Contains(t, page, "<bdi>"+name+"</bdi>")
		require.Contains(t, ada.page("/report"), "<bdi>"+name+"</bdi>")
	}
	for _, c := range accounts {
		require.Contains(t, page, c.IdentityID)
		require.Equal(t, 4, strings.Count(page, `name="connection" value="`+c.ID+`"`), "run, sign in again, rename, disconnect")
	}
	require.NotContains(t, page, "new-Mail", "there is no room for more")
	ada.refused(connect.ErrConnectionLimit, "/connect")

	// Signing in to one again leaves the others unchanged.
	again := ada.connect("connection", accounts[1].ID)
	require.NotEqual(t, identities[1], again)
	accounts[1].IdentityID = again
	require.Equal(t, accounts, ada.accounts(p.addr))
	ada.runs(accounts[1].ID, again)

	ada.send("/connect/label", "connection", accounts[2].ID, "label", " דואר ")
	accounts[2].Label = "דואר"
	require.Equal(t, accounts, ada.accounts(p.addr))
	require.Contains(t, ada.page("/dashboard"), "Mail “\u2068דואר\u2069” was renamed")

	// The sign-in of one fails; the others still work.
	require.NoError(t, fake.FailIdentity(t.Context(), accounts[0].IdentityID))
	require.NoError(t, fake.WaitDelivered(t.Context()))
	accounts[0].Health = "needs_sign_in"
	require.Equal(t, accounts, ada.accounts(p.addr))
	require.Equal(t, 1, strings.Count(ada.page("/dashboard"), ">Needs a new sign-in<"))
	ada.refused(connect.ErrNeedsSignIn, "/api/run-automation", "connection", accounts[0].ID)
	ada.runs(accounts[1].ID, accounts[1].IdentityID)

	ada.send("/disconnect", "connection", accounts[1].ID)
	require.Equal(t, []connected{accounts[0], accounts[2]}, ada.accounts(p.addr))
	_, there := fake.Identity(again)
	require.False(t, there)
	ada.refused(connect.ErrConnectionUnknown, "/api/run-automation", "connection", accounts[1].ID)
	require.Contains(t, ada.page("/dashboard"), "new-Mail", "there is room again")
}

func TestAccountsOfAnotherUserAreRefused(t *testing.T) {
	t.Parallel()
	fake := startedFake(t)
	p := newProgram(t, fake, sqliteDatabase(t).url)
	p.start()
	ada, mallory := visit(t, p, fake, "ada"), visit(t, p, fake, "mallory")
	ada.connect("label", "work")
	mallory.connect()
	hers := ada.accounts(p.addr)
	for _, path := range []string{"/api/run-automation", "/connect", "/connect/label", "/disconnect"} {
		mallory.refused(connect.ErrConnectionUnknown, path, "connection", hers[0].ID, "label", "mine")
	}
	require.Equal(t, hers, ada.accounts(p.addr))
	require.Empty(t, fake.Sessions())
	require.NotContains(t, mallory.page("/dashboard"), hers[0].ID)
}

// As htmx and connect.js do.
func TestAccountsFromAScript(t *testing.T) {
	t.Parallel()
	fake := startedFake(t)
	p := newProgram(t, fake, sqliteDatabase(t).url)
	p.start()
	ada := visit(t, p, fake, "ada")
	ada.connect("label", "work")
	ada.connect("label", "home")
	before := ada.accounts(p.addr)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ada.url("/connect"), strings.NewReader(form("connection", before[0].ID).Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("HX-Request", "true")
	res, err := ada.client.Do(request)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	callback, err := fake.Approve(t.Context(), res.Header.Get("HX-Redirect"))
	require.NoError(t, err)
	ada.finish(callback)

	status, _, body, err := read(ada.client.Post(ada.url("/connect"), "application/json",
		strings.NewReader(`{"popup": true, "connection": "`+before[1].ID+`", "label": "garden"}`)))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "%s", body)
	_, hosted, _ := strings.Cut(body, `"redirectUrl":"`)
	hosted, _, _ = strings.Cut(hosted, `"`)
	popup, err := fake.Approve(t.Context(), strings.ReplaceAll(hosted, `\u0026`, "&"))
	require.NoError(t, err)
	_, _, body, err = ada.get(popup)
	require.NoError(t, err)
	require.Contains(t, body, `data-outcome="connected"`)

	after := ada.accounts(p.addr)
	require.Equal(t, []string{identityIn(callback), identityIn(popup)}, []string{after[0].IdentityID, after[1].IdentityID})
	require.Equal(t, []string{before[0].ID, before[1].ID}, []string{after[0].ID, after[1].ID})
	require.Equal(t, []string{"work", "garden"}, []string{after[0].Label, after[1].Label})
}

const engines = "organisation:engines"

func TestOrganisationMembersShareItsAccounts(t *testing.T) {
	t.Parallel()
	fake := startedFake(t)
	p := newProgram(t, fake, sqliteDatabase(t).url)
	p.start()
	ada, grace := visit(t, p, fake, "ada"), visit(t, p, fake, "grace")
	ada.connect("label", "diary")
	for _, member := range []at{ada, grace} {
		require.Contains(t, member.page("/dashboard"), `aria-pressed="false">Analytical Engines Ltd`)
		member.send("/act-for", "organisation", engines)
		require.Contains(t, member.page("/dashboard"), `aria-pressed="true">Analytical Engines Ltd`)
	}
	orders := ada.connect("label", "orders")
	identity, err := fake.WaitTagged(t.Context(), orders)
	require.NoError(t, err)
	require.Equal(t, engines, identity.Metadata["externalUserId"])
	require.Equal(t, "ada", identity.Metadata["connectedBy"])
	require.Contains(t, ada.page("/connect"), "<strong>ada, Analytical Engines Ltd</strong>")

	// Grace sees it and uses it.
	accounts := grace.accounts(p.addr)
	require.Len(t, accounts, 1)
	require.Equal(t, "ada", accounts[0].ConnectedBy)
	page := grace.page("/dashboard")
	require.Contains(t, page, "<dt>Signed in by</dt><dd>ada</dd>")
	require.Contains(t, page, "Mail “\u2068orders\u2069” was connected by ada")
	require.NotContains(t, page, "diary")
	grace.runs(accounts[0].ID, orders)
	grace.send("/connect/label", "connection", accounts[0].ID, "label", "purchases")

	// She signs in to it again and disconnects it.
	renewed := grace.connect("connection", accounts[0].ID)
	require.Equal(t, []connected{{accounts[0].ID, "purchases", renewed, "ok", "grace"}}, ada.accounts(p.addr))
	ada.runs(accounts[0].ID, renewed)
	grace.send("/disconnect", "connection", accounts[0].ID)
	require.Empty(t, ada.accounts(p.addr))
	require.Contains(t, ada.page("/dashboard"), "was disconnected by grace")

	// Each member also has personal accounts.
	for _, member := range []at{ada, grace} {
		member.send("/act-for", "organisation", "")
	}
	require.Equal(t, "diary", ada.accounts(p.addr)[0].Label)
	require.Empty(t, grace.accounts(p.addr))
}

func TestOrganisationRefusesNonMembers(t *testing.T) {
	t.Parallel()
	fake := startedFake(t)
	p := newProgram(t, fake, sqliteDatabase(t).url)
	p.start()
	ada, mallory := visit(t, p, fake, "ada"), visit(t, p, fake, "mallory")
	ada.send("/act-for", "organisation", engines)
	ada.connect("label", "orders")
	require.NotContains(t, mallory.page("/dashboard"), "Whose accounts")
	for _, organisation := range []string{engines, "ada", "organisation:another"} {
		status, _, _, err := mallory.post(mallory.url("/act-for"), form("organisation", organisation))
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, status)
	}
	require.Empty(t, mallory.accounts(p.addr))
	status, _, _, err := newBrowser(t).post(mallory.url("/act-for"), form("organisation", engines))
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, status, "nobody is signed in")

	// In a session from when he was a member, he sees only his own accounts.
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, mallory.url("/"), nil)
	session := sessions.NewSession(sessions.NewCookieStore([]byte(strings.Repeat("s", 32))), sessionName)
	session.Options = &sessions.Options{Path: "/"}
	session.Values[userKey], session.Values[actsForKey] = "mallory", engines
	answer := httptest.NewRecorder()
	require.NoError(t, session.Save(request, answer))
	mallory.client.Jar.SetCookies(request.URL, answer.Result().Cookies())
	require.Contains(t, mallory.page("/dashboard"), "<span>mallory</span>")
	require.Empty(t, mallory.accounts(p.addr))

	// No user can have an organisation's ID or an empty name.
	for _, name := range []string{engines, "ada:", "0", " ", "\u200b"} {
		status, _, _, err := mallory.post(mallory.url("/login"), form("user", name))
		require.NoError(t, err)
		require.Equal(t, http.StatusUnprocessableEntity, status, "%q", name)
	}

	// The next user of the browser starts with their own accounts.
	ada.signIn(p.addr, "grace")
	require.Empty(t, ada.accounts(p.addr))
}

func TestOrganisationMemberCannotFinishAnothersFlow(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(t *testing.T, ada at) (finishes at, want error){
		"in another browser": func(t *testing.T, ada at) (at, error) {
			grace := visit(t, ada.p, ada.fake, "grace")
			grace.send("/act-for", "organisation", engines)
			return grace, connect.ErrNoStateCookie
		},
		"in the same browser": func(t *testing.T, ada at) (at, error) {
			ada.signIn(ada.p.addr, "grace")
			ada.send("/act-for", "organisation", engines)
			return ada, connect.ErrAnotherUser
		},
		"nor she for herself": func(t *testing.T, ada at) (at, error) {
			ada.send("/act-for", "organisation", "")
			return ada, connect.ErrAnotherUser
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := startedFake(t)
			p := newProgram(t, fake, sqliteDatabase(t).url)
			p.start()
			ada := visit(t, p, fake, "ada")
			ada.send("/act-for", "organisation", engines)
			before := ada.connect("label", "orders")
			accounts := ada.accounts(p.addr)
			for _, fields := range [][]string{nil, {"connection", accounts[0].ID}} {
				callback, err := fake.Approve(t.Context(), ada.begin(p.addr, fields...))
				require.NoError(t, err)
				other, want := then(t, ada)
				status, _, body, err := other.get(callback)
				require.NoError(t, err)
				other.explains(want, status, body)

				ada.signIn(p.addr, "ada")
				require.Empty(t, ada.accounts(p.addr))
				ada.send("/act-for", "organisation", engines)
				require.Equal(t, accounts, ada.accounts(p.addr))
			}
			ada.runs(accounts[0].ID, before)
		})
	}
}

// The built-in fake forgets everything at a restart; connections still work.
func TestAccountsAfterARestart(t *testing.T) {
	t.Parallel()
	p := newAlone(t)
	p.start()
	grace := at{browser: newBrowser(t), p: p}
	begin := func() {
		grace.signIn(p.addr, "grace")
		grace.send("/act-for", "organisation", engines)
	}
	begin()
	for _, label := range []string{"orders", "complaints"} {
		grace.approve(grace.begin(p.addr, "label", label))
	}
	accounts := grace.accounts(p.addr)
	p.kill()
	p.start()
	begin()
	require.Equal(t, accounts, grace.accounts(p.addr))
	for _, c := range accounts {
		status, _, body, err := grace.post(grace.url("/api/run-automation"), url.Values{"connection": {c.ID}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, "%s", body)
	}
}
