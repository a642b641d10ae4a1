package connect_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// upTo lets a user have so many connections.
func upTo(n int) func(*connect.Config) {
	return func(c *connect.Config) { c.MaxConnections = n }
}

// startWith begins a flow with these fields and returns the hosted page's address.
func (b *browser) startWith(fields ...string) string {
	b.site.t.Helper()
	a := b.post("/connect", form(fields...))
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	return a.location
}

// connectWith goes through a flow that begins with these fields, and returns the
// callback's address.
func (b *browser) connectWith(fields ...string) string {
	b.site.t.Helper()
	callback := b.site.approve(b.startWith(fields...))
	b.site.finished(b.get(callback))
	return callback
}

// form makes a form of names and values by turns.
func form(fields ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return values
}

// asJSON is the same browser when a script sends its requests.
func (b *browser) asJSON() *browser {
	script := *b
	script.header = http.Header{"Accept": {"application/json"}}
	return &script
}

// labels are the labels of a user's connections, in their order.
func (s *site) labels(user string) []string {
	var labels []string
	for _, c := range s.connections(user) {
		labels = append(labels, c.Label)
	}
	return labels
}

func TestAUserConnectsSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	work := identityIn(ada.connectWith("label", "  work "))
	s.clock.advance(time.Minute)
	home := identityIn(ada.connectWith("label", "home"))
	s.clock.advance(time.Minute)
	third := identityIn(ada.connect())

	connections := s.connections("ada")
	require.Equal(t, []string{"work", "home", ""}, s.labels("ada"))
	for i, id := range []string{work, home, third} {
		require.Equal(t, id, connections[i].IdentityID)
		require.Equal(t, "ada", s.tag(id), "each is tagged")
	}
	require.Len(t, map[string]bool{connections[0].ID: true, connections[1].ID: true, connections[2].ID: true}, 3)
	require.Zero(t, s.fake.CountCalls("DELETE", ""), "none replaces another")

	var status struct {
		Connected      bool   `json:"connected"`
		ConnectionID   string `json:"connectionId"`
		MaxConnections int    `json:"maxConnections"`
		Connections    []struct{ ID, Label, IdentityID, Health string }
	}
	require.NoError(t, json.Unmarshal([]byte(ada.get("/connect/status").body), &status))
	require.True(t, status.Connected)
	require.Equal(t, 3, status.MaxConnections)
	require.Equal(t, connections[0].ID, status.ConnectionID)
	require.Len(t, status.Connections, 3)
	require.Equal(t, struct{ ID, Label, IdentityID, Health string }{connections[1].ID, "home", home, "ok"}, status.Connections[1])
}

func TestAtTheLimitNoTokenIsIssued(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	ada.connect()
	s.fake.ForgetCalls()
	ada.refused(connect.ErrConnectionLimit, ada.post("/connect", nil))
	require.Empty(t, s.fake.Calls())
	require.Equal(t, http.StatusConflict, ada.asJSON().post("/connect", nil).status)
	require.Len(t, s.connections("ada"), 2)

	ada.connectWith("connection", s.connections("ada")[1].ID)
	require.Len(t, s.connections("ada"), 2, "signing in again is no further account")
	s.signedIn("grace").connect()
}

// Two tabs that add the last account there is room for: one of them comes too late,
// and its sign-in does not stay behind at Anchor.
func TestTwoTabsThatAddAtTheLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	one, other := s.approve(ada.start()), s.approve(ada.start())
	s.finished(ada.get(one))
	a := ada.get(other)
	ada.refused(connect.ErrConnectionLimit, a)
	<-a.over
	require.Len(t, s.connections("ada"), 2)
	_, there := s.fake.Identity(identityIn(other))
	require.False(t, there)
	_, there = s.fake.Identity(identityIn(one))
	require.True(t, there)
	ada.refused(connect.ErrStateSpent, ada.get(other))
}

func TestRacingReturnsNeverExceedTheLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	ada.connect()
	var callbacks []string
	for range 4 { // A browser keeps five state cookies.
		callbacks = append(callbacks, s.approve(ada.start()))
	}
	var wait sync.WaitGroup
	answers := make([]answer, len(callbacks))
	for i, callback := range callbacks {
		wait.Go(func() { answers[i], _ = ada.try(http.MethodGet, callback, "", "") })
	}
	wait.Wait()
	connected := map[string]bool{}
	for _, c := range s.connections("ada") {
		connected[c.IdentityID] = true
	}
	require.Len(t, connected, 3)
	for i, a := range answers {
		<-a.over
		_, there := s.fake.Identity(identityIn(callbacks[i]))
		switch a.status {
		case http.StatusSeeOther:
			require.True(t, connected[identityIn(callbacks[i])])
			require.True(t, there)
		default:
			ada.refused(connect.ErrConnectionLimit, a)
			require.False(t, there)
		}
	}
}

func TestSigningInAgainKeepsTheConnection(t *testing.T) {
	t.Parallel()
	h := newHook(t, upTo(3))
	ada := h.signedIn("ada")
	first := identityIn(ada.connectWith("label", "work"))
	ada.connectWith("label", "home")
	before := h.connections("ada")
	h.clock.advance(time.Hour)

	second := identityIn(ada.connectWith("connection", before[0].ID))
	after := h.connections("ada")
	require.Len(t, after, 2)
	require.Equal(t, before[1], after[1], "the other one is untouched")
	require.Equal(t, second, after[0].IdentityID)
	require.Equal(t, before[0].ID, after[0].ID)
	require.Equal(t, "work", after[0].Label)
	require.Equal(t, before[0].CreatedAt, after[0].CreatedAt)
	require.True(t, after[0].ConnectedAt.After(before[0].ConnectedAt))
	h.run()
	require.Eventually(t, func() bool { _, there := h.fake.Identity(first); return !there }, 5*time.Second, 10*time.Millisecond)
	e := h.told(connect.Connected, 3)[2]
	require.Equal(t, before[0].ID, e.ConnectionID)
	require.Equal(t, first, e.Replaced)
	require.Equal(t, "work", e.Label)

	ada.connectWith("connection", before[0].ID, "label", "day job")
	require.Equal(t, []string{"day job", "home"}, h.labels("ada"), "a label that is given is set")
}

// Whoever's id it is, and whether it is one at all: nothing tells, and nothing happens.
func TestAConnectionThatIsNotTheUsersIsUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2), withCalendar)
	ada, grace := s.signedIn("ada"), s.signedIn("grace")
	ada.connectWith("label", "mine")
	grace.connect()
	ada.connectTo("/connect/calendar")
	ended := identityIn(ada.connect())
	var endedID string
	for _, c := range s.connections("ada") {
		if c.IdentityID == ended {
			endedID = c.ID
		}
	}
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", endedID)).status)
	before, gracesBefore := s.connections("ada"), s.connections("grace")
	s.fake.ForgetCalls()

	var bodies []string
	for name, id := range map[string]string{
		"somebody else's":            gracesBefore[0].ID,
		"of another application":     s.connectionsIn(s.calendar, "ada")[0].ID,
		"one that has ended":         endedID,
		"of nobody":                  "aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"with a NUL byte":            "a\x00",
		"no UTF-8":                   "\xff",
		"too long":                   strings.Repeat("a", 3000),
		"with spaces around it":      " " + before[0].ID + " ",
		"in capital letters":         strings.ToUpper(before[0].ID),
		"an identity's":              before[0].IdentityID,
		"a part of one":              before[0].ID[:20],
		"with SQL's wild card in it": "%",
	} {
		for _, path := range []string{"/connect", "/connect/label", "/disconnect"} {
			a := ada.post(path, form("connection", id, "label", "x"))
			ada.refused(connect.ErrConnectionUnknown, a)
			require.Equal(t, http.StatusNotFound, a.status, "%s %s", name, path)
			a = ada.asJSON().post(path, form("connection", id, "label", "x"))
			require.Equal(t, http.StatusNotFound, a.status, "%s %s", name, path)
			require.Contains(t, a.body, `"connection_unknown"`)
			bodies = append(bodies, a.body)
			require.Equal(t, http.StatusNotFound, ada.withHTMX("/settings").post(path, form("connection", id)).status)
		}
	}
	for _, body := range bodies {
		require.Equal(t, bodies[0], body, "nothing tells one from another")
	}
	ada.refused(connect.ErrConnectionUnknown, ada.post("/connect/label", form("label", "x")))
	require.Empty(t, s.fake.Calls())
	require.Equal(t, before, s.connections("ada"))
	require.Equal(t, gracesBefore, s.connections("grace"))
}

func TestSigningInToAnotherOfOnesAccountsIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connectWith("label", "work")
	home := identityIn(ada.connectWith("label", "home"))
	before := s.connections("ada")
	a := ada.get(s.approve(ada.startWith("connection", before[0].ID), anchortest.WithExistingIdentity(home)))
	ada.refused(connect.ErrIdentityConnected, a)
	<-a.over
	require.Equal(t, before, s.connections("ada"))
	_, there := s.fake.Identity(home)
	require.True(t, there, "it is in use")
}

func TestAnAccountThatIsConnectedAlreadyIsNotAddedTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	work := identityIn(ada.connectWith("label", "work"))
	before := s.connections("ada")
	s.clock.advance(time.Minute)
	s.finished(ada.get(s.approve(ada.start(), anchortest.WithExistingIdentity(work))))
	after := s.connections("ada")
	require.Len(t, after, 1)
	require.Equal(t, before[0].ID, after[0].ID)
	require.True(t, after[0].ConnectedAt.After(before[0].ConnectedAt), "it was signed in to again")
}

func TestDisconnectingOneAccountLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	work := identityIn(ada.connectWith("label", "work"))
	ada.connectWith("label", "home")
	connections := s.connections("ada")
	renewsWork, renewsHome := s.approve(ada.startWith("connection", connections[0].ID)), s.approve(ada.startWith("connection", connections[1].ID))
	adds := s.approve(ada.start())

	a := ada.post("/disconnect", form("connection", connections[0].ID, "return_to", "/settings"))
	require.Equal(t, "/settings", a.location)
	require.Equal(t, []string{"home"}, s.labels("ada"))
	_, there := s.fake.Identity(work)
	require.False(t, there)

	ada.refused(connect.ErrStateSpent, ada.get(renewsWork))
	require.Equal(t, []string{"home"}, s.labels("ada"), "it does not come back")
	s.finished(ada.get(renewsHome))
	s.finished(ada.get(adds))
	require.Equal(t, []string{"home", ""}, s.labels("ada"))

	a = ada.asJSON().post("/disconnect", form("connection", connections[1].ID))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"connected":true`, "one is left")
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)
	require.Empty(t, s.connections("ada"), "without an id all of them end")
	ada.refused(connect.ErrStateSpent, ada.get(adds))
}

// With one account, its id ends all that the same request without it ends.
func TestDisconnectingTheOnlyAccountByItsIDEndsEveryFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.connect()
	open := s.approve(ada.start())
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", s.connection("ada").ID)).status)
	ada.refused(connect.ErrStateSpent, ada.get(open))
	require.Empty(t, s.connections("ada"))
}

// The flow has proved everything when the connection that it renews ends.
func TestAConnectionThatEndsWhileItIsRenewedStaysEnded(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, upTo(2), func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	ada.connect()
	c := s.connections("ada")[0]
	callback := s.approve(ada.startWith("connection", c.ID))
	store.pause = func(connect.Connection) {
		require.NoError(t, s.handler.Application("").DisconnectByID(t.Context(), "ada", c.ID))
	}
	ada.refused(connect.ErrStateSpent, ada.get(callback))
	require.Empty(t, s.connections("ada"))
}

func TestALabelIsATextOnOneLine(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	ada.connect()
	c := s.connections("ada")[0]
	good := map[string]string{
		"work":                          "work",
		"  \u00a0 trimmed\t\n":          "trimmed",
		"":                              "",
		strings.Repeat("🍣", 100):        strings.Repeat("🍣", 100),
		"بريد العمل":                    "بريد العمل",
		`<b>"&'`:                        `<b>"&'`,
		"e\u0301 stays decomposed":      "e\u0301 stays decomposed",
		"  " + strings.Repeat("a", 100): strings.Repeat("a", 100),
	}
	for label, want := range good {
		a := ada.post("/connect/label", form("connection", c.ID, "label", label, "return_to", "/settings"))
		require.Equal(t, "/settings", a.location, label)
		require.Equal(t, []string{want}, s.labels("ada"))
	}
	for name, label := range map[string]string{
		"101 characters": strings.Repeat("🍣", 101), "a line break": "a\nb", "a NUL byte": "a\x00b",
		"an escape": "a\x1b[31m", "no UTF-8": "a\xff", "a line separator": "a\u2028b", "a C1 control": "a\u0085b",
	} {
		before := s.connections("ada")
		for _, a := range []answer{
			ada.post("/connect/label", form("connection", c.ID, "label", label)),
			ada.post("/connect", form("connection", c.ID, "label", label)),
			ada.post("/connect", form("label", label)),
		} {
			ada.refused(connect.ErrBadLabel, a)
		}
		require.Equal(t, before, s.connections("ada"), name)
	}
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "ada", c.ID, "a\nb"), connect.ErrBadLabel)
	require.NoError(t, s.handler.Application("").SetLabel(t.Context(), "ada", c.ID, " by the app "))
	require.Equal(t, []string{"by the app"}, s.labels("ada"))
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "grace", c.ID, "hers"), connect.ErrConnectionUnknown)
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "ada", "", "hers"), connect.ErrConnectionUnknown)

	a := ada.asJSON().do(http.MethodPost, "/connect/label", "application/json", `{"connection":"`+c.ID+`","label":"by JSON"}`)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"label":"by JSON"`)
	ada.sent("/connect", ada.withHTMX("/settings").post("/connect/label", form("connection", c.ID, "label", "by htmx")))
	require.Equal(t, []string{"by htmx"}, s.labels("ada"))
}

func TestTheAppIsToldOfALabel(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	ada := h.signedIn("ada")
	ada.connect()
	c := h.connection("ada")
	ada.post("/connect/label", form("connection", c.ID, "label", "work"))
	e := h.told(connect.Renamed, 1)[0]
	require.Equal(t, "work", e.Label)
	require.Equal(t, c.ID, e.ConnectionID)
	require.Equal(t, "ada", e.UserID)
}

func TestARouteIsGuardedByTheConnectionsThatWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	var got connect.Connection
	var all []connect.Connection
	s.mux.Handle("GET /inbox", s.handler.RequireIdentity(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = connect.FromContext(r.Context())
		all = connect.AllFromContext(r.Context())
	})))
	ada := s.signedIn("ada")
	first := identityIn(ada.connectWith("label", "first"))
	s.clock.advance(time.Minute)
	second := identityIn(ada.connectWith("label", "second"))
	require.Equal(t, http.StatusOK, ada.get("/inbox").status)
	require.Equal(t, "first", got.Label)
	require.Len(t, all, 2)

	fail := func(identityID string) {
		_, _, err := s.store.SetHealth(t.Context(), identityID, connect.HealthNeedsSignIn, s.clock.now().Add(time.Hour))
		require.NoError(t, err)
	}
	fail(first)
	require.Equal(t, http.StatusOK, ada.get("/inbox").status)
	require.Equal(t, "second", got.Label, "the oldest that works")
	require.Equal(t, "first", all[0].Label)
	fail(second)
	require.Equal(t, "/connect?return_to=%2Finbox", ada.get("/inbox").location)
	require.Contains(t, ada.asJSON().get("/inbox").body, `"needs_sign_in"`)
}

func TestABrowserSessionOfOneOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	a := s.handler.Application("")
	_, err := s.handler.NewSession(t.Context(), "ada")
	require.NoError(t, err, "with one account it is clear which")
	home := identityIn(ada.connectWith("label", "home"))
	_, err = s.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrWhichConnection, "the wrong account is never guessed")
	require.Equal(t, http.StatusConflict, connect.Explain(err).Status)

	c := s.connections("ada")[1]
	_, err = a.NewSessionByID(t.Context(), "ada", c.ID)
	require.NoError(t, err)
	sessions := s.fake.Sessions()
	require.Equal(t, []string{home}, sessions[len(sessions)-1].IdentityIDs)
	_, err = a.NewSessionByID(t.Context(), "grace", c.ID)
	require.ErrorIs(t, err, connect.ErrConnectionUnknown)
	_, err = a.NewSessionByID(t.Context(), "ada", "")
	require.ErrorIs(t, err, connect.ErrConnectionUnknown)
	found, err := a.ConnectionByID(t.Context(), "ada", c.ID)
	require.NoError(t, err)
	require.Equal(t, c, found)
	require.ErrorIs(t, a.DisconnectByID(t.Context(), "grace", c.ID), connect.ErrConnectionUnknown)
	require.ErrorIs(t, a.DisconnectByID(t.Context(), "ada", ""), connect.ErrConnectionUnknown, "none is not all")
	require.Len(t, s.connections("ada"), 2)

	_, _, err = s.store.SetHealth(t.Context(), home, connect.HealthNeedsSignIn, s.clock.now().Add(time.Hour))
	require.NoError(t, err)
	_, err = a.NewSessionByID(t.Context(), "ada", c.ID)
	require.ErrorIs(t, err, connect.ErrNeedsSignIn)
}

func TestAPopupAndHTMXStartForOneOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connectWith("label", "work")
	c := s.connections("ada")[0]
	s.clock.advance(time.Minute)

	var start popupStart
	a := ada.asJSON().do(http.MethodPost, "/connect", "application/json", `{"popup":true,"connection":"`+c.ID+`"}`)
	require.NoError(t, json.Unmarshal([]byte(a.body), &start))
	a = ada.get(s.approve(start.RedirectURL))
	ada.ended(start, "connected", a)
	<-a.over
	require.Len(t, s.connections("ada"), 1)
	require.Equal(t, c.ID, s.connections("ada")[0].ID)
	require.NotEqual(t, c.IdentityID, s.connections("ada")[0].IdentityID)

	hosted := ada.withHTMX("/settings").post("/connect", form("label", "home")).header.Get("HX-Redirect")
	s.finished(ada.get(s.approve(hosted)))
	require.Equal(t, []string{"work", "home"}, s.labels("ada"))
}

func TestALimitThatWasLoweredEndsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	ada.connect()
	before := s.connections("ada")

	lowered := newSite(t, func(c *connect.Config) { c.Store = s.store })
	ada = lowered.signedIn("ada")
	require.Contains(t, ada.get("/connect").body, "Your connected accounts", "both are shown")
	ada.refused(connect.ErrConnectionLimit, ada.post("/connect", nil))
	require.Empty(t, lowered.fake.Calls())
	require.Equal(t, before, s.connections("ada"))
	ada.connectWith("connection", before[1].ID)
	require.Len(t, s.connections("ada"), 2)
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", before[0].ID)).status)
	require.Len(t, s.connections("ada"), 1)
}

func TestTheConnectPageShowsEveryAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	page := ada.get("/connect").body
	require.Contains(t, page, "<h1>Connect your account</h1>")
	ada.connectWith("label", `<script>alert("ada")</script>`)
	s.clock.advance(time.Minute)
	dead := identityIn(ada.connect())
	_, _, err := s.store.SetHealth(t.Context(), dead, connect.HealthNeedsSignIn, s.clock.now().Add(time.Hour))
	require.NoError(t, err)

	page = ada.get("/connect?return_to=/reports").body
	require.NotContains(t, page, "<script")
	require.Contains(t, page, "<bdi>&lt;script&gt;")
	require.Contains(t, page, "<bdi>Account 2</bdi>")
	require.Contains(t, page, "Needs a new sign-in")
	require.Contains(t, page, s.clock.now().UTC().Format("2 January 2006"))
	for _, c := range s.connections("ada") {
		require.Equal(t, 3, strings.Count(page, `name="connection" value="`+c.ID+`"`), "sign in again, rename, disconnect")
		require.NotContains(t, page, c.IdentityID)
	}
	require.Contains(t, page, `name="return_to" value="/connect?return_to=%2Freports"`, "renaming leads back here")
	require.Contains(t, page, `name="return_to" value="/reports"`)
	require.NotContains(t, page, "Connect another", "there is no room for more")
	ada.post("/disconnect", form("connection", s.connections("ada")[1].ID))
	require.Contains(t, ada.get("/connect").body, "Connect another account")
}

func TestSeveralAccountsNeedACallbackAddressOfTheirOwn(t *testing.T) {
	t.Parallel()
	_, err := connect.New(connect.Config{FixedCallbackURL: true, MaxConnections: 2})
	require.ErrorContains(t, err, "MaxConnections is 2 with FixedCallbackURL")
	for _, n := range []int{-1, 101} {
		_, err = connect.New(connect.Config{MaxConnections: n})
		require.ErrorContains(t, err, "Config.MaxConnections is")
	}
}

func TestAStoreThatFailsStartsNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, upTo(2), func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	store.set("Connections", errors.New("the disk is full"))
	ada.refused(connect.ErrStoreFailed, ada.post("/connect", nil))
	require.Empty(t, s.fake.Calls())
}

func TestAReloadDoesNotCallAnEndedConnectionConnected(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	callback := ada.connect()
	require.NoError(t, s.handler.Application("").DisconnectByID(t.Context(), "ada", s.connections("ada")[0].ID))
	ada.refused(connect.ErrStateSpent, ada.get(callback))
}
