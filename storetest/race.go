package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// rounds is how often a race is repeated that either call may win.
const rounds = 20

// race calls f(0) to f(n-1) concurrently, and waits for all of them. f must not fail the
// test: only the test's own goroutine may.
func race(n int, f func(i int)) {
	ready := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-ready
			f(i)
		})
	}
	close(ready)
	running.Wait()
}

// duel races two calls. Every other round b is started first.
func duel(round int, a, b func()) {
	sides := []func(){a, b}
	race(2, func(i int) { sides[(i+round)%2]() })
}

// inRounds runs a race for another user in each round. It requires the tasks that all
// rounds return.
func inRounds(t tb, s connect.Store, f func(round int, user string) []connect.Task) {
	t.Helper()
	var want []connect.Task
	for i := range rounds {
		want = append(want, f(i, fmt.Sprint("user ", i))...)
	}
	requireTasks(t, s, want...)
}

// A result is what one of several racing calls returned.
type result struct {
	first      bool
	connection connect.Connection
	replaced   string
	ended      []connect.Connection
	err        error
}

func (r *result) complete(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	done, err := s.Complete(t.Context(), p.TokenHash, c, how)
	r.first, r.connection, r.replaced, r.err = done.First, done.Connection, done.Replaced, err
}

// bindAndComplete completes p unless Bind fails.
func (r *result) bindAndComplete(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	if r.err = s.Bind(t.Context(), p, plenty); r.err == nil {
		r.complete(t, s, p, c, how)
	}
}

func (r *result) disconnect(t tb, s connect.Store, d connect.Disconnection) {
	r.ended, r.err = s.Disconnect(t.Context(), d)
	r.first = len(r.ended) > 0
}

func (r *result) setHealth(t tb, s connect.Store, identityID string, health connect.Health, at time.Time) {
	r.connection, r.first, r.err = s.SetHealth(t.Context(), identityID, health, at)
}

func (r *result) setLabel(t tb, s connect.Store, c connect.Connection, label string) {
	r.connection, r.err = s.SetLabel(t.Context(), c.ApplicationID, c.UserID, c.ID, label)
}

// won reports whether the call was the first. Otherwise it must have returned one of the
// errors, of which nil may be one.
func (r *result) won(t tb, otherwise ...error) bool {
	t.Helper()
	if r.first {
		require.NoError(t, r.err, "the error of a call that has won the race")
		return true
	}
	require.True(t, slices.ContainsFunc(otherwise, func(want error) bool {
		return want == nil && r.err == nil || want != nil && errors.Is(r.err, want)
	}), "a call that lost the race returns %v, not one of %v", r.err, otherwise)
	return false
}

// winners returns which calls won.
func winners(t tb, results []result, otherwise ...error) (first []int) {
	t.Helper()
	for i := range results {
		if results[i].won(t, otherwise...) {
			first = append(first, i)
		}
	}
	return first
}

// rivals binds n flows of a user. Each is what kind makes of a flow without ConnectionID
// or Adds.
func rivals(t tb, s connect.Store, user string, n int, kind func(p connect.Pending) connect.Pending) []connect.Pending {
	t.Helper()
	flows := make([]connect.Pending, n)
	for i := range flows {
		flows[i] = kind(flow(user, fmt.Sprint(user, ", ", i)))
	}
	bind(t, s, flows...)
	return flows
}

// plain makes nothing else of a flow.
func plain(p connect.Pending) connect.Pending { return p }

// own returns the new connection that completes p with an identity of its own.
func own(p connect.Pending) connect.Connection { return finished(p, identity(p.TokenHash)) }

// sharing returns a function that completes flows with one identity.
func sharing(identityID string) func(p connect.Pending) connect.Connection {
	return func(p connect.Pending) connect.Connection { return finished(p, identityID) }
}

// completeAll completes flows concurrently, each with the connection that c returns.
func completeAll(t tb, s connect.Store, flows []connect.Pending, c func(p connect.Pending) connect.Connection, how connect.Completion) []result {
	results := make([]result, len(flows))
	race(len(flows), func(i int) { results[i].complete(t, s, flows[i], c(flows[i]), how) })
	return results
}

// connectedBefore connects a user before the race.
func connectedBefore(t tb, s connect.Store, user string) connect.Connection {
	t.Helper()
	return connected(t, s, flow(user, user+", before"), identity(user+", before"))
}
