// Connections measures the cost of bursts of calls to Anchor over TLS: connections,
// handshakes, and the duration of a call. It compares http.DefaultTransport with the
// default transport of anchorhttp.New, over HTTP/1.1 and HTTP/2. It simulates a network
// with a round-trip time, since a handshake over loopback costs almost nothing.
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
	flag.IntVar(&s.calls, "calls", 64, "the number of concurrent calls")
	flag.IntVar(&s.bursts, "bursts", 20, "the number of bursts")
	flag.DurationVar(&s.pause, "pause", 100*time.Millisecond, "the pause between bursts")
	flag.DurationVar(&s.answer, "answer", 50*time.Millisecond, "Anchor's response time")
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
	fmt.Printf("%s, %d calls at once, a response takes %v and a round trip %v.\n\n", report.Machine(), s.calls, s.answer, s.roundTrip)
	fmt.Print(report.Table([]string{"", "calls", "TCP connections", "TLS handshakes", "call p50", "p99"}, rows))
	return nil
}
