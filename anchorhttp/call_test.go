package anchorhttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(200, identity(idA)))
	_, err := srv.client().Identity(t.Context(), idA)
	require.NoError(t, err)
	require.NoError(t, srv.client().UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Name: "x"}))

	for i, r := range srv.requests() {
		require.Equal(t, []string{testKey}, r.header.Values("anchor-api-key"))
		require.Equal(t, []string{"application/json"}, r.header.Values("Accept"))
		require.Contains(t, r.header.Get("User-Agent"), "anchorhttp")
		want := []string(nil)
		if i == 1 {
			want = []string{"application/json"}
		}
		require.Equal(t, want, r.header.Values("Content-Type"), "only with a body")
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	opened := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			says(404, strings.Repeat(" ", 100_000))(w, r)
			return
		}
		says(200, identity(idA)+strings.Repeat(" ", 100_000))(w, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mu.Lock()
			opened++
			mu.Unlock()
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := anchorhttp.New(testKey, anchorhttp.WithBaseURL(srv.URL), anchorhttp.WithHTTPClient(srv.Client()))
	for range 5 {
		_, err := c.Identity(t.Context(), idA)
		require.NoError(t, err)
		require.NoError(t, c.DeleteIdentity(t.Context(), idA))
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, opened)
}

func TestRedirectIsNeverFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, says(200, identity(idA)))
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for name, location := range map[string]string{
			"to another host": elsewhere.URL + "/v1/identities/" + idA,
			"to itself":       "/elsewhere",
			"to nowhere":      "",
			"to no URL":       "http://[::1",
		} {
			t.Run(fmt.Sprintf("%d %s", status, name), func(t *testing.T) {
				t.Parallel()
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Should-Retry", "true")
					w.Header().Set("Retry-After", "0")
					if location != "" {
						w.Header().Set("Location", location)
					}
					w.WriteHeader(status)
				})
				// The caller's own client would follow.
				c := srv.client(anchorhttp.WithMaxRetries(2), anchorhttp.WithHTTPClient(&http.Client{
					Transport:     srv.Client().Transport,
					CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
				}))
				_, err := c.Identity(t.Context(), idA)
				var e *anchorhttp.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, status, e.StatusCode)
				require.Contains(t, e.Message, "redirect")
				require.Len(t, srv.requests(), 1, "not retried either")
			})
		}
	}
	t.Cleanup(func() { require.Empty(t, elsewhere.requests()) })
}

func TestAnswerThatSwitchesProtocols(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: endless\r\n\r\n")
		<-done
	})
	_, err := srv.client().Identity(t.Context(), idA)
	var e *anchorhttp.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 101, e.StatusCode)
}

// padded is JSON about an identity of n bytes.
func padded(n int) string {
	s := identity(idA)
	return s + strings.Repeat(" ", n-len(s))
}

func TestAnswerBodiesAreBounded(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	zipped := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}

	t.Run("1 MiB is read", func(t *testing.T) {
		t.Parallel()
		_, err := serve(t, says(200, padded(limit))).client().Identity(t.Context(), idA)
		require.NoError(t, err)
	})
	t.Run("a byte more is not", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(200, padded(limit+1)))
		_, err := srv.client(anchorhttp.WithMaxRetries(2)).Identity(t.Context(), idA)
		require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
		require.ErrorContains(t, err, "1 MiB")
		require.Len(t, srv.requests(), 1, "not retried")
	})
	t.Run("nor after gzip", func(t *testing.T) {
		t.Parallel()
		small := zipped(padded(limit + 1))
		require.Less(t, len(small), 10_000)
		_, err := serve(t, says(200, small, "Content-Encoding", "gzip")).client().Identity(t.Context(), idA)
		require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
		require.ErrorContains(t, err, "1 MiB")
	})
	t.Run("gzip as such is fine", func(t *testing.T) {
		t.Parallel()
		_, err := serve(t, says(200, zipped(identity(idA)), "Content-Encoding", "gzip")).client().Identity(t.Context(), idA)
		require.NoError(t, err)
	})
	for _, status := range []int{200, 500} {
		t.Run(fmt.Sprintf("an endless %d ends", status), func(t *testing.T) {
			t.Parallel()
			c := through(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Body: io.NopCloser(endless{})}, nil
			}, anchorhttp.WithMaxRetries(0))
			_, err := c.Identity(t.Context(), idA)
			require.Error(t, err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	t.Run("an error beyond 1 MiB still has its status", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(403, `{"message":"no"`+strings.Repeat(" ", limit)+`}`))
		_, err := srv.client().Identity(t.Context(), idA)
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 403, e.StatusCode)
		require.Empty(t, e.Message)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAnswerBodiesAreClosed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{101, 200, 204, 302, 404, 500} {
		body := &closing{Reader: strings.NewReader(identity(idA))}
		c := through(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body}, nil
		}, anchorhttp.WithMaxRetries(0))
		_, _ = c.Identity(t.Context(), idA)
		require.Equal(t, 1, body.closed, status)
	}
}

func TestAnswerMayLackABody(t *testing.T) {
	t.Parallel()
	c := through(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 404}, nil })
	require.NoError(t, c.DeleteIdentity(t.Context(), idA))
}

type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestAnswerThatIsInvalid(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing":          ``,
		"a page":           `<!doctype html><title>Sign in to the hotel's network</title>`,
		"a list":           `[` + identity(idA) + `]`,
		"a text":           `"ok"`,
		"null":             `null`,
		"no id":            `{}`,
		"data without id":  `{"data":{}}`,
		"data as a list":   `{"data":[` + identity(idA) + `]}`,
		"something behind": identity(idA) + `{}`,
		"cut short":        identity(idA)[:40],
		"another id":       identity(idB),
		"an id of no form": `{"id":"1"}`,
		"an id of no text": `{"id":17}`,
		"no time":          `{"id":"` + idA + `","created_at":"yesterday"}`,
		"metadata no map":  `{"id":"` + idA + `","metadata":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, body))
			v, err := srv.client(anchorhttp.WithMaxRetries(2)).Identity(t.Context(), idA)
			require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
			require.Zero(t, v)
			require.Len(t, srv.requests(), 1, "not retried")
		})
	}
}

func TestAnswerThatIsInvalidSaysWhy(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                  "it has no id",
		identity(idB):         "its id is not the requested one",
		`{"id":17}`:           "the field id has the wrong type",
		`<html>`:              "not the expected JSON",
		`{"id":"` + idA + `"`: "not the expected JSON",
	} {
		_, err := serve(t, says(200, body)).client().Identity(t.Context(), idA)
		require.ErrorContains(t, err, "anchorhttp: GET /v1/identities/{id}: the answer is invalid: ")
		require.ErrorContains(t, err, want)
	}
}

// script is a transport that answers one step after another, the last one for
// ever, and keeps when it was asked and with what.
type script struct {
	steps  []func(*http.Request) (*http.Response, error)
	at     []time.Duration
	bodies []string
	begin  time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.begin.IsZero() {
		s.begin = time.Now()
	}
	s.at = append(s.at, time.Since(s.begin))
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		s.bodies = append(s.bodies, string(body))
	}
	step := s.steps[min(len(s.at), len(s.steps))-1]
	return step(r)
}

func status(code int, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return response(code, `{"message":"status `+fmt.Sprint(code)+`"}`, headers...), nil
	}
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hangs answers when the request's time is over.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// stalls answers at once, with a body that never comes.
func stalls(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: 200, Body: body}, nil
}

func fine(*http.Request) (*http.Response, error) { return response(200, identity(idA)), nil }

var errRefused = errors.New("connection refused")

// errShutdown is what a caller may cancel its context with.
var errShutdown = errors.New("shutting down")

func cancelledAfter(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(d, cancel)
		return ctx, cancel
	}
}

// TestRetries runs in a synctest bubble, so the times are exact.
func TestRetries(t *testing.T) {
	t.Parallel()
	type step = func(*http.Request) (*http.Response, error)
	const s = time.Second
	tests := []struct {
		name   string
		steps  []step
		opts   []anchorhttp.Option
		client time.Duration // the Timeout of the caller's client
		ctx    func(context.Context) (context.Context, context.CancelFunc)

		attempts   int
		status     int     // of the *Error in the error; 0 means that there is none
		is         []error // the error wraps these
		isNot      []error
		text       string
		ok         bool
		least, max time.Duration // how long it takes
	}{
		{name: "success needs one attempt", steps: []step{fine}, attempts: 1, ok: true},
		{name: "503 twice, then success", steps: []step{status(503), status(503), fine}, attempts: 3, ok: true,
			least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "503 three times", steps: []step{status(503)}, attempts: 3, status: 503,
			isNot: []error{context.DeadlineExceeded}, least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "the last status counts", steps: []step{status(503), status(429), status(500)}, attempts: 3, status: 500,
			least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "404 is final", steps: []step{status(404)}, attempts: 1, status: 404},
		{name: "404 after 503 is final", steps: []step{status(503), status(404)}, attempts: 2, status: 404,
			least: 375 * time.Millisecond, max: 500 * time.Millisecond},
		{name: "404 at the last attempt", steps: []step{status(503), status(503), status(404)}, attempts: 3, status: 404,
			least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "409 is retried", steps: []step{status(409), fine}, attempts: 2, ok: true, least: 375 * time.Millisecond, max: 500 * time.Millisecond},
		{name: "no retries", steps: []step{status(503)}, opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(0)}, attempts: 1, status: 503},
		{name: "many retries, 8 s apart in the end", steps: []step{status(503)}, attempts: 8, status: 503,
			opts:  []anchorhttp.Option{anchorhttp.WithMaxRetries(7), anchorhttp.WithTimeout(0)},
			least: 31500 * time.Millisecond * 3 / 4, max: 31500 * time.Millisecond},
		{name: "it goes on beyond 15 minutes if it may", steps: []step{status(503, "Retry-After", "59")}, attempts: 21, status: 503,
			opts:  []anchorhttp.Option{anchorhttp.WithMaxRetries(20), anchorhttp.WithTimeout(0)},
			least: 20 * 59 * s, max: 20 * 59 * s},

		{name: "a connection that fails", steps: []step{fails(errRefused), fails(errRefused), fine}, attempts: 3, ok: true,
			least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "a connection that fails for ever", steps: []step{fails(errRefused)}, attempts: 3, is: []error{errRefused},
			isNot: []error{context.DeadlineExceeded}, least: 1125 * time.Millisecond, max: 1500 * time.Millisecond},
		{name: "a wait asked for is not that of the next failure", steps: []step{status(503, "Retry-After", "7"), fails(errRefused), fine},
			attempts: 3, ok: true, least: 7750 * time.Millisecond, max: 8 * s},

		{name: "Retry-After is obeyed", steps: []step{status(429, "Retry-After", "7"), fine}, attempts: 2, ok: true, least: 7 * s, max: 7 * s},
		{name: "retry-after-ms is obeyed", steps: []step{status(503, "retry-after-ms", "20"), fine}, attempts: 2, ok: true,
			least: 20 * time.Millisecond, max: 20 * time.Millisecond},
		{name: "it does not begin the waits anew", steps: []step{status(503), status(503, "Retry-After", "0"), status(503), fine}, attempts: 4, ok: true,
			opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(3)}, least: 1875 * time.Millisecond, max: 2500 * time.Millisecond},
		{name: "Retry-After beyond a minute is obeyed where there is time", steps: []step{status(429, "Retry-After", "61"), fine}, attempts: 2, ok: true,
			opts: []anchorhttp.Option{anchorhttp.WithTimeout(0)}, least: 61 * time.Second, max: 61 * time.Second},
		{name: "Retry-After beyond the time of the call: the answer comes back at once", steps: []step{status(429, "Retry-After", "58")},
			attempts: 1, status: 429, isNot: []error{context.DeadlineExceeded}},
		{name: "a wait that ends with the call is not begun", steps: []step{status(429, "Retry-After", "30")},
			attempts: 1, status: 429, isNot: []error{context.DeadlineExceeded}},
		{name: "nor one beyond the context's deadline", steps: []step{status(429, "Retry-After", "3")}, attempts: 1, status: 429,
			ctx:   func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 2*s) },
			isNot: []error{context.DeadlineExceeded}},
		{name: "x-should-retry: false", steps: []step{status(503, "x-should-retry", "false")}, attempts: 1, status: 503},
		{name: "x-should-retry: true", steps: []step{status(400, "x-should-retry", "true"), fine}, attempts: 2, ok: true,
			least: 375 * time.Millisecond, max: 500 * time.Millisecond},

		{name: "an attempt without an answer ends after 10 s and is retried", steps: []step{hangs, fine}, attempts: 2, ok: true,
			least: 10375 * time.Millisecond, max: 10500 * time.Millisecond},
		{name: "so is one whose body does not come", steps: []step{stalls, fine}, attempts: 2, ok: true,
			least: 10375 * time.Millisecond, max: 10500 * time.Millisecond},
		{name: "attempts that all take too long", steps: []step{hangs}, attempts: 3, is: []error{context.DeadlineExceeded},
			opts: []anchorhttp.Option{anchorhttp.WithAttemptTimeout(s)}, text: "no answer within 1s",
			least: 4125 * time.Millisecond, max: 4500 * time.Millisecond},
		{name: "the caller's client may be less patient", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			client: 2 * s, opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(0)}, text: "no answer within 2s", least: 2 * s, max: 2 * s},
		{name: "but not more", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			client: time.Minute, opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(0)}, least: 10 * s, max: 10 * s},
		{name: "unless attempts have no limit", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			client: 20 * s, opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(0), anchorhttp.WithAttemptTimeout(0)},
			least: 20 * s, max: 20 * s},

		{name: "the whole call ends after 30 s", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			opts: []anchorhttp.Option{anchorhttp.WithAttemptTimeout(0)}, least: 30 * s, max: 30 * s},
		{name: "or earlier", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			opts: []anchorhttp.Option{anchorhttp.WithTimeout(3 * s)}, least: 3 * s, max: 3 * s},
		{name: "or with its context", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			opts: []anchorhttp.Option{anchorhttp.WithAttemptTimeout(0)}, least: 2 * s, max: 2 * s,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 2*s) }},
		{name: "but not later with it", steps: []step{hangs}, attempts: 1, is: []error{context.DeadlineExceeded},
			opts: []anchorhttp.Option{anchorhttp.WithAttemptTimeout(0)}, least: 30 * s, max: 30 * s,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 31*s) }},
		{name: "503, then nothing until the end: both are told", steps: []step{status(503), hangs}, attempts: 2, status: 503,
			is: []error{context.DeadlineExceeded}, opts: []anchorhttp.Option{anchorhttp.WithTimeout(5 * s)}, least: 5 * s, max: 5 * s},
		{name: "a connection that failed, then nothing until the end: both are told", steps: []step{fails(errRefused), hangs}, attempts: 2,
			is: []error{context.DeadlineExceeded, errRefused}, opts: []anchorhttp.Option{anchorhttp.WithTimeout(5 * s)}, least: 5 * s, max: 5 * s},
		{name: "503, then nothing at the last attempt", steps: []step{status(503), status(503), hangs}, attempts: 3, status: 503,
			is: []error{context.DeadlineExceeded}, opts: []anchorhttp.Option{anchorhttp.WithTimeout(5 * s)}, least: 5 * s, max: 5 * s},

		{name: "a context that is cancelled sends nothing", steps: []step{fine}, attempts: 0,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, cancel
			}, is: []error{context.Canceled}},
		{name: "cancelled while waiting", steps: []step{status(503, "Retry-After", "20")}, attempts: 1, ctx: cancelledAfter(3 * s),
			status: 503, is: []error{context.Canceled}, isNot: []error{context.DeadlineExceeded}, least: 3 * s, max: 3 * s},
		{name: "cancelled while an attempt is under way", steps: []step{hangs}, attempts: 1, ctx: cancelledAfter(3 * s),
			is: []error{context.Canceled}, isNot: []error{context.DeadlineExceeded}, least: 3 * s, max: 3 * s},
		{name: "cancelled while a body is under way", steps: []step{stalls}, attempts: 1, ctx: cancelledAfter(3 * s),
			is: []error{context.Canceled}, isNot: []error{context.DeadlineExceeded}, least: 3 * s, max: 3 * s},
		{name: "cancelled at the last attempt", steps: []step{hangs}, attempts: 1, ctx: cancelledAfter(3 * s),
			opts: []anchorhttp.Option{anchorhttp.WithMaxRetries(0)}, is: []error{context.Canceled}, least: 3 * s, max: 3 * s},
		{name: "cancelled with a cause", steps: []step{status(503, "Retry-After", "20")}, attempts: 1,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(3*s, func() { cancel(errShutdown) })
				return ctx, func() { cancel(nil) }
			}, status: 503, is: []error{context.Canceled}, least: 3 * s, max: 3 * s},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tt.ctx(ctx)
					defer cancel()
				}
				rt := &script{steps: tt.steps}
				hc := &http.Client{Transport: rt, Timeout: tt.client}
				opts := append([]anchorhttp.Option{anchorhttp.WithHTTPClient(hc)}, tt.opts...)
				begin := time.Now()
				_, err := anchorhttp.New(testKey, opts...).Identity(ctx, idA)
				took := time.Since(begin)

				require.Len(t, rt.at, tt.attempts)
				require.GreaterOrEqual(t, took, tt.least)
				require.LessOrEqual(t, took, tt.max)
				if tt.ok {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, "anchorhttp: GET /v1/identities/{id}: "+tt.text)
				require.NotContains(t, err.Error(), "%!")
				for _, want := range tt.is {
					require.ErrorIs(t, err, want)
				}
				for _, other := range tt.isNot {
					require.NotErrorIs(t, err, other)
				}
				var e *anchorhttp.Error
				require.Equal(t, tt.status != 0, errors.As(err, &e), err)
				if e != nil {
					require.Equal(t, tt.status, e.StatusCode)
				}
			})
		})
	}
}

func TestRetriesSendTheWholeRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := &script{steps: []func(*http.Request) (*http.Response, error){status(503), status(503), fine}}
		c := anchorhttp.New(testKey, anchorhttp.WithHTTPClient(&http.Client{Transport: rt}))
		require.NoError(t, c.UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Name: "x"}))
		require.Equal(t, []string{`{"name":"x"}`, `{"name":"x"}`, `{"name":"x"}`}, rt.bodies)
	})
}

func TestRetriesWaitForRandomTimes(t *testing.T) {
	t.Parallel()
	waits := make(map[time.Duration]bool)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			rt := &script{steps: []func(*http.Request) (*http.Response, error){status(503), fine}}
			_, err := anchorhttp.New(testKey, anchorhttp.WithHTTPClient(&http.Client{Transport: rt})).Identity(t.Context(), idA)
			require.NoError(t, err)
			waits[rt.at[1]] = true
		})
	}
	require.Greater(t, len(waits), 10)
}

// TestTimeouts is about what Go's own transport makes of the end of a context.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	silent := serve(t, func(http.ResponseWriter, *http.Request) { <-done })
	halting := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":`)
		_ = http.NewResponseController(w).Flush()
		<-done
	})
	t.Cleanup(func() { close(done) }) // before the servers are closed
	for name, srv := range map[string]*recorder{"no answer": silent, "half an answer": halting} {
		t.Run(name+", the attempts take too long", func(t *testing.T) {
			t.Parallel()
			c := srv.client(anchorhttp.WithAttemptTimeout(50*time.Millisecond), anchorhttp.WithMaxRetries(1))
			_, err := c.Identity(t.Context(), idA)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "no answer within 50ms")
		})
		t.Run(name+", the call takes too long", func(t *testing.T) {
			t.Parallel()
			_, err := srv.client(anchorhttp.WithTimeout(50*time.Millisecond)).Identity(t.Context(), idA)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		t.Run(name+", cancelled", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(errShutdown) })
			_, err := srv.client().Identity(ctx, idA)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		_, err := anchorhttp.New(testKey, anchorhttp.WithBaseURL(gone.URL), anchorhttp.WithMaxRetries(0)).Identity(t.Context(), idA)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
	})
	for name, text := range map[string]string{
		"closed at once":          "",
		"no HTTP":                 "SSH-2.0-OpenSSH\r\n",
		"a body that is cut off":  "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + identity(idA),
		"a body that is not gzip": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
		"a header without an end": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000),
		"a line of noise":         strings.Repeat("noise", 100_000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, raw(text))
			_, err := srv.client(anchorhttp.WithMaxRetries(1)).Identity(t.Context(), idA)
			require.Error(t, err)
			require.NotErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
			require.Less(t, len(err.Error()), 2000)
			require.GreaterOrEqual(t, len(srv.requests()), 2, "it was tried again")
		})
	}
	t.Run("an error keeps its status, though its body is cut off", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n{"))
		_, err := srv.client().Identity(t.Context(), idA)
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 403, e.StatusCode)
	})
}

func TestClientIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(200, identity(idA)))
	c := srv.client()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := c.Identity(t.Context(), idA)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, srv.requests(), 20)
}

func TestAnswerCountsThoughTheContextEnds(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 404, 503} {
		for _, retries := range []int{0, 2} {
			ctx, cancel := context.WithCancel(t.Context())
			c := through(func(*http.Request) (*http.Response, error) {
				cancel()
				return response(code, identity(idA)), nil
			}, anchorhttp.WithMaxRetries(retries))
			_, err := c.Identity(ctx, idA)
			if code == 200 {
				require.NoError(t, err)
				continue
			}
			var e *anchorhttp.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, code, e.StatusCode)
			// Only where another attempt would have been made was it cancelled.
			require.Equal(t, code == 503 && retries > 0, errors.Is(err, context.Canceled), err)
		}
	}
}

// FuzzAnswer gives every call any answer: it never panics, an error never holds
// the key, and what comes back without an error is whole.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"data":{"id":"`+idA+`","name":"x","status":"validated","metadata":{"n":1e400}}}`, "application/json")
	f.Add(201, `{"data":{"token":"t","token_hash":"h","expires_at":"2031-05-17T12:00:00Z"}}`, "application/json")
	f.Add(200, `{"identities":[{"id":"`+idB+`"},null,{}]}`, "application/json")
	f.Add(200, `{"id":"s","cdp_url":7}`, "application/json")
	f.Add(404, `{"error":{"code":404,"message":"`+testKey+`\u202e"}}`, "text/html")
	f.Add(200, `[]`, "")
	f.Add(301, "", "")
	f.Fuzz(func(t *testing.T, status int, body, contentType string) {
		transport := transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r,
				Header: http.Header{"Content-Type": {contentType}, "Date": {"Sat, 17 May 2031 11:45:00 GMT"}, "X-Request-Id": {body}},
			}, nil
		})
		c := anchorhttp.New(testKey, anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
		check := func(err error) bool {
			if err == nil {
				require.Equal(t, 2, status/100)
				return true
			}
			require.NotContains(t, err.Error(), testKey)
			require.NotContains(t, err.Error(), "\n")
			var answer *anchorhttp.Error
			require.True(t, errors.Is(err, anchorhttp.ErrInvalidAnswer) || errors.As(err, &answer), "%v", err)
			return false
		}
		ctx := t.Context()
		if identity, err := c.Identity(ctx, idA); check(err) {
			require.Equal(t, idA, identity.ID)
		}
		if token, err := c.CreateIdentityToken(ctx, appID, "https://app.example/identity-callback/STATE"); check(err) {
			require.NotEmpty(t, token.Token)
			require.NotEmpty(t, token.Hash)
			require.False(t, token.ExpiresAt.IsZero() && token.IssuedAt.IsZero())
		}
		if application, err := c.Application(ctx, appID); check(err) {
			require.Equal(t, appID, application.ID)
		}
		if session, err := c.CreateSession(ctx, anchorhttp.AuthenticatedSession(idA)); check(err) {
			require.NotEmpty(t, session.ID)
		}
		if err := c.EndSession(ctx, "s-1"); err != nil {
			check(err)
		}
		check(c.UpdateIdentity(ctx, idA, anchorhttp.IdentityUpdate{Name: "x"}))
		check(c.Reauthenticate(ctx, idA))
		if err := c.DeleteIdentity(ctx, idA); err != nil {
			check(err)
		}
		for item, err := range c.ApplicationIdentities(ctx, appID, anchorhttp.IdentityFilter{}) {
			if check(err) {
				_, ok := anchorhttp.ParseID(item.ID)
				require.True(t, ok)
			}
		}
	})
}
