package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// A panic in the app's own code ends one attempt, not the process.
func TestRunSurvivesAPanic(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]struct {
		store     func(connect.Store) connect.Store
		transport transport
		metadata  func(context.Context, connect.User) (map[string]any, error)
	}{
		"in the transport": {transport: func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete || r.Method == http.MethodPut {
				panic("broken transport")
			}
			return http.DefaultTransport.RoundTrip(r)
		}},
		"in Metadata":  {metadata: func(context.Context, connect.User) (map[string]any, error) { panic("broken hook") }},
		"in Claim":     {store: func(s connect.Store) connect.Store { return panicky{s, "Claim"} }},
		"in Postpone":  {store: func(s connect.Store) connect.Store { return panicky{s, "Postpone"} }},
		"in Done":      {store: func(s connect.Store) connect.Store { return panicky{s, "Done"} }},
		"in Sweep":     {store: func(s connect.Store) connect.Store { return panicky{s, "Sweep"} }},
		"in the lists": {store: func(s connect.Store) connect.Store { return panicky{s, "Applications"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.connectUntagged("ada", s.fake.PutIdentity(anchortest.Identity{}).ID)
			s.connectUntagged("grace", s.fake.PutIdentity(anchortest.Identity{}).ID)
			_, err := s.store.Disconnect(t.Context(), connect.Disconnection{ApplicationID: s.fake.ApplicationID(), UserID: "grace", At: time.Now(), DeleteAfter: time.Now()})
			require.NoError(t, err)
			through := broken.transport
			if through == nil {
				through = http.DefaultTransport.RoundTrip
			}
			h, _ := s.replica(through, func(c *connect.Config) {
				c.Metadata = broken.metadata
				if broken.store != nil {
					c.Store = broken.store(c.Store)
				}
				if name == "in Postpone" {
					c.Metadata = func(context.Context, connect.User) (map[string]any, error) { return nil, errors.New("not now") }
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, h.Run(ctx), context.DeadlineExceeded)
			require.Contains(t, s.log.String(), "broken")
			s.log.forget("panic")

			s.run()
			require.Eventually(t, func() bool { return len(s.fake.Identities()) == 1 && s.tag(s.fake.Identities()[0].ID) == "ada" }, 15*time.Second, 20*time.Millisecond,
				"nothing is lost")
		})
	}
}

// In a request, too, it ends one attempt only.
func TestTagAndDisconnectSurviveAPanicOfTheTransport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	h, app := s.replica(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodDelete || r.Method == http.MethodPut {
			panic("broken transport")
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	ada := s.browser()
	callback := s.approve(ada.post(app+"/connect", nil).location)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NotZero(t, s.connection("ada"))
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "kind=tag") }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, h.DisconnectAll(t.Context(), "ada"))
	require.Zero(t, s.connection("ada"))
	s.log.forget("panic")
	s.run()
	require.Eventually(t, func() bool { return len(s.fake.Identities()) == 0 }, 10*time.Second, 20*time.Millisecond)
}

// A task that Anchor refuses is retried ever more rarely, and is an event.
func TestTaskThatAnchorRefusesIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			id := h.fake.PutIdentity(anchortest.Identity{}).ID
			h.connectUntagged("ada", id)
			h.fake.Fault(anchortest.Fault{Method: "PUT", Status: status, Body: `{"message":"no"}`})
			h.run()
			got := h.waitForEvents(connect.TaskRefused, 1)[0]
			require.Equal(t, connect.TagIdentity, got.Task)
			require.Equal(t, "ada", got.UserID)
			require.Equal(t, id, got.IdentityID)
			require.Equal(t, h.fake.ApplicationID(), got.ApplicationID)
			require.ErrorContains(t, got.Reason, fmt.Sprint(status))
			require.Contains(t, h.log.String(), `msg="connect: Anchor refuses a task"`)
		})
	}
	t.Run("an outage is none", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		h.connectUntagged("ada", h.fake.PutIdentity(anchortest.Identity{}).ID)
		h.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
		h.run()
		require.Eventually(t, func() bool { return strings.Contains(h.log.String(), "a task failed and will be retried") }, 5*time.Second, 5*time.Millisecond)
		h.waitForEvents(connect.TaskRefused, 0)
	})
}

func TestRunLogsOnceWhatNobodyServes(t *testing.T) {
	t.Parallel()
	s, _ := retired(t, nil)
	s.run()
	logged := func() int {
		return strings.Count(s.log.String(), `level=ERROR msg="connect: the store has connections or tasks of an application that is not in Config`)
	}
	require.Eventually(t, func() bool { return logged() == 1 }, 5*time.Second, 5*time.Millisecond)
	require.Regexp(t, "not in Config.* application="+s.calendar, s.log.String())
	require.NotRegexp(t, "not in Config.* application="+s.fake.ApplicationID(), s.log.String())
	time.Sleep(2 * taskInterval)
	require.Equal(t, 1, logged())
}

func TestRunRetriesAFailedTag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	callback := ada.connect()
	require.NotZero(t, s.connection("ada"), "the connection is stored without its tag")
	require.Nil(t, s.tag(identityIn(callback)))

	s.run()
	time.Sleep(2 * taskInterval)
	require.Nil(t, s.tag(identityIn(callback)))
	s.fake.ClearFaults()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
		return err == nil && len(tasks) == 0
	}, 5*time.Second, 20*time.Millisecond)
}

func TestRunWorksOffTheTasksOfADeadProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	plain := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"plan": "pro"}})
	s.connectUntagged("ada", plain.ID)
	others := s.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "grace"}})
	s.connectUntagged("eve", others.ID)
	s.connectUntagged("gone", "88888888-8888-4888-8888-888888888888")
	for i := range 25 {
		s.connectUntagged(fmt.Sprint("user", i), s.fake.PutIdentity(anchortest.Identity{}).ID)
	}
	done := s.fake.PutIdentity(anchortest.Identity{})
	s.connectUntagged("done", done.ID)
	done.Metadata = map[string]any{"externalUserId": "done", "connectedAt": s.connection("done").ConnectedAt.UTC().Format(time.RFC3339)}
	s.fake.PutIdentity(done)

	s.run()
	require.Eventually(t, func() bool {
		tasks, err := s.store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 100)
		return err == nil && len(tasks) == 0
	}, 10*time.Second, 50*time.Millisecond)

	identity, _ := s.fake.Identity(plain.ID)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	require.Equal(t, "pro", identity.Metadata["plan"])
	require.Equal(t, "grace", s.tag(others.ID), "another user's mark is never overwritten")
	for _, identity := range s.fake.Identities() {
		require.NotNil(t, s.tag(identity.ID))
	}
	require.Equal(t, 26, s.fake.CountCalls("PUT", ""), "an identity that has its tag is not tagged again")
}

func TestRunSweepsFlowsThatExpiredLongAgo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	hosted := ada.start()
	callback := s.approve(hosted)
	s.clock.advance(16 * time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.handler.Run(ctx), context.DeadlineExceeded)
	ada.refused(connect.ErrStateExpired, ada.get(callback)) // Not unknown: an expired flow is kept for a while.

	s.clock.advance(2 * time.Hour)
	s.run()
	require.Eventually(t, func() bool {
		return strings.Contains(ada.get(callback).body, connect.Explain(connect.ErrStateUnknown).Title)
	}, 5*time.Second, 20*time.Millisecond)
}

// A gateway in front of Anchor may answer 404 with a page of its own, for example during
// a deployment. That must not end a deletion or a tag.
func TestRunRetriesAfterAGatewaysOwn404(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, grace := s.signedIn("ada"), s.signedIn("grace")
	callback := ada.connect()
	page := anchortest.Fault{Status: 404, Body: "<html>default backend - 404</html>", Header: http.Header{"Content-Type": {"text/html"}}}

	put := page
	put.Method = "PUT"
	s.fake.Fault(put)
	gracesCallback := grace.connect()
	s.fake.ClearFaults()
	waiting := s.approve(grace.start())
	s.fake.Fault(page)
	grace.refused(connect.ErrUpstreamInvalid, grace.get(waiting))
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", nil).status)

	s.run()
	time.Sleep(2 * taskInterval)
	s.fake.ClearFaults()
	require.Eventually(t, func() bool {
		_, there := s.fake.Identity(identityIn(callback))
		return !there && s.tag(identityIn(gracesCallback)) == "grace"
	}, 10*time.Second, 20*time.Millisecond)
}

// Two apps with keys of their own may share a store. One app's key does not see the
// other's identities, and must not take its tasks for done.
func TestRunLeavesTheTasksOfOtherHandlersAlone(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	first := newSite(t, func(c *connect.Config) { c.Store = store })
	second, err := anchortest.Start(anchortest.WithApplicationID("77777777-7777-4777-8777-777777777777"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, second.Close()) })
	other, err := connect.New(connect.Config{
		Anchor: second.Client(), ApplicationID: second.ApplicationID(), PublicURL: "https://other.example", Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")},
	})
	require.NoError(t, err)

	first.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	first.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	ada, grace := first.signedIn("ada"), first.signedIn("grace")
	adas, graces := ada.connect(), grace.connect()
	require.Equal(t, http.StatusSeeOther, grace.post("/disconnect", nil).status)

	ctx, cancel := context.WithTimeout(context.Background(), 3*taskInterval)
	defer cancel()
	require.ErrorIs(t, other.Run(ctx), context.DeadlineExceeded)
	require.Empty(t, second.Calls())

	first.fake.ClearFaults()
	first.run()
	require.Eventually(t, func() bool {
		_, there := first.fake.Identity(identityIn(graces))
		return !there && first.tag(identityIn(adas)) == "ada"
	}, 10*time.Second, 20*time.Millisecond)
}

func TestRunSweepsWithoutDelayingTasks(t *testing.T) {
	t.Parallel()
	store := &endlessSweep{Store: connect.NewMemoryStore()}
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	identity := s.fake.PutIdentity(anchortest.Identity{})
	s.connectUntagged("ada", identity.ID)
	s.run()
	require.Eventually(t, func() bool { return s.tag(identity.ID) == "ada" }, 5*time.Second, 20*time.Millisecond)
}

// endlessSweep always has more to sweep.
type endlessSweep struct{ connect.Store }

func (endlessSweep) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return limit, nil
}

func TestRunRetriesTasksOfEveryApplication(t *testing.T) {
	t.Parallel()
	h := newHook(t, withCalendar)
	h.fake.Fault(anchortest.Fault{Method: "PUT", Status: http.StatusServiceUnavailable, Times: 2})
	ada := h.signedIn("ada")
	mail, calendar := identityIn(ada.connect()), identityIn(ada.connectTo("/connect/calendar"))
	require.Nil(t, h.tag(mail))
	require.Nil(t, h.tag(calendar))
	h.run()
	require.Eventually(t, func() bool { return h.tag(mail) == "ada" && h.tag(calendar) == "ada" }, 5*time.Second, 10*time.Millisecond)
	h.waitForEvents(connect.Tagged, 2)
}
