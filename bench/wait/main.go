// Wait measures how long a user waits: for the redirect to the hosted page, for the
// callback's redirect, and for the page after it. 32 browsers use three servers over
// loopback while a fake Anchor takes 0, 50 and 200 ms for each response:
//
//   - connect, the handler with a memory store;
//   - bare Go, the least code that does what the Express example does;
//   - Express, Anchor's own example with the official Node SDK.
//
// A row with only the call to Anchor shows the lower bound. Servers take turns, so that the
// machine's other work affects all of them. Each is a process of its own; the browsers and
// the fake share this one.
//
//	npm ci --prefix bench/wait/express
//	go run ./bench/wait
//
// Express is omitted if Node.js or its packages are not installed. The program prints the
// table of bench/README.md.
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
	delays := flag.String("delays", "0,50ms,200ms", "Anchor's response times, separated by commas")
	flag.IntVar(&s.browsers, "browsers", 32, "the number of browsers")
	flag.IntVar(&s.rounds, "rounds", 5, "turns per server and response time")
	flag.DurationVar(&s.turn, "turn", 2*time.Second, "the duration of a turn")
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
			return nil, fmt.Errorf("-delays: %q is not a duration, such as 50ms", text)
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

// ratio returns "" if the delay is zero.
func ratio(took []time.Duration, delay time.Duration) string {
	if len(took) == 0 || delay == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(report.Percentile(took, 50))/float64(delay))
}
