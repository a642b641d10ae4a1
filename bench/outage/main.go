// Outage measures how several replicas on one database recover from an outage of Anchor.
// Users connect all the time, to a large and to a small application. In the first half of
// the outage Anchor refuses writes, so users connect and their tags are queued. In the
// second half it refuses every call. Meanwhile users disconnect, ten of the large
// application for each of the small one, and their deletions are queued. Then Anchor is
// available again, with a rate limit.
//
// It prints how long the queued work takes, how many calls exceed the limit, whether the
// small application waits for the large one, and how long users wait.
//
//	go run ./bench/outage
//	go run ./bench/outage -outage 10m -postgres 'postgres://postgres@127.0.0.1:5432/test?sslmode=disable'
//
// It uses the PostgreSQL database of -postgres or CONNECT_TEST_POSTGRES, in a schema that
// it creates and drops, or SQLite.
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

type settings struct {
	postgres string
	replicas int

	calm, outage, limit time.Duration
	rate                int // users who connect per second
	disconnects         int // users of the large application

	answer    time.Duration
	perSecond int // calls that Anchor allows per second
}

func main() {
	var s settings
	flag.StringVar(&s.postgres, "postgres", os.Getenv("CONNECT_TEST_POSTGRES"), "the `URL` of a PostgreSQL database; SQLite if empty")
	flag.IntVar(&s.replicas, "replicas", 3, "the number of replicas")
	flag.DurationVar(&s.calm, "calm", 15*time.Second, "how long users connect before the outage")
	flag.DurationVar(&s.outage, "outage", 30*time.Second, "how long the outage lasts")
	flag.DurationVar(&s.limit, "limit", 5*time.Minute, "when to give up waiting for the queued work")
	flag.IntVar(&s.rate, "rate", 10, "how many users connect per second")
	flag.IntVar(&s.disconnects, "disconnects", 1000, "how many users of the large application disconnect during the outage")
	flag.DurationVar(&s.answer, "answer", 50*time.Millisecond, "Anchor's response time")
	flag.IntVar(&s.perSecond, "per-second", 100, "how many calls per second Anchor allows after the outage")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, s.calm+s.outage+s.limit+2*time.Minute)
	defer cancel()

	r, err := run(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
	fmt.Printf("%s, %d replicas on %s. An outage of %v, %d users connecting per second, a response takes %v; afterwards %d calls per second are allowed.\n\n",
		report.Machine(), s.replicas, r.database, s.outage, s.rate, s.answer, s.perSecond)
	fmt.Print(r)
}
