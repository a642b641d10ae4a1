package storetest

import (
	"maps"

	"github.com/anchorconnect/connect"
)

// What the errors say that flaws are about.
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

// A flaw is what is wrong with a sketch, and what a check that finds it says.
type flaw struct {
	name string
	says []string
}

// flaws are what each check must find. Every check is here: one that no flaw
// can fail is worth nothing.
var flaws = merge(flawsOfFlows, flawsOfConnections, flawsOfContests)

func merge(all ...map[string][]flaw) map[string][]flaw {
	merged := make(map[string][]flaw)
	for _, some := range all {
		maps.Copy(merged, some)
	}
	return merged
}

var flawsOfFlows = map[string][]flaw{
	"binding/a flow is read back as it was bound": {
		{"forgets the return path", []string{"the flow that Pending returns", `- ReturnTo: (string) (len=16) "/reports?month=5"`, `+ ReturnTo: (string) ""`}},
		{"forgets when a flow began", []string{"the flow that Pending returns", "BegunAt:time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC)"}},
	},
	"binding/a flow whose beginning is not known is read back with a zero BegunAt": {
		{"keeps an unknown beginning as 1970", []string{"the flow that Pending returns", "BegunAt:time.Date(1970,"}},
	},
	"binding/a flow begins live, whatever Spent and IdentityID say": {
		{"believes that a flow is spent", []string{"the flow that Pending returns", "- Spent: (bool) false", `- IdentityID: (string) ""`}},
	},
	"binding/a flow that was never bound is ErrStateUnknown": {
		{"has an empty flow for every token hash", []string{"Pending of a flow that is not there", stateUnknown}},
	},
	"binding/a token hash is bound once, and its flow stays as it was": {
		{"binds a token hash again", []string{"Bind of a token hash that is bound already"}},
		{"says nothing of a token hash that is bound", []string{"Bind of a token hash that is bound already"}},
	},
	"binding/a user has several flows, and each is completed on its own": {
		{"keeps one flow for a user", []string{"Complete of a pending flow", stateUnknown}},
	},
	"binding/a flow that has expired is read back like any other": {
		{"hides what has expired", []string{"Pending", stateUnknown}},
	},

	"room/flows within the limit stay as they are, up to the last that fits": {
		{"lets one flow less stay", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"room/one flow too many spends the one that expires first, which is ErrStateSpent from then on": {
		{"binds any number of flows", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"lets one flow more stay", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"makes room with the newest", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"removes what makes room", []string{"Pending", stateUnknown}},
		{"completes a flow that is spent", []string{"Complete that must be refused", stateSpent}},
	},
	"room/the oldest is the one that expires first, in whatever order they were bound": {
		{"makes room in the order of binding", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"makes room in the order of issue", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"room/which is the oldest is told to the microsecond": {
		{"makes room by the second", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"room/of flows that expire at one moment as many stay as fit": {
		{"takes flows that expire at one moment for one", []string{"how many flows of a user are live", "expected: 3 actual : 10"}},
		{"keeps one spent flow more", []string{"how many flows Sweep says it has removed", "expected: 7 actual : 8"}},
	},
	"room/the flow that is bound stays live, though it expires first": {
		{"spends the flow that is bound when it expires first", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"room/a limit of one leaves the flow that is bound, and one that was spent": {
		{"lets one flow more stay", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"keeps one spent flow less", []string{"Pending", stateUnknown}},
		{"keeps one spent flow more", []string{"Pending of a flow that is not there"}},
	},
	"room/a lower limit makes room for all it takes in one call": {
		{"spends one flow at most", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"removes what it has just spent", []string{"Pending", stateUnknown}},
	},
	"room/spent flows take no room from live ones, nor live ones from spent ones": {
		{"counts live and spent flows together", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"keeps no spent flow", []string{"Pending", stateUnknown}},
	},
	"room/of spent flows the newest within the limit are kept, completed ones with their identity": {
		{"makes room with the newest", []string{"Pending", stateUnknown}},
		{"keeps one spent flow more", []string{"Pending of a flow that is not there"}},
		{"spends kept flows once more", []string{"the flow that Pending returns", `+ IdentityID: (string) ""`}},
	},
	"room/a completed flow that is removed is ErrStateUnknown, and its connection and task stay": {
		{"ends connections with the flows it removes", []string{"the connections that Connections returns", "actual : []connect.Connection{}"}},
		{"never binds again what has made room", []string{"Bind", "bound already"}},
	},
	"room/flows that have expired are no spent ones, and are spent first": {
		{"takes what has expired for spent", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"room/flows that Disconnect has spent make room like any other": {
		{"keeps one spent flow more", []string{"Pending of a flow that is not there"}},
	},
	"room/nobody else's flows make room, nor those of the same user id in another application": {
		{"makes room among all flows", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"makes room among the flows of the user id everywhere", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"room/nor do those of a user who looks like this one": {
		{"compares UserID without case", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ApplicationID without accents", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"room/a flow that is refused makes no room": {
		{"makes room before it looks for the token hash", []string{"Bind of a token hash that is bound already"}},
		{"makes room for a flow that it refuses", []string{"Pending", stateUnknown}},
	},
	"room/a user who never comes back has no more than twice the limit and one": {
		{"binds any number of flows", []string{"how many flows Sweep says it has removed", "expected: 11 actual : 40"}},
		{"keeps one spent flow more", []string{"how many flows Sweep says it has removed", "expected: 11 actual : 12"}},
	},
	"room/a user who always comes back has no more than the limit and one": {
		{"keeps one spent flow more", []string{"how many flows Sweep says it has removed", "expected: 6 actual : 7"}},
		{"binds any number of flows", []string{"how many flows Sweep says it has removed", "expected: 6 actual : 42"}},
	},

	"spending/a flow that was spent can be read, has no identity and cannot be completed": {
		{"removes a flow that is spent", []string{"Pending", stateUnknown}},
		{"completes a flow that is spent", []string{"Complete that must be refused", stateSpent}},
	},
	"spending/spending one flow leaves all others live": {
		{"spends all flows of the user", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"spending/spending a flow that is spent or unknown changes nothing and is no error": {
		{"fails to spend an unknown flow", []string{"Spend of a flow that is spent or unknown", stateUnknown}},
	},
	"spending/spending a flow that was completed changes nothing and is no error": {
		{"forgets the identity of a completed flow that is spent", []string{"the flow that Pending returns", `+ IdentityID: (string) ""`}},
	},

	"expiry/a flow is live until the microsecond before it expires": {
		{"expires a microsecond early", []string{"Complete of a pending flow", stateExpired}},
	},
	"expiry/a flow has expired at the very moment of its expiry, and from then on": {
		{"expires a microsecond late", []string{"Complete that must be refused", stateExpired}},
		{"never expires", []string{"Complete that must be refused", stateExpired}},
	},
	"expiry/an expiry is judged by ConnectedAt alone, in whatever year": {
		{"has a clock of its own", []string{"Complete of a pending flow", stateExpired}},
	},
	"expiry/expiring spends nothing": {
		{"spends what has expired", []string{"Complete of a pending flow", stateSpent}},
	},
	"expiry/a reload passes even after the flow has expired": {
		{"calls a late reload expired", []string{"Complete once more, a reload", stateExpired}},
	},

	"completing/completing stores the connection, spends the flow and queues the tag": {
		{"completes without spending", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"completing/a reload is no error, is not the first and changes nothing": {
		{"says that a reload is the first", []string{"Complete once more, a reload, says that it is the first"}},
		{"takes no reload", []string{"Complete once more, a reload", stateSpent}},
		{"stores a reload", []string{"the connections that Connections returns", "time.May, 17, 12, 1, 0, 123456000"}},
	},
	"completing/a flow is completed once: with another identity it is ErrStateSpent": {
		{"completes a flow that is spent", []string{"Complete that must be refused", stateSpent}},
	},
	"completing/another user of the application may not complete a flow, and the right one still may": {
		{"forgets whose flow it is", []string{"Complete that must be refused", anotherUser}},
		{"spends what it refuses", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"completing/the same user id in another application may not complete a flow, and the right one still may": {
		{"compares the user id of a flow alone", []string{"Complete that must be refused", anotherUser}},
	},
	"completing/a flow that was never bound is ErrStateUnknown, and nothing is stored": {
		{"connects without a flow", []string{"Complete that must be refused", stateUnknown}},
	},
	"completing/of several reasons to refuse the first in order is given, and nothing changes": {
		{"judges the identity first", []string{"Complete that must be refused: unknown, identity taken", stateUnknown, identityTaken}},
		{"calls a late reload expired", []string{"Complete that must be refused: spent, expired", stateSpent, stateExpired}},
		{"judges freshness before anything else of an identity", []string{"Complete that must be refused: identity retired", identityTooOld}},
		{"forgets when a user was disconnected", []string{"Complete that must be refused: begun before a disconnect", stateSpent}},
		{"spends what began before a disconnect when it is bound", []string{"the flow that Pending returns", "+ Spent: (bool) true"}},
	},
	"completing/a flow that was refused is completed by the next good callback": {
		{"spends what it refuses", []string{"Complete that must be refused", identityTaken, stateSpent}},
	},

	"replacing/a connection with another identity replaces the old one, and queues its deletion": {
		{"forgets the replaced identity", []string{"the tasks that are due at 2061-05-17 12:05:00.123456", "actual : []string{}"}},
		{"keeps the tag of a replaced identity", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"replacing/a tag that somebody is working on is dropped when its identity is replaced": {
		{"keeps the tag of a replaced identity", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"replacing/the same identity again replaces nothing, and is the newer connection": {
		{"deletes an identity that comes again", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)", `"delete`}},
	},
	"replacing/each replaced identity has its own deletion": {
		{"has one deletion for a user", []string{"the tasks that are due", "-([]string) (len=3)", "+([]string) (len=2)"}},
	},
	"replacing/a reload of the flow whose identity was replaced changes nothing": {
		{"takes no reload that was replaced", []string{"Complete once more, a reload", stateSpent}},
	},
	"replacing/a refused callback replaces nothing": {
		{"ends the old connection before it refuses the new one", []string{"the connections that Connections returns", "actual : []connect.Connection{}"}},
	},
	"replacing/replacing touches nobody else's connection": {
		{"replaces the connection of the user id elsewhere", []string{"what Complete returns", `- Replaced: (string) ""`}},
	},

	"freshness/SameIdentity allows the identity that the user has, and it is the newer connection": {
		{"takes only fresh identities", []string{"Complete of a pending flow", identityTooOld}},
		{"deletes an identity that comes again", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"freshness/SameIdentity refuses any other identity as ErrIdentityTooOld, and nothing changes": {
		{"takes any identity for a fresh one", []string{"Complete that must be refused", identityTooOld}},
		{"spends what it refuses", []string{"the flow that Pending returns", "+ Spent: (bool) true"}},
	},
	"freshness/SameIdentity refuses every identity of a user who has no connection, and nothing changes": {
		{"takes any identity of who has no connection", []string{"Complete that must be refused", identityTooOld}},
	},
	"freshness/SameIdentity refuses an identity that the user had before": {
		{"looks for the user's identity in the flows", []string{"Complete that must be refused", identityTooOld}},
	},
	"freshness/SameIdentity does not concern a reload, not even of a flow whose connection was replaced": {
		{"judges the identity of a reload", []string{"Complete once more, a reload", identityTooOld}},
	},

	"health/a connection begins with the health that it was completed with": {
		{"begins every connection as HealthOK", []string{"what Complete returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"knows the health from when a connection was stored", []string{"what Complete returns", "- wall: (uint64) 123451000", "+ wall: (uint64) 123456000"}},
	},
	"health/a newer event sets the health and its moment, and nothing else of the connection": {
		{"keeps the moment that a connection begins with", []string{"the connection that SetHealth returns", "HealthAt:time.Date(2061, time.May, 17, 11, 59, 57, 123451000, time.UTC)} Diff"}},
		{"returns the connection as it was before the event", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"says that no event is a change", []string{"SetHealth that changes the health says that it does not"}},
		{"takes an event for a sign-in", []string{"the connection that SetHealth returns", "ConnectedAt: (time.Time) {"}},
	},
	"health/an older event changes nothing, whatever it says": {
		{"lets every event count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"health/the same event again changes nothing": {
		{"says that every event is a change", []string{"SetHealth that leaves the health as it is says that it changes it"}},
	},
	"health/an event that says the same moves the moment on, and what lies in between counts no more": {
		{"keeps the moment of an event that says the same", []string{"the connection that SetHealth returns", "HealthAt:time.Date(2061, time.May, 17, 11, 59, 57, 123451000, time.UTC)} Diff"}},
	},
	"health/of two events of one moment HealthNeedsSignIn stands, whichever comes first": {
		{"lets the last of two events of one moment count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"lets the first of two events of one moment count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"lets the better of two events of one moment count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"health/an event of the very moment that a connection begins with counts when it is the worse": {
		{"lets the last of two events of one moment count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"lets the first of two events of one moment count", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"health/in whatever order events come, and however often, the end is the same": {
		{"lets every event count", []string{"the connection after these events: [needs_sign_in at"}},
		{"lets the last of two events of one moment count", []string{"the connection after these events: [needs_sign_in at"}},
		{"lets the first of two events of one moment count", []string{"the connection after these events: [needs_sign_in at"}},
		{"keeps the moment of an event that says the same", []string{"the connection after these events: ["}},
	},
	"health/events are compared to the microsecond": {
		{"compares events by the millisecond", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"health/equal moments are equal, though something finer than a microsecond is lost of them": {
		{"cuts the moment that it keeps of an event, and not the event's", []string{"whether SetHealth changes the health: ok at", "expected: false actual : true"}},
		{"rounds up the moment that it keeps of an event, and not the event's", []string{"whether SetHealth changes the health: needs_sign_in at", "expected: true actual : false"}},
	},
	"health/the moment of an event is the same instant in whatever zone it was given": {
		{"keeps the wall clock without its zone", []string{"the connection that SetHealth returns", `- Health: (connect.Health) (len=2) "ok"`, `HealthAt:time.Date(2061, time.May, 17, 17, 46, 57, 123450000, time.UTC)} Diff`}},
	},
	"health/events are ordered as instants, not as texts": {
		{"compares moments as texts", []string{"the connection that SetHealth returns"}},
		{"compares moments as texts in UTC", []string{"the connection that SetHealth returns"}},
	},
	"health/an event of an identity that nobody has is ErrNotConnected, and changes nothing": {
		{"takes an event for any identity", []string{"SetHealth of an identity that no connection has", notConnected}},
	},
	"health/an event of an identity that was replaced is ErrNotConnected, and changes nothing": {
		{"looks for the user of an event in the flows", []string{"SetHealth of an identity that no connection has", notConnected}},
		{"brings back a connection for an event", []string{"SetHealth of an identity that no connection has", notConnected}},
	},
	"health/an event of an identity whose connection has ended is ErrNotConnected, and brings nothing back": {
		{"brings back a connection for an event", []string{"SetHealth of an identity that no connection has", notConnected}},
	},
	"health/an event finds its identity in whatever application": {
		{"looks for the identity of an event in one application", []string{"SetHealth", notConnected}},
	},
	"health/an event changes no other connection, no flow and no task": {
		{"sets the health of everybody", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=2) "ok"`}},
		{"sets the health of the user id everywhere", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=2) "ok"`}},
		{"spends the flows of who needs to sign in", []string{"the flow that Pending returns", "+ Spent: (bool) true"}},
		{"tags an identity whose health has changed", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "-([]string) (len=2)", "+([]string) (len=1)"}},
	},
	"health/a connection that needs a sign-in is a connection like any other": {
		{"takes who needs to sign in for not connected", []string{"the connection that Connections returns", "actual : []connect.Connection{}"}},
		{"gives out the identity of who needs to sign in", []string{"Complete that must be refused", identityTaken}},
	},
	"health/the same identity completed again has the health of the newer sign-in, even if that is known from earlier": {
		{"keeps the health of an identity that comes again", []string{"what Complete returns", `- Health: (connect.Health) (len=2) "ok"`}},
		{"keeps the newer health of an identity that comes again", []string{"what Complete returns", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"health/another identity has the health of its own sign-in, and nothing of the old one's": {
		{"keeps the health of the connection that it replaces", []string{"what Complete returns", `- Health: (connect.Health) (len=2) "ok"`}},
	},
	"health/a reload changes no health": {
		{"takes the health of a reload", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
		{"stores a reload", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"health/disconnecting returns the health, and who connects again begins anew": {
		{"forgets the health of who disconnects", []string{"the connections that Disconnect returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"health/an event with a health that is none of the two is refused, and changes nothing": {
		{"keeps any health", []string{`SetHealth to ""`, "An error is expected"}},
		{"says that nobody is connected when a health is odd", []string{`SetHealth to "" of an identity that is connected`}},
	},
	"health/a connection with a health that is none of the two is refused, and the flow stays live": {
		{"completes with any health", []string{`Complete with a connection whose Health is ""`}},
	},

	"conflict/the identity of another user is ErrIdentityTaken": {
		{"lets users share an identity", []string{"Complete that must be refused", identityTaken}},
	},
	"conflict/the identity of a user of another application is ErrIdentityTaken": {
		{"looks for an identity's user in the application", []string{"Complete that must be refused", identityTaken}},
	},
	"conflict/the identity of the same user id in another application is ErrIdentityTaken": {
		{"takes the same user id elsewhere for the same user", []string{"Complete that must be refused", identityTaken}},
	},
	"conflict/a user keeps the own connection when the identity of another is refused": {
		{"ends the old connection before it refuses the new one", []string{"the connections that Connections returns", "actual : []connect.Connection{}"}},
	},
	"conflict/an identity stays its user's after the flow it came with was swept": {
		{"looks for an identity's user in the flows", []string{"Complete that must be refused", identityTaken}},
	},

	"isolation/users of one application have connections of their own": {
		{"tells users by their application alone", []string{"the connections of a user who has none", "Should be empty"}},
		{"has an empty connection for every user", []string{"the connections of a user who has none", "Should be empty"}},
	},
	"isolation/one user id in two applications is two users": {
		{"tells users by their id alone", []string{"the connections of a user who has none", "Should be empty"}},
	},
	"isolation/an application's id and a user's id do not run together": {
		{"runs the keys of a user together", []string{"what Complete returns", "- ID: (string)", "- Replaced: (string)"}},
	},
	"isolation/a claim takes the tasks of one application, and leaves those of any other as they are": {
		{"claims tasks of any application", []string{"the application of a task that Claim returns is the one it was asked for"}},
		{"leases the tasks of every application", []string{"the tasks of the one application", "actual : []string{}"}},
		{"gives out deletions to any application", []string{"the application of a task that Claim returns is the one it was asked for"}},
	},
	"isolation/an application's id is no user's id": {
		{"mixes up the keys of a user", []string{"the connections of a user who has none", "Should be empty"}},
	},

	"tagging/the tag is due at its moment and not a microsecond before": {
		{"tags at once", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", `actual : []string{"tag`}},
	},
	"tagging/a store without tasks has none to claim": {
		{"queues a tag for a flow", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
		{"fails to claim when nothing is due", []string{"Claim", "no rows"}},
	},
	"tagging/a claimed task is nobody else's until its lease ends, and then is given out again": {
		{"claims without a lease", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", `actual : []string{"tag`}},
		{"gives out a task once", []string{"the tasks that are due at 2061-05-17 13:01:00.123456", "actual : []string{}"}},
		{"counts no attempts", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "claimed 1 times", "claimed 0 times"}},
	},
	"tagging/a task that is done is never given out again, and doing it twice is no error": {
		{"does not remove what is done", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"fails to remove a task twice", []string{"Done", "no rows"}},
	},
	"tagging/a task is done before it was claimed": {
		{"removes claimed tasks alone", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
	},
	"tagging/a task is found by its kind and its identity, and by nothing else": {
		{"finds a task by its identity alone", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=1)"}},
		{"finds a task by all of its fields", []string{"the tasks that are due at 2062-05-17 12:00:00.123455", `actual : []string{"tag`}},
	},
	"tagging/a task that is postponed is due at its new moment and keeps its attempts": {
		{"counts attempts anew after postponing", []string{"the tasks that are due at 2061-05-17 15:01:00.123456", "claimed 2 times", "claimed 1 times"}},
		{"postpones to later alone", []string{"the tasks that are due at 2061-05-17 15:02:00.123456", "actual : []string{}"}},
	},
	"tagging/postponing a task that is not there makes none": {
		{"makes a task to postpone", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", `actual : []string{"tag`}},
	},
	"tagging/queuing a task again leaves one, with the newer values and no attempts": {
		{"queues a task once", []string{"the tasks that are due at 2061-05-17 12:00:30.123456", "actual : []string{}"}},
		{"queues a task twice", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"counts on when a task is queued again", []string{"the tasks that are due at 2061-05-17 12:00:30.123456", "claimed 1 times", "claimed 3 times"}},
	},
	"tagging/a claim takes the tasks that are due longest": {
		{"claims the newest first", []string{"the three tasks that are due longest"}},
		{"claims without a limit", []string{"how many tasks Claim returns", `"8" is not less than or equal to "3"`}},
	},
	"tagging/the tasks of another application take up nothing of a claim's limit": {
		{"counts the tasks of other applications against the limit", []string{"the two tasks of the application, though others are due longer", "actual : []string{}"}},
	},
	"tagging/a claim with a limit below one takes nothing and is no error": {
		{"takes no limit for any limit", []string{"how many tasks Claim returns", `"1" is not less than or equal to "0"`}},
	},

	"deleting/the deletion is due at its moment and not a microsecond before": {
		{"deletes at once", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", `actual : []string{"delete`}},
	},
	"deleting/an identity whose deletion is queued is ErrIdentityRetired for everybody": {
		{"gives out retired identities", []string{"Complete that must be refused", identityRetired}},
		{"gives out identities that are being deleted", []string{"Complete that must be refused", identityRetired}},
	},
	"deleting/an identity that was replaced is ErrIdentityRetired, for its own user too": {
		{"gives a retired identity back to its user", []string{"Complete that must be refused", identityRetired}},
	},
	"deleting/an identity whose deletion is done is like any other": {
		{"never gives out an identity that was deleted", []string{"Complete of a pending flow", identityRetired}},
	},
	"deleting/deletions are leased, done and postponed as tags are": {
		{"leases no deletions", []string{"the tasks that are due at 2061-05-17 13:02:00.123455", `actual : []string{"delete`}},
	},

	"disconnecting/disconnecting ends the connection, returns it, drops the tag and queues the deletion": {
		{"keeps the connection that it ends", []string{"the connections of a user who has none", "Should be empty"}},
		{"forgets to queue the deletion", []string{"the tasks that are due at 2071-05-17 12:00:00.123456", "actual : []string{}"}},
		{"leaves the tag of who disconnects", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"disconnecting/disconnecting drops a tag that somebody is working on": {
		{"leaves the tag of who disconnects", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"disconnecting/disconnecting who has no connection is no error and queues nothing": {
		{"refuses to disconnect who has no connection", []string{"Disconnect of a user who has no connection", notConnected}},
	},
	"disconnecting/disconnecting spends the user's live flows": {
		{"leaves live flows", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"disconnecting/disconnecting spends the user's live flows when there is no connection, too": {
		{"leaves flows of who is not connected", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"disconnecting/disconnecting spends the user's completed flows: a reload is ErrStateSpent": {
		{"leaves completed flows", []string{"the flow that Pending returns", `- IdentityID: (string) ""`}},
		{"spends completed flows but keeps their identity", []string{"the flow that Pending returns", `- IdentityID: (string) ""`}},
	},
	"disconnecting/disconnecting touches nothing of anybody else": {
		{"spends everybody's flows", []string{"Complete of a pending flow", stateSpent}},
	},
	"disconnecting/after disconnecting a new flow connects again, and the deletion stays": {
		{"drops the user's deletions when there is a new connection", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=1)"}},
	},
	"disconnecting/disconnecting who has replaced a connection ends the newer one": {
		{"has one deletion for a user", []string{"the tasks that are due at 2061-05-17 12:00:00.123456", "actual : []string{}"}},
	},

	"disconnecting/a flow that began before a disconnect and is bound after it is ErrStateSpent, and stays as it was bound": {
		{"forgets when a user was disconnected", []string{"Complete that must be refused", stateSpent}},
		{"spends what began before a disconnect when it is bound", []string{"the flow that Pending returns", "+ Spent: (bool) true"}},
	},
	"disconnecting/a flow that began before a disconnect of a user who had no connection is ErrStateSpent, too": {
		{"remembers no disconnect of who has no connection", []string{"Complete that must be refused", stateSpent}},
	},
	"disconnecting/a flow that began at the very moment of a disconnect is completed": {
		{"ends what began at the moment of a disconnect", []string{"Complete of a pending flow", stateSpent}},
	},
	"disconnecting/a flow whose beginning is not known is completed when it is bound after a disconnect": {
		{"takes an unknown beginning for the earliest", []string{"Complete of a pending flow", stateSpent}},
		{"keeps an unknown beginning as 1970", []string{"Complete of a pending flow", stateSpent}},
	},
	"disconnecting/of several disconnects the latest moment counts, in whatever order they come": {
		{"remembers the first disconnect", []string{"Complete that must be refused", stateSpent}},
		{"remembers the last disconnect", []string{"Complete that must be refused", stateSpent}},
	},
	"disconnecting/the moment of a disconnect is that of its user and application alone": {
		{"disconnects the user id everywhere", []string{"Complete of a pending flow", stateSpent}},
		{"disconnects everybody in the application", []string{"Complete of a pending flow", stateSpent}},
		{"mixes up the keys of a user", []string{"Complete of a pending flow", stateSpent}},
		{"compares UserID without spaces at the end", []string{"Complete of a pending flow", stateSpent}},
	},
	"disconnecting/beginnings and disconnects are compared as instants, in whatever zone and year": {
		{"compares moments as texts", []string{stateSpent}},
		{"counts nanoseconds in 64 bits", []string{"the flow that Pending returns", "BegunAt:time.Date(9044,"}},
		{"keeps the wall clock without its zone", []string{"the flow that Pending returns", "BegunAt:time.Date(2044, time.March, 1, 1,"}},
	},
	"disconnecting/a beginning and a disconnect of one moment are equal, though something finer than a microsecond is lost of them": {
		{"cuts the beginning that it keeps, and not what it is compared with", []string{"Complete of a pending flow", stateSpent}},
		{"rounds up the moment of a disconnect, and not the beginning", []string{"Complete of a pending flow", stateSpent}},
		{"keeps milliseconds", []string{"Complete that must be refused", stateSpent}},
	},

	"applications/a user's applications are those with a connection or a flow that is not spent, each once": {
		{"lists an application twice", []string{`the applications of "anna"`, "extra elements in list B", "both"}},
		{"lists no applications of connections", []string{`the applications of "anna"`, "extra elements in list A", "connected"}},
		{"lists no applications of flows", []string{`the applications of "anna"`, "extra elements in list A", "pending"}},
		{"lists no applications of expired flows", []string{`the applications of "anna"`, "extra elements in list A", "expired"}},
		{"lists the applications of spent flows", []string{`the applications of "anna"`, "extra elements in list B", "spent"}},
		{"lists the applications of everybody", []string{`the applications of "anna"`, "extra elements in list B", "elsewhere"}},
		{"keeps the connection that it ends", []string{`the applications of "anna"`, "extra elements in list B", "ended"}},
	},
	"applications/a user's applications are told from those of all who look alike": {
		{"compares UserID without case", []string{`the applications of "anna"`, "extra elements in list B", "application 1"}},
		{"compares UserID without spaces at the end", []string{`the applications of "anna"`, "extra elements in list B", "application 3"}},
	},
	"applications/all applications are those with a connection or a task, each once": {
		{"lists an application twice", []string{"all applications", "extra elements in list B", "both"}},
		{"lists no applications of connections", []string{"all applications", "extra elements in list A", "connected"}},
		{"lists no applications of tasks", []string{"all applications", "extra elements in list A", "owed"}},
		{"lists the applications of flows", []string{"all applications", "pending"}},
	},
	"applications/all applications are listed, however many there are and however much they look alike": {
		{"lists ten applications at most", []string{"all applications", "extra elements in list A"}},
		{"compares ApplicationID without accents", []string{"all applications", "extra elements in list A"}},
	},

	"sweeping/a sweep removes the flows that expired before its moment, and no others": {
		{"sweeps what expires at the moment", []string{"how many flows Sweep says it has removed", "expected: 1 actual : 2"}},
		{"sweeps live flows", []string{"how many flows Sweep says it has removed", "expected: 1 actual : 3"}},
		{"sweeps live flows when there is room in a batch", []string{"how many flows Sweep says it has removed", "expected: 1 actual : 3"}},
	},
	"sweeping/a sweep removes flows in whatever state, and never a connection or a task": {
		{"sweeps no completed flows", []string{"how many flows Sweep says it has removed", "expected: 11 actual : 7"}},
		{"sweeps connections with their flows", []string{"the connections that Connections returns", "actual : []connect.Connection{}"}},
		{"sweeps tasks with their flows", []string{"the tasks that are due", "actual : []string{}"}},
	},
	"sweeping/a flow that was swept is ErrStateUnknown, and its token hash can be bound again": {
		{"never binds again what was swept", []string{"Bind", "bound already"}},
	},
	"sweeping/a sweep removes no more than its limit, and says how many": {
		{"sweeps without a limit", []string{"how many flows Sweep says it has removed", "expected: 10 actual : 25"}},
		{"miscounts what it sweeps", []string{"how many flows Sweep says it has removed", "expected: 5 actual : 10"}},
	},
	"sweeping/a sweep forgets the moments of disconnects before its moment, and no others, and does not count them": {
		{"never forgets a disconnect", []string{"the users whose disconnects are forgotten", `expected: []string{"before"} actual : []string(nil)`}},
		{"forgets every disconnect", []string{"the users whose disconnects are forgotten", `actual : []string{"before", "at", "after"}`}},
		{"forgets a disconnect of that moment", []string{"the users whose disconnects are forgotten", `actual : []string{"before", "at"}`}},
		{"counts the disconnects that it forgets", []string{"how many flows Sweep says it has removed", "expected: 0 actual : 1"}},
	},
	"sweeping/a sweep leaves the connection of a user whose disconnect it forgets": {
		{"ends the connections of those whose disconnect it forgets", []string{"the connections that Connections returns", "actual : []connect.Connection{}"}},
	},
	"sweeping/a sweep that removes a user's last flow does not forget a later disconnect": {
		{"forgets the disconnects of those whose flows it sweeps", []string{"the users whose disconnects are forgotten", "Should be empty, but was [anna]"}},
	},
	"sweeping/a sweep forgets no more moments than its limit, beside the flows that it removes": {
		{"forgets disconnects without a limit", []string{"the users whose disconnects are forgotten", "should have 10 item(s), but has 25"}},
		{"shares its limit between flows and disconnects", []string{"the users whose disconnects are forgotten", "should have 10 item(s), but has 0"}},
	},
	"sweeping/a sweep with a limit below one removes nothing and is no error": {
		{"takes no limit for any limit", []string{"how many flows Sweep says it has removed", "expected: 0 actual : 1"}},
		{"forgets disconnects without a limit", []string{"the users whose disconnects are forgotten", "Should be empty"}},
	},
	"sweeping/a sweep of a store without flows removes nothing": {
		{"fails to sweep nothing", []string{"Sweep", "no rows"}},
	},

	"contexts/Bind with a context that has ended says so in bounded time, and changes nothing": {
		{"Bind ignores its context", []string{"Bind with a context that is cancelled", "context canceled"}},
	},
	"contexts/Pending with a context that has ended says so in bounded time, and changes nothing": {
		{"Pending ignores its context", []string{"Pending with a context that is cancelled", "context canceled"}},
		{"gives the cause of a context's end", []string{"Pending with a context that is cancelled with a cause", "context canceled", "the person closed the page"}},
	},
	"contexts/Spend with a context that has ended says so in bounded time, and changes nothing": {
		{"Spend ignores its context", []string{"Spend with a context that is cancelled", "context canceled"}},
	},
	"contexts/Complete with a context that has ended says so in bounded time, and changes nothing": {
		{"Complete ignores its context", []string{"Complete with a context that is cancelled", "context canceled", "it says that it is the first"}},
	},
	"contexts/Connections with a context that has ended says so in bounded time, and changes nothing": {
		{"Connections ignores its context", []string{"Connections with a context that is cancelled", "context canceled"}},
		{"does not return once its context has ended", []string{"Connections with a context that is cancelled has not returned after 10s", "no answer in time"}},
	},
	"contexts/SetHealth with a context that has ended says so in bounded time, and changes nothing": {
		{"SetHealth ignores its context", []string{"SetHealth with a context that is cancelled", "context canceled", "it says that it changes the health"}},
	},
	"contexts/Disconnect with a context that has ended says so in bounded time, and changes nothing": {
		{"Disconnect ignores its context", []string{"Disconnect with a context that is cancelled", "context canceled"}},
	},
	"contexts/Disconnect of a user who has no connection with a context that has ended says so in bounded time, and changes nothing": {
		{"spends flows before it looks at its context", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},
	"contexts/ApplicationsOf with a context that has ended says so in bounded time, and changes nothing": {
		{"ApplicationsOf ignores its context", []string{"ApplicationsOf with a context that is cancelled", "context canceled"}},
	},
	"contexts/Applications with a context that has ended says so in bounded time, and changes nothing": {
		{"Applications ignores its context", []string{"Applications with a context that is cancelled", "context canceled"}},
	},
	"contexts/Claim with a context that has ended says so in bounded time, and changes nothing": {
		{"Claim ignores its context", []string{"Claim with a context that is cancelled", "context canceled", "it gives out tasks"}},
		{"hides that its context has ended", []string{"Claim with a context that is cancelled", "context canceled", "interrupted"}},
	},
	"contexts/Done with a context that has ended says so in bounded time, and changes nothing": {
		{"Done ignores its context", []string{"Done with a context that is cancelled", "context canceled"}},
	},
	"contexts/Postpone with a context that has ended says so in bounded time, and changes nothing": {
		{"Postpone ignores its context", []string{"Postpone with a context that is cancelled", "context canceled"}},
	},
	"contexts/Sweep with a context that has ended says so in bounded time, and changes nothing": {
		{"Sweep ignores its context", []string{"Sweep with a context that is cancelled", "context canceled"}},
	},
	"contexts/a Complete that is cut off has happened wholly or not at all, and can be repeated": {
		{"looks at its context when half is written", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"contexts/a Bind that is cut off has bound the flow and made room for it, or neither": {
		{"looks at its context when it has made room", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
	},

	"texts/every TokenHash is kept exactly, and told from all that look like it": {
		{"compares TokenHash without case", []string{"Bind", "bound already"}},
		{"compares TokenHash with one weight for all emoji", []string{"Bind", "bound already"}},
	},
	"texts/every ApplicationID is kept exactly, and told from all that look like it": {
		{"compares ApplicationID without spaces at the end", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares ApplicationID without accents", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
	},
	"texts/every UserID is kept exactly, and told from all that look like it": {
		{"compares UserID without case", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID without accents", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID without spaces at the end", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID with one weight for all emoji", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"compares UserID in its first 254 bytes", []string{"what Complete returns", "- ID: (string)", `- Replaced: (string) ""`}},
		{"keeps texts in lower case", []string{"the flow that Pending returns", `- UserID: (string) (len=4) "Anna`, `+ UserID: (string) (len=4) "anna`}},
		{"trims spaces", []string{"the flow that Pending returns", `- UserID: (string) (len=5) "anna `, `+ UserID: (string) (len=4) "anna`}},
	},
	"texts/a return path is kept exactly, up to 1024 bytes": {
		{"trims spaces", []string{"the flow that Pending returns", `- ReturnTo: (string) (len=3) " / "`, `+ ReturnTo: (string) (len=1) "/"`}},
		{"has return paths of 255 bytes", []string{"Bind", "too long"}},
	},
	"texts/all texts may be 255 bytes long at once, and a label 100 characters": {
		{"has columns of 191 bytes", []string{"Bind", "too long"}},
	},
	"texts/a flow with a NUL byte or invalid UTF-8 is refused, and nothing of it is kept": {
		{"cuts texts at a NUL byte", []string{"Bind of a flow whose TokenHash is a NUL byte inside"}},
		{"repairs what is no UTF-8", []string{"Bind of a flow whose TokenHash is a byte that is no UTF-8"}},
		{"keeps a flow that it refuses", []string{"Pending of a flow that Bind refused to keep: its TokenHash is a NUL byte inside"}},
	},
	"texts/a flow with an empty key is refused, and nothing of it is kept": {
		{"keeps empty texts", []string{"Bind of a flow whose TokenHash is empty"}},
	},
	"texts/a connection with an empty key, a NUL byte or invalid UTF-8 is refused, and the flow stays live": {
		{"keeps any identity", []string{"Complete with a connection whose ID is a NUL byte inside"}},
	},
	"texts/a text that is longer than must fit is kept exactly or refused": {
		{"cuts texts at 255 bytes", []string{"the flow that Pending returns", "- TokenHash: (string) (len=256)", "+ TokenHash: (string) (len=255)"}},
	},
	"texts/a text that cannot be kept finds nothing that is there": {
		{"cuts texts at 255 bytes", []string{`Pending of a token hash with "\x00" at its end`}},
		{"cuts texts at a NUL byte", []string{`Pending of a token hash with "\x00" at its end`}},
	},

	"times/every moment is kept to the microsecond": {
		{"keeps seconds", []string{"NotBefore of a task that Claim returns is the end of its lease", "+(time.Time) 2061-05-17 13:00:00 +0000 UTC"}},
		{"keeps milliseconds", []string{"NotBefore of a task that Claim returns is the end of its lease", "+(time.Time) 2061-05-17 13:00:00.123 +0000 UTC"}},
	},
	"times/what is finer than a microsecond is lost at most, and moves no moment further": {
		{"loses the carry when it rounds", []string{"what Complete returns", "- wall: (uint64) 999999999", "+ wall: (uint64) 0"}},
	},
	"times/equal moments stay equal, though something finer than a microsecond is lost of them": {
		{"cuts the expiry that it keeps, and not what it is compared with", []string{"how many flows Sweep says it has removed", "expected: 0 actual : 1"}},
		{"rounds up the expiry that it keeps, and not what it is compared with", []string{"Complete that must be refused", stateExpired}},
		{"rounds up the lease that it keeps, and not what it is compared with", []string{"the tasks that are due at the very moment of the claim", "actual : []string{}"}},
	},
	"times/a moment is the same instant in whatever zone it was given": {
		{"keeps the wall clock without its zone", []string{"Complete of a pending flow", stateExpired}},
	},
	"times/when clocks are set back, both of the two equal hours are told apart": {
		{"keeps the wall clock of Berlin", []string{"what Complete returns", "time.October, 25, 0, 29, 59, 999999000", "time.October, 25, 1, 29, 59, 999999000"}},
	},
	"times/moments from 1970 to 9999 are kept": {
		{"counts nanoseconds in 64 bits", []string{"what Complete returns", "time.Date(2262,", "- ext: (int64)"}},
	},
	"times/moments are ordered as instants, not as texts": {
		{"compares moments as texts", []string{"Complete that must be refused", stateExpired}},
		{"compares moments as texts in UTC", []string{"Complete that must be refused", stateExpired}},
	},

	"races/of fifty equal calls of Complete exactly one is the first, and the others are reloads": {
		{"judges the flow in a transaction of its own", []string{"calls that say they are the first", "should have 1 item(s), but has"}},
	},
	"races/of calls of Complete with different identities one is stored, and the others are ErrStateSpent": {
		{"judges the flow in a transaction of its own", []string{"calls that say they are the first", "should have 1 item(s), but has"}},
	},
	"races/of users who race for one identity one gets it, and the others are ErrIdentityTaken": {
		{"judges the identity in a transaction of its own", []string{"calls that say they are the first", "should have 1 item(s), but has"}},
	},
	"races/of one user's flows that race with different identities one stays, and the others are to be deleted": {
		{"looks for the connection to renew in a transaction of its own", []string{"the connections that Connections returns", "should have 1 item(s), but has 10"}},
	},
	"races/whichever of Complete and Disconnect comes first, no connection outlives them": {
		{"looks for the connection to end in a transaction of its own", []string{"the connections that Disconnect that came second returns", "actual : []connect.Connection{}"}},
	},
	"races/whichever of a replacing Complete and Disconnect comes first, no connection outlives them": {
		{"looks for the connection to end in a transaction of its own", []string{"the connections that Disconnect returns"}},
	},
	"races/whatever begins before a disconnect and is bound beside it, no connection outlives them": {
		{"remembers a disconnect when all else is done", []string{"the connections of a user who has none", "Should be empty"}},
		{"forgets when a user was disconnected", []string{"the connections of a user who has none", "Should be empty"}},
	},
	"races/whichever of a callback with the same identity and one that replaces it comes first, the newer identity stays": {
		{"judges the identity in a transaction of its own", []string{"the connections that Connections returns", "- IdentityID"}},
	},
	"races/whichever of Complete and Spend comes first, their answers agree with the store": {
		{"reads a flow, and writes it back when it is spent", []string{"the flow that Pending returns", `+ IdentityID: (string) ""`}},
	},
	"races/an identity that is being given up passes to nobody meanwhile": {
		{"ends the connection before it queues the deletion", []string{"another user's calls of Complete that passed"}},
	},
	"races/of calls of Disconnect one ends the connection, and the others find none": {
		{"looks for the connection to end in a transaction of its own", []string{"calls that ended the connection", "should have 1 item(s), but has"}},
	},
	"races/of calls of Bind with one token hash exactly one is kept": {
		{"looks for a token hash in a transaction of its own", []string{"flows that Bind says it has kept", "should have 1 item(s), but has"}},
	},
	"races/of many binds of one user at once all are kept, and the next one makes room for itself": {
		{"is locked while it binds", []string{"Bind", "the database is locked"}},
		{"looks for one flow to spend, in a transaction of its own", []string{"how many flows of a user are live", "expected: 5"}},
	},
	"races/whichever of Complete and the Bind that spends its flow comes first, their answers agree with the store": {
		{"looks for what makes room in a transaction of its own", []string{"the flow that Pending returns", `+ IdentityID: (string) ""`}},
	},
	"races/of twenty equal events exactly one changes the health": {
		{"looks for the connection whose health it sets in a transaction of its own", []string{"calls that say they change the health", "should have 1 item(s), but has"}},
	},
	"races/of different events at once the newest stands": {
		{"looks for the connection whose health it sets in a transaction of its own", []string{"the connections that Connections returns", "HealthAt:time.Date(2061, time.May, 17, 12, 4, 57, 123451000, time.UTC)}} actual"}},
	},
	"races/an event brings back no connection that is being replaced": {
		{"writes the whole connection back when it sets its health", []string{"the connections that Connections returns", "IdentityID"}},
	},
	"races/whichever of an event and a callback with the same identity comes first, the connection is the callback's": {
		{"writes the whole connection back when it sets its health", []string{"the connections that Connections returns", `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"races/whichever of an event and Disconnect comes first, no connection outlives them": {
		{"writes the whole connection back when it sets its health", []string{"the connections of a user who has none", "Should be empty"}},
		{"reads the connection that it ends in a transaction of its own", []string{"the connections that Disconnect returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"races/whatever a user does at once, every identity that was stored is the user's or to be deleted": {
		{"looks for the connection to renew in a transaction of its own", []string{"how many connections are left", "is not less than or equal to"}},
	},
	"races/users who come and go at once do not get in each other's way": {
		{"is locked while it completes", []string{"what the calls of all users return", "the database is locked"}},
	},
	"races/of tasks that many claim at once none is given out twice, and all are": {
		{"looks for tasks in a transaction of its own", []string{"the tasks that were given out", "-([]string) (len=40)", "+([]string) (len="}},
	},
	"races/of many sweeps at once each flow is counted by one": {
		{"looks for what to sweep in a transaction of its own", []string{"how many flows the sweeps say they have removed, together", "expected: 40 actual : 320"}},
	},
}
