package storetest

// flawsOfContests are those that calls at the same time find.
var flawsOfContests = map[string][]flaw{
	"contests/of flows that race to add as many win as there is room for, and the others are ErrConnectionLimit": {
		{"looks for the connection to renew in a transaction of its own", []string{"calls of Complete that have added a connection", "should have 1 item(s), but has"}},
		{"is locked while it completes", []string{"a call that lost the race returns the database is locked, not one of"}},
	},
	"contests/of two flows that race for the last place exactly one wins": {
		{"looks for the connection to renew in a transaction of its own", []string{"calls of Complete that have added a connection", "should have 1 item(s), but has"}},
	},
	"contests/a user's first connections: of flows that do not say which, one adds and the others renew": {
		{"looks for the connection to renew in a transaction of its own", []string{"the connections that Connections returns", "should have 1 item(s), but has"}},
	},
	"contests/of flows that add one identity at once one adds, and the others renew that connection": {
		{"looks for the connection to renew in a transaction of its own", []string{"the connection that Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"contests/of users who race to add one identity, or to renew with it, one gets it": {
		{"judges the identity in a transaction of its own", []string{"calls of Complete that got the identity", "should have 1 item(s), but has"}},
	},
	"contests/of flows that renew one connection at once each is stored, one after the other": {
		{"looks for the connection to renew in a transaction of its own", []string{"the connections that Connections returns", "should have 2 item(s), but has"}},
		{"spends the flows for a connection that is renewed", []string{"a call that lost the race returns", stateSpent}},
	},
	"contests/whichever of a renewal and the end of its connection comes first, that connection does not outlive them": {
		{"looks for the connection to renew in a transaction of its own", nil}, // Which step notices first is a matter of luck.
		{"looks for the connection to end in a transaction of its own", nil},   // Which step notices first is a matter of luck.
	},
	"contests/whatever is bound to renew a connection beside its end, that connection does not outlive them": {
		{"looks for the connection to renew in a transaction of its own", nil}, // Which step notices first is a matter of luck.
		{"adds a connection in the place of one that has ended", []string{"the connections that Connections returns", "+ ID: (string) (len=31)"}},
	},
	"contests/whichever of flows that add and the end of all connections come first, no connection outlives them": {
		{"looks for the connection to end in a transaction of its own", nil},   // Which step notices first is a matter of luck.
		{"looks for the connection to renew in a transaction of its own", nil}, // Which step notices first is a matter of luck.
	},
	"contests/a flow that does not say which renews none when one of two connections ends": {
		{"judges the flow in a transaction of its own", []string{"calls of Complete that have guessed a connection"}},
	},
	"contests/of calls that end one connection one does, and the others are ErrConnectionUnknown": {
		{"looks for the connection to end in a transaction of its own", []string{"calls of Disconnect that ended the connection", "should have 1 item(s), but has"}},
	},
	"contests/whichever of the end of one connection and of all comes first, each connection is ended by one": {
		{"looks for the connection to end in a transaction of its own", nil}, // Which step notices first is a matter of luck.
	},
	"contests/a label that is set beside a renewal is not lost, nor is the renewal": {
		{"writes the whole connection back when it sets its label", []string{"the connections that Connections returns", "- IdentityID: (string) (len=36)", "+ IdentityID: (string) (len=36)"}},
		{"reads the label that it keeps in a transaction of its own", []string{"the connections that Connections returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"contests/of a label that is set and one that a renewal brings the last stays, and nothing else is lost": {
		{"writes the whole connection back when it sets its label", []string{"the connections that Connections returns", "- IdentityID: (string) (len=36)", "+ IdentityID: (string) (len=36)"}},
	},
	"contests/a label and an event at once are both kept": {
		{"writes the whole connection back when it sets its label", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"writes the whole connection back when it sets its health", []string{"the connections that Connections returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"contests/a label brings back no connection that is being ended": {
		{"writes the whole connection back when it sets its label", []string{"the connections that Disconnect returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"contests/of a deletion that is queued and a Complete for its identity exactly one passes": {
		{"looks for the owner of a task's identity in a transaction of its own", []string{"Queue that came second", identityTaken}},
		{"judges the identity in a transaction of its own", []string{"Queue that came second", identityTaken}},
	},
	"contests/no tag that is queued beside the end of its connection, or beside another identity, is left": {
		{"looks for the owner of a task's identity in a transaction of its own", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"contests/whatever a user with several connections does at once, every identity is of one connection or to be deleted": {
		{"looks for the connection to renew in a transaction of its own", nil}, // Which step notices first is a matter of luck.
	},
}
