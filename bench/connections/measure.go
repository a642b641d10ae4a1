package main

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

type settings struct {
	calls, bursts     int
	pause             time.Duration
	answer, roundTrip time.Duration
}

// The transports.
const (
	defaultTransport = "`http.DefaultTransport`"
	ownTransport     = "`anchorhttp.New` without a transport"
)

// A result is the result of all bursts through one transport.
type result struct {
	took                    []time.Duration
	connections, handshakes int64
}

// serve serves a fake over TLS. It counts connections and handshakes.
func serve(fake *anchortest.Server, http2 bool, connections, handshakes *atomic.Int64) *httptest.Server {
	server := httptest.NewUnstartedServer(fake)
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http abandons dials that it no longer needs.
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.TLS = &tls.Config{VerifyConnection: func(tls.ConnectionState) error {
		handshakes.Add(1)
		return nil
	}}
	server.StartTLS()
	fake.SetURL(server.URL)
	return server
}

// measure makes bursts of calls to a server of its own.
func measure(ctx context.Context, s settings, http2 bool, transport string) (r result, err error) {
	fake := anchortest.New()
	fake.Fault(anchortest.Fault{Latency: s.answer})
	identity := fake.PutIdentity(anchortest.Identity{})
	var connections, handshakes atomic.Int64
	server := serve(fake, http2, &connections, &handshakes)
	defer server.Close()

	// Go's default transport, except for the network and the certificate.
	before := http.DefaultTransport
	t := before.(*http.Transport).Clone()
	defer func() {
		t.CloseIdleConnections()
		http.DefaultTransport = before
	}()
	t.DialContext = dialFar(s.roundTrip)
	t.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	http.DefaultTransport = t
	var opts []anchorhttp.Option
	if transport == defaultTransport {
		opts = append(opts, anchorhttp.WithHTTPClient(&http.Client{Transport: t}))
	}
	client := fake.Client(opts...)

	for range s.bursts {
		took, err := burst(ctx, s.calls, func() error {
			_, err := client.Identity(ctx, identity.ID)
			return err
		})
		if err != nil {
			return r, err
		}
		r.took = append(r.took, took...)
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(s.pause):
		}
	}
	r.connections, r.handshakes = connections.Load(), handshakes.Load()
	return r, nil
}

// burst makes n concurrent calls and returns the duration of each.
func burst(ctx context.Context, n int, call func() error) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, n)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-begin
			began := time.Now()
			if err := call(); err != nil {
				cancel(err)
			}
			took[i] = time.Since(began)
		})
	}
	close(begin)
	group.Wait()
	return took, context.Cause(ctx)
}
