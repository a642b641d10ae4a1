// Connections measures what bursts of calls to Anchor cost over TLS: how many
// connections are dialed, how many handshakes that takes, and how long a call takes.
// It compares http.DefaultTransport with the transport that anchorhttp.New brings,
// over HTTP/1.1 and over HTTP/2. Between client and server is a network with a round
// trip time of its own, since a handshake over loopback costs next to nothing.
//
//	go run ./bench/connections
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/anchorconnect/connect/bench/internal/report"
)

func main() {
	var s settings
	flag.IntVar(&s.calls, "calls", 64, "how many calls at once")
	flag.IntVar(&s.bursts, "bursts", 20, "how many bursts of them")
	flag.DurationVar(&s.pause, "pause", 100*time.Millisecond, "how long between two bursts")
	flag.DurationVar(&s.answer, "answer", 50*time.Millisecond, "how long each answer of Anchor takes")
	flag.DurationVar(&s.roundTrip, "rtt", 20*time.Millisecond, "the network's round trip time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := compare(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "connections:", err)
		os.Exit(1)
	}
}

// compare prints the table.
func compare(ctx context.Context, s settings) error {
	var rows [][]string
	for _, http2 := range []bool{false, true} {
		for _, transport := range []string{defaultTransport, ownTransport} {
			r, err := measure(ctx, s, http2, transport)
			if err != nil {
				return fmt.Errorf("%s: %w", transport, err)
			}
			rows = append(rows, []string{
				map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2] + ", " + transport,
				fmt.Sprint(len(r.took)), fmt.Sprint(r.connections), fmt.Sprint(r.handshakes),
				report.At(r.took, 50), report.At(r.took, 99),
			})
		}
	}
	fmt.Printf("%s, %d calls at once, an answer takes %v and a round trip %v.\n\n", report.Machine(), s.calls, s.answer, s.roundTrip)
	fmt.Print(report.Table([]string{"", "calls", "TCP connections", "TLS handshakes", "call p50", "p99"}, rows))
	return nil
}
