package connect_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

func TestOnEventGetsWhatHasHappened(t *testing.T) {
	t.Parallel()
	h := newHook(t, withCalendar)
	ada := h.signedIn("ada")
	callback := ada.connect()
	id := identityIn(callback)

	connected := h.waitForEvents(connect.Connected, 1)[0]
	require.WithinDuration(t, h.clock.now(), connected.Time, time.Minute)
	connected.Time = time.Time{}
	require.Equal(t, connect.Event{
		Kind: connect.Connected, UserID: "ada", ConnectionID: h.connection("ada").ID, ApplicationID: h.fake.ApplicationID(), IdentityID: id,
	}, connected)
	require.Equal(t, id, h.waitForEvents(connect.Tagged, 1)[0].IdentityID)
	ada.get(callback)
	h.waitForEvents(connect.Connected, 1) // A reload is no event.

	ada.connectTo("/connect/calendar")
	calendar := h.waitForEvents(connect.Connected, 2)[1]
	require.Equal(t, "calendar", calendar.Application)
	require.Equal(t, h.calendar, calendar.ApplicationID)

	ada.post("/disconnect", nil)
	ada.post("/disconnect", nil)
	require.Equal(t, id, h.waitForEvents(connect.Disconnected, 1)[0].IdentityID, "only connections that existed")
}

func TestEventOfARefusalNamesTheFailedProof(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(h *hook, ada *browser) (identityID string)
		proof  int
		reason error
		user   string            // defaults to ada
		kind   connect.EventKind // defaults to Refused
		noApp  bool              // the application is unknown
	}{
		{name: "nobody is signed in", user: "-", noApp: true, proof: 1, reason: connect.ErrNotSignedIn, do: func(h *hook, ada *browser) string {
			h.browser().get("/identity-callback/STATE")
			return ""
		}},
		{name: "another browser", noApp: true, proof: 3, reason: connect.ErrNoStateCookie, do: func(h *hook, ada *browser) string {
			callback := h.approve(ada.start())
			h.signedIn("ada").get(callback)
			return ""
		}},
		{name: "another user", user: "eve", proof: 4, reason: connect.ErrAnotherUser, do: func(h *hook, ada *browser) string {
			callback := h.approve(ada.start())
			ada.signIn("eve")
			ada.get(callback)
			return ""
		}},
		{name: "too late", kind: connect.Expired, proof: 4, reason: connect.ErrStateExpired, do: func(h *hook, ada *browser) string {
			callback := h.approve(ada.start())
			h.clock.advance(16 * time.Minute)
			ada.get(callback)
			return ""
		}},
		{name: "no identity", proof: 5, reason: connect.ErrBadIdentityID, do: func(h *hook, ada *browser) string {
			ada.get(withIdentity(h.approve(ada.start()), "x"))
			return ""
		}},
		{name: "an unknown identity", proof: 5, reason: connect.ErrIdentityNotFound, do: func(h *hook, ada *browser) string {
			id := "99999999-9999-4999-8999-999999999999"
			ada.get(withIdentity(h.approve(ada.start()), id))
			return id
		}},
		{name: "another application", proof: 6, reason: connect.ErrWrongApplication, do: func(h *hook, ada *browser) string {
			id := h.fake.PutIdentity(anchortest.Identity{ApplicationID: h.calendar}).ID
			ada.get(withIdentity(h.approve(ada.start()), id))
			return id
		}},
		{name: "an old identity", proof: 7, reason: connect.ErrIdentityTooOld, do: func(h *hook, ada *browser) string {
			id := h.fake.PutIdentity(anchortest.Identity{CreatedAt: h.clock.now().Add(-time.Hour)}).ID
			ada.get(withIdentity(h.approve(ada.start()), id))
			return id
		}},
		{name: "another user's identity", proof: 8, reason: connect.ErrIdentityTaken, do: func(h *hook, ada *browser) string {
			callback := h.approve(ada.start(), anchortest.WithMetadata(map[string]any{"externalUserId": "grace"}))
			ada.get(callback)
			return identityIn(callback)
		}},
		{name: "another user's identity in the store", proof: 8, reason: connect.ErrIdentityTaken, do: func(h *hook, ada *browser) string {
			identity := h.fake.PutIdentity(anchortest.Identity{CreatedAt: h.clock.now().Add(time.Minute)})
			h.connectUntagged("grace", identity.ID)
			ada.get(withIdentity(h.approve(ada.start()), identity.ID))
			return identity.ID
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			kind := cmp.Or(test.kind, connect.Refused)
			want := connect.Event{Kind: kind, UserID: "ada", ApplicationID: h.fake.ApplicationID(), Proof: test.proof, Reason: test.reason}
			want.IdentityID = test.do(h, h.signedIn("ada"))
			if test.user != "" {
				want.UserID = strings.Trim(test.user, "-")
			}
			if test.noApp {
				want.ApplicationID = ""
			}
			got := h.waitForEvents(kind, 1)[0]
			got.Time = time.Time{}
			require.Equal(t, want, got)
		})
	}
	t.Run("a cancel or an outage is no refusal", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		ada := h.signedIn("ada")
		cancelled, err := h.fake.Cancel(t.Context(), ada.start())
		require.NoError(t, err)
		ada.get(cancelled)
		h.fake.Fault(anchortest.Fault{Method: "GET", Status: 503})
		ada.get(h.approve(ada.start()))
		h.fake.ClearFaults()
		ada.connect()
		h.waitForEvents(connect.Connected, 1)
		h.waitForEvents(connect.Refused, 0)
	})
}

// A flow that was ended while it began is refused only by the store: proofs 1 to 4 hold
// before.
func TestEventOfARefusalByTheStoreHasNoIdentity(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	ada := h.signedIn("ada")
	hold := h.fake.Hold("POST", "/v1/applications/")
	started := make(chan answer, 1)
	go func() {
		a, _ := ada.try(http.MethodPost, "/connect", "", "")
		started <- a
	}()
	require.NoError(t, hold.Wait(t.Context(), 1))
	require.NoError(t, h.handler.DisconnectAll(t.Context(), "ada"))
	hold.Release()
	callback := h.approve((<-started).location)
	ada.refused(connect.ErrStateSpent, ada.get(callback))
	got := h.waitForEvents(connect.Refused, 1)[0]
	require.Equal(t, 4, got.Proof)
	require.Empty(t, got.IdentityID)
	require.NotContains(t, h.log.String(), identityIn(callback))
}

func TestOnEventCanNeitherHoldUpNorFailARequest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var told atomic.Int32
	s := newSite(t, func(c *connect.Config) {
		c.OnEvent = func(context.Context, connect.Event) {
			if told.Add(1) == 1 {
				<-release
				panic("an audit log that fails")
			}
		}
	})
	s.signedIn("ada").connect() // started, which hangs, connected and tagged
	s.signedIn("grace").connect()
	require.EqualValues(t, 1, told.Load(), "one at a time")
	close(release)
	require.Eventually(t, func() bool { return told.Load() == 6 }, 5*time.Second, 5*time.Millisecond)
	require.Contains(t, s.log.String(), "an audit log that fails")
	s.log.forget("panic") // It was meant.
}

func TestOnEventHasTheRequestsValuesThoughTheRequestIsOver(t *testing.T) {
	t.Parallel()
	type key struct{}
	over := make(chan struct{})
	told := make(chan string, 1)
	h, err := connect.New(connect.Config{
		Anchor: anchorhttp.New("test-key"), ApplicationID: "77777777-7777-4777-8777-777777777777", PublicURL: "https://app.example",
		Store: connect.NewMemoryStore(), Secrets: [][]byte{[]byte("a secret of the tests, not random")}, Logger: slog.New(slog.DiscardHandler),
		User: func(*http.Request) (connect.User, error) { return connect.User{}, nil },
		OnEvent: func(ctx context.Context, _ connect.Event) {
			<-over
			told <- fmt.Sprintf("%v, %v", ctx.Value(key{}), ctx.Err())
		},
	})
	require.NoError(t, err)
	ctx, end := context.WithCancel(context.WithValue(t.Context(), key{}, "trace 7"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/identity-callback/STATE", nil))
	end()
	close(over)
	require.Equal(t, "trace 7, <nil>", <-told)
}

func TestEventsBeyondTheQueueAreDroppedAndLogged(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var told atomic.Int32
	s := newSite(t, func(c *connect.Config) {
		c.OnEvent = func(context.Context, connect.Event) { <-release; told.Add(1) }
	})
	stranger, ada := s.browser(), s.signedIn("ada")
	dropped := func() int { return strings.Count(s.log.String(), "an event was dropped") }
	for range 200 + 1 + 2 { // waiting, with OnEvent, and too many
		stranger.get("/identity-callback/STATE")
	}
	require.Equal(t, 2, dropped())

	// Refusals of signed-in users have room of their own, until there are too many. So do
	// flows that begin.
	for range 200 {
		ada.get(s.approve(ada.start(), anchortest.WithMetadata(map[string]any{"externalUserId": "grace"})))
	}
	require.Equal(t, 2, dropped())
	ada.get(s.approve(ada.start(), anchortest.WithMetadata(map[string]any{"externalUserId": "grace"})))
	require.Equal(t, 4, dropped())

	// So do connections.
	for range 200 {
		ada.connect() // Connected and Tagged; Started is dropped
	}
	require.Equal(t, 204, dropped())
	ada.connect()
	require.Equal(t, 207, dropped())
	close(release)
	require.Eventually(t, func() bool { return told.Load() == 1001 }, 5*time.Second, 5*time.Millisecond)
}

func TestRunWaitsForOnEvent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		takes, waits time.Duration
	}{
		{"no longer than it takes", 3 * time.Second, 3 * time.Second},
		{"ten seconds at most", time.Minute, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, err := connect.New(connect.Config{
					Anchor: anchorhttp.New("test-key"), ApplicationID: "77777777-7777-4777-8777-777777777777", PublicURL: "https://app.example",
					Store: connect.NewMemoryStore(), Secrets: [][]byte{[]byte("a secret of the tests, not random")}, Logger: slog.New(slog.DiscardHandler),
					User: func(*http.Request) (connect.User, error) { return connect.User{}, nil },
					OnEvent: func(ctx context.Context, _ connect.Event) {
						if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) == 10*time.Second {
							time.Sleep(test.takes)
						}
					},
				})
				require.NoError(t, err)
				ctx, cancel := context.WithCancelCause(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- h.Run(ctx) }()
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/identity-callback/STATE", nil))
				cause, cancelled := errors.New("shutting down"), time.Now()
				cancel(cause)
				require.ErrorIs(t, <-ended, cause)
				require.Equal(t, test.waits, time.Since(cancelled))
				time.Sleep(test.takes) // No goroutine outlives a bubble.
			})
		})
	}
}

func TestOnEventGetsEachStepOfAFlow(t *testing.T) {
	t.Parallel()
	h := newHook(t, upTo(2))
	ada := h.signedIn("ada")
	ada.connect()
	started := h.waitForEvents(connect.Started, 1)[0]
	require.Equal(t, "ada", started.UserID)
	require.Empty(t, started.ConnectionID)
	c := h.connections("ada")[0]

	hosted := ada.startWith("connection", c.ID)
	require.Equal(t, c.ID, h.waitForEvents(connect.Started, 2)[1].ConnectionID)
	cancelled, err := h.fake.Cancel(t.Context(), hosted)
	require.NoError(t, err)
	ada.get(cancelled)
	require.Equal(t, c.ID, h.waitForEvents(connect.Cancelled, 1)[0].ConnectionID)
	failed, err := h.fake.Fail(t.Context(), ada.startWith("connection", c.ID))
	require.NoError(t, err)
	ada.get(failed)
	require.ErrorIs(t, h.waitForEvents(connect.SignInFailed, 1)[0].Reason, connect.ErrSignInFailed)

	late := h.approve(ada.start())
	h.clock.advance(16 * time.Minute)
	ada.get(late)
	e := h.waitForEvents(connect.Expired, 1)[0]
	require.Equal(t, 4, e.Proof)
	require.Empty(t, e.IdentityID, "no user is proved to own it")
	h.signedIn("eve").get(cancelled)
	h.waitForEvents(connect.Cancelled, 1) // A stranger's cancel is no event.
	h.waitForEvents(connect.Refused, 1)
}

// Users can rename connections without limit. That must not crowd out other users' events.
func TestEventsOfLabelsCrowdOutNoOthers(t *testing.T) {
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
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	close(release)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return told[connect.Connected] == 2 && told[connect.Disconnected] == 1
	}, 5*time.Second, 10*time.Millisecond)
}
