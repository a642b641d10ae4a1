package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestConnectIssuesNoTokenAtTheLimit(t *testing.T) {
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

func TestConnectByPopupAndHTMXChoosesAnAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connectWith("label", "work")
	c := s.connections("ada")[0]
	s.clock.advance(time.Minute)

	var flow popupFlow
	a := ada.asJSON().do(http.MethodPost, "/connect", "application/json", `{"popup":true,"connection":"`+c.ID+`"}`)
	require.NoError(t, json.Unmarshal([]byte(a.body), &flow))
	a = ada.get(s.approve(flow.RedirectURL))
	ada.ended(flow, "connected", a)
	<-a.over
	require.Len(t, s.connections("ada"), 1)
	require.Equal(t, c.ID, s.connections("ada")[0].ID)
	require.NotEqual(t, c.IdentityID, s.connections("ada")[0].IdentityID)

	hosted := ada.withHTMX("/settings").post("/connect", form("label", "home")).header.Get("HX-Redirect")
	s.finished(ada.get(s.approve(hosted)))
	require.Equal(t, []string{"work", "home"}, s.labels("ada"))
}

func TestConnectKeepsConnectionsBeyondALoweredLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	ada.connect()
	before := s.connections("ada")

	lowered := newSite(t, func(c *connect.Config) { c.Store = s.store })
	ada = lowered.signedIn("ada")
	require.Contains(t, ada.get("/connect").body, "Your connected accounts", "the page shows both")
	ada.refused(connect.ErrConnectionLimit, ada.post("/connect", nil))
	require.Empty(t, lowered.fake.Calls())
	require.Equal(t, before, s.connections("ada"))
	ada.connectWith("connection", before[1].ID)
	require.Len(t, s.connections("ada"), 2)
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", before[0].ID)).status)
	require.Len(t, s.connections("ada"), 1)
}

func TestConnectIssuesNoTokenWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, upTo(2), func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	store.set("Connections", errors.New("the disk is full"))
	ada.refused(connect.ErrStoreFailed, ada.post("/connect", nil))
	require.Empty(t, s.fake.Calls())
}

// Freshness is judged by the Date of the token's answer. A gateway with a slow clock would
// make older identities look fresh.
func TestConnectRefusesATokenDatedByASlowClock(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		slow time.Duration
		want int
	}{{0, http.StatusSeeOther}, {50 * time.Second, http.StatusSeeOther}, {2 * time.Minute, http.StatusBadGateway}, {44 * time.Minute, http.StatusBadGateway}} {
		s := newSite(t)
		ada := s.signedIn("ada")
		date := time.Now().Add(-test.slow).UTC().Format(http.TimeFormat)
		s.fake.Fault(anchortest.Fault{Method: "POST", Header: http.Header{"Date": {date}}})
		a := ada.post("/connect", nil)
		require.Equal(t, test.want, a.status, test.slow)
		if test.want == http.StatusBadGateway {
			require.Contains(t, s.log.String(), "gateway")
			require.Empty(t, a.header.Get("Set-Cookie"))
		}
	}
}

func TestCompareClocksLogsADifferenceNowAndThen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.SetNow(func() time.Time { return s.clock.now().Add(-3 * time.Minute) })
	ada := s.signedIn("ada")
	logged := func() int {
		return strings.Count(s.log.String(), `msg="connect: the app's clock and Anchor's differ" ahead=3m`)
	}
	for range 3 {
		ada.connect()
	}
	require.Equal(t, 1, logged())
	s.clock.advance(10 * time.Minute)
	ada.start()
	require.Equal(t, 2, logged())

	s = newSite(t)
	s.fake.SetNow(func() time.Time { return s.clock.now().Add(-110 * time.Second) })
	s.signedIn("ada").connect()
	require.NotContains(t, s.log.String(), "differ")
}

func TestConnectSendsTheUsersNameToTheHostedPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada & Søn <ada@example.com>"
			return u, err
		}
	})
	hosted, err := url.Parse(s.signedIn("ada").start())
	require.NoError(t, err)
	require.Equal(t, "Ada & Søn <ada@example.com>", hosted.Query().Get("userName"))
}

func TestConnectIssuesATokenForPOSTOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		a := ada.do(method, "/connect", "", "")
		require.Empty(t, a.header.Get("Set-Cookie"), method)
		if method != "GET" && method != "HEAD" {
			require.Equal(t, http.StatusMethodNotAllowed, a.status, method)
			require.Equal(t, "GET, HEAD, POST", a.header.Get("Allow"))
		}
	}
	// A POST is answered by the mux, which takes HEAD for a GET.
	for method, allow := range map[string]string{"HEAD": "GET", "POST": "GET, HEAD"} {
		a := ada.do(method, "/identity-callback/STATE?identityId=x", "", "")
		require.Equal(t, http.StatusMethodNotAllowed, a.status)
		require.Equal(t, allow, a.header.Get("Allow"))
	}
	require.Equal(t, http.StatusMethodNotAllowed, ada.get("/disconnect").status)
	require.Equal(t, http.StatusMethodNotAllowed, ada.post("/connect/status", nil).status)
	require.Empty(t, s.fake.Calls())
}

func TestConnectReadsAndAnswersJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.header.Set("Accept", "application/json")
	a := ada.do(http.MethodPost, "/connect", "application/json", `{"return_to":"/reports"}`)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var body struct {
		RedirectURL string `json:"redirectUrl"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body))
	require.Equal(t, "/reports", ada.get(s.approve(body.RedirectURL)).location)

	for name, body := range map[string]string{
		"no JSON": `{`, "another type": `{"return_to":7}`, "too large": `{"return_to":"/` + strings.Repeat("a", 20<<10) + `"}`,
	} {
		a := ada.do(http.MethodPost, "/connect", "application/json", body)
		require.Equal(t, http.StatusBadRequest, a.status, name)
		require.Contains(t, a.body, `"error":"bad_request"`, name)
	}
	a = ada.do(http.MethodPost, "/connect", "application/json", "")
	require.Equal(t, http.StatusOK, a.status, "a body is not needed")

	nobody := s.browser()
	nobody.header.Set("Accept", "application/json")
	a = nobody.do(http.MethodPost, "/connect", "application/json", "{}")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Contains(t, a.body, `"error":"not_signed_in"`)
}

// bindingStore records the flow that the handler binds.
type bindingStore struct {
	connect.Store
	bound connect.Pending
}

func (s *bindingStore) Bind(ctx context.Context, p connect.Pending, limit int) error {
	s.bound = p
	return s.Store.Bind(ctx, p, limit)
}

func TestConnectStoresOnlyTheHashOfTheToken(t *testing.T) {
	t.Parallel()
	store := &bindingStore{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	hosted, err := url.Parse(s.signedIn("ada").start())
	require.NoError(t, err)
	token := hosted.Query().Get("token")
	require.NotEmpty(t, token)
	require.NotEmpty(t, store.bound.TokenHash)
	require.NotContains(t, fmt.Sprintf("%#v", store.bound), token)
}

func TestConnectRefusesATokenThatHasExpired(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "POST", Header: http.Header{"Date": {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat)}}})
	a := ada.post("/connect", nil)
	ada.refused(connect.ErrUpstreamInvalid, a)
	require.Empty(t, a.header.Get("Set-Cookie"))
	require.Equal(t, "map[Connections:1]", store.count())
}

func TestConnectRefusesATokenThatLivesForDays(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "POST", Header: http.Header{"Date": {time.Now().Add(-48 * time.Hour).UTC().Format(http.TimeFormat)}}})
	ada.refused(connect.ErrUpstreamInvalid, ada.post("/connect", nil))
	require.Equal(t, "map[Connections:1]", store.count())
}

func TestConnectEndsTheOldestOfSixPendingFlows(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	// Each in a browser of its own, so that no cookie is removed.
	var browsers []*browser
	var callbacks []string
	for range 6 {
		b := s.signedIn("ada")
		browsers, callbacks = append(browsers, b), append(callbacks, s.approve(b.start()))
		s.clock.advance(time.Second)
	}
	graces := s.signedIn("grace")
	gracesCallback := s.approve(graces.start())
	elsewhere := s.approve(browsers[0].post("/connect/calendar", nil).location)

	browsers[0].refused(connect.ErrStateSpent, browsers[0].get(callbacks[0]))
	require.Equal(t, http.StatusSeeOther, browsers[1].get(callbacks[1]).status, "the other five are live")
	require.Equal(t, http.StatusSeeOther, graces.get(gracesCallback).status)
	require.Equal(t, http.StatusSeeOther, browsers[0].get(elsewhere).status, "another application has pending flows of its own")
}
