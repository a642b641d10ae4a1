package anchorhttp

import (
	"cmp"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxIdleConns is the maximum number of idle connections per host.
	// http.DefaultTransport keeps 2, so a burst of calls over HTTP/1.1 would dial
	// nearly all connections anew.
	maxIdleConns = 100
	idleTimeout  = 90 * time.Second // as in http.DefaultTransport

	// One HTTP/2 connection carries all calls. If its peer vanishes silently,
	// retries would use it too. Pings detect that before the first attempt times
	// out.
	pingAfter   = 5 * time.Second
	pingTimeout = 3 * time.Second
)

// A pool is a transport derived from an http.DefaultTransport.
type pool struct{ of, transport *http.Transport }

// shared is the pool of all clients that were not given a transport. One pool per
// client would leak idle connections in an application that creates many clients.
var shared atomic.Pointer[pool]

// roundTripDefault sends a request of a client that was not given a transport. Like
// [http.Client], it reads http.DefaultTransport for each request, so that an
// application or a test may replace it at any time.
func roundTripDefault(r *http.Request) (*http.Response, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport.RoundTrip(r)
	}
	return poolOf(t).RoundTrip(r)
}

// poolOf returns the shared transport for t. The first request creates it, not New,
// because Clone freezes t's HTTP/2 configuration, which the application may not have
// finished earlier.
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

// pooled returns a clone of t with defaults for the settings that t leaves open. It
// sets no ResponseHeaderTimeout: attempts have their own timeout, and Reauthenticate
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
