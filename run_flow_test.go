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

// A panic in the app's own code ends an attempt, never the process.
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
			s.owed("ada", s.fake.PutIdentity(anchortest.Identity{}).ID)
			s.owed("grace", s.fake.PutIdentity(anchortest.Identity{}).ID)
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

// panicky is a store one of whose methods panics.
type panicky struct {
	connect.Store
	method string
}

func (s panicky) maybe(method string) {
	if s.method == method {
		panic("broken " + method)
	}
}

func (s panicky) Claim(ctx context.Context, id string, now, until time.Time, limit int) ([]connect.Task, error) {
	s.maybe("Claim")
	return s.Store.Claim(ctx, id, now, until, limit)
}

func (s panicky) Postpone(ctx context.Context, t connect.Task, at time.Time) error {
	s.maybe("Postpone")
	return s.Store.Postpone(ctx, t, at)
}

func (s panicky) Done(ctx context.Context, t connect.Task) error {
	s.maybe("Done")
	return s.Store.Done(ctx, t)
}

func (s panicky) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	s.maybe("Sweep")
	return s.Store.Sweep(ctx, before, limit)
}

func (s panicky) Applications(ctx context.Context) ([]string, error) {
	s.maybe("Applications")
	return s.Store.Applications(ctx)
}

// In a request it ends no more than the attempt either.
func TestDisconnectAndTheTagSurviveAPanicOfTheTransport(t *testing.T) {
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
	require.NoError(t, h.Disconnect(t.Context(), "ada"))
	require.Zero(t, s.connection("ada"))
	s.log.forget("panic")
	s.run()
	require.Eventually(t, func() bool { return len(s.fake.Identities()) == 0 }, 10*time.Second, 20*time.Millisecond)
}

// What Anchor refuses for good is tried ever more rarely, and is an event.
func TestATaskThatAnchorRefusesIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			id := h.fake.PutIdentity(anchortest.Identity{}).ID
			h.owed("ada", id)
			h.fake.Fault(anchortest.Fault{Method: "PUT", Status: status, Body: `{"message":"no"}`})
			h.run()
			got := h.told(connect.TaskRefused, 1)[0]
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
		h.owed("ada", h.fake.PutIdentity(anchortest.Identity{}).ID)
		h.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
		h.run()
		require.Eventually(t, func() bool { return strings.Contains(h.log.String(), "a task failed and will be tried again") }, 5*time.Second, 5*time.Millisecond)
		h.told(connect.TaskRefused, 0)
	})
}
