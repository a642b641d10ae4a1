// Package storetest proves that an implementation of [connect.Store] keeps to
// its contract. A store is in order when this passes, under the race detector
// and a few times over:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) connect.Store {
//			return newStore(t) // with tables of its own, empty
//		})
//	}
//
// It is meant for tests: it imports testing and testify.
package storetest

import (
	"context"
	"testing"

	"github.com/anchorconnect/connect"
)

// Run checks the stores that newStore returns against the contract of
// [connect.Store]: one subtest for each rule, named after it, all in parallel.
//
// Every subtest calls newStore once and must be given an empty store that
// nobody else reads or writes, because Claim and Sweep reach over all of it. A
// store on a SQL server can be given a database or a schema of its own, or
// tables with a prefix of their own. newStore is called from several subtests at
// the same time, each with its own t, so t.Cleanup is the place to close and
// remove what it made.
//
// A call that other calls compete with must succeed all the same, so a store
// tries a transaction again itself that the database broke off for another's
// sake. In return the races stay small: never more than fifty calls at once.
func Run(t *testing.T, newStore func(t *testing.T) connect.Store) {
	t.Helper()
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			t.Parallel()
			for _, check := range topic.checks {
				t.Run(check.name, func(t *testing.T) {
					t.Parallel()
					check.run(t, newStore(t))
				})
			}
		})
	}
}

// tb is what a check needs of a test. It lets the suite's own tests run checks
// that fail.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Context() context.Context
}

// A check proves one rule on an empty store. All of today's rules hold for
// every store. A check of something that a store may leave out would look for
// it with a type assertion, and say in a skip what it missed.
type check struct {
	name string
	run  func(t tb, s connect.Store)
}

// A topic is the checks of one file.
type topic struct {
	name   string
	checks []check
}

var topics = []topic{
	binding,
	room,
	spending,
	expiry,
	completing,
	replacing,
	freshness,
	health,
	conflict,
	isolation,
	tagging,
	deleting,
	disconnecting,
	applications,
	sweeping,
	contexts,
	texts,
	times,
	races,
}
