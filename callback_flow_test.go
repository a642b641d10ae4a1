package connect_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// Two tabs add the last account that the limit allows. The later one is refused, and its
// identity is deleted at Anchor.
func TestCallbackBeyondTheLimitDeletesTheSignIn(t *testing.T) {
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

func TestCallbacksThatRaceKeepToTheLimit(t *testing.T) {
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

func TestCallbackRenewsAConnectionUnderItsID(t *testing.T) {
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
	require.Equal(t, before[1], after[1], "the other connection is unchanged")
	require.Equal(t, second, after[0].IdentityID)
	require.Equal(t, before[0].ID, after[0].ID)
	require.Equal(t, "work", after[0].Label)
	require.Equal(t, before[0].CreatedAt, after[0].CreatedAt)
	require.True(t, after[0].ConnectedAt.After(before[0].ConnectedAt))
	h.run()
	require.Eventually(t, func() bool { _, there := h.fake.Identity(first); return !there }, 5*time.Second, 10*time.Millisecond)
	e := h.waitForEvents(connect.Connected, 3)[2]
	require.Equal(t, before[0].ID, e.ConnectionID)
	require.Equal(t, first, e.Replaced)
	require.Equal(t, "work", e.Label)

	ada.connectWith("connection", before[0].ID, "label", "day job")
	require.Equal(t, []string{"day job", "home"}, h.labels("ada"), "a label in the form is set")
}

func TestCallbackRefusesToRenewWithAnotherConnectedAccount(t *testing.T) {
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

func TestCallbackAddsNoAccountTwice(t *testing.T) {
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
	require.True(t, after[0].ConnectedAt.After(before[0].ConnectedAt), "the connection was renewed")
}

// The connection that a flow renews ends after all proofs held.
func TestCallbackDoesNotRenewAConnectionThatHasEnded(t *testing.T) {
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

func TestCallbackReloadedAfterADisconnectIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2))
	ada := s.signedIn("ada")
	callback := ada.connect()
	require.NoError(t, s.handler.Application("").DisconnectByID(t.Context(), "ada", s.connections("ada")[0].ID))
	ada.refused(connect.ErrStateSpent, ada.get(callback))
}

// An identity that a connection had when the proofs held may have been deleted since.
func TestCallbackRefusesAnIdentityThatWasReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	store := &pausedComplete{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	first := identityIn(ada.connect())
	s.clock.advance(time.Minute)
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(first))

	// Tab A has proved everything and waits for the database.
	waiting, goOn := make(chan struct{}), make(chan struct{})
	store.pause = func(c connect.Connection) {
		if c.IdentityID == first {
			close(waiting)
			<-goOn
		}
	}
	answers := make(chan answer, 1)
	go func() {
		a, _ := ada.try(http.MethodGet, again, "", "")
		answers <- a
	}()
	<-waiting
	// Tab B replaces the identity, which is then deleted at Anchor.
	second := identityIn(ada.connect())
	s.run()
	require.Eventually(t, func() bool { _, there := s.fake.Identity(first); return !there }, 10*time.Second, 10*time.Millisecond)

	close(goOn)
	ada.refused(connect.ErrIdentityTooOld, <-answers)
	require.Equal(t, second, s.connection("ada").IdentityID)
}

// Each of the eight proofs, through real HTTP: each has an error of its own, and leaves
// no trace in the store or at Anchor.
func TestCallbackThatFailsAProofWritesNothing(t *testing.T) {
	t.Parallel()
	stranger := "99999999-9999-4999-8999-999999999999"
	tests := []struct {
		name string
		want error
		// back opens the callback, in this browser or in another one.
		back func(s *site, ada *browser, hosted string) answer
	}{
		{"1: nobody is signed in", connect.ErrNotSignedIn, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			ada.signIn("")
			return ada.get(callback + "&repeated=1")
		}},
		{"2: the state is missing", connect.ErrStateMissing, func(s *site, ada *browser, hosted string) answer {
			return ada.get("/identity-callback?identity_id=" + identityIn(s.approve(hosted)))
		}},
		{"2: the state is another one", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return ada.get("/identity-callback/ABCDEFGHIJKLMNOPQRSTUVWXYZ?identity_id=" + identityIn(s.approve(hosted)))
		}},
		{"2: the state is another one, which only ends like ours", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			before, state, _ := strings.Cut(s.approve(hosted), "/identity-callback/")
			first := "A"
			if state[:1] == first {
				first = "B"
			}
			return ada.get(before + "/identity-callback/" + first + state[1:])
		}},
		{"3: the same user opens the callback in another browser", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return s.signedIn("ada").get(s.approve(hosted))
		}},
		{"3: a victim opens an attacker's callback", connect.ErrNoStateCookie, func(s *site, ada *browser, hosted string) answer {
			return s.signedIn("victim").get(s.approve(hosted))
		}},
		{"3: the cookie is forged", connect.ErrStateInvalid, func(s *site, ada *browser, hosted string) answer {
			forged := s.signedIn("ada")
			u, _ := url.Parse(s.server.URL)
			for _, cookie := range ada.client.Jar.Cookies(u) {
				if strings.HasPrefix(cookie.Name, "__Host-connect-") {
					forged.client.Jar.SetCookies(u, []*http.Cookie{{Name: cookie.Name, Value: "MTIzNHxhYmM" + cookie.Value[11:], Path: "/", Secure: true}})
				}
			}
			return forged.get(s.approve(hosted))
		}},
		{"4: another user is signed in to the same browser", connect.ErrAnotherUser, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			ada.signIn("eve")
			return ada.get(callback)
		}},
		{"4: the flow has expired", connect.ErrStateExpired, func(s *site, ada *browser, hosted string) answer {
			callback := s.approve(hosted)
			s.clock.advance(15*time.Minute + time.Second)
			return ada.get(callback)
		}},
		{"4: the flow was swept", connect.ErrStateUnknown, func(s *site, ada *browser, hosted string) answer {
			_, err := s.store.Sweep(context.Background(), time.Now().Add(24*time.Hour), 100)
			require.NoError(s.t, err)
			return ada.get(s.approve(hosted))
		}},
		{"the user cancelled", connect.ErrCancelled, func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Cancel(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the sign-in failed", connect.ErrSignInFailed, func(s *site, ada *browser, hosted string) answer {
			callback, err := s.fake.Fail(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the callback has no parameters", connect.ErrNotFinished, func(s *site, ada *browser, hosted string) answer {
			s.fake.SetSilentFailure(true)
			callback, err := s.fake.Cancel(context.Background(), hosted)
			require.NoError(s.t, err)
			return ada.get(callback)
		}},
		{"the identity is no UUID", connect.ErrBadIdentityID, func(s *site, ada *browser, hosted string) answer {
			return ada.get(withIdentity(s.approve(hosted), "../applications"))
		}},
		{"5: Anchor does not know the identity", connect.ErrIdentityNotFound, func(s *site, ada *browser, hosted string) answer {
			return ada.get(withIdentity(s.approve(hosted), stranger))
		}},
		{"5: the identity failed", connect.ErrIdentityFailed, func(s *site, ada *browser, hosted string) answer {
			return ada.get(s.approve(hosted, anchortest.WithStatus(anchortest.StatusFailed)))
		}},
		{"6: the identity is another application's", connect.ErrWrongApplication, func(s *site, ada *browser, hosted string) answer {
			other := s.fake.AddApplication("Other", "https://other.example")
			identity := s.fake.PutIdentity(anchortest.Identity{ApplicationID: other, CreatedAt: s.clock.now().Add(time.Second)})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
		{"7: the identity is older than the token", connect.ErrIdentityTooOld, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
		{"7: the identity is older, though our clock says otherwise", connect.ErrIdentityTooOld, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			callback := withIdentity(s.approve(hosted), identity.ID)
			s.clock.advance(-10 * time.Minute)
			return ada.get(callback)
		}},
		{"8: the identity is tagged as another user's", connect.ErrIdentityTaken, func(s *site, ada *browser, hosted string) answer {
			identity := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(time.Second), Metadata: map[string]any{"externalUserId": "grace"}})
			return ada.get(withIdentity(s.approve(hosted), identity.ID))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ada := s.signedIn("ada")
			hosted := ada.start()
			a := test.back(s, ada, hosted)

			ada.refused(test.want, a)
			for _, user := range []string{"ada", "eve", "victim", "grace"} {
				require.Zero(t, s.connection(user))
			}
			require.Zero(t, s.fake.CountCalls("PUT", ""))
			<-a.over
			deleted := 0
			if errors.Is(test.want, connect.ErrStateExpired) {
				deleted = 1 // The sign-in that came too late.
			}
			require.Equal(t, deleted, s.fake.CountCalls("DELETE", ""))
			tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
			require.NoError(t, err)
			require.Empty(t, tasks)
			require.Equal(t, "no-store", a.header.Get("Cache-Control"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
			_, style, _ := strings.Cut(a.body, "<style>")
			style, _, _ = strings.Cut(style, "</style>")
			sum := sha256.Sum256([]byte(style))
			require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
				"'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'", a.header.Get("Content-Security-Policy"))
		})
	}
}

// Proof 8 against the store: another user has the identity though its metadata does not
// say so yet, as while Anchor is down.
func TestCallbackRefusesAnIdentityThatAnotherUserHasInTheStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, eve := s.signedIn("ada"), s.signedIn("eve")
	adaHosted, eveHosted := ada.start(), eve.start()

	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	callback := s.approve(adaHosted)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Nil(t, s.tag(identityIn(callback)), "not tagged yet")

	eve.refused(connect.ErrIdentityTaken, eve.get(withIdentity(s.approve(eveHosted), identityIn(callback))))
	require.Zero(t, s.connection("eve"))
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestCallbackRefusalLeavesTheFlowPending(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: time.Now().Add(-time.Hour)})
	ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestCallbackOfAnotherUserEndsTheFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn("ada")
	callback := s.approve(b.start())
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(callback))
	b.signIn("ada")
	b.refused(connect.ErrStateSpent, b.get(callback))
	require.Zero(t, s.connection("ada"))
	require.Zero(t, s.connection("eve"))
}

func TestCallbackOfAnotherUserLeavesACompletedFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn("ada")
	callback := b.connect()
	b.signIn("eve")
	b.refused(connect.ErrAnotherUser, b.get(callback))
	b.signIn("ada")
	require.Equal(t, http.StatusSeeOther, b.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestCallbacksOfTwoTabsBothConnect(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	first, second := ada.start(), ada.start()
	firstCallback, secondCallback := s.approve(first), s.approve(second)

	require.Equal(t, http.StatusSeeOther, ada.get(secondCallback).status)
	require.Equal(t, identityIn(secondCallback), s.connection("ada").IdentityID)
	require.Equal(t, http.StatusSeeOther, ada.get(firstCallback).status)
	require.Equal(t, identityIn(firstCallback), s.connection("ada").IdentityID)

	s.run()
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(secondCallback))
		return !there
	}, 10*time.Second, 20*time.Millisecond, "the replaced identity is deleted")
	require.Equal(t, "ada", s.tag(identityIn(firstCallback)))
}

func TestCallbackReloadedShowsSuccessAndChangesNothing(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	callback := ada.connect()
	at := s.connection("ada").ConnectedAt
	before := store.count()
	s.fake.ForgetCalls()
	for range 3 {
		a := ada.get(callback)
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/dashboard?connected=true", a.location)
	}
	require.Empty(t, s.fake.Calls())
	require.Equal(t, strings.ReplaceAll(before, "Pending:1", "Pending:4"), store.count(), "a reload only reads")
	require.Equal(t, at, s.connection("ada").ConnectedAt)

	// With another identity it is no reload.
	other := s.approve(s.signedIn("ada").start())
	ada.refused(connect.ErrStateSpent, ada.get(withIdentity(callback, identityIn(other))))
}

func TestCallbacksThatRaceMakeOneConnectionAndOneTag(t *testing.T) {
	t.Parallel()
	statuses := make([]int, 40)
	meeting := &meetingStore{Store: connect.NewMemoryStore()}
	meeting.arriving.Add(len(statuses))
	s := newSite(t, func(c *connect.Config) { c.Store = meeting })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	var racing sync.WaitGroup
	for i := range statuses {
		racing.Go(func() {
			a, err := ada.try(http.MethodGet, callback, "", "")
			if err == nil {
				statuses[i] = a.status
			}
		})
	}
	racing.Wait()
	for _, status := range statuses {
		require.Equal(t, http.StatusSeeOther, status)
	}
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Equal(t, "ada", s.tag(identityIn(callback)))
	require.Equal(t, 1, s.fake.CountCalls("PUT", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications"))
}

func TestCallbackLeavesTheFlowPendingWhenAnchorFails(t *testing.T) {
	t.Parallel()
	markup := http.Header{"Content-Type": {"text/html"}}
	tests := []struct {
		name  string
		fault anchortest.Fault
		want  error
	}{
		{"down", anchortest.Fault{Status: 503}, connect.ErrUpstreamUnavailable},
		{"broken", anchortest.Fault{Status: 500}, connect.ErrUpstreamUnavailable},
		{"busy", anchortest.Fault{Status: 429}, connect.ErrUpstreamUnavailable},
		{"cut off", anchortest.Fault{Drop: true}, connect.ErrUpstreamUnavailable},
		{"cut off in the middle", anchortest.Fault{Drop: true, Body: `{"data":`}, connect.ErrUpstreamUnavailable},
		{"slow", anchortest.Fault{Latency: time.Minute}, connect.ErrUpstreamTimeout},
		{"its gateway gave up", anchortest.Fault{Status: 504}, connect.ErrUpstreamTimeout},
		{"markup", anchortest.Fault{Body: "<html><script>alert(1)</script>", Header: markup}, connect.ErrUpstreamInvalid},
		{"garbage", anchortest.Fault{Body: "\x00\xff{"}, connect.ErrUpstreamInvalid},
		{"nothing", anchortest.Fault{Status: 200}, connect.ErrUpstreamInvalid},
		{"null", anchortest.Fault{Body: "null"}, connect.ErrUpstreamInvalid},
		{"an endless body", anchortest.Fault{Endless: true}, connect.ErrUpstreamInvalid},
		{"a redirect to another host", anchortest.Fault{Status: 307, Header: http.Header{"Location": {"https://evil.test/"}}}, connect.ErrUpstreamInvalid},
		{"our key refused", anchortest.Fault{Status: 401}, connect.ErrUpstreamInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ada := s.signedIn("ada")

			struck := func(method, path string, send func() answer) {
				fault := test.fault
				fault.Method, fault.Path = method, path
				s.fake.Fault(fault)
				a := send()
				ada.refused(test.want, a)
				require.NotContains(t, a.body, "<script>alert")
				require.NotContains(t, a.body, "evil.test")
				require.Contains(t, []int{502, 503, 504}, a.status)
				require.Zero(t, s.connection("ada"))
				s.fake.ClearFaults()
			}
			struck("POST", "/v1/applications/*/tokens", func() answer { return ada.post("/connect", nil) })
			callback := s.approve(ada.start())
			struck("GET", "/v1/identities/", func() answer { return ada.get(callback) })
			struck("GET", "/v1/applications", func() answer { return ada.get(callback) })

			require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "the flow finishes once Anchor is back")
			require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
		})
	}
}

func TestCallbackErrorPageRepeatsTheCallback(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503, Times: 1})
	a := ada.get(callback)
	ada.refused(connect.ErrUpstreamUnavailable, a)
	require.Equal(t, http.StatusSeeOther, ada.get(follow(t, callback, a.body)).status)
	require.NotZero(t, s.connection("ada"))
}

func TestCallbackLeavesTheFlowPendingWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	full := errors.New("the disk is full")
	failing := func(method string, send func() answer) {
		store.set(method, full)
		a := send()
		ada.refused(connect.ErrStoreFailed, a)
		require.NotContains(t, a.body, "disk", "the cause is only logged")
		require.Contains(t, s.log.String(), "the disk is full")
		store.set(method, nil)
	}
	failing("Bind", func() answer {
		a := ada.post("/connect", nil)
		require.Empty(t, a.header.Get("Set-Cookie"))
		return a
	})
	callback := s.approve(ada.start())
	failing("Pending", func() answer { return ada.get(callback) })
	failing("Complete", func() answer { return ada.get(callback) })
	failing("Connections", func() answer { return ada.get("/connect") })
	failing("Connections", func() answer { return ada.get("/connect/status") })
	failing("Disconnect", func() answer { return ada.post("/disconnect", nil) })
	require.Zero(t, s.connection("ada"))
	require.Zero(t, s.fake.CountCalls("PUT", ""))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NotZero(t, s.connection("ada"))
}

// Browsers do not send a SameSite=Strict session cookie when another site redirects to
// the callback. They send it when a page of the app repeats the request.
func TestCallbackIsRepeatedForAStrictSessionCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())

	// The callback comes without the session cookie.
	fromAnchor := s.browser()
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	for _, cookie := range ada.client.Jar.Cookies(u) {
		if cookie.Name != "session" {
			cookie.Path, cookie.Secure = "/", true
			fromAnchor.client.Jar.SetCookies(u, []*http.Cookie{cookie})
		}
	}
	a := fromAnchor.get(callback)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `<meta http-equiv="refresh" content="0;url=?`)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Zero(t, s.connection("ada"))

	again := follow(t, callback, a.body)
	require.Equal(t, http.StatusSeeOther, ada.get(again).status, "with the session it finishes")
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestCallbackWithoutASignedInUserFinishesAfterSigningIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.SignInURL = "/login?from=connect" })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	ada.signIn("")

	a := ada.get(callback)
	require.Equal(t, http.StatusOK, a.status, "the request is repeated once, for a Strict cookie")
	again := follow(t, callback, a.body)
	a = ada.get(again)
	ada.refused(connect.ErrNotSignedIn, a)
	signIn, err := url.Parse(follow(t, callback, a.body))
	require.NoError(t, err)
	require.Equal(t, "/login", signIn.Path)
	require.Equal(t, "connect", signIn.Query().Get("from"))
	back := signIn.Query().Get("return_to")
	require.Regexp(t, `^/identity-callback/[A-Z2-7]{32}$`, back, "the sign-in page does not learn the identity")

	ada.signIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Status: 503})
	a = ada.get(back)
	ada.refused(connect.ErrUpstreamUnavailable, a)
	s.fake.ClearFaults()
	require.Equal(t, http.StatusSeeOther, ada.get(follow(t, s.server.URL+back, a.body)).status, "after signing in the same address completes the flow")
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)

	// Without a state cookie the request is not repeated.
	stranger := s.browser()
	a = stranger.get(callback)
	stranger.refused(connect.ErrNotSignedIn, a)
	require.Empty(t, a.header.Get("Set-Cookie"), "nothing is kept in a browser that began no flow")
	// A script gets the error at once.
	ada.signIn("")
	ada.header.Set("Accept", "application/json")
	require.Equal(t, http.StatusUnauthorized, ada.get(callback).status)
}

func TestCallbackTakesATrailingSlash(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = fixed })
		ada := s.signedIn("ada")
		callback := s.approve(ada.start())
		address, query, _ := strings.Cut(callback, "?")
		s.finished(ada.get(address + "/?" + query))
		require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
		if !fixed {
			require.Equal(t, http.StatusNotFound, ada.get(address+"/more/?"+query).status)
		}
	}
}

func TestCallbackMakesNoFurtherCallForAFailedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithStatus(anchortest.StatusFailed), anchortest.WithSource("https://elsewhere.example"))
	s.fake.ForgetCalls()
	ada.refused(connect.ErrIdentityFailed, ada.get(callback))
	require.Len(t, s.fake.Calls(), 1)
}

func TestCallbackRefusesAnOldIdentityOfAConnectedUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	mine := ada.connect()
	old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: time.Now().Add(-time.Hour)})
	callback := s.approve(ada.start())
	ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
	require.Equal(t, identityIn(mine), s.connection("ada").IdentityID)

	// An identity that this user has already is accepted, however old.
	identity, _ := s.fake.Identity(identityIn(mine))
	identity.CreatedAt = time.Now().Add(-time.Hour)
	s.fake.PutIdentity(identity)
	require.Equal(t, http.StatusSeeOther, ada.get(withIdentity(callback, identity.ID)).status)
	require.Equal(t, identity.ID, s.connection("ada").IdentityID)
}

func TestCallbackJudgesFreshnessByAnchorsClock(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.Now = time.Now })
			s.clock.advance(offset) // The fake's clock alone.
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			old := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(-time.Minute)})
			ada.refused(connect.ErrIdentityTooOld, ada.get(withIdentity(callback, old.ID)))
			require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
			require.NotZero(t, s.connection("ada"))
		})
	}
}

func TestCallbackFailsWhenTheFlowCannotBeEnded(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	b := s.signedIn("ada")
	callback := s.approve(b.start())
	b.signIn("eve")
	store.set("Spend", errors.New("the disk is full"))
	b.refused(connect.ErrStoreFailed, b.get(callback))
}

// meetingStore makes every call of Complete wait for the others, so that none of them is
// handled as a reload.
type meetingStore struct {
	connect.Store
	arriving sync.WaitGroup
}

func (s *meetingStore) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	s.arriving.Done()
	s.arriving.Wait()
	return s.Store.Complete(ctx, tokenHash, c, how)
}

func TestCallbackReplacesTheIdentityOnceTheNewOneIsProved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run()
	ada := s.signedIn("ada")
	first := ada.connect()

	// Unless the second attempt succeeds, the first connection stays.
	hosted := ada.start()
	require.Equal(t, identityIn(first), s.connection("ada").IdentityID)
	cancelled, err := s.fake.Cancel(t.Context(), ada.start())
	require.NoError(t, err)
	ada.refused(connect.ErrCancelled, ada.get(cancelled))
	foreign := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "grace"}})
	second := s.approve(hosted)
	ada.refused(connect.ErrIdentityTaken, ada.get(withIdentity(second, foreign.ID)))
	require.Equal(t, identityIn(first), s.connection("ada").IdentityID)
	_, there := s.fake.Identity(identityIn(first))
	require.True(t, there)

	require.Equal(t, http.StatusSeeOther, ada.get(second).status)
	require.Equal(t, identityIn(second), s.connection("ada").IdentityID)
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(first))
		return !there
	}, 10*time.Second, 20*time.Millisecond, "the old one is deleted")
	require.Equal(t, "ada", s.tag(identityIn(second)))

	// Signing in to the connected account again succeeds, and deletes nothing.
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(identityIn(second)))
	require.Equal(t, identityIn(second), identityIn(again))
	require.Equal(t, http.StatusSeeOther, ada.get(again).status)
	require.Equal(t, identityIn(second), s.connection("ada").IdentityID)
	require.Equal(t, 1, s.fake.CountCalls("DELETE", ""))
}

func TestCallbackRefusalLinksToItsApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	callback, err := s.fake.Cancel(t.Context(), ada.post("/connect/calendar", nil).location)
	require.NoError(t, err)
	a := ada.get(callback)
	ada.refused(connect.ErrCancelled, a)
	require.Contains(t, a.body, `href="/connect/calendar"`)

	callback, err = s.fake.Cancel(t.Context(), ada.post("/connect/calendar", url.Values{"return_to": {"/events?a=b"}}).location)
	require.NoError(t, err)
	require.Contains(t, ada.get(callback).body, `href="/connect/calendar?return_to=%2Fevents%3Fa%3Db"`, "the return path is kept")
}

// One key can read the identities of both applications. A sign-in to one must not become
// a connection of the other.
func TestCallbackRefusesAnotherApplicationsIdentity(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(fmt.Sprint("fixed callback ", fixed), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, withCalendar, func(c *connect.Config) { c.FixedCallbackURL = fixed })
			ada := s.signedIn("ada")
			mail := s.approve(ada.start())
			calendar := s.approve(ada.post("/connect/calendar", nil).location)
			if fixed {
				// The address is the same for both; the identity's site differs.
				require.Equal(t, http.StatusSeeOther, ada.get(mail).status)
				require.Equal(t, identityIn(mail), s.connection("ada").IdentityID)
				require.Equal(t, http.StatusSeeOther, ada.get(calendar).status)
				c, err := s.handler.Application("calendar").Connection(t.Context(), "ada")
				require.NoError(t, err)
				require.Equal(t, identityIn(calendar), c.IdentityID)
				return
			}
			ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(calendar, identityIn(mail))))
			ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(mail, identityIn(calendar))))
			require.Empty(t, s.connection("ada"))
			ada.refused(connect.ErrStateSpent, ada.get(calendar))
		})
	}
}

// While Anchor takes no tags, the identity of a connection has no mark.
func TestCallbackRenewsAConnectionWhoseOldIdentityHasNoMark(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	id := identityIn(ada.connect())
	s.clock.advance(time.Hour)
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(id))
	require.Nil(t, s.tag(id))
	s.finished(ada.get(again))
	require.Equal(t, id, s.connection("ada").IdentityID)
	require.WithinDuration(t, s.clock.now(), s.connection("ada").ConnectedAt, time.Minute)
}

// Two environments share an application, and their user ids overlap, so each other's
// marks look like their own.
func TestCallbackRefusesTheMarkOfAnotherEnvironment(t *testing.T) {
	t.Parallel()
	production := newSite(t)
	staging := newSite(t, func(c *connect.Config) {
		c.Anchor, c.ApplicationID = production.fake.Client(anchorhttp.WithMaxRetries(0)), production.fake.ApplicationID()
	})
	eve := staging.signedIn("1")
	open := production.approve(eve.post("/connect", nil).location)
	victims := identityIn(production.signedIn("1").connect())
	require.Equal(t, "1", production.tag(victims))
	eve.refused(connect.ErrIdentityTooOld, eve.get(withIdentity(open, victims)))
	require.Empty(t, staging.connectionsIn(production.fake.ApplicationID(), "1"))
	staging.finished(eve.get(open))
	require.NoError(t, staging.handler.DisconnectAll(t.Context(), "1"))
	_, there := production.fake.Identity(victims)
	require.True(t, there)
}

func TestCallbackConnectsAnIdentityOfUnknownStatus(t *testing.T) {
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
