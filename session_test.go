package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

func TestNewSessionByIDOpensOneOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	ada.connect()
	a := s.handler.Application("")
	_, err := s.handler.NewSession(t.Context(), "ada")
	require.NoError(t, err, "with one account there is no choice")
	home := identityIn(ada.connectWith("label", "home"))
	_, err = s.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrWhichConnection, "no account is guessed")
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

func TestNewSessionUsesTheUsersIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	callback := s.signedIn("ada").connect()
	s.signedIn("grace").connect()

	session, err := s.handler.NewSession(t.Context(), "ada")
	require.NoError(t, err)
	require.Len(t, s.fake.Sessions(), 1)
	opened := s.fake.Sessions()[0]
	require.Equal(t, opened.ID, session.ID)
	require.NotEmpty(t, session.CDPURL)
	require.Equal(t, []string{identityIn(callback)}, opened.IdentityIDs)
	require.JSONEq(t, fmt.Sprintf(`{
		"identities": [{"id": %q}],
		"session": {"proxy": {"active": true}},
		"browser": {"captcha_solver": {"active": true}, "extra_stealth": {"active": true}}
	}`, identityIn(callback)), string(opened.Configuration), "the settings that Anchor recommends")

	_, err = s.handler.NewSession(t.Context(), "ada",
		func(r *anchorhttp.SessionRequest) { r.Session.InitialURL = "https://example.com/inbox" },
		func(r *anchorhttp.SessionRequest) { r.Browser.ExtraStealth = nil })
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{
		"identities": [{"id": %q}],
		"session": {"proxy": {"active": true}, "initial_url": "https://example.com/inbox"},
		"browser": {"captcha_solver": {"active": true}}
	}`, identityIn(callback)), string(s.fake.Sessions()[1].Configuration))
}

func TestNewSessionReturnsAnErrorForEachReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		user    string
		arrange func(s *site, identityID string)
		want    error
		calls   int
	}{
		{name: "a user without a connection", user: "eve", want: connect.ErrNotConnected},
		{name: "a sign-in that does not work any more", user: "ada", arrange: func(s *site, id string) {
			_, _, err := s.store.SetHealth(context.Background(), id, connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
			require.NoError(s.t, err)
		}, want: connect.ErrNeedsSignIn},
		{name: "an identity that is gone at Anchor", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 404})
		}, want: connect.ErrNeedsSignIn, calls: 1},
		{name: "no credit", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 402})
		}, want: connect.ErrNoCredit, calls: 1},
		{name: "too many calls", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 429, Header: http.Header{"Retry-After": {"90"}}})
		}, want: connect.ErrRateLimited, calls: 1},
		{name: "Anchor is down", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 503})
		}, want: connect.ErrUpstreamUnavailable, calls: 1},
		{name: "a request that Anchor does not take", user: "ada", arrange: func(s *site, id string) {
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Status: 400})
		}, want: connect.ErrUpstreamInvalid, calls: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			callback := s.signedIn("ada").connect()
			if test.arrange != nil {
				test.arrange(s, identityIn(callback))
			}
			s.fake.ForgetCalls()
			_, err := s.handler.NewSession(t.Context(), test.user)
			require.ErrorIs(t, err, test.want)
			require.Len(t, s.fake.Calls(), test.calls)
			require.Equal(t, "/connect", connect.Explain(err).ConnectURL)
			var limit *connect.RateLimitError
			if errors.As(err, &limit) {
				require.Equal(t, 90*time.Second, limit.RetryAfter)
			}
			require.Equal(t, errors.Is(test.want, connect.ErrRateLimited), limit != nil)
		})
	}
	t.Run("a store that failed", func(t *testing.T) {
		t.Parallel()
		store := newCountingStore()
		s := newSite(t, func(c *connect.Config) { c.Store = store })
		store.set("Connections", errors.New("the disk is full"))
		_, err := s.handler.NewSession(t.Context(), "ada")
		require.ErrorIs(t, err, connect.ErrStoreFailed)
	})
}

// The identity is deleted or stops working at Anchor, and the next session finds out,
// without a webhook.
func TestNewSessionLearnsThatASignInIsDead(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(s *site, identityID string){
		"the identity is gone, 400": func(s *site, id string) { s.remove(id) },
		"the identity is gone, 404": func(s *site, id string) { s.remove(id); s.fake.SetGoneStatus(404) },
		"the identity is gone, 422": func(s *site, id string) { s.remove(id); s.fake.SetGoneStatus(422) },
		"the sign-in failed":        func(s *site, id string) { s.fake.KillSignIn(id) },
		"no credentials":            func(s *site, id string) { s.fake.RefuseSessionsOf(id, anchortest.RefuseNoCredentials) },
		"the profile is not authenticated": func(s *site, id string) {
			s.fake.RefuseSessionsOf(id, anchortest.RefuseNotAuthenticated)
		},
		"without a date": func(s *site, id string) {
			s.remove(id)
			s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/sessions", Header: http.Header{"Date": nil}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			h.mux.Handle("GET /inbox", h.handler.RequireIdentity(http.NotFoundHandler()))
			ada := h.signedIn("ada")
			id := identityIn(ada.connect())
			_, err := h.handler.NewSession(t.Context(), "ada")
			require.NoError(t, err)
			require.NotEmpty(t, h.waitForEvents(connect.SessionOpened, 1)[0].SessionID)

			die(h.site, id)
			_, err = h.handler.NewSession(t.Context(), "ada")
			require.ErrorIs(t, err, connect.ErrNeedsSignIn)
			require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
			e := h.waitForEvents(connect.HealthChanged, 1)[0]
			require.Equal(t, connect.HealthNeedsSignIn, e.Health)
			require.Equal(t, h.connection("ada").ID, e.ConnectionID)
			require.ErrorIs(t, h.waitForEvents(connect.SessionRefused, 1)[0].Reason, connect.ErrNeedsSignIn)
			require.Contains(t, ada.get("/connect/status").body, `"health":"needs_sign_in"`)
			require.Equal(t, "/connect?return_to=%2Finbox", ada.get("/inbox").location)
			require.Contains(t, ada.get("/connect").body, "Sign in to your account again")

			calls := len(h.fake.Calls())
			_, err = h.handler.NewSession(t.Context(), "ada")
			require.ErrorIs(t, err, connect.ErrNeedsSignIn)
			require.Len(t, h.fake.Calls(), calls, "no further call is made")
			h.fake.ClearFaults()
			ada.connect()
			require.Equal(t, connect.HealthOK, h.connection("ada").Health)
		})
	}
}

func TestNewSessionRefusedForAnotherReasonKeepsTheHealth(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]anchortest.Fault{
		"a bad request":       {Status: 400, Body: `{"error":{"code":400,"message":"captcha_solver needs the proxy"}}`},
		"no credit":           {Status: 402},
		"a refused key":       {Status: 401},
		"too many calls":      {Status: 429},
		"Anchor is down":      {Status: 503},
		"a gateway's own 404": {Status: 404, Body: "<html>no such host</html>", Header: http.Header{"Content-Type": {"text/html"}}},
		"no answer":           {Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			h.signedIn("ada").connect()
			fault.Method, fault.Path = "POST", "/v1/sessions"
			h.fake.Fault(fault)
			_, err := h.handler.NewSession(t.Context(), "ada")
			require.Error(t, err)
			require.NotErrorIs(t, err, connect.ErrNeedsSignIn)
			require.Equal(t, connect.HealthOK, h.connection("ada").Health)
			require.Equal(t, err.Error(), h.waitForEvents(connect.SessionRefused, 1)[0].Reason.Error())
			h.waitForEvents(connect.HealthChanged, 0)
		})
	}
}

// The user signs in again while a session of the old sign-in is being refused.
func TestNewSessionRefusedDoesNotUndoANewSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	id := identityIn(ada.connect())
	s.fake.KillSignIn(id)
	hold := s.fake.HoldAnswer("POST", "/v1/sessions")
	refused := make(chan error, 1)
	go func() {
		_, err := s.handler.NewSession(context.Background(), "ada")
		refused <- err
	}()
	require.NoError(t, hold.Wait(t.Context(), 1))
	s.clock.advance(time.Minute)
	s.finished(ada.get(s.approve(ada.start(), anchortest.WithExistingIdentity(id))))
	hold.Release()
	require.ErrorIs(t, <-refused, connect.ErrNeedsSignIn)
	require.Equal(t, connect.HealthOK, s.connection("ada").Health)
}
