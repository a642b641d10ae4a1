package anchortest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// hook is an app's webhook endpoint that keeps what it is sent.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int // to answer one after another, then 204
	got      []received
}

type received struct {
	header http.Header
	body   string
}

func (r received) event(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

func (r received) identity(t *testing.T) any {
	t.Helper()
	return r.event(t)["data"].(map[string]any)["identity_id"]
}

func newHook(t *testing.T, statuses ...int) *hook {
	t.Helper()
	h := &hook{statuses: statuses}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, received{r.Header, string(body)})
	status := http.StatusNoContent
	if len(h.statuses) > 0 {
		status, h.statuses = h.statuses[0], h.statuses[1:]
	}
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

func (h *hook) received() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func TestEventsOfSignIns(t *testing.T) {
	t.Parallel()

	t.Run("each sign-in and each failure is told once it has happened", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL+"/hook", "s"))
		now := time.Date(2026, 5, 24, 12, 18, 5, 123_000_000, time.UTC)
		s.SetNow(func() time.Time { return now })

		var id string
		for _, step := range []struct {
			name string
			do   func()
			want string
		}{
			{"Approve", func() {
				at, err := s.Approve(t.Context(), hosted(t, s, callback))
				require.NoError(t, err)
				id = identityIn(t, at)
			}, anchorhttp.EventIdentityAuthenticated},
			{"FailIdentity", func() { require.NoError(t, s.FailIdentity(t.Context(), id)) }, anchorhttp.EventIdentityAuthenticationFailed},
			{"FailIdentity again", func() { require.NoError(t, s.FailIdentity(t.Context(), id)) }, anchorhttp.EventIdentityAuthenticationFailed},
			{"Reauthenticate", func() { require.NoError(t, s.Reauthenticate(t.Context(), id)) }, anchorhttp.EventIdentityAuthenticated},
			{"the API", func() { require.NoError(t, s.Client().Reauthenticate(t.Context(), id)) }, anchorhttp.EventIdentityAuthenticated},
			{"the page", func() {
				submit(t, s, map[string][]string{"token": {newToken(t, s, callback)}, "outcome": {"approve"}})
				id = s.Identities()[1].ID
			}, anchorhttp.EventIdentityAuthenticated},
			{"the same account again", func() {
				_, err := s.Approve(t.Context(), hosted(t, s, callback), WithExistingIdentity(id))
				require.NoError(t, err)
			}, anchorhttp.EventIdentityAuthenticated},
			{"an identity that is no good", func() {
				at, err := s.Approve(t.Context(), hosted(t, s, callback), WithStatus(StatusFailed))
				require.NoError(t, err)
				id = identityIn(t, at)
			}, anchorhttp.EventIdentityAuthenticationFailed},
		} {
			now = now.Add(time.Second)
			before := len(h.received())
			step.do()
			require.NoError(t, s.WaitDelivered(soon(t)))
			got := h.received()
			require.Len(t, got, before+1, step.name)
			last := got[before]
			require.Equal(t, step.want, last.header.Get("Anchor-Event"), step.name)
			event := last.event(t)
			require.Equal(t, step.want, event["type"], step.name)
			require.Equal(t, now.Format(timeFormat), event["created"], step.name)
			require.Equal(t, id, last.identity(t), step.name)

			identity, _ := s.Identity(id)
			require.Equal(t, now, identity.UpdatedAt, step.name)
			eventType, _ := signInEvent(identity.Status)
			require.Equal(t, step.want, eventType, "%s: the status says the same", step.name)
		}
	})

	t.Run("what is no sign-in is not told", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		_, err := s.Cancel(t.Context(), hosted(t, s, callback))
		require.NoError(t, err)
		_, err = s.Fail(t.Context(), hosted(t, s, callback))
		require.NoError(t, err)
		_, err = s.Approve(t.Context(), hosted(t, s, callback), WithStatus(StatusPending))
		require.NoError(t, err)
		identity := s.PutIdentity(Identity{Status: StatusFailed})
		call(t, s, "PUT", "/v1/identities/"+identity.ID, `{"name":"a"}`)
		call(t, s, "DELETE", "/v1/identities/"+identity.ID, "")
		call(t, s, "POST", "/v1/identities/"+identity.ID+"/reauthenticate", "").requireError(t, 404)
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.Empty(t, s.Deliveries())
		require.Empty(t, h.received())
	})

	t.Run("without a webhook nothing is sent", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		s.SetWebhook("", "s")
		identity := s.PutIdentity(Identity{})
		var read atomic.Int32
		s.SetNow(func() time.Time { read.Add(1); return time.Now() })
		require.NoError(t, s.FailIdentity(t.Context(), identity.ID))
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.EqualValues(t, 1, read.Load(), "an attempt would have read the clock too")
		_, err := s.SendEvent(t.Context(), Event{Type: anchorhttp.EventIdentityAuthenticated})
		require.ErrorIs(t, err, errNoWebhook)
		require.Empty(t, s.Deliveries())
		require.Empty(t, h.received())
	})

	t.Run("an identity that is not there, or a context that is done, changes nothing", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		identity := s.PutIdentity(Identity{Status: StatusPending})
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for _, change := range []func(context.Context, string) error{s.FailIdentity, s.Reauthenticate} {
			require.ErrorContains(t, change(t.Context(), unknownID), unknownID)
			require.ErrorContains(t, change(t.Context(), "x"), `"x"`)
			require.ErrorIs(t, change(done, identity.ID), context.Canceled)
		}
		require.Equal(t, []Identity{identity}, s.Identities())
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.Empty(t, s.Deliveries())
	})

	t.Run("the clock is read while no other sign-in can end, so the later event is the outcome that stays", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		identity, at := s.PutIdentity(Identity{}), hosted(t, s, callback)
		for name, end := range map[string]func() error{
			"Approve":        func() error { _, err := s.Approve(t.Context(), at); return err },
			"FailIdentity":   func() error { return s.FailIdentity(t.Context(), identity.ID) },
			"Reauthenticate": func() error { return s.Reauthenticate(t.Context(), identity.ID) },
		} {
			var held []bool
			s.SetNow(func() time.Time {
				free := s.signIns.TryLock()
				if free {
					s.signIns.Unlock()
				}
				held = append(held, !free)
				return time.Now()
			})
			require.NoError(t, end())
			require.Equal(t, []bool{true}, held, name)
		}
	})
}

func TestDeliveries(t *testing.T) {
	t.Parallel()

	t.Run("an attempt that is not answered with 2xx is made again", func(t *testing.T) {
		t.Parallel()
		h := newHook(t, 503, 200)
		s := start(t, WithWebhook(h.URL, "one"))
		now := time.Date(2026, 5, 24, 12, 18, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		identity := s.PutIdentity(Identity{})
		require.NoError(t, s.FailIdentity(t.Context(), identity.ID))
		require.NoError(t, s.WaitDelivered(soon(t)))

		got := h.received()
		require.Len(t, got, 2)
		require.Equal(t, got[0].body, got[1].body, "the event is the same")
		deliveries := s.Deliveries()
		require.Len(t, deliveries, 2)
		for i, d := range deliveries {
			require.Equal(t, d.ID, got[i].header.Get("Anchor-Delivery-Id"))
			require.Equal(t, d.Event.ID, got[i].event(t)["id"])
			require.Equal(t, i+1, d.Attempt)
			require.Equal(t, now, d.At)
			require.NoError(t, d.Err)
			require.Equal(t, "t=1779625085,v1="+signature("one", "1779625085", got[i].body), got[i].header.Get("Anchor-Signature"))
		}
		require.NotEqual(t, deliveries[0].ID, deliveries[1].ID)
		require.Equal(t, deliveries[0].Event, deliveries[1].Event)
		require.Equal(t, []int{503, 200}, []int{deliveries[0].Status, deliveries[1].Status})
	})

	t.Run("SendEvent sends once and tells the answer", func(t *testing.T) {
		t.Parallel()
		h := newHook(t, 202, 500, 302, 404)
		s := start(t, WithWebhook(h.URL, "new", "old"))
		for _, want := range []int{202, 500, 302, 404, 204} {
			status, err := s.SendEvent(t.Context(), Event{ID: "evt_1", Type: anchorhttp.EventIdentityAuthenticated, IdentityID: unknownID})
			require.NoError(t, err)
			require.Equal(t, want, status)
		}
		got := h.received()
		require.Len(t, got, 5, "nothing is sent again and no redirect followed")
		stamp := got[0].header.Get("Anchor-Timestamp")
		require.Equal(t, "t="+stamp+",v1="+signature("new", stamp, got[0].body)+",v1="+signature("old", stamp, got[0].body), got[0].header.Get("Anchor-Signature"))
		require.Equal(t, unknownID, got[0].identity(t))
		require.Empty(t, s.Identities())
		require.Len(t, s.Deliveries(), 5)
	})

	t.Run("no answer is an error", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		h.Close()
		s := start(t, WithWebhook(h.URL, "s"))
		status, err := s.SendEvent(t.Context(), Event{Type: anchorhttp.EventIdentityAuthenticated})
		require.ErrorContains(t, err, "anchortest: no answer to the event")
		require.Zero(t, status)
		require.Equal(t, err, s.Deliveries()[0].Err)
		require.Zero(t, s.Deliveries()[0].Status)

		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.SendEvent(done, Event{Type: anchorhttp.EventIdentityAuthenticated})
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("an endpoint that speaks TLS needs its client", func(t *testing.T) {
		t.Parallel()
		h := &hook{}
		server := httptest.NewTLSServer(h)
		t.Cleanup(server.Close)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		s := start(t, WithWebhook(server.URL, "s"))
		_, err := s.SendEvent(t.Context(), Event{Type: "x"})
		require.ErrorContains(t, err, "certificate")
		s.SetWebhookClient(server.Client())
		status, err := s.SendEvent(t.Context(), Event{Type: "x"})
		require.NoError(t, err)
		require.Equal(t, 204, status)
		for _, c := range []*http.Client{nil, {}} {
			s.SetWebhookClient(c)
			_, err = s.SendEvent(t.Context(), Event{Type: "x"})
			require.ErrorContains(t, err, "certificate")
		}
	})

	t.Run("what was handed out and what is kept share nothing, and the oldest is forgotten", func(t *testing.T) {
		t.Parallel()
		s := New(WithWebhook("http://app.example", "s"))
		s.SetWebhookClient(&http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204}, nil // No body, as transports made for tests may answer.
		})})
		body := []byte("a")
		for i := range maxDeliveries {
			_, err := s.SendEvent(t.Context(), Event{ID: fmt.Sprint(i), Body: body})
			require.NoError(t, err)
		}
		body[0] = 'b'
		s.Deliveries()[0].Event.Body[0] = 'c'
		require.Equal(t, "a", string(s.Deliveries()[0].Event.Body))

		require.Equal(t, "0", s.Deliveries()[0].Event.ID)
		_, err := s.SendEvent(t.Context(), Event{})
		require.NoError(t, err)
		require.Len(t, s.Deliveries(), maxDeliveries)
		require.Equal(t, "1", s.Deliveries()[0].Event.ID)
	})

	t.Run("the log has type and status and no secret", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		var log lockedBuffer
		s := start(t, WithLogger(slog.New(slog.NewTextHandler(&log, nil))), WithWebhook(h.URL+"/p4th", "s3cret"))
		_, err := s.SendEvent(t.Context(), Event{Type: anchorhttp.EventIdentityAuthenticated, IdentityID: unknownID})
		require.NoError(t, err)
		require.Contains(t, log.String(), "msg=delivery event=identity.authenticated attempt=1 status=204")
		for _, part := range []string{"s3cret", "p4th", unknownID, "v1="} {
			require.NotContains(t, log.String(), part)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestDeliveriesAreRetried runs in synctest bubbles, so the times are exact.
func TestDeliveriesAreRetried(t *testing.T) {
	t.Parallel()

	// failing makes a fake whose webhook answers with f, and has a sign-in fail.
	// at is when the attempts were made after that.
	failing := func(t *testing.T, f func(attempt int, r *http.Request) (int, error)) (s *Server, at *[]time.Duration) {
		t.Helper()
		s, at = New(WithWebhook("http://app.example/hook", "s")), new([]time.Duration)
		begin := time.Now()
		s.SetWebhookClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			*at = append(*at, time.Since(begin))
			status, err := f(len(*at), r)
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})})
		require.NoError(t, s.FailIdentity(t.Context(), s.PutIdentity(Identity{}).ID))
		return s, at
	}
	hangs := func(r *http.Request) (int, error) {
		<-r.Context().Done()
		return 0, r.Context().Err()
	}
	const ms = time.Millisecond
	waits := []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms, 7500 * ms, 15500 * ms}

	for _, test := range []struct {
		name string
		f    func(attempt int, r *http.Request) (int, error)
		want []time.Duration
	}{
		{"2xx ends it", func(int, *http.Request) (int, error) { return 299, nil }, waits[:1]},
		{"it is given up after six attempts, ever further apart", func(int, *http.Request) (int, error) { return 500, nil }, waits},
		{"a redirect is no 2xx, nor is a 4xx", func(attempt int, _ *http.Request) (int, error) {
			return []int{307, 400, 410, 200}[attempt-1], nil
		}, waits[:4]},
		{"a connection that fails is tried again", func(attempt int, _ *http.Request) (int, error) {
			if attempt == 1 {
				return 0, errors.New("refused")
			}
			return 200, nil
		}, waits[:2]},
		{"no answer within 10 seconds is none", func(attempt int, r *http.Request) (int, error) {
			if attempt == 1 {
				return hangs(r)
			}
			return 200, nil
		}, []time.Duration{0, 10500 * ms}},
		{"an answer after 9.9 seconds is one", func(_ int, r *http.Request) (int, error) {
			time.Sleep(9900 * ms)
			return 200, r.Context().Err()
		}, waits[:1]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, at := failing(t, test.f)
				require.NoError(t, s.WaitDelivered(t.Context()))
				require.Equal(t, test.want, *at)
				require.Len(t, s.Deliveries(), len(test.want))
				time.Sleep(time.Hour)
				require.Len(t, *at, len(test.want), "and that was all")
			})
		})
	}

	t.Run("each attempt goes to the webhook that is set then", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var urls, signatures []string
			s, at := failing(t, func(_ int, r *http.Request) (int, error) {
				urls = append(urls, r.URL.String())
				signatures = append(signatures, r.Header.Get("Anchor-Signature"))
				return 500, nil
			})
			synctest.Wait()
			require.Equal(t, waits[:1], *at)
			begin := time.Now()
			s.SetWebhook("http://moved.example", "new", "s")
			time.Sleep(time.Second)
			s.SetWebhook("")
			require.NoError(t, s.WaitDelivered(t.Context()))
			require.Equal(t, 1500*ms, time.Since(begin), "it is given up at once")
			require.Equal(t, []string{"http://app.example/hook", "http://moved.example"}, urls)
			require.Equal(t, 2, bytes.Count([]byte(signatures[1]), []byte("v1=")))
			require.Len(t, s.Deliveries(), 2)
		})
	})

	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		// A goroutine that went on would keep the bubble from ending.
		t.Run(name+" ends an attempt under way and the wait for another", func(t *testing.T) {
			t.Parallel()
			for _, f := range []func(int, *http.Request) (int, error){
				func(_ int, r *http.Request) (int, error) { return hangs(r) },
				func(int, *http.Request) (int, error) { return 500, nil },
			} {
				synctest.Test(t, func(t *testing.T) {
					s, at := failing(t, f)
					synctest.Wait()
					begin := time.Now()
					require.NoError(t, end(s))
					require.NoError(t, end(s))
					require.Zero(t, time.Since(begin))
					require.NoError(t, s.WaitDelivered(t.Context()))
					require.Len(t, *at, 1)

					require.NoError(t, s.Reauthenticate(t.Context(), s.Identities()[0].ID))
					require.NoError(t, s.WaitDelivered(t.Context()))
					require.Len(t, *at, 1, "nothing is sent any more")
				})
			}
		})
	}

	t.Run("waiting ends with its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s, _ := failing(t, func(_ int, r *http.Request) (int, error) { return hangs(r) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, s.WaitDelivered(ctx), context.DeadlineExceeded)
			d := s.Deliveries()
			require.Len(t, d, 1)
			require.Zero(t, d[0].Status)
			require.NoError(t, d[0].Err, "it is under way")
			require.NoError(t, s.Close())
			require.ErrorIs(t, s.Deliveries()[0].Err, context.Canceled)
		})
	})

	t.Run("SendEvent waits 10 seconds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s, _ := failing(t, func(_ int, r *http.Request) (int, error) { return hangs(r) })
			require.NoError(t, s.Close())
			begin := time.Now()
			_, err := s.SendEvent(t.Context(), Event{Type: "x"})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(begin))
		})
	})
}
