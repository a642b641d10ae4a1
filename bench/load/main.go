// Load runs many concurrent flows over loopback: a start, the sign-in on the fake's hosted
// page, and the callback. It compares a bare handler that checks nothing with connect. The
// app is a process of its own, so that its memory and processor time can be measured; the
// browsers and the fake share this process. It prints the table of bench/README.md.
//
//	go run ./bench/load
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	flows := flag.Int("flows", 20_000, "the number of users")
	atOnce := flag.Int("at-once", 64, "the number of concurrent flows")
	limit := flag.Duration("limit", 5*time.Minute, "when to give up")
	serve := flag.String("serve", "", "be the app: bare or connect (the program starts this by itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()

	run := func() error { return compare(ctx, *flows, *atOnce) }
	if *serve != "" {
		run = func() error { return serveApp(ctx, *serve) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// compare prints the table.
func compare(ctx context.Context, flows, atOnce int) error {
	fmt.Printf("%s, %d cores, %d flows, %d at once.\n\n", runtime.Version(), runtime.NumCPU(), flows, atOnce)
	columns := []string{
		"flows per second", "start p50", "p99", "callback p50", "p99", "processor time per flow", "peak memory",
		"goroutines before, after", "heap before", "with the connections", "without them",
	}
	fmt.Println("| | " + strings.Join(columns, " | ") + " |")
	fmt.Println("|---|" + strings.Repeat("---:|", len(columns)))
	for _, kind := range []string{"bare", "connect"} {
		r, err := measure(ctx, kind, flows, atOnce)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		fmt.Println("| " + strings.Join([]string{
			kind,
			fmt.Sprintf("%.0f", float64(flows)/r.took.Seconds()),
			at(r.starts, 50), at(r.starts, 99), at(r.callbacks, 50), at(r.callbacks, 99),
			fmt.Sprintf("%.0f µs", float64((r.full.Processor-r.before.Processor).Microseconds())/float64(flows)),
			mebibytes(r.full.Peak),
			fmt.Sprintf("%d, %d", r.before.Goroutines, r.full.Goroutines),
			mebibytes(r.before.Heap), mebibytes(r.full.Heap), mebibytes(r.emptied.Heap),
		}, " | ") + " |")
	}
	return nil
}

// at returns a percentile, in milliseconds.
func at(took []time.Duration, percent int) string {
	sorted := slices.Sorted(slices.Values(took))
	d := sorted[min(len(sorted)*percent/100, len(sorted)-1)]
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
