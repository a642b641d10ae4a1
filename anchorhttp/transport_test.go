package anchorhttp_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const burst = 16

// tlsServer counts the connections that it accepts. It answers a call once as many
// as burst have arrived, so that each of them needs a connection or a stream.
type tlsServer struct {
	*httptest.Server
	accepted atomic.Int32
	arrived  chan struct{}
	answer   chan struct{}
}

func newTLSServer(t *testing.T, http2 bool) *tlsServer {
	t.Helper()
	s := &tlsServer{arrived: make(chan struct{}), answer: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.arrived <- struct{}{}
		<-s.answer
		says(200, identity(idA))(w, r)
	}))
	s.EnableHTTP2 = http2
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.accepted.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// bursts makes several bursts of calls, each through a client that newClient makes.
func (s *tlsServer) bursts(t *testing.T, n int, newClient func() *anchorhttp.Client) {
	t.Helper()
	for range n {
		errs := make(chan error, burst)
		for range burst {
			go func() {
				_, err := newClient().Identity(t.Context(), idA)
				errs <- err
			}()
		}
		for range burst {
			select {
			case <-s.arrived:
			case err := <-errs:
				require.NoError(t, err)
				t.Fatal("a call ended before it was answered")
			}
		}
		for range burst {
			s.answer <- struct{}{}
		}
		for range burst {
			require.NoError(t, <-errs)
		}
	}
}

// client returns a client with the transport that New gives it.
func (s *tlsServer) client(opts ...anchorhttp.Option) *anchorhttp.Client {
	return anchorhttp.New(testKey, append([]anchorhttp.Option{
		anchorhttp.WithBaseURL(s.URL), anchorhttp.WithMaxRetries(0),
	}, opts...)...)
}

// trusting returns a transport with the settings of http.DefaultTransport that
// trusts the server.
func (s *tlsServer) trusting() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	transport.TLSClientConfig.NextProtos = nil
	return transport
}

// replaceDefault replaces http.DefaultTransport until the test ends. A test that
// calls it is not parallel.
func replaceDefault(t *testing.T, by http.RoundTripper) {
	t.Helper()
	before := http.DefaultTransport
	http.DefaultTransport = by
	t.Cleanup(func() { http.DefaultTransport = before })
}

func TestTransportKeepsTheConnectionsOfABurst(t *testing.T) {
	for name, opts := range map[string][]anchorhttp.Option{
		"no option":                  nil,
		"nil":                        {anchorhttp.WithHTTPClient(nil)},
		"a client without transport": {anchorhttp.WithHTTPClient(new(http.Client))},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTLSServer(t, false)
			replaceDefault(t, s.trusting())
			c := s.client(opts...)
			s.bursts(t, 3, func() *anchorhttp.Client { return c })
			require.EqualValues(t, burst, s.accepted.Load())
		})
	}
	t.Run("a client for each call", func(t *testing.T) {
		s := newTLSServer(t, false)
		replaceDefault(t, s.trusting())
		s.bursts(t, 3, func() *anchorhttp.Client { return s.client() })
		require.EqualValues(t, burst, s.accepted.Load())
	})
	t.Run("over HTTP/2", func(t *testing.T) {
		s := newTLSServer(t, true)
		replaceDefault(t, s.trusting())
		c := s.client()
		s.bursts(t, 1, func() *anchorhttp.Client { return c }) // May dial more than one, and drops those.
		dialed := s.accepted.Load()
		s.bursts(t, 2, func() *anchorhttp.Client { return c })
		require.Equal(t, dialed, s.accepted.Load())
	})
	t.Run("unlike http.DefaultTransport", func(t *testing.T) {
		s := newTLSServer(t, false)
		c := s.client(anchorhttp.WithHTTPClient(&http.Client{Transport: s.trusting()}))
		s.bursts(t, 3, func() *anchorhttp.Client { return c })
		require.Greater(t, s.accepted.Load(), int32(2*burst), "the caller's own is used as it is")
	})
}

func TestTransportLeavesTheDefaultUnchanged(t *testing.T) {
	s := newTLSServer(t, false)
	transport := s.trusting()
	replaceDefault(t, transport)
	c := s.client()
	require.Nil(t, transport.TLSNextProto, "New has not set up HTTP/2")
	s.bursts(t, 1, func() *anchorhttp.Client { return c })

	require.Same(t, transport, http.DefaultTransport)
	require.Zero(t, transport.MaxIdleConnsPerHost)
	require.Equal(t, 90*time.Second, transport.IdleConnTimeout)
	require.Nil(t, transport.HTTP2)
}

func TestTransportAppliesTheDefaultsSettings(t *testing.T) {
	s := newTLSServer(t, false)
	replaceDefault(t, s.trusting())
	first := s.client()
	s.bursts(t, 1, func() *anchorhttp.Client { return first })

	var dialed atomic.Int32
	another := s.trusting()
	another.MaxIdleConnsPerHost = 1
	another.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	replaceDefault(t, another)
	for _, c := range []*anchorhttp.Client{first, s.client()} {
		before := dialed.Load()
		s.bursts(t, 2, func() *anchorhttp.Client { return c })
		require.Greater(t, dialed.Load()-before, int32(burst), "an app that keeps one connection goes on to")
	}
}

func TestTransportCallsAStubOfTheDefault(t *testing.T) {
	before := anchorhttp.New(testKey)
	stub := errors.New("stub")
	replaceDefault(t, transport(func(*http.Request) (*http.Response, error) { return nil, stub }))
	for name, c := range map[string]*anchorhttp.Client{
		"made before": before, "made after": anchorhttp.New(testKey), "nil": anchorhttp.New(testKey, anchorhttp.WithHTTPClient(nil)),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/4) // Less than the first wait.
		_, err := c.Identity(ctx, idA)
		cancel()
		require.ErrorIs(t, err, stub, name)
	}
}

func TestTransportIsSharedByConcurrentFirstCalls(t *testing.T) {
	s := newTLSServer(t, false)
	for range 5 {
		replaceDefault(t, s.trusting())
		s.bursts(t, 1, func() *anchorhttp.Client { return s.client() })
		before := s.accepted.Load()
		s.bursts(t, 1, func() *anchorhttp.Client { return s.client() })
		require.Equal(t, before, s.accepted.Load())
	}
}

// The environment's proxies are read once in a process, and never apply to loopback
// addresses, so that this is a process of its own with an address of no host.
func TestTransportUsesTheProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const inside = "ANCHORHTTP_TEST_PROXY"
	if os.Getenv(inside) != "" {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := anchorhttp.New(testKey, anchorhttp.WithBaseURL("https://anchor.invalid"), anchorhttp.WithMaxRetries(0))
		_, err := c.Identity(ctx, idA)
		require.ErrorContains(t, err, "I'm a teapot")
		return
	}
	proxy := serve(t, says(http.StatusTeapot, ""))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(v), "=")
		return strings.HasSuffix(name, "_PROXY") || name == "REQUEST_METHOD"
	})
	cmd.Env = append(cmd.Env, inside+"=1", "HTTPS_PROXY="+proxy.URL)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Len(t, proxy.requests(), 1)
	require.Equal(t, http.MethodConnect, proxy.requests()[0].method)
}

// Without pings all attempts wait in vain: retries use the same connection, for
// minutes. It takes 8 seconds.
func TestTransportDetectsADeadHTTP2Connection(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(says(200, identity(idA)))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	conns := make(chan *silentConn, 10)
	own.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		silent := &silentConn{Conn: conn}
		conns <- silent
		return silent, nil
	}
	c := anchorhttp.New(testKey, anchorhttp.WithBaseURL(srv.URL),
		anchorhttp.WithHTTPClient(&http.Client{Transport: anchorhttp.Pooled(own)}))
	_, err := c.Identity(t.Context(), idA)
	require.NoError(t, err)
	(<-conns).silent.Store(true)

	_, err = c.Identity(t.Context(), idA)
	require.NoError(t, err)
	require.Len(t, conns, 1, "on a new connection")
}

// A silentConn loses what is written to it once it is silent, as a connection does
// whose entry a router has forgotten.
type silentConn struct {
	net.Conn
	silent atomic.Bool
}

func (c *silentConn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
