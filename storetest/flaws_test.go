package storetest

import (
	"maps"

	"github.com/anchorconnect/connect"
)

// The texts of errors that checks report.
var (
	stateUnknown    = connect.ErrStateUnknown.Error()
	anotherUser     = connect.ErrAnotherUser.Error()
	stateSpent      = connect.ErrStateSpent.Error()
	stateExpired    = connect.ErrStateExpired.Error()
	identityRetired = connect.ErrIdentityRetired.Error()
	identityTaken   = connect.ErrIdentityTaken.Error()
	identityTooOld  = connect.ErrIdentityTooOld.Error()
	unknown         = connect.ErrConnectionUnknown.Error()
	connectedElse   = connect.ErrIdentityConnected.Error()
	limitReached    = connect.ErrConnectionLimit.Error()
	changed         = connect.ErrConnectionChanged.Error()
	notConnected    = connect.ErrNotConnected.Error()
)

// A flaw is a fault of a sketch, and parts of the failures that a check must report.
type flaw struct {
	name     string
	failures []string
}

// flaws are those that each check must find. Every check has one: a check that no flaw
// fails tests nothing.
var flaws = merge(flawsOfFlows, flawsOfConnections, flawsOfRaces)

func merge(all ...map[string][]flaw) map[string][]flaw {
	merged := make(map[string][]flaw)
	for _, some := range all {
		maps.Copy(merged, some)
	}
	return merged
}

var flawsOfFlows = map[string][]flaw{
	"Bind/a flow is returned as it was bound": {
		{"stores no ReturnTo", []string{"the result of Pending", `- ReturnTo: (string) (len=16) "/reports?month=5"`, `+ ReturnTo: (string) ""`}},
		{"stores no BegunAt", []string{"the result of Pending", "BegunAt:time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC)"}},
	},
	"Bind/a zero BegunAt is returned as zero": {
		{"stores a zero BegunAt as 1970", []string{"the result of Pending", "BegunAt:time.Date(1970,"}},
	},
	"Bind/Spent and IdentityID are ignored: a flow begins live": {
		{"stores Spent and IdentityID in Bind", []string{"the result of Pending", "- Spent: (bool) false", `- IdentityID: (string) ""`}},
	},
	"Bind/an unknown token hash is ErrStateUnknown": {
		{"returns an empty flow for an unknown token hash", []string{"Pending of an unknown flow", stateUnknown}},
	},
	"Bind/a token hash that is bound already is an error, and its flow stays unchanged": {
		{"binds a token hash again", []string{"Bind of a token hash that is bound already"}},
		{"returns no error for a token hash that is bound", []string{"Bind of a token hash that is bound already"}},
	},
	"Bind/a user has several flows, and completes each on its own": {
		{"stores one flow for a user at most", []string{"Complete of a pending flow", stateUnknown}},
	},
	"Bind/an expired flow is returned like any other": {
		{"returns no expired flows", []string{"Pending", stateUnknown}},
	},

	"Bind limit/flows within the limit stay live": {
		{"spends one flow too many", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Bind limit/one flow beyond the limit spends the one that expires first": {
		{"binds any number of flows", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"spends one flow too few", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"spends the flows that expire last", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"removes the flows that it should spend", []string{"Pending", stateUnknown}},
		{"completes a flow that is spent", []string{"a Complete that the contract refuses", stateSpent}},
	},
	"Bind limit/the order of ExpiresAt counts, not that of binding": {
		{"spends flows in the order of binding", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"spends flows in the order of IssuedAt", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Bind limit/ExpiresAt is compared to the microsecond": {
		{"compares ExpiresAt by the second", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Bind limit/of flows that expire at the same moment, as many stay as the limit allows": {
		{"counts flows that expire at one moment as one", []string{"the number of live flows of a user", "expected: 3 actual : 10"}},
		{"keeps one spent flow more", []string{"the number of flows that Sweep returns", "expected: 7 actual : 8"}},
	},
	"Bind limit/the flow that is bound stays live, even if it expires first": {
		{"spends the flow that it binds if it expires first", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Bind limit/a limit of one leaves the new flow live, and keeps one spent flow": {
		{"spends one flow too few", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"keeps one spent flow less", []string{"Pending", stateUnknown}},
		{"keeps one spent flow more", []string{"Pending of an unknown flow"}},
	},
	"Bind limit/a lower limit spends and removes several flows in one call": {
		{"spends one flow at most", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"removes the flows that it has just spent", []string{"Pending", stateUnknown}},
	},
	"Bind limit/live flows and spent flows are counted separately": {
		{"counts live and spent flows together", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"keeps no spent flow", []string{"Pending", stateUnknown}},
	},
	"Bind limit/the spent flows that expire last are kept, with their identities": {
		{"spends the flows that expire last", []string{"Pending", stateUnknown}},
		{"keeps one spent flow more", []string{"Pending of an unknown flow"}},
		{"spends spent flows again", []string{"the result of Pending", `+ IdentityID: (string) ""`}},
	},
	"Bind limit/removing a completed flow keeps its connection and its task": {
		{"ends connections with the flows it removes", []string{"the result of Connections", "actual : []connect.Connection{}"}},
		{"never binds again a token hash that Bind removed", []string{"Bind", "bound already"}},
	},
	"Bind limit/expired flows count as live, and are spent first": {
		{"treats expired flows as spent", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Bind limit/flows that Disconnect spent are removed like any other": {
		{"keeps one spent flow more", []string{"Pending of an unknown flow"}},
	},
	"Bind limit/flows of other users and applications stay unchanged": {
		{"spends the flows of all users", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"spends the flows of the user id in all applications", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Bind limit/users and applications with similar ids are distinct": {
		{"compares UserID without case", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ApplicationID without accents", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Bind limit/a Bind that fails spends and removes nothing": {
		{"spends flows before it looks for the token hash", []string{"Bind of a token hash that is bound already"}},
		{"spends flows when Bind fails", []string{"Pending", stateUnknown}},
	},
	"Bind limit/a user who completes no flow has at most twice the limit plus one": {
		{"binds any number of flows", []string{"the number of flows that Sweep returns", "expected: 11 actual : 40"}},
		{"keeps one spent flow more", []string{"the number of flows that Sweep returns", "expected: 11 actual : 12"}},
	},
	"Bind limit/a user who completes every flow has at most the limit plus one": {
		{"keeps one spent flow more", []string{"the number of flows that Sweep returns", "expected: 6 actual : 7"}},
		{"binds any number of flows", []string{"the number of flows that Sweep returns", "expected: 6 actual : 42"}},
	},

	"Spend/a spent flow has no identity and is ErrStateSpent": {
		{"removes a flow that is spent", []string{"Pending", stateUnknown}},
		{"completes a flow that is spent", []string{"a Complete that the contract refuses", stateSpent}},
	},
	"Spend/other flows stay live": {
		{"spends all flows of the user", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Spend/a spent or unknown flow is no error, and nothing changes": {
		{"returns an error for an unknown flow", []string{"Spend of a spent or unknown flow", stateUnknown}},
	},
	"Spend/a completed flow is no error, and stays completed": {
		{"removes the IdentityID of a completed flow that is spent", []string{"the result of Pending", `+ IdentityID: (string) ""`}},
	},

	"Complete expiry/a flow is live until a microsecond before ExpiresAt": {
		{"expires a microsecond early", []string{"Complete of a pending flow", stateExpired}},
	},
	"Complete expiry/a flow is ErrStateExpired from ExpiresAt on": {
		{"expires a microsecond late", []string{"a Complete that the contract refuses", stateExpired}},
		{"never expires", []string{"a Complete that the contract refuses", stateExpired}},
	},
	"Complete expiry/ConnectedAt decides, not a clock of the store": {
		{"uses a clock of its own", []string{"Complete of a pending flow", stateExpired}},
	},
	"Complete expiry/an expired flow is not spent": {
		{"spends an expired flow", []string{"Complete of a pending flow", stateSpent}},
	},
	"Complete expiry/a reload of an expired flow succeeds": {
		{"returns ErrStateExpired for a late reload", []string{"Complete of a reload", stateExpired}},
	},

	"Complete/the connection is stored, the flow is spent and a tag is queued": {
		{"completes without spending", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Complete/a reload is not First, and changes nothing": {
		{"returns First for a reload", []string{"First, which Complete returns for a reload"}},
		{"refuses every reload", []string{"Complete of a reload", stateSpent}},
		{"stores a reload", []string{"the result of Connections", "time.May, 17, 12, 1, 0, 123456000"}},
		{"returns the connection of a reload", []string{"the result of Complete for a reload"}},
	},
	"Complete/another identity for a completed flow is ErrStateSpent": {
		{"completes a flow that is spent", []string{"a Complete that the contract refuses", stateSpent}},
	},
	"Complete/another user is ErrAnotherUser, and the flow stays pending": {
		{"ignores the user of a flow", []string{"a Complete that the contract refuses", anotherUser}},
		{"spends a flow that it refuses", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Complete/another application is ErrAnotherUser, and the flow stays pending": {
		{"compares the user id of a flow alone", []string{"a Complete that the contract refuses", anotherUser}},
	},
	"Complete/an unknown flow is ErrStateUnknown, and nothing is stored": {
		{"connects without a flow", []string{"a Complete that the contract refuses", stateUnknown}},
	},
	"Complete/of several reasons to refuse, the first in order is returned": {
		{"checks the identity before the flow", []string{"a Complete that the contract refuses: unknown, identity taken", stateUnknown, identityTaken}},
		{"returns ErrStateExpired for a late reload", []string{"a Complete that the contract refuses: spent, expired", stateSpent, stateExpired}},
		{"checks SameIdentity before the identity", []string{"a Complete that the contract refuses: identity retired", identityTooOld}},
		{"stores no time of Disconnect", []string{"a Complete that the contract refuses: begun before a disconnect", stateSpent}},
		{"spends flows that began before a Disconnect", []string{"the result of Pending", "+ Spent: (bool) true"}},
	},
	"Complete/a flow that was refused can still be completed": {
		{"spends a flow that it refuses", []string{"a Complete that the contract refuses", identityTaken, stateSpent}},
	},

	"Complete replaces/another identity replaces the old one and queues its deletion": {
		{"queues no deletion of a replaced identity", []string{"the tasks that are due at 2061-05-17 12:05:00.123456", "actual : []string{}"}},
		{"keeps the tag of a replaced identity", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"Complete replaces/a claimed tag of the old identity is removed": {
		{"keeps the tag of a replaced identity", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"Complete replaces/the same identity replaces nothing, and updates the connection": {
		{"deletes an identity that is renewed", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)", `"delete`}},
	},
	"Complete replaces/each replaced identity has a deletion of its own": {
		{"queues one deletion for a user at most", []string{"the tasks that are due", "-([]string) (len=3)", "+([]string) (len=2)"}},
	},
	"Complete replaces/a reload of a flow whose identity was replaced changes nothing": {
		{"refuses the reload of a replaced identity", []string{"Complete of a reload", stateSpent}},
	},
	"Complete replaces/a refusal replaces nothing": {
		{"ends the old connection before it refuses the new one", []string{"the result of Connections", "actual : []connect.Connection{}"}},
	},
	"Complete replaces/connections of other users and applications stay unchanged": {
		{"replaces the connection of the user id in another application", []string{"the result of Complete", `- Replaced: (string) ""`}},
	},

	"Complete SameIdentity/the identity that the user has is renewed": {
		{"refuses every identity with SameIdentity", []string{"Complete of a pending flow", identityTooOld}},
		{"deletes an identity that is renewed", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"Complete SameIdentity/any other identity is ErrIdentityTooOld, and nothing changes": {
		{"ignores SameIdentity", []string{"a Complete that the contract refuses", identityTooOld}},
		{"spends a flow that it refuses", []string{"the result of Pending", "+ Spent: (bool) true"}},
	},
	"Complete SameIdentity/without a connection, every identity is ErrIdentityTooOld": {
		{"ignores SameIdentity without a connection", []string{"a Complete that the contract refuses", identityTooOld}},
	},
	"Complete SameIdentity/an identity that the user had before is refused": {
		{"looks for the user's identity in the flows", []string{"a Complete that the contract refuses", identityTooOld}},
	},
	"Complete SameIdentity/a reload is not affected": {
		{"checks SameIdentity for a reload", []string{"Complete of a reload", identityTooOld}},
	},

	"SetHealth/Complete stores the health of a new connection": {
		{"begins every connection as HealthOK", []string{"the result of Complete", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"stores ConnectedAt as HealthAt", []string{"the result of Complete", "- wall: (uint64) 123451000", "+ wall: (uint64) 123456000"}},
	},
	"SetHealth/later news sets Health and HealthAt, and nothing else": {
		{"never changes HealthAt", []string{"the connection that SetHealth returns", "HealthAt:time.Date(2061, time.May, 17, 11, 59, 57, 123451000, time.UTC)} Diff"}},
		{"returns the connection as it was before the news", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"reports no change", []string{"changed, which SetHealth returns for a change"}},
		{"changes ConnectedAt with the health", []string{"the connection that SetHealth returns", "ConnectedAt: (time.Time) {"}},
	},
	"SetHealth/earlier news changes nothing": {
		{"counts all news", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"SetHealth/the same news again changes nothing": {
		{"reports a change for all news", []string{"changed, which SetHealth returns without a change"}},
	},
	"SetHealth/later news of the same health moves HealthAt": {
		{"keeps HealthAt for later news of the same health", []string{"the connection that SetHealth returns", "HealthAt:time.Date(2061, time.May, 17, 11, 59, 57, 123451000, time.UTC)} Diff"}},
	},
	"SetHealth/of news of one moment, HealthNeedsSignIn stands, in any order": {
		{"prefers the last news of one moment", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"prefers the first news of one moment", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"prefers HealthOK at one moment", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"SetHealth/news of the moment of the sign-in counts if it is HealthNeedsSignIn": {
		{"prefers the last news of one moment", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"prefers the first news of one moment", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"SetHealth/the result does not depend on the order or number of calls": {
		{"counts all news", []string{"the connection after this news: [needs_sign_in at"}},
		{"prefers the last news of one moment", []string{"the connection after this news: [needs_sign_in at"}},
		{"prefers the first news of one moment", []string{"the connection after this news: [needs_sign_in at"}},
		{"keeps HealthAt for later news of the same health", []string{"the connection after this news: ["}},
	},
	"SetHealth/times are compared to the microsecond": {
		{"compares news by the millisecond", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"SetHealth/equal times stay equal below a microsecond": {
		{"truncates HealthAt, but not what it compares it with", []string{"changed, which SetHealth returns: ok at", "expected: false actual : true"}},
		{"rounds up HealthAt, but not what it compares it with", []string{"changed, which SetHealth returns: needs_sign_in at", "expected: true actual : false"}},
	},
	"SetHealth/a time is the same instant in any zone": {
		{"stores local times without their zone", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=2) "ok"`, `HealthAt:time.Date(2061, time.May, 17, 17, 46, 57, 123450000, time.UTC)} Diff`}},
	},
	"SetHealth/times are ordered as instants, not as strings": {
		{"compares times as strings", []string{"the connection that SetHealth returns"}},
		{"compares times as strings in UTC", []string{"the connection that SetHealth returns"}},
	},
	"SetHealth/an identity without a connection is ErrNotConnected": {
		{"accepts news of any identity", []string{"SetHealth for an identity without a connection", notConnected}},
	},
	"SetHealth/an identity that was replaced is ErrNotConnected": {
		{"looks for the identity of news in the flows", []string{"SetHealth for an identity without a connection", notConnected}},
		{"restores a connection for late news", []string{"SetHealth for an identity without a connection", notConnected}},
	},
	"SetHealth/the identity of a connection that has ended is ErrNotConnected": {
		{"restores a connection for late news", []string{"SetHealth for an identity without a connection", notConnected}},
	},
	"SetHealth/an identity is found in any application": {
		{"looks for the identity of news in one application", []string{"SetHealth", notConnected}},
	},
	"SetHealth/other connections, flows and tasks stay unchanged": {
		{"sets the health of all users", []string{"the result of Connections", `- Health: (connect.Health) (len=2) "ok"`}},
		{"sets the health of the user id in all applications", []string{"the result of Connections", `- Health: (connect.Health) (len=2) "ok"`}},
		{"spends the flows of a user who needs to sign in", []string{"the result of Pending", "+ Spent: (bool) true"}},
		{"tags an identity whose health has changed", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "-([]string) (len=2)", "+([]string) (len=1)"}},
	},
	"SetHealth/a connection that needs a sign-in keeps its identity": {
		{"returns no connection that needs a sign-in", []string{"the result of Connections", "actual : []connect.Connection{}"}},
		{"accepts the identity of a connection that needs a sign-in", []string{"a Complete that the contract refuses", identityTaken}},
	},
	"SetHealth/a renewal with the same identity takes the health of the new sign-in": {
		{"keeps the health of an identity that is renewed", []string{"the result of Complete", `- Health: (connect.Health) (len=2) "ok"`}},
		{"keeps the later health of an identity that is renewed", []string{"the result of Complete", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"SetHealth/a renewal with another identity takes the health of the new sign-in": {
		{"keeps the health of the connection that it replaces", []string{"the result of Complete", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"SetHealth/a reload changes no health": {
		{"stores the health of a reload", []string{"the result of Connections", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"stores a reload", []string{"the result of Connections", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"SetHealth/Disconnect returns the health, and a new connection has its own": {
		{"returns ended connections as HealthOK", []string{"the result of Disconnect", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"SetHealth/an unknown health is an error, and nothing changes": {
		{"stores any health", []string{`SetHealth to ""`, "An error is expected"}},
		{"returns ErrNotConnected for an unknown health", []string{`SetHealth to "" for a connected identity`}},
	},
	"SetHealth/Complete with an unknown health is an error, and the flow stays pending": {
		{"completes with any health", []string{`Complete with a connection whose Health is ""`}},
	},

	"Complete taken identity/the identity of another user is ErrIdentityTaken": {
		{"lets users share an identity", []string{"a Complete that the contract refuses", identityTaken}},
	},
	"Complete taken identity/the identity of another user in another application is ErrIdentityTaken": {
		{"looks for an identity's user in the application", []string{"a Complete that the contract refuses", identityTaken}},
	},
	"Complete taken identity/the identity of the same user id in another application is ErrIdentityTaken": {
		{"treats the user id in another application as the same user", []string{"a Complete that the contract refuses", identityTaken}},
	},
	"Complete taken identity/a refusal leaves the user's own connection unchanged": {
		{"ends the old connection before it refuses the new one", []string{"the result of Connections", "actual : []connect.Connection{}"}},
	},
	"Complete taken identity/an identity stays taken after its flow was swept": {
		{"looks for an identity's user in the flows", []string{"a Complete that the contract refuses", identityTaken}},
	},

	"Isolation/users of one application have separate connections": {
		{"returns an error without a connection", []string{"Connections for a user without a connection", notConnected}},
		{"compares users by ApplicationID alone", []string{"the result of Connections for a user without a connection", "Should be empty"}},
		{"returns an empty connection for users without one", []string{"the result of Connections for a user without a connection", "Should be empty"}},
	},
	"Isolation/one user id in two applications is two users": {
		{"compares users by UserID alone", []string{"the result of Connections for a user without a connection", "Should be empty"}},
	},
	"Isolation/application id and user id are compared separately": {
		{"concatenates the keys of a user", []string{"the result of Complete", "- ID: (string)", "- Replaced: (string)"}},
	},
	"Isolation/Claim returns and leases the tasks of one application only": {
		{"claims tasks of any application", []string{"the ApplicationID of a task that Claim returns"}},
		{"leases the tasks of every application", []string{"the tasks of the one application", "actual : []string{}"}},
		{"returns the deletions of all applications", []string{"the ApplicationID of a task that Claim returns"}},
	},
	"Isolation/application id and user id are not interchangeable": {
		{"confuses the keys of a user", []string{"the result of Connections for a user without a connection", "Should be empty"}},
	},

	"Claim/a task is due at its NotBefore, not a microsecond earlier": {
		{"tags at once", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", `actual : []string{"tag`}},
	},
	"Claim/a store without tasks returns none": {
		{"queues a tag for a flow", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
		{"returns an error when no task is due", []string{"Claim", "no rows"}},
	},
	"Claim/a claimed task is returned again only when its lease ends": {
		{"claims without a lease", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", `actual : []string{"tag`}},
		{"returns a task only once", []string{"the tasks that are due at 2061-05-17 13:01:00.123456", "actual : []string{}"}},
		{"counts no attempts", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "claimed 1 times", "claimed 0 times"}},
	},
	"Claim/Done removes a task, and is idempotent": {
		{"does not remove what is done", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"returns an error for a task that is done", []string{"Done", "no rows"}},
	},
	"Claim/Done removes a task that was never claimed": {
		{"removes claimed tasks alone", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
	},
	"Claim/Done and Postpone find a task by Kind and IdentityID alone": {
		{"finds a task by its identity alone", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=1)"}},
		{"finds a task by all of its fields", []string{"the tasks that are due at 2062-05-17 12:00:00.123455", `actual : []string{"tag`}},
	},
	"Claim/Postpone sets NotBefore and keeps the attempts": {
		{"resets the attempts when it postpones", []string{"the tasks that are due at 2061-05-17 15:01:00.123456", "claimed 2 times", "claimed 1 times"}},
		{"postpones to later alone", []string{"the tasks that are due at 2061-05-17 15:02:00.123456", "actual : []string{}"}},
	},
	"Claim/Postpone of an unknown task creates none": {
		{"makes a task to postpone", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
	},
	"Claim/Complete replaces a task that is queued already, with no attempts": {
		{"queues no task again", []string{"the tasks that are due at 2061-05-17 12:00:30.123456", "actual : []string{}"}},
		{"queues a task twice", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"keeps the attempts of a task that is queued again", []string{"the tasks that are due at 2061-05-17 12:00:30.123456", "claimed 1 times", "claimed 3 times"}},
	},
	"Claim/a limit selects the tasks that are due longest": {
		{"claims the newest first", []string{"the three tasks that are due longest"}},
		{"claims without a limit", []string{"the number of tasks that Claim returns", `"8" is not less than or equal to "3"`}},
	},
	"Claim/tasks of other applications do not count towards the limit": {
		{"counts the tasks of other applications against the limit", []string{"the two tasks of the application", "actual : []string{}"}},
	},
	"Claim/a limit below one returns nothing, and is no error": {
		{"treats a limit below one as no limit", []string{"the number of tasks that Claim returns", `"1" is not less than or equal to "0"`}},
	},

	"Deletions/a deletion is due at DeleteAfter, not a microsecond earlier": {
		{"deletes at once", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", `actual : []string{"delete`}},
	},
	"Deletions/an identity with a queued deletion is ErrIdentityRetired for everybody": {
		{"accepts retired identities", []string{"a Complete that the contract refuses", identityRetired}},
		{"accepts an identity whose deletion is claimed", []string{"a Complete that the contract refuses", identityRetired}},
	},
	"Deletions/a replaced identity is ErrIdentityRetired, for its former user too": {
		{"accepts a retired identity of its former user", []string{"a Complete that the contract refuses", identityRetired}},
	},
	"Deletions/after Done the identity is like any other": {
		{"never accepts an identity that was deleted", []string{"Complete of a pending flow", identityRetired}},
	},
	"Deletions/deletions are leased, done and postponed like tags": {
		{"leases no deletions", []string{"the tasks that are due at 2061-05-17 13:02:00.123455", `actual : []string{"delete`}},
	},

	"Disconnect all/the connection ends, its tag is removed and its deletion is queued": {
		{"keeps the connection that it ends", []string{"the result of Connections for a user without a connection", "Should be empty"}},
		{"queues no deletion of an ended connection", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", "actual : []string{}"}},
		{"leaves the tag of an ended connection", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"Disconnect all/a claimed tag is removed": {
		{"leaves the tag of an ended connection", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"Disconnect all/without a connection it is no error, and queues nothing": {
		{"returns an error for a user without a connection", []string{"Disconnect", notConnected}},
	},
	"Disconnect all/live flows are spent": {
		{"leaves live flows", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Disconnect all/live flows are spent without a connection, too": {
		{"leaves flows of a user without a connection", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Disconnect all/completed flows are spent: a reload is ErrStateSpent": {
		{"leaves completed flows", []string{"the result of Pending", `- IdentityID: (string) ""`}},
		{"spends completed flows but keeps their identity", []string{"the result of Pending", `- IdentityID: (string) ""`}},
	},
	"Disconnect all/other users and applications stay unchanged": {
		{"spends the flows of all users when it disconnects one", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect all/a new flow connects again, and the deletion stays": {
		{"drops the user's deletions when there is a new connection", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=1)"}},
	},
	"Disconnect all/a connection that was renewed with another identity ends with the new one": {
		{"queues one deletion for a user at most", []string{"the tasks that are due at 2061-05-17 12:00:00.123456", "actual : []string{}"}},
	},

	"Disconnect all/a flow that began earlier and is bound later is ErrStateSpent": {
		{"stores no time of Disconnect", []string{"a Complete that the contract refuses", stateSpent}},
		{"spends flows that began before a Disconnect", []string{"the result of Pending", "+ Spent: (bool) true"}},
	},
	"Disconnect all/a flow that began earlier is ErrStateSpent without a connection, too": {
		{"stores no time of Disconnect without a connection", []string{"a Complete that the contract refuses", stateSpent}},
	},
	"Disconnect all/a flow that began at the same moment can be completed": {
		{"refuses what began at the moment of a Disconnect", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect all/a flow with a zero BegunAt that is bound later can be completed": {
		{"treats a zero BegunAt as the earliest", []string{"Complete of a pending flow", stateSpent}},
		{"stores a zero BegunAt as 1970", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect all/of several calls the latest At counts, in any order": {
		{"keeps the first time of Disconnect", []string{"a Complete that the contract refuses", stateSpent}},
		{"keeps the last time of Disconnect", []string{"a Complete that the contract refuses", stateSpent}},
	},
	"Disconnect all/At counts for its user and application alone": {
		{"disconnects the user id in all applications", []string{"Complete of a pending flow", stateSpent}},
		{"disconnects all users of the application", []string{"Complete of a pending flow", stateSpent}},
		{"confuses the keys of a user", []string{"Complete of a pending flow", stateSpent}},
		{"compares UserID without spaces at the end", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect all/BegunAt and At are compared as instants, in any zone and year": {
		{"compares times as strings", []string{stateSpent}},
		{"counts nanoseconds in 64 bits", []string{"the result of Pending", "BegunAt:time.Date(9044,"}},
		{"stores local times without their zone", []string{"the result of Pending", "BegunAt:time.Date(2044, time.March, 1, 1,"}},
	},
	"Disconnect all/equal BegunAt and At stay equal below a microsecond": {
		{"truncates BegunAt, but not what it compares it with", []string{"Complete of a pending flow", stateSpent}},
		{"rounds up the time of Disconnect, but not BegunAt", []string{"Complete of a pending flow", stateSpent}},
		{"stores milliseconds", []string{"a Complete that the contract refuses", stateSpent}},
	},

	"Applications/ApplicationsOf returns those with a connection or a flow that is not spent": {
		{"lists an application twice", []string{`the applications of "anna"`, "extra elements in list B", "both"}},
		{"lists no applications of connections", []string{`the applications of "anna"`, "extra elements in list A", "connected"}},
		{"lists no applications of flows", []string{`the applications of "anna"`, "extra elements in list A", "pending"}},
		{"lists no applications of expired flows", []string{`the applications of "anna"`, "extra elements in list A", "expired"}},
		{"lists the applications of spent flows", []string{`the applications of "anna"`, "extra elements in list B", "spent"}},
		{"lists the applications of all users", []string{`the applications of "anna"`, "extra elements in list B", "elsewhere"}},
		{"keeps the connection that it ends", []string{`the applications of "anna"`, "extra elements in list B", "ended"}},
	},
	"Applications/ApplicationsOf distinguishes similar user ids": {
		{"compares UserID without case", []string{`the applications of "anna"`, "extra elements in list B", "application 1"}},
		{"compares UserID without spaces at the end", []string{`the applications of "anna"`, "extra elements in list B", "application 3"}},
	},
	"Applications/Applications returns those with a connection or a task": {
		{"lists an application twice", []string{"all applications", "extra elements in list B", "both"}},
		{"lists no applications of connections", []string{"all applications", "extra elements in list A", "connected"}},
		{"lists no applications of tasks", []string{"all applications", "extra elements in list A", "task"}},
		{"lists the applications of flows", []string{"all applications", "pending"}},
	},
	"Applications/Applications distinguishes many similar ids": {
		{"lists ten applications at most", []string{"all applications", "extra elements in list A"}},
		{"compares ApplicationID without accents", []string{"all applications", "extra elements in list A"}},
	},

	"Sweep/flows that expired before the moment are removed, and no others": {
		{"sweeps flows that expire at the moment", []string{"the number of flows that Sweep returns", "expected: 1 actual : 2"}},
		{"sweeps live flows", []string{"the number of flows that Sweep returns", "expected: 1 actual : 3"}},
		{"sweeps live flows with expired ones", []string{"the number of flows that Sweep returns", "expected: 1 actual : 3"}},
	},
	"Sweep/live, spent and completed flows are removed, and no connection or task": {
		{"sweeps no completed flows", []string{"the number of flows that Sweep returns", "expected: 11 actual : 7"}},
		{"sweeps connections with their flows", []string{"the result of Connections", "actual : []connect.Connection{}"}},
		{"sweeps tasks with their flows", []string{"the tasks that are due", "actual : []string{}"}},
	},
	"Sweep/a flow that was swept is ErrStateUnknown, and its token hash can be bound again": {
		{"never binds again a token hash that was swept", []string{"Bind", "bound already"}},
	},
	"Sweep/no more flows than the limit are removed, and their number is returned": {
		{"sweeps without a limit", []string{"the number of flows that Sweep returns", "expected: 10 actual : 25"}},
		{"miscounts what it sweeps", []string{"the number of flows that Sweep returns", "expected: 5 actual : 10"}},
	},
	"Sweep/times of Disconnect before the moment are removed, and not counted": {
		{"never removes a time of Disconnect", []string{"the users whose time of Disconnect was removed", `expected: []string{"before"} actual : []string(nil)`}},
		{"removes all times of Disconnect", []string{"the users whose time of Disconnect was removed", `actual : []string{"before", "at", "after"}`}},
		{"removes a time of Disconnect at that moment", []string{"the users whose time of Disconnect was removed", `actual : []string{"before", "at"}`}},
		{"counts the times of Disconnect that it removes", []string{"the number of flows that Sweep returns", "expected: 0 actual : 1"}},
	},
	"Sweep/removing the time of a Disconnect keeps the connection": {
		{"ends connections with the times of Disconnect that it removes", []string{"the result of Connections", "actual : []connect.Connection{}"}},
	},
	"Sweep/removing the last flow of a user keeps the time of a later Disconnect": {
		{"removes times of Disconnect with the flows that it sweeps", []string{"the users whose time of Disconnect was removed", "Should be empty, but was [anna]"}},
	},
	"Sweep/no more times of Disconnect than the limit are removed, besides the flows": {
		{"removes times of Disconnect without a limit", []string{"the users whose time of Disconnect was removed", "should have 10 item(s), but has 25"}},
		{"counts flows and times of Disconnect together", []string{"the users whose time of Disconnect was removed", "should have 10 item(s), but has 0"}},
	},
	"Sweep/a limit below one removes nothing, and is no error": {
		{"treats a limit below one as no limit", []string{"the number of flows that Sweep returns", "expected: 0 actual : 1"}},
		{"removes times of Disconnect without a limit", []string{"the users whose time of Disconnect was removed", "Should be empty"}},
	},
	"Sweep/a store without flows is no error": {
		{"returns an error when it sweeps no flow", []string{"Sweep", "no rows"}},
	},

	"Contexts/Bind soon returns the error of its context, and changes nothing": {
		{"Bind ignores its context", []string{"Bind with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Pending soon returns the error of its context, and changes nothing": {
		{"Pending ignores its context", []string{"Pending with a context that is cancelled", "context canceled"}},
		{"returns the cause of its context", []string{"Pending with a context that is cancelled with a cause", "context canceled", "the user closed the page"}},
	},
	"Contexts/Spend soon returns the error of its context, and changes nothing": {
		{"Spend ignores its context", []string{"Spend with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Complete soon returns the error of its context, and changes nothing": {
		{"Complete ignores its context", []string{"Complete with a context that is cancelled", "context canceled", "Complete returned First"}},
	},
	"Contexts/Connections soon returns the error of its context, and changes nothing": {
		{"Connections ignores its context", []string{"Connections with a context that is cancelled", "context canceled"}},
		{"does not return once its context has ended", []string{"Connections with a context that is cancelled has not returned after 10s", "the call does not return"}},
	},
	"Contexts/SetHealth soon returns the error of its context, and changes nothing": {
		{"SetHealth ignores its context", []string{"SetHealth with a context that is cancelled", "context canceled", "SetHealth reported a change"}},
	},
	"Contexts/Disconnect soon returns the error of its context, and changes nothing": {
		{"Disconnect ignores its context", []string{"Disconnect with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Disconnect for a user without a connection soon returns the error of its context, and changes nothing": {
		{"spends flows before it looks at its context", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"Contexts/ApplicationsOf soon returns the error of its context, and changes nothing": {
		{"ApplicationsOf ignores its context", []string{"ApplicationsOf with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Applications soon returns the error of its context, and changes nothing": {
		{"Applications ignores its context", []string{"Applications with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Claim soon returns the error of its context, and changes nothing": {
		{"Claim ignores its context", []string{"Claim with a context that is cancelled", "context canceled", "Claim returned tasks"}},
		{"returns another error than that of its context", []string{"Claim with a context that is cancelled", "context canceled", "interrupted"}},
	},
	"Contexts/Done soon returns the error of its context, and changes nothing": {
		{"Done ignores its context", []string{"Done with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Postpone soon returns the error of its context, and changes nothing": {
		{"Postpone ignores its context", []string{"Postpone with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Sweep soon returns the error of its context, and changes nothing": {
		{"Sweep ignores its context", []string{"Sweep with a context that is cancelled", "context canceled"}},
	},
	"Contexts/an interrupted Complete takes effect as a whole or not at all, and can be repeated": {
		{"checks its context when half is written", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Contexts/an interrupted Bind takes effect as a whole or not at all": {
		{"checks its context after it has spent other flows", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},

	"Strings/every TokenHash is stored exactly, and distinct from similar ones": {
		{"compares TokenHash without case", []string{"Bind", "bound already"}},
		{"compares TokenHash with one weight for all emoji", []string{"Bind", "bound already"}},
	},
	"Strings/every ApplicationID is stored exactly, and distinct from similar ones": {
		{"compares ApplicationID without spaces at the end", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares ApplicationID without accents", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
	},
	"Strings/every UserID is stored exactly, and distinct from similar ones": {
		{"compares UserID without case", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID without accents", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID without spaces at the end", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID with one weight for all emoji", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID in its first 254 bytes", []string{"the result of Complete", "- ID: (string)", `- Replaced: (string) ""`}},
		{"stores strings in lower case", []string{"the result of Pending", `- UserID: (string) (len=4) "Anna`, `+ UserID: (string) (len=4) "anna`}},
		{"trims spaces", []string{"the result of Pending", `- UserID: (string) (len=5) "anna `, `+ UserID: (string) (len=4) "anna`}},
	},
	"Strings/ReturnTo is stored exactly, up to 1024 bytes": {
		{"trims spaces", []string{"the result of Pending", `- ReturnTo: (string) (len=3) " / "`, `+ ReturnTo: (string) (len=1) "/"`}},
		{"stores ReturnTo of 255 bytes at most", []string{"Bind", "too long"}},
	},
	"Strings/all strings may have their full length at once": {
		{"stores 191 bytes at most", []string{"Bind", "too long"}},
	},
	"Strings/Bind rejects NUL bytes and invalid UTF-8, and stores nothing": {
		{"truncates strings at a NUL byte", []string{"Bind of a flow whose TokenHash is a NUL byte inside"}},
		{"repairs invalid UTF-8", []string{"Bind of a flow whose TokenHash is a byte that is no UTF-8"}},
		{"stores a flow that it rejects", []string{"Pending of a flow that Bind rejected: its TokenHash is a NUL byte inside"}},
	},
	"Strings/Bind rejects empty keys, and stores nothing": {
		{"stores empty strings", []string{"Bind of a flow whose TokenHash is empty"}},
	},
	"Strings/Complete rejects empty keys, NUL bytes and invalid UTF-8, and the flow stays pending": {
		{"stores any identity", []string{"Complete with a connection whose ID is a NUL byte inside"}},
	},
	"Strings/a longer string is stored exactly or rejected": {
		{"truncates strings to 255 bytes", []string{"the result of Pending", "- TokenHash: (string) (len=256)", "+ TokenHash: (string) (len=255)"}},
	},
	"Strings/a string that cannot be stored finds nothing": {
		{"truncates strings to 255 bytes", []string{`Pending of a token hash with "\x00" at its end`}},
		{"truncates strings at a NUL byte", []string{`Pending of a token hash with "\x00" at its end`}},
	},

	"Times/every time is stored to the microsecond": {
		{"stores seconds", []string{"the NotBefore of a task that Claim returns", "+(time.Time) 2061-05-17 13:00:00 +0000 UTC"}},
		{"stores milliseconds", []string{"the NotBefore of a task that Claim returns", "+(time.Time) 2061-05-17 13:00:00.123 +0000 UTC"}},
	},
	"Times/truncating or rounding moves a time by less than a microsecond": {
		{"loses the carry when it rounds", []string{"the result of Complete", "- wall: (uint64) 999999999", "+ wall: (uint64) 0"}},
	},
	"Times/equal times stay equal below a microsecond": {
		{"truncates ExpiresAt, but not what it compares it with", []string{"the number of flows that Sweep returns", "expected: 0 actual : 1"}},
		{"rounds up ExpiresAt, but not what it compares it with", []string{"a Complete that the contract refuses", stateExpired}},
		{"rounds up NotBefore, but not what it compares it with", []string{"the tasks that are due at the very moment of the claim", "actual : []string{}"}},
	},
	"Times/a time is the same instant in any zone": {
		{"stores local times without their zone", []string{"Complete of a pending flow", stateExpired}},
	},
	"Times/when clocks are set back, both equal hours are distinct": {
		{"stores local times of Berlin", []string{"the result of Complete", "time.October, 25, 0, 29, 59, 999999000", "time.October, 25, 1, 29, 59, 999999000"}},
	},
	"Times/times from 1970 to 9999 are stored": {
		{"counts nanoseconds in 64 bits", []string{"the result of Complete", "time.Date(2262,", "- ext: (int64)"}},
	},
	"Times/times are ordered as instants, not as strings": {
		{"compares times as strings", []string{"a Complete that the contract refuses", stateExpired}},
		{"compares times as strings in UTC", []string{"a Complete that the contract refuses", stateExpired}},
	},

	"Races/fifty equal calls of Complete: one is First, the others are reloads": {
		{"checks the flow in a separate transaction", []string{"the calls of Complete that return First", "should have 1 item(s), but has"}},
	},
	"Races/Complete with different identities: one is stored, the others are ErrStateSpent": {
		{"checks the flow in a separate transaction", []string{"the calls of Complete that return First", "should have 1 item(s), but has"}},
	},
	"Races/users with one identity: one gets it, the others are ErrIdentityTaken": {
		{"checks the identity in a separate transaction", []string{"the calls of Complete that return First", "should have 1 item(s), but has"}},
	},
	"Races/flows of one user with different identities: one stays, the others are to be deleted": {
		{"looks for the connection to renew in a separate transaction", []string{"the result of Connections", "should have 1 item(s), but has 10"}},
	},
	"Races/Complete and Disconnect: no connection is left": {
		{"looks for the connection to end in a separate transaction", []string{"the result of a Disconnect that came second", "actual : []connect.Connection{}"}},
	},
	"Races/a renewal and Disconnect: no connection is left": {
		{"looks for the connection to end in a separate transaction", []string{"the result of Disconnect"}},
	},
	"Races/Bind and Complete of an earlier flow, and Disconnect: no connection is left": {
		{"stores the time of Disconnect in a separate transaction", []string{"the result of Connections for a user without a connection", "Should be empty"}},
		{"stores no time of Disconnect", []string{"the result of Connections for a user without a connection", "Should be empty"}},
	},
	"Races/the same identity and one that replaces it: the new identity stays": {
		{"checks the identity in a separate transaction", []string{"the result of Connections", "- IdentityID"}},
	},
	"Races/Complete and Spend: the results agree with the store": {
		{"reads a flow, and writes it back when it is spent", []string{"the result of Pending", `+ IdentityID: (string) ""`}},
	},
	"Races/Complete for the identity of a user who gives it up: refused": {
		{"ends the connection before it queues the deletion", []string{"whether a Complete for another user succeeds"}},
	},
	"Races/Disconnect: one call ends the connection, the others find none": {
		{"looks for the connection to end in a separate transaction", []string{"the calls of Disconnect that ended the connection", "should have 1 item(s), but has"}},
	},
	"Races/Bind of one token hash: exactly one succeeds": {
		{"looks for a token hash in a separate transaction", []string{"the flows that Bind accepted", "should have 1 item(s), but has"}},
	},
	"Races/Bind for one user: all succeed, and the next one restores the limit": {
		{"is locked while it binds", []string{"Bind", "the database is locked"}},
		{"looks for one flow to spend, in a separate transaction", []string{"the number of live flows of a user", "expected: 5"}},
	},
	"Races/Complete and the Bind that spends its flow: the results agree with the store": {
		{"looks for flows to spend in a separate transaction", []string{"the result of Pending", `+ IdentityID: (string) ""`}},
	},
	"Races/SetHealth with the same news: exactly one call reports a change": {
		{"looks for the connection whose health it sets in a separate transaction", []string{"the calls of SetHealth that report a change", "should have 1 item(s), but has"}},
	},
	"Races/SetHealth with different news: the latest stands": {
		{"looks for the connection whose health it sets in a separate transaction", []string{"the result of Connections", "HealthAt:time.Date(2061, time.May, 17, 12, 4, 57, 123451000, time.UTC)}} actual"}},
	},
	"Races/SetHealth and a replacement: the old identity stays away": {
		{"writes the whole connection back when it sets its health", []string{"the result of Connections", "IdentityID"}},
	},
	"Races/SetHealth and a renewal with the same identity: the sign-in is not lost": {
		{"writes the whole connection back when it sets its health", []string{"the result of Connections", `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"Races/SetHealth and Disconnect: no connection is left": {
		{"writes the whole connection back when it sets its health", []string{"the result of Connections for a user without a connection", "Should be empty"}},
		{"reads the connection that it ends in a separate transaction", []string{"the result of Disconnect", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"Races/all methods for one user: every stored identity is connected or to be deleted": {
		{"looks for the connection to renew in a separate transaction", []string{"the number of connections that are left", "is not less than or equal to"}},
	},
	"Races/many users: no call fails": {
		{"is locked while it completes", []string{"the errors of all calls", "the database is locked"}},
	},
	"Races/Claim: every task is returned exactly once": {
		{"looks for tasks in a separate transaction", []string{"the tasks that Claim returned", "-([]string) (len=40)", "+([]string) (len="}},
	},
	"Races/Sweep: every flow is counted exactly once": {
		{"looks for flows to sweep in a separate transaction", []string{"the sum of the numbers that Sweep returns", "expected: 40 actual : 320"}},
	},
}
