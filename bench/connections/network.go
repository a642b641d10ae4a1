package main

import (
	"context"
	"io"
	"net"
	"time"
)

// dialFar returns a dial function for a network with this round-trip time.
func dialFar(roundTrip time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		select { // TCP's handshake.
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(roundTrip):
		}
		far, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || roundTrip == 0 {
			return far, err
		}
		near, relay := net.Pipe()
		go forward(far, relay, roundTrip/2)
		go forward(relay, far, roundTrip/2)
		return near, nil
	}
}

// A packet is in transit until it is due.
type packet struct {
	data []byte
	due  time.Time
}

// forward copies from one connection to another until either ends. It adds latency but
// does not limit the throughput.
func forward(to io.WriteCloser, from io.Reader, delay time.Duration) {
	underway := make(chan packet, 1024)
	go func() {
		defer close(underway)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				underway <- packet{buffer[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range underway {
		time.Sleep(time.Until(p.due))
		_, _ = to.Write(p.data) // If to is closed, the other direction closes from.
	}
	to.Close()
}
