// Flow measures the cost of connecting, without the network. It compares connect's start
// and callback with a bare handler that checks nothing and with two libraries that sign
// users in, and RequireIdentity with two session libraries. All network calls are answered
// in the process. It prints the tables of bench/README.md.
//
//	go run ./bench/flow
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	rounds := flag.Int("rounds", 21, "the number of rounds; the best counts")
	times := flag.Int("times", 2000, "repetitions per round")
	flag.Parse()
	if err := run(*rounds, *times); err != nil {
		fmt.Fprintln(os.Stderr, "flow:", err)
		os.Exit(1)
	}
}

// A row is a step and its upstream calls.
type row struct {
	step
	calls string // the name of the step with only these calls; "" without any
}

var (
	startRows = []row{
		{startCall, startCall.name},
		{bareStart, startCall.name},
		{connectStart, startCall.name},
		{startOf("goth, OpenID Connect", newGoth), ""},
		{startOf("zitadel/oidc", newZitadel(true, false)), ""},
		{startOf("zitadel/oidc with PKCE", newZitadel(true, true)), ""},
	}
	callbackRows = []row{
		{callbackCalls, callbackCalls.name},
		{bareCallback, callbackCalls.name},
		{connectCallback, callbackCalls.name},
		{exchangeCall, exchangeCall.name},
		{exchangeCalls, exchangeCalls.name},
		{callbackOf("goth, OpenID Connect", newGoth), exchangeCalls.name},
		{callbackOf("zitadel/oidc, OAuth 2 only", newZitadel(true, false)), exchangeCall.name},
		{callbackOf("zitadel/oidc, OAuth 2 only, with PKCE", newZitadel(true, true)), exchangeCall.name},
		{callbackOf("zitadel/oidc, OpenID Connect", newZitadel(false, false)), exchangeCall.name},
	}
	guardRows = []row{
		{connectRequire, ""},
		{scsSession, ""},
		{gorillaSession, ""},
	}
)

func run(rounds, times int) error {
	fmt.Printf("%s, %d cores, the best of %d rounds of %d.\n", runtime.Version(), runtime.NumCPU(), rounds, times)
	for _, table := range []struct {
		title   string
		rows    []row
		against string
	}{
		{"Start", startRows, bareStart.name},
		{"Callback", callbackRows, bareCallback.name},
		{"A request of a connected user", guardRows, scsSession.name},
	} {
		fmt.Printf("\n%s:\n\n", table.title)
		if err := printTable(table.rows, table.against, rounds, times); err != nil {
			return err
		}
	}
	return nil
}

func printTable(rows []row, against string, rounds, times int) error {
	steps := make([]step, len(rows))
	withCalls := false
	for i, r := range rows {
		steps[i] = r.step
		withCalls = withCalls || r.calls != ""
	}
	figures, err := measure(steps, rounds, times)
	if err != nil {
		return err
	}
	columns := []string{"time", "allocations", "bytes", "time ÷ " + against, "allocations ÷ " + against}
	if withCalls {
		columns = append(columns, "time without the calls", "allocations without the calls")
	}
	fmt.Println("| | " + strings.Join(columns, " | ") + " |")
	fmt.Println("|---|" + strings.Repeat("---:|", len(columns)))
	base := figures[against]
	for _, r := range rows {
		f := figures[r.name]
		cells := []string{r.name, micros(f.ns), fmt.Sprint(f.allocs), fmt.Sprint(f.bytes), ratio(f.ns, base.ns), ratio(f.allocs, base.allocs)}
		if withCalls {
			own := f.minus(figures[r.calls])
			cells = append(cells, micros(own.ns), fmt.Sprint(own.allocs))
		}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
	return nil
}

func micros(ns int64) string { return fmt.Sprintf("%.2f µs", float64(ns)/1000) }

func ratio(a, b int64) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }
