package anchorhttp

import (
	"cmp"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxIdleConns is how many idle connections to a host are kept.
	// http.DefaultTransport keeps 2, so over HTTP/1.1 a burst of calls dials nearly
	// all of its connections anew.
	maxIdleConns = 100
	idleTimeout  = 90 * time.Second // that of http.DefaultTransport

	// One HTTP/2 connection carries all calls. If its other end vanishes without a
	// word, retries would use it too. Pings detect that before the first attempt
	// times out.
	pingAfter   = 5 * time.Second
	pingTimeout = 3 * time.Second
)

// A pool is a transport derived from what http.DefaultTransport is.
type pool struct{ of, transport *http.Transport }

// shared is the pool of all clients that bring no transport. One for each client
// would leave idle connections behind in an app that makes many clients.
var shared atomic.Pointer[pool]

// roundTripDefault sends a request of a client that brings no transport. Like
// [http.Client] it reads http.DefaultTransport for each request, so that an app or
// a test may replace that at any time.
func roundTripDefault(r *http.Request) (*http.Response, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport.RoundTrip(r)
	}
	return poolOf(t).RoundTrip(r)
}

// poolOf returns the shared transport for t. It is made for the first request
// rather than by New: Clone fixes t's HTTP/2 setup, which the app may not have
// finished before.
func poolOf(t *http.Transport) *http.Transport {
	for {
		p := shared.Load()
		if p != nil && p.of == t {
			return p.transport
		}
		if shared.CompareAndSwap(p, &pool{t, pooled(t)}) && p != nil {
			p.transport.CloseIdleConnections()
		}
	}
}

// pooled returns a clone of t with what t leaves open. It sets no
// ResponseHeaderTimeout: an attempt has a timeout of its own, and Reauthenticate
// may take longer than that.
func pooled(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.MaxIdleConnsPerHost = cmp.Or(t.MaxIdleConnsPerHost, maxIdleConns)
	t.IdleConnTimeout = cmp.Or(t.IdleConnTimeout, idleTimeout)
	if t.HTTP2 == nil {
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	}
	return t
}
