package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// With nothing but our own pieces: the identity goes away at Anchor, and the first
// session tells.
func TestASessionThatIsRefusedTellsThatTheSignInIsDead(t *testing.T) {
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
			require.NotEmpty(t, h.told(connect.SessionOpened, 1)[0].SessionID)

			die(h.site, id)
			_, err = h.handler.NewSession(t.Context(), "ada")
			require.ErrorIs(t, err, connect.ErrNeedsSignIn)
			require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
			e := h.told(connect.HealthChanged, 1)[0]
			require.Equal(t, connect.HealthNeedsSignIn, e.Health)
			require.Equal(t, h.connection("ada").ID, e.ConnectionID)
			require.ErrorIs(t, h.told(connect.SessionRefused, 1)[0].Reason, connect.ErrNeedsSignIn)
			require.Contains(t, ada.get("/connect/status").body, `"health":"needs_sign_in"`)
			require.Equal(t, "/connect?return_to=%2Finbox", ada.get("/inbox").location)
			require.Contains(t, ada.get("/connect").body, "Sign in to your account again")

			calls := len(h.fake.Calls())
			_, err = h.handler.NewSession(t.Context(), "ada")
			require.ErrorIs(t, err, connect.ErrNeedsSignIn)
			require.Len(t, h.fake.Calls(), calls, "it is not tried again")
			h.fake.ClearFaults()
			ada.connect()
			require.Equal(t, connect.HealthOK, h.connection("ada").Health)
		})
	}
}

// remove deletes an identity at Anchor, behind the app's back.
func (s *site) remove(identityID string) {
	require.NoError(s.t, s.fake.Client().DeleteIdentity(context.Background(), identityID))
}

func TestASessionThatIsRefusedForAnotherReasonSaysNothingAboutTheSignIn(t *testing.T) {
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
			require.Equal(t, err.Error(), h.told(connect.SessionRefused, 1)[0].Reason.Error())
			h.told(connect.HealthChanged, 0)
		})
	}
}

// The user signs in again while a session of the old sign-in is being refused.
func TestARefusedSessionDoesNotUndoANewSignIn(t *testing.T) {
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

func TestACheckReadsTheStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange func(s *site, identityID string)
		before  connect.Health
		want    connect.Health
	}{
		"nothing has happened":     {func(*site, string) {}, connect.HealthOK, connect.HealthOK},
		"the identity is gone":     {func(s *site, id string) { s.remove(id) }, connect.HealthOK, connect.HealthNeedsSignIn},
		"it failed":                {func(s *site, id string) { s.fake.SetStatus(id, "failed") }, connect.HealthOK, connect.HealthNeedsSignIn},
		"it failed for an agent":   {func(s *site, id string) { s.fake.SetStatus(id, "agent_invalid") }, connect.HealthOK, connect.HealthNeedsSignIn},
		"a word that nobody knows": {func(s *site, id string) { s.fake.SetStatus(id, "dormant") }, connect.HealthOK, connect.HealthOK},
		"it works again": {func(s *site, id string) {
			s.clock.advance(time.Hour)
			require.NoError(s.t, s.fake.Reauthenticate(context.Background(), id))
		}, connect.HealthNeedsSignIn, connect.HealthNeedsSignIn}, // A status may move for another reason.
		"nobody has noticed yet": {func(*site, string) {}, connect.HealthNeedsSignIn, connect.HealthNeedsSignIn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			id := identityIn(h.signedIn("ada").connect())
			if test.before == connect.HealthNeedsSignIn {
				h.clock.advance(time.Minute)
				_, _, err := h.store.SetHealth(t.Context(), id, connect.HealthNeedsSignIn, h.clock.now())
				require.NoError(t, err)
			}
			test.arrange(h.site, id)
			h.fake.ForgetCalls()
			c, err := h.handler.Check(t.Context(), h.connection("ada"), connect.CheckStatus)
			require.NoError(t, err)
			require.Equal(t, test.want, c.Health)
			require.Equal(t, h.connection("ada"), c)
			require.Len(t, h.fake.Calls(), 1)
			changes := 0
			if test.before != test.want {
				changes = 1
			}
			h.told(connect.HealthChanged, changes)
		})
	}
}

func TestACheckHasAnchorSignInAgain(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]connect.Health{
		0: connect.HealthOK, 412: connect.HealthNeedsSignIn, 422: connect.HealthNeedsSignIn,
	} {
		for _, before := range []connect.Health{connect.HealthOK, connect.HealthNeedsSignIn} {
			t.Run(fmt.Sprint(status, before), func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				id := identityIn(s.signedIn("ada").connect())
				if before == connect.HealthNeedsSignIn {
					s.fake.KillSignIn(id)
					_, err := s.handler.NewSession(t.Context(), "ada")
					require.ErrorIs(t, err, connect.ErrNeedsSignIn)
				}
				if status != 0 {
					s.fake.RefuseReauthenticationOf(id, status)
				}
				c, err := s.handler.Check(t.Context(), s.connection("ada"), connect.CheckSignIn)
				require.NoError(t, err)
				require.Equal(t, want, c.Health)
				require.Equal(t, c, s.connection("ada"))
				if want == connect.HealthOK {
					_, err = s.handler.NewSession(t.Context(), "ada")
					require.NoError(t, err)
				}
			})
		}
	}
}

func TestACheckThatFailsSaysNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := identityIn(s.signedIn("ada").connect())
	c := s.connection("ada")
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503, Times: 1})
	_, err := s.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrUpstreamUnavailable)
	s.fake.Fault(anchortest.Fault{Method: "POST", Path: "/v1/identities/", Status: 503, Times: 1})
	_, err = s.handler.Check(t.Context(), c, connect.CheckSignIn)
	require.ErrorIs(t, err, connect.ErrUpstreamUnavailable)
	_, err = s.handler.Check(t.Context(), c, "thoroughly")
	require.ErrorContains(t, err, "thoroughly")
	require.Equal(t, c, s.connection("ada"))

	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	_, err = s.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrNotConnected, "it has ended meanwhile")
	_, there := s.fake.Identity(id)
	require.False(t, there)
}

func TestConnectionsAreListed(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	want := map[string]bool{}
	for i := range 450 { // Three pages.
		user := fmt.Sprint("user", i)
		s.owed(user, fmt.Sprintf("22222222-2222-4222-8222-%012d", i))
		want[s.connection(user).ID] = true
	}
	sick := s.connection("user7")
	_, _, err := s.store.SetHealth(t.Context(), sick.IdentityID, connect.HealthNeedsSignIn, time.Now())
	require.NoError(t, err)
	a := s.handler.Application("")
	var last string
	n := 0
	for c, err := range a.List(t.Context(), connect.ListOptions{}) {
		require.NoError(t, err)
		require.True(t, want[c.ID])
		delete(want, c.ID)
		require.Greater(t, c.ID, last)
		last = c.ID
		if n++; n == 200 {
			break // And go on from there.
		}
	}
	for c, err := range a.List(t.Context(), connect.ListOptions{After: last}) {
		require.NoError(t, err)
		require.True(t, want[c.ID])
		delete(want, c.ID)
	}
	require.Empty(t, want)
	for c, err := range a.List(t.Context(), connect.ListOptions{Health: connect.HealthNeedsSignIn}) {
		require.NoError(t, err)
		require.Equal(t, sick.ID, c.ID)
	}
	for range s.handler.Application("calendar").List(t.Context(), connect.ListOptions{}) {
		require.Fail(t, "another application has none")
	}
	for _, err := range a.List(t.Context(), connect.ListOptions{Health: "odd"}) {
		require.ErrorIs(t, err, connect.ErrStoreFailed)
	}

	bare := newSite(t, func(c *connect.Config) { c.Store = struct{ connect.Store }{connect.NewMemoryStore()} })
	for _, err := range bare.handler.Application("").List(t.Context(), connect.ListOptions{}) {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}

func TestAMappingOfTheAppsOwnIsAdopted(t *testing.T) {
	t.Parallel()
	h := newHook(t, upTo(2))
	a := h.handler.Application("")
	old := h.fake.PutIdentity(anchortest.Identity{CreatedAt: h.clock.now().AddDate(-1, 0, 0), Metadata: map[string]any{"plan": "pro"}})
	c, err := a.Adopt(t.Context(), connect.User{ID: "ada", Name: "Ada", Actor: "bea"}, strings.ToUpper(old.ID), " work ")
	require.NoError(t, err)
	require.Equal(t, h.connection("ada"), c)
	require.Equal(t, old.ID, c.IdentityID)
	require.Equal(t, "bea", c.ActorID)
	require.Equal(t, "work", c.Label)
	require.True(t, c.HealthAt.Equal(old.UpdatedAt), "what happens at Anchor from then on is news")
	require.Equal(t, "ada", h.tag(old.ID))
	identity, _ := h.fake.Identity(old.ID)
	require.Equal(t, "pro", identity.Metadata["plan"])
	e := h.told(connect.Connected, 1)[0]
	require.Equal(t, c.ID, e.ConnectionID)
	require.Equal(t, "bea", e.ActorID)

	h.fake.ForgetCalls()
	again, err := a.Adopt(t.Context(), connect.User{ID: "ada"}, old.ID, "other")
	require.NoError(t, err)
	require.Equal(t, c, again, "twice is fine, and changes nothing")
	require.Empty(t, h.fake.Calls())

	// What is there stays, even if only the store knows it.
	identity.Metadata = nil
	h.fake.PutIdentity(identity)
	for name, test := range map[string]struct {
		user  connect.User
		id    string
		label string
		want  error
	}{
		"somebody else's in the store": {connect.User{ID: "grace"}, old.ID, "", connect.ErrIdentityTaken},
		"somebody else's by its mark":  {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "eve"}}).ID, "", connect.ErrIdentityTaken},
		"of another application":       {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{ApplicationID: h.calendar}).ID, "", connect.ErrWrongApplication},
		"unknown":                      {connect.User{ID: "grace"}, "99999999-9999-4999-8999-999999999999", "", connect.ErrIdentityNotFound},
		"no id":                        {connect.User{ID: "grace"}, "x", "", connect.ErrBadIdentityID},
		"failed":                       {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{Status: anchortest.StatusFailed}).ID, "", connect.ErrIdentityFailed},
		"nobody's":                     {connect.User{ID: "0"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "", connect.ErrNotSignedIn},
		"with a label of two lines":    {connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "a\nb", connect.ErrBadLabel},
	} {
		_, err := a.Adopt(t.Context(), test.user, test.id, test.label)
		require.ErrorIs(t, err, test.want, name)
	}
	require.Empty(t, h.connections("grace"))
	left, err := h.store.ApplicationsOf(t.Context(), "grace")
	require.NoError(t, err)
	require.Empty(t, left, "no flow is left open")

	for range 2 {
		_, err = a.Adopt(t.Context(), connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "")
		require.NoError(t, err)
	}
	_, err = a.Adopt(t.Context(), connect.User{ID: "grace"}, h.fake.PutIdentity(anchortest.Identity{}).ID, "")
	require.ErrorIs(t, err, connect.ErrConnectionLimit, "it replaces none")
	require.Len(t, h.connections("grace"), 2)
}

func TestAMappingOfAnUnknownDateIsAdopted(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	identity := h.fake.PutIdentity(anchortest.Identity{UpdatedAt: time.Time{}.Add(time.Millisecond)})
	c, err := h.handler.Application("").Adopt(t.Context(), connect.User{ID: "ada"}, identity.ID, "")
	require.NoError(t, err)
	require.Equal(t, time.Unix(0, 0).UTC(), c.HealthAt.UTC(), "no store need keep an earlier moment")
}

// A flow that is under way when a mapping is adopted goes on.
func TestAnAdoptionEndsNoFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	var callbacks []string
	for range 5 {
		callbacks = append(callbacks, s.approve(ada.start()))
	}
	_, err := s.handler.Application("").Adopt(t.Context(), connect.User{ID: "ada"}, s.fake.PutIdentity(anchortest.Identity{}).ID, "")
	require.NoError(t, err)
	s.finished(ada.get(callbacks[0]))
}

func TestVerifyNamesEachProblemAndItsRemedy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []func(*connect.Config)
		arrange func(s *site)
		want    []string // empty: nothing is wrong
	}{
		"nothing is wrong": {},
		"a wrong key": {arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Status: 401})
		}, want: []string{"does not accept the API key (401)", "ANCHORBROWSER_API_KEY"}},
		"an application that does not exist": {options: []func(*connect.Config){func(c *connect.Config) {
			c.ApplicationID = "99999999-9999-4999-8999-999999999999"
		}}, want: []string{"no application 99999999-9999-4999-8999-999999999999 under this API key", "copy the id"}},
		"one of several that is another project's": {options: []func(*connect.Config){withCalendar}, arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications/" + s.calendar, Status: 404})
		}, want: []string{`("calendar") under this API key`}},
		"a clock that is slow":         {arrange: func(s *site) { s.fake.SetClockOffset(5 * time.Minute) }, want: []string{"behind Anchor's", "NTP"}},
		"a clock that is fast":         {arrange: func(s *site) { s.fake.SetClockOffset(-5 * time.Minute) }, want: []string{"ahead of Anchor's", "NTP"}},
		"a clock that is a little off": {arrange: func(s *site) { s.fake.SetClockOffset(100 * time.Second) }},
		"a store that is down": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = panicky{c.Store, "Applications"}
		}}, want: []string{"the store cannot be used"}},
		"a store with the wrong schema": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = verified{c.Store, errors.New("the tables have schema version 1, and this release needs 3: call Migrate")}
		}}, want: []string{"the store cannot be used", "call Migrate"}},
		"Anchor is down": {arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Drop: true})
		}, want: []string{"cannot be asked", "check the network"}},
		"a plain address and the real service": {options: []func(*connect.Config){func(c *connect.Config) {
			c.PublicURL = "http://localhost:8080"
			c.Anchor = anchorhttp.New("test-key", anchorhttp.WithBaseURL("http://127.0.0.1:1"), anchorhttp.WithMaxRetries(0))
		}}, want: []string{"Anchor takes only https callbacks", "cannot be asked"}},
		"several at once": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = verified{c.Store, errors.New("no tables")}
		}}, arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Status: 401})
		}, want: []string{"no tables", "API key"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, test.options...)
			if test.arrange != nil {
				test.arrange(s)
			}
			err := s.handler.Verify(t.Context())
			if len(test.want) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, text := range test.want {
				require.Contains(t, err.Error(), text)
			}
			s.log.forget("panic")
		})
	}
}

// verified is a store that can verify itself.
type verified struct {
	connect.Store
	err error
}

func (s verified) Verify(context.Context) error { return s.err }

// What a user made for a flow that is over goes away; what may be somebody's stays.
func TestASignInThatCameTooLateIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		back    func(s *site, ada *browser, callback string) answer
		approve []anchortest.ApproveOption
		fixed   bool
		deleted bool
	}{
		"too late": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, deleted: true},
		"after a disconnect": {back: func(s *site, ada *browser, callback string) answer {
			require.NoError(s.t, s.handler.Disconnect(context.Background(), "ada"))
			return ada.get(callback)
		}, deleted: true},
		"with somebody's mark": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, approve: []anchortest.ApproveOption{anchortest.WithMetadata(map[string]any{"externalUserId": "ada"})}},
		"an older identity": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, approve: []anchortest.ApproveOption{anchortest.WithCreatedAt(time.Now().Add(-time.Hour))}},
		"in another browser": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return s.signedIn("ada").get(callback)
		}},
		"with another user signed in": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			ada.signIn("eve")
			return ada.get(callback)
		}},
		"behind a fixed address": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			return ada.get(callback)
		}, fixed: true},
		"of another application": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			other := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar})
			return ada.get(withIdentity(callback, other.ID))
		}},
		"while Anchor is down": {back: func(s *site, ada *browser, callback string) answer {
			s.clock.advance(16 * time.Minute)
			s.fake.Fault(anchortest.Fault{Method: "GET", Status: 503})
			return ada.get(callback)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = test.fixed })
			ada := s.signedIn("ada")
			callback := s.approve(ada.start(), test.approve...)
			a := test.back(s, ada, callback)
			<-a.over
			require.GreaterOrEqual(t, a.status, 400)
			require.NotContains(t, a.body, "Nothing was changed")
			require.Empty(t, s.connections("ada"))
			require.Equal(t, test.deleted, s.fake.CountCalls("DELETE", "") == 1)
			_, there := s.fake.Identity(identityIn(callback))
			require.Equal(t, !test.deleted, there)
		})
	}
}

// An old address of a connection that lives is no way to delete its identity.
func TestAnOldReturnDoesNotDeleteAConnectedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	spent := s.approve(ada.start())
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	id := identityIn(ada.connect())
	identity, _ := s.fake.Identity(id)
	identity.Metadata, identity.CreatedAt = nil, s.clock.now().Add(time.Minute)
	s.fake.PutIdentity(identity)
	a := ada.get(withIdentity(spent, id))
	ada.refused(connect.ErrStateSpent, a)
	<-a.over
	_, there := s.fake.Identity(id)
	require.True(t, there)
	require.Equal(t, id, s.connections("ada")[0].IdentityID)
}

func TestTheAppIsToldOfAFlowsCourse(t *testing.T) {
	t.Parallel()
	h := newHook(t, upTo(2))
	ada := h.signedIn("ada")
	ada.connect()
	started := h.told(connect.Started, 1)[0]
	require.Equal(t, "ada", started.UserID)
	require.Empty(t, started.ConnectionID)
	c := h.connections("ada")[0]

	hosted := ada.startWith("connection", c.ID)
	require.Equal(t, c.ID, h.told(connect.Started, 2)[1].ConnectionID)
	cancelled, err := h.fake.Cancel(t.Context(), hosted)
	require.NoError(t, err)
	ada.get(cancelled)
	require.Equal(t, c.ID, h.told(connect.Cancelled, 1)[0].ConnectionID)
	failed, err := h.fake.Fail(t.Context(), ada.startWith("connection", c.ID))
	require.NoError(t, err)
	ada.get(failed)
	require.ErrorIs(t, h.told(connect.SignInFailed, 1)[0].Reason, connect.ErrSignInFailed)

	late := h.approve(ada.start())
	h.clock.advance(16 * time.Minute)
	ada.get(late)
	e := h.told(connect.Expired, 1)[0]
	require.Equal(t, 4, e.Proof)
	require.Empty(t, e.IdentityID, "nobody owns it")
	h.signedIn("eve").get(cancelled)
	h.told(connect.Cancelled, 1) // A stranger's cancel is no news.
	h.told(connect.Refused, 1)
}

func TestAStatusThatNobodyKnowsIsConnectedAndLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.finished(ada.get(s.approve(ada.start(), anchortest.WithStatus("dormant"))))
	require.NotZero(t, s.connection("ada"))
	require.Contains(t, s.log.String(), "an identity has an unknown status")
	require.Contains(t, s.log.String(), "status=dormant")
	grace := s.signedIn("grace")
	s.finished(grace.get(s.approve(grace.start(), anchortest.WithStatus("active"))))
	require.Equal(t, 1, strings.Count(s.log.String(), "unknown status"))
	for _, bad := range []anchortest.Status{"failed", "agent_failed", "agent_invalid"} {
		eve := s.signedIn("eve")
		eve.refused(connect.ErrIdentityFailed, eve.get(s.approve(eve.start(), anchortest.WithStatus(bad))))
	}
}

// Our own tag moves the moment that Anchor changed the identity at. Nobody has signed in.
func TestALateTagDoesNotMakeADeadConnectionLookAlive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503, Times: 1})
	callback := s.approve(ada.start())
	s.finished(ada.get(callback))
	s.clock.advance(time.Minute)
	require.True(t, s.fake.KillSignIn(identityIn(callback)))
	_, err := s.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrNeedsSignIn)
	s.clock.advance(time.Minute)
	s.run()
	_, err = s.fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	c, err := s.handler.Check(t.Context(), s.connection("ada"), connect.CheckStatus)
	require.NoError(t, err)
	require.Equal(t, connect.HealthNeedsSignIn, c.Health)
}

// The key of another project finds no identity at all.
func TestTheKeyOfAnotherProjectKillsNoConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	s.signedIn("ada").connectTo("/connect/calendar")
	c := s.connectionsIn(s.calendar, "ada")[0]
	other := newSite(t, func(c *connect.Config) { c.Store, c.ApplicationID = s.store, s.calendar })
	require.Error(t, other.handler.Verify(t.Context()))

	_, err := other.handler.Application("").Reconcile(t.Context(), connect.ReconcileOptions{Repair: true, CallsPerMinute: 1_000_000})
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	_, err = other.handler.Check(t.Context(), c, connect.CheckStatus)
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	_, err = other.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrUpstreamInvalid)
	require.NotErrorIs(t, err, connect.ErrNeedsSignIn)
	require.Equal(t, c, s.connectionsIn(s.calendar, "ada")[0])
	_, err = s.handler.Application("calendar").NewSession(t.Context(), "ada")
	require.NoError(t, err)
}

// The account is deleted between the proofs and the store.
func TestAFlowThatEndsWhileItIsStoredLeavesNoSignInBehind(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	store.pause = func(connect.Connection) { require.NoError(t, s.handler.Disconnect(t.Context(), "ada")) }
	a := ada.get(callback)
	ada.refused(connect.ErrStateSpent, a)
	<-a.over
	_, there := s.fake.Identity(identityIn(callback))
	require.False(t, there)
}

func TestAnAdoptionThatADisconnectOvertakesIsNotStored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	identity := s.fake.PutIdentity(anchortest.Identity{})
	hold := s.fake.HoldAnswer("GET", "/v1/identities/")
	adopted := make(chan error, 1)
	go func() {
		_, err := s.handler.Application("").Adopt(context.Background(), connect.User{ID: "ada"}, identity.ID, "")
		adopted <- err
	}()
	require.NoError(t, hold.Wait(t.Context(), 1))
	s.clock.advance(time.Second)
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	hold.Release()
	require.ErrorIs(t, <-adopted, connect.ErrStateSpent)
	require.Empty(t, s.connections("ada"))
}

// Renaming is cheap and unlimited: it crowds out nothing that others do.
func TestLabelsCrowdOutNoOtherEvents(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var mu sync.Mutex
	told := map[connect.EventKind]int{}
	s := newSite(t, func(c *connect.Config) {
		c.OnEvent = func(_ context.Context, e connect.Event) {
			<-release
			mu.Lock()
			defer mu.Unlock()
			told[e.Kind]++
		}
	})
	eve := s.signedIn("eve")
	eve.connect()
	c := s.connection("eve")
	for range 300 {
		require.NoError(t, s.handler.Application("").SetLabel(t.Context(), "eve", c.ID, "x"))
	}
	require.Contains(t, s.log.String(), "an event was dropped")
	s.signedIn("ada").connect()
	require.NoError(t, s.handler.Disconnect(t.Context(), "ada"))
	close(release)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return told[connect.Connected] == 2 && told[connect.Disconnected] == 1
	}, 5*time.Second, 10*time.Millisecond)
}
