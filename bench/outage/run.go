package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/bench/internal/report"
)

// A result is the result of a run.
type result struct {
	database     string
	queued       map[string]queue         // at the end of the outage, by application
	half, all    map[string]time.Duration // time until then; zero: not within the limit
	largeLeft    int                      // for the large application when the small one had none
	took         time.Duration            // the recovery
	best         time.Duration            // the shortest recovery at the limit; zero: users alone exceed it
	statuses     map[int]int              // of the calls during the recovery
	mostRefused  int                      // calls in one second
	perSecond    int
	waits        map[kind]waits
	neverWritten int // long afterwards
}

// run measures an outage.
func run(ctx context.Context, s settings) (r result, err error) {
	a := newAnchor(s)
	server := httptest.NewServer(a)
	defer server.Close()
	a.fake.SetURL(server.URL)
	smallID := a.fake.AddApplication("Small", "https://small.example")
	apps, err := startReplicas(ctx, s, a, smallID)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, apps.end()) }()
	u := newUsers(apps.address, a)
	defer u.client.CloseIdleConnections()

	leaving, err := prepare(ctx, u, s.disconnects)
	if err != nil {
		return r, err
	}

	r = outage(ctx, s, a, u, leaving)
	r.database, r.perSecond = apps.database, s.perSecond
	// The last users to connect may have a tag queued.
	for range 300 {
		if r.neverWritten = len(u.queued()); r.neverWritten == 0 || ctx.Err() != nil {
			break
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return r, ctx.Err()
}

// outage goes through the phases while users connect and disconnect.
func outage(ctx context.Context, s settings, a *anchor, u *users, leaving []*user) result {
	arriving, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { u.arrive(arriving, s.rate) })
	a.begin(calm)
	sleep(ctx, s.calm)

	a.begin(writesFail)
	// The last disconnects start some seconds before the end, since they wait for retries.
	background.Go(func() { u.leave(ctx, leaving, max(s.outage-3*time.Second, s.outage/2)) })
	sleep(ctx, s.outage/2)
	a.begin(down)
	sleep(ctx, s.outage-s.outage/2)

	a.begin(recovering)
	r := recovery(ctx, s, u)
	r.statuses, r.mostRefused = a.statuses(recovering), a.mostRefused()
	r.waits = u.waited()
	return r
}

// prepare connects the users who disconnect later: n of the large application and n/10 of
// the small one.
func prepare(ctx context.Context, u *users, n int) (leaving []*user, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	next := make(chan string)
	for range 16 {
		group.Go(func() {
			for application := range next {
				one, ok := u.connect(ctx, application)
				mu.Lock()
				if ok {
					leaving = append(leaving, one)
				} else {
					err = errors.New("a user could not connect before the outage")
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		next <- ""
		if i%10 == 0 {
			next <- small
		}
	}
	close(next)
	group.Wait()
	return leaving, err
}

// recovery waits until all queued calls have been made.
func recovery(ctx context.Context, s settings, u *users) result {
	began := time.Now()
	queued := u.queued()
	r := result{
		queued: map[string]queue{"": queuedFor("", queued), small: queuedFor(small, queued)},
		half:   make(map[string]time.Duration), all: make(map[string]time.Duration),
	}
	// A user who connects needs three calls, a tag two, a deletion one. The limit allows
	// a burst of one second's calls.
	if spare := float64(s.perSecond - 3*s.rate); spare > 0 {
		calls := max(len(queued)+r.queued[""].tags+r.queued[small].tags-s.perSecond, 0)
		r.best = time.Duration(float64(calls) / spare * float64(time.Second))
	}
	for left := queued; len(left) > 0 && time.Since(began) < s.limit && ctx.Err() == nil; {
		sleep(ctx, 50*time.Millisecond)
		left = u.still(left)
		for application, at := range r.queued {
			n := queuedFor(application, left).size()
			if n <= at.size()/2 && r.half[application] == 0 {
				r.half[application] = time.Since(began)
			}
			if n == 0 && r.all[application] == 0 {
				r.all[application] = time.Since(began)
				if application == small {
					r.largeLeft = queuedFor("", left).size()
				}
			}
		}
	}
	r.took = time.Since(began)
	return r
}

// still returns the users of queued whose call is still queued.
func (u *users) still(queued []user) (left []user) {
	for _, one := range queued {
		if !u.anchor.has(one.write()) {
			left = append(left, one)
		}
	}
	return left
}

// String returns the tables.
func (r result) String() string {
	var b strings.Builder
	var rows [][]string
	for _, application := range []string{"", small} {
		name, q := map[string]string{"": "large", small: "small"}[application], r.queued[application]
		rows = append(rows, []string{name, fmt.Sprint(q.tags), fmt.Sprint(q.deletions), seconds(r.half[application]), seconds(r.all[application])})
	}
	b.WriteString(report.Table([]string{"application", "tags queued", "deletions queued", "half done after", "all done after"}, rows))
	allowed, refused := 0, r.statuses[http.StatusTooManyRequests]
	for status, n := range r.statuses {
		if status != http.StatusTooManyRequests {
			allowed += n
		}
	}
	fmt.Fprintf(&b, "\nRecovery took %.1f s; the limit alone makes it take at least %s. Anchor allowed %d calls, %.0f per second with a limit of %d, and refused %d with 429, at most %d in one second.\n",
		r.took.Seconds(), seconds(r.best), allowed, float64(allowed)/r.took.Seconds(), r.perSecond, refused, r.mostRefused)
	if r.all[small] > 0 {
		fmt.Fprintf(&b, "When the small application had nothing queued, the large one had %d of %d.\n", r.largeLeft, r.queued[""].size())
	}
	fmt.Fprintf(&b, "Writes missing half a minute later: %d.\n\n", r.neverWritten)

	rows = nil
	for _, p := range []phase{calm, writesFail, down, recovering} {
		for _, request := range []string{start, callback, disconnect} {
			w, ok := r.waits[kind{p, request}]
			if ok {
				rows = append(rows, []string{string(p) + ": " + request, fmt.Sprint(len(w.took)), fmt.Sprint(w.failed), report.At(w.took, 50), report.At(w.took, 99)})
			}
		}
	}
	b.WriteString(report.Table([]string{"users' requests", "succeeded", "failed", "p50", "p99"}, rows))
	return b.String()
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
