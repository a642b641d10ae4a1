package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Not parallel: measure replaces http.DefaultTransport.
func TestConnectionsAreCounted(t *testing.T) {
	before := http.DefaultTransport
	s := settings{calls: 8, bursts: 3, answer: 50 * time.Millisecond, roundTrip: 2 * time.Millisecond}
	for _, tt := range []struct {
		http2     bool
		transport string
		least     int64
		most      int64
	}{
		{false, defaultTransport, 12, 24},
		{false, ownTransport, 8, 8},
		{true, defaultTransport, 1, 8},
		{true, ownTransport, 1, 8},
	} {
		r, err := measure(t.Context(), s, tt.http2, tt.transport)
		require.NoError(t, err)
		require.Len(t, r.took, 24)
		for _, d := range r.took {
			require.GreaterOrEqual(t, d, s.answer+s.roundTrip)
		}
		require.GreaterOrEqual(t, r.connections, tt.least, tt.transport)
		require.LessOrEqual(t, r.connections, tt.most, tt.transport)
		require.LessOrEqual(t, r.handshakes, r.connections)
		require.Positive(t, r.handshakes)
		require.Same(t, before, http.DefaultTransport)
	}
}

func TestConnectionsFailIfACallFails(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	_, err := burst(t.Context(), 3, func() error { return failed })
	require.ErrorIs(t, err, failed)
}

func TestNetworkDelaysAndKeepsBytes(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() { // It echoes.
		conn, err := listener.Accept()
		if err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	const roundTrip = 40 * time.Millisecond
	began := time.Now()
	conn, err := dialFar(roundTrip)(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), roundTrip)

	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	began = time.Now()
	go conn.Write(sent)
	got := make([]byte, len(sent))
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), roundTrip)
	require.Equal(t, sent, got)
	require.NoError(t, conn.Close())
}
