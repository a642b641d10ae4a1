// Wait measures how long a person waits: for the redirect to the hosted page after
// pressing the button, for the redirect after coming back, and for the page that
// this leads to. 32 browsers use three servers over loopback sockets while the fake
// Anchor takes 0, 50 and 200 ms for each answer:
//
//   - connect, the handler with a memory store;
//   - bare Go, the least code that does what the Express example does;
//   - Express, Anchor's own example with the official Node SDK.
//
// A row with the call to Anchor alone shows what no server can be faster than.
// Servers take turns, so that the machine's other work affects all of them. Each is
// a process of its own; the browsers and the fake share this one.
//
//	npm ci --prefix bench/wait/express
//	go run ./bench/wait
//
// Express is left out if Node.js or its packages are not installed. The program
// prints the table that bench/README.md shows.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/anchorconnect/connect/bench/internal/report"
)

func main() {
	var s settings
	delays := flag.String("delays", "0,50ms,200ms", "how long each answer of Anchor takes, with commas between")
	flag.IntVar(&s.browsers, "browsers", 32, "how many browsers at once")
	flag.IntVar(&s.rounds, "rounds", 5, "how many turns each server gets for each delay")
	flag.DurationVar(&s.turn, "turn", 2*time.Second, "how long a turn takes")
	flag.StringVar(&s.express, "express", "bench/wait/express", "the `directory` of the Express example")
	serve := flag.String("serve", "", "be a server: "+connectKind+" or "+bareKind+" (the program starts these by itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	run := func() error {
		var err error
		if s.delays, err = parseDelays(*delays); err != nil {
			return err
		}
		return compare(ctx, s)
	}
	if *serve != "" {
		run = func() error { return serveApp(*serve) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "wait:", err)
		os.Exit(1)
	}
}

func parseDelays(s string) (delays []time.Duration, err error) {
	for _, text := range strings.Split(s, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil || d < 0 {
			return nil, fmt.Errorf("-delays: %q is no duration, such as 50ms", text)
		}
		delays = append(delays, d)
	}
	return delays, nil
}

// compare prints the table.
func compare(ctx context.Context, s settings) error {
	results, err := measure(ctx, s, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Printf("%s, Node.js %s, %d browsers at once.\n\n", report.Machine(), nodeVersion(ctx), s.browsers)
	fmt.Print(table(results))
	return nil
}

var columns = []string{
	"Anchor's response time", "server", "start p50", "p99", "p50 ÷ response", "callback p50", "p99", "p50 ÷ response",
	"callback and the next page p50", "p99", "flows",
}

func table(results []result) string {
	var rows [][]string
	for _, r := range results {
		starts, callbacks, pages := r.column(func(w waits) time.Duration { return w.start }),
			r.column(func(w waits) time.Duration { return w.callback }),
			r.column(func(w waits) time.Duration { return w.page })
		rows = append(rows, []string{
			fmt.Sprint(r.delay), r.server,
			report.At(starts, 50), report.At(starts, 99), ratio(starts, r.delay),
			report.At(callbacks, 50), report.At(callbacks, 99), ratio(callbacks, r.delay),
			report.At(pages, 50), report.At(pages, 99), fmt.Sprint(len(r.waits)),
		})
	}
	return report.Table(columns, rows)
}

// ratio is empty when an answer takes no time.
func ratio(took []time.Duration, delay time.Duration) string {
	if len(took) == 0 || delay == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(report.Percentile(took, 50))/float64(delay))
}
