// Package storetest tests an implementation of [connect.Store] against its contract.
// Run this test with the race detector, and a few times over:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) connect.Store {
//			return newStore(t) // with tables of its own, empty
//		})
//	}
//
// A store that is also a [connect.Lister] is tested as one. Import the package in
// tests only: it imports testing and testify.
package storetest

import (
	"context"
	"testing"

	"github.com/anchorconnect/connect"
)

// Run tests the stores that newStore returns against the contract of
// [connect.Store]: one subtest for each rule, named after it, all in parallel. It
// skips the rules of [connect.Lister] if the stores do not implement it.
//
// Every subtest calls newStore once. The store must be empty, and nobody else may
// read or write it, because Claim and Sweep reach all of it. For a store on a SQL
// server, create a database or a schema, or tables with a prefix. Subtests call
// newStore concurrently, each with its own t; use t.Cleanup to close and remove what
// it made.
//
// Calls that race must all succeed, so a store retries a transaction that the
// database broke off because of another one. In return the races stay small: there
// are never more than fifty calls at once.
func Run(t *testing.T, newStore func(t *testing.T) connect.Store) {
	t.Helper()
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, check := range group.checks {
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
	Skip(args ...any)
	Context() context.Context
}

// A check proves one rule on an empty store. A check of something that a store may
// leave out looks for it with a type assertion, and is skipped if it is not there.
type check struct {
	name string
	run  func(t tb, s connect.Store)
}

// A group is the checks of one file.
type group struct {
	name   string
	checks []check
}

var groups = []group{
	bindGroup,
	bindLimitGroup,
	spendGroup,
	completeExpiryGroup,
	completeGroup,
	completeAddsGroup,
	completeRenewsGroup,
	completeReplacesGroup,
	completeSameIdentityGroup,
	completeAcceptedGroup,
	completeActorsGroup,
	setLabelGroup,
	setHealthGroup,
	completeTakenGroup,
	isolationGroup,
	claimGroup,
	deletionsGroup,
	queueGroup,
	disconnectAllGroup,
	disconnectOneGroup,
	applicationsGroup,
	listGroup,
	sweepGroup,
	contextsGroup,
	stringsGroup,
	timesGroup,
	racesGroup,
	racesOfSeveralGroup,
}
