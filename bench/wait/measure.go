package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

type settings struct {
	delays   []time.Duration
	browsers int
	rounds   int
	turn     time.Duration
	express  string
}

// waits are the durations of one user's flow.
type waits struct {
	start, callback time.Duration
	page            time.Duration // the callback and the page after it; zero if there is none
}

// A result is the result of one server at one delay.
type result struct {
	delay  time.Duration
	server string
	waits  []waits
}

// column returns the waits of one kind.
func (r result) column(of func(waits) time.Duration) (took []time.Duration) {
	for _, w := range r.waits {
		if d := of(w); d > 0 {
			took = append(took, d)
		}
	}
	return took
}

// A subject is a server, or Anchor alone, that users visit in turns.
type subject struct {
	name string
	// newVisit returns a function that goes through a new user's flow, in a browser of
	// their own.
	newVisit func() func(ctx context.Context, user string) (waits, error)
}

// measure starts the servers and gives each its turns. It writes to notes which ones it
// omits.
func measure(ctx context.Context, s settings, notes io.Writer) (results []result, err error) {
	fake, err := anchortest.Start()
	if err != nil {
		return nil, err
	}
	defer fake.Close()
	fake.SetCallbackStyle(anchortest.OlderCallback) // The published example supports only this style.

	subjects := []subject{anchorAlone(fake)}
	for _, kind := range []string{connectKind, bareKind, expressKind} {
		if kind == expressKind {
			if missing := expressMissing(s.express); missing != "" {
				fmt.Fprintf(notes, "%s is left out: %s\n", kind, missing)
				continue
			}
		}
		address, end, err := startServer(ctx, kind, s.express, fake)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		defer func() { err = errors.Join(err, end()) }()
		subjects = append(subjects, visits(kind, address, fake))
	}
	for _, subject := range subjects { // A process is slow at first; Node.js for thousands of calls.
		if _, err := turn(ctx, subject, s.browsers, 2*s.turn, 0); err != nil {
			return nil, fmt.Errorf("%s: warm up: %w", subject.name, err)
		}
	}
	for _, delay := range s.delays {
		fake.ClearFaults()
		fake.Fault(anchortest.Fault{Path: "/v1/", Latency: delay})
		ofDelay := make([]result, len(subjects))
		for round := range s.rounds {
			for i := range subjects {
				i = (i + round) % len(subjects) // Each round begins with another subject.
				waits, err := turn(ctx, subjects[i], s.browsers, s.turn, delay)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", subjects[i].name, err)
				}
				ofDelay[i].waits = append(ofDelay[i].waits, waits...)
			}
		}
		for i, subject := range subjects {
			ofDelay[i].delay, ofDelay[i].server = delay, subject.name
		}
		results = append(results, ofDelay...)
	}
	return results, nil
}

// users numbers the users, each of whom connects once.
var users atomic.Int64

// turn makes users visit a subject until the turn is over. Their starts are spread over
// the time of two responses: if all started in the same millisecond, the figures would
// show how many the processors can serve in it.
func turn(ctx context.Context, s subject, browsers int, length, delay time.Duration) (all []waits, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(length)
	var mu sync.Mutex
	var group sync.WaitGroup
	for n := range browsers {
		group.Go(func() {
			visit := s.newVisit()
			wait := 2 * delay * time.Duration(n) / time.Duration(browsers)
			for sleep(ctx, wait); time.Now().Before(end) && ctx.Err() == nil; {
				w, err := visit(ctx, fmt.Sprintf("user-%08d", users.Add(1)))
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				all = append(all, w)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return all, context.Cause(ctx)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
