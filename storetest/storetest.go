// Package storetest tests an implementation of [connect.Store] against its contract.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) connect.Store {
//			return newStore(t) // empty, with tables of its own
//		})
//	}
//
// Import the package in tests only: it imports testing and testify.
//
// # Groups
//
// Every rule is a subtest that is named after it, in one of these groups:
//
//   - Bind: Bind and Pending store flows and return them.
//   - Bind limit: which flows Bind spends and removes.
//   - Spend.
//   - Complete: what it stores, reloads, and the order of its errors.
//   - Complete expiry: flows are live until ExpiresAt.
//   - Complete adds: one more connection, MaxConnections, and the order of Connections.
//   - Complete renews: which connection a flow renews, and what the connection keeps.
//   - Complete replaces: another identity for a connection.
//   - Complete SameIdentity: an identity that is not fresh.
//   - Complete Accepted: what the app has accepted before.
//   - Complete actors: who acts for the owner of a connection.
//   - Complete taken identity: identities of other users.
//   - SetLabel.
//   - SetHealth: which news counts.
//   - Isolation: users and applications are separate.
//   - Claim: Claim, Done and Postpone.
//   - Deletions: tasks that delete an identity, and [connect.ErrIdentityRetired].
//   - Queue.
//   - Disconnect all: Disconnect without a ConnectionID.
//   - Disconnect one: Disconnect of one connection.
//   - Applications: Applications and ApplicationsOf.
//   - List: List and WithIdentities, of stores that implement [connect.Lister].
//   - Sweep.
//   - Contexts: every method with a context that is cancelled or expired.
//   - Strings: similar, long and invalid strings.
//   - Times: precision, time zones and the range of years.
//   - Races: concurrent calls.
//   - Races of several connections: the same for users with several connections.
//
// # Running
//
// Run the test with -race and -count=5, since some rules concern concurrent calls. One
// run takes about a second for a store in memory, and up to a minute for a database.
//
// The flag -run selects groups and rules. Its pattern may have spaces:
//
//	go test -run 'TestStore/Complete'           # all groups of Complete
//	go test -run 'TestStore/^Complete$'         # that group alone
//	go test -run 'TestStore/Bind limit/expires' # the rules that have this word
package storetest

import (
	"context"
	"testing"

	"github.com/anchorconnect/connect"
)

// Run tests the stores that newStore returns against the contract of [connect.Store].
// All subtests are parallel. Those of [connect.Lister] are skipped if a store does not
// implement it.
//
// Every subtest calls newStore once, with its own t, concurrently with others. The store
// must be empty, and nothing else may use its tables, since Claim and Sweep reach all
// of them. For a database server, create a database, a schema, or tables with a prefix,
// and remove them with t.Cleanup.
//
// There are never more than fifty concurrent calls of one store. All of them must
// succeed, so a store retries transactions that the database aborts because of others.
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

// tb is the part of testing.T that checks need. The tests of this package replace it, to
// run checks that fail.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Skip(args ...any)
	Context() context.Context
}

// A check tests one rule on an empty store.
type check struct {
	name string
	run  func(t tb, s connect.Store)
}

// A group is the checks of one file. The package comment says what each is about.
type group struct {
	name   string
	checks []check
}

var groups = []group{
	bindGroup,
	bindLimitGroup,
	spendGroup,
	completeGroup,
	completeExpiryGroup,
	completeAddsGroup,
	completeRenewsGroup,
	completeReplacesGroup,
	completeSameIdentityGroup,
	completeAcceptedGroup,
	completeActorsGroup,
	completeTakenGroup,
	setLabelGroup,
	setHealthGroup,
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
