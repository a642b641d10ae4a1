package anchorhttp_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	testKey = "sk-1f0e9d8c7b6a-secret"
	appID   = "0a1b2c3d-0000-4000-8000-00000000aaaa"
	idA     = "123e4567-e89b-12d3-a456-426614174000"
	idB     = "123e4567-e89b-12d3-a456-426614174001"
	token   = "tok-5cb2a0-secret"
)

// received is a request as the server got it.
type received struct {
	method, path string
	query        map[string][]string
	header       http.Header
	body         string
}

// recorder is a server that keeps what it received.
type recorder struct {
	*httptest.Server
	mu  sync.Mutex
	got []received
}

func (r *recorder) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// serve starts a server on loopback that answers with h.
func serve(t *testing.T, h http.HandlerFunc) *recorder {
	t.Helper()
	r := new(recorder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.mu.Lock()
		r.got = append(r.got, received{req.Method, req.URL.EscapedPath(), req.URL.Query(), req.Header, string(body)})
		r.mu.Unlock()
		h(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

// client returns a client of the server, without retries unless opts say so.
func (r *recorder) client(opts ...anchorhttp.Option) *anchorhttp.Client {
	return anchorhttp.New(testKey, append([]anchorhttp.Option{
		anchorhttp.WithBaseURL(r.URL),
		anchorhttp.WithMaxRetries(0),
		anchorhttp.WithHTTPClient(r.Client()),
	}, opts...)...)
}

// says answers with a status and a body, and headers in pairs.
func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			if headers[i+1] == "" {
				w.Header()[headers[i]] = nil // not even the server's own
				continue
			}
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// transport is a RoundTripper made of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through returns a client over a transport.
func through(f transport, opts ...anchorhttp.Option) *anchorhttp.Client {
	return anchorhttp.New(testKey, append([]anchorhttp.Option{
		anchorhttp.WithHTTPClient(&http.Client{Transport: f}),
	}, opts...)...)
}

// response is an answer for a transport, with headers in pairs.
func response(status int, body string, headers ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// identity is an answer about an identity.
func identity(id string) string {
	return `{"id":"` + id + `","name":"Ann","source":"https://example.com/login","status":"validated",` +
		`"metadata":{"plan":"pro"},"created_at":"2026-01-02T03:04:05.678Z","updated_at":"2026-01-02T03:04:06Z"}`
}

func requireJSON(t *testing.T, want, got string) {
	t.Helper()
	require.True(t, json.Valid([]byte(got)), "not JSON: %s", got)
	require.JSONEq(t, want, got)
}

// requireDated checks that an answer's moment is about now, and clears it for a
// comparison of the rest.
func requireDated(t *testing.T, date *time.Time) {
	t.Helper()
	require.WithinDuration(t, time.Now(), *date, time.Minute)
	*date = time.Time{}
}

// countingJar is a cookie jar that counts how often it is used.
type countingJar struct{ used atomic.Int32 }

func (j *countingJar) SetCookies(*url.URL, []*http.Cookie) { j.used.Add(1) }
func (j *countingJar) Cookies(*url.URL) []*http.Cookie     { j.used.Add(1); return nil }
