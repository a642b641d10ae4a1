package storetest

// flawsOfRaces are flaws with concurrent calls for users who have several connections.
var flawsOfRaces = map[string][]flaw{
	"Races of several connections/flows that add: the limit is kept, the others are ErrConnectionLimit": {
		{"looks for the connection to renew in a separate transaction", []string{"the calls of Complete that added a connection", "should have 1 item(s), but has"}},
		{"is locked while it completes", []string{"a call that lost the race returns the database is locked, not one of"}},
	},
	"Races of several connections/two flows that add at the limit: exactly one is stored": {
		{"looks for the connection to renew in a separate transaction", []string{"the calls of Complete that added a connection", "should have 1 item(s), but has"}},
	},
	"Races of several connections/first flows without ConnectionID or Adds: one adds, the others renew": {
		{"looks for the connection to renew in a separate transaction", []string{"the result of Connections", "should have 1 item(s), but has"}},
	},
	"Races of several connections/flows that add one identity: one adds, the others renew that connection": {
		{"looks for the connection to renew in a separate transaction", []string{"the connection that Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Races of several connections/users with one identity, adding or renewing: exactly one gets it": {
		{"checks the identity in a separate transaction", []string{"the calls of Complete that got the identity", "should have 1 item(s), but has"}},
	},
	"Races of several connections/renewals of one connection: each is stored, one after the other": {
		{"looks for the connection to renew in a separate transaction", []string{"the result of Connections", "should have 2 item(s), but has"}},
		{"spends the flows for a connection that is renewed", []string{"a call that lost the race returns", stateSpent}},
	},
	"Races of several connections/a renewal and Disconnect of its connection: the connection is gone": {
		{"looks for the connection to renew in a separate transaction", nil}, // which step fails first varies
		{"looks for the connection to end in a separate transaction", nil},   // which step fails first varies
	},
	"Races of several connections/Bind and a renewal, and Disconnect of the connection: the connection is gone": {
		{"looks for the connection to renew in a separate transaction", nil}, // which step fails first varies
		{"adds a connection in the place of one that has ended", []string{"the result of Connections", "+ ID: (string) (len=31)"}},
	},
	"Races of several connections/flows that add and Disconnect of all: no connection is left": {
		{"looks for the connection to end in a separate transaction", nil},   // which step fails first varies
		{"looks for the connection to renew in a separate transaction", nil}, // which step fails first varies
	},
	"Races of several connections/a flow without ConnectionID or Adds and Disconnect of one of two: none is renewed": {
		{"checks the flow in a separate transaction", []string{"whether Complete chooses a connection"}},
	},
	"Races of several connections/Disconnect of one connection: one call ends it, the others are ErrConnectionUnknown": {
		{"looks for the connection to end in a separate transaction", []string{"the calls of Disconnect that ended the connection", "should have 1 item(s), but has"}},
	},
	"Races of several connections/Disconnect of one and of all: each connection is ended once": {
		{"looks for the connection to end in a separate transaction", nil}, // which step fails first varies
	},
	"Races of several connections/SetLabel and a renewal without a label: both are stored": {
		{"writes the whole connection back when it sets its label", []string{"the result of Connections", "- IdentityID: (string) (len=36)", "+ IdentityID: (string) (len=36)"}},
		{"reads the label that it keeps in a separate transaction", []string{"the result of Connections", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"Races of several connections/SetLabel and a renewal with a label: the last one stays": {
		{"writes the whole connection back when it sets its label", []string{"the result of Connections", "- IdentityID: (string) (len=36)", "+ IdentityID: (string) (len=36)"}},
	},
	"Races of several connections/SetLabel and SetHealth: both are stored": {
		{"writes the whole connection back when it sets its label", []string{"the result of Connections", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"writes the whole connection back when it sets its health", []string{"the result of Connections", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"Races of several connections/SetLabel and Disconnect: the connection is gone": {
		{"writes the whole connection back when it sets its label", []string{"the result of Disconnect", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"Races of several connections/Queue of a deletion and Complete: exactly one succeeds": {
		{"looks for the owner of a task's identity in a separate transaction", []string{"a Queue that came second", identityTaken}},
		{"checks the identity in a separate transaction", []string{"a Queue that came second", identityTaken}},
	},
	"Races of several connections/Queue of a tag and the end of its identity: no tag is left": {
		{"looks for the owner of a task's identity in a separate transaction", []string{"the tasks that are due", "+([]string) (len="}},
	},
	"Races of several connections/all methods for a user with several connections: every stored identity is connected or to be deleted": {
		{"looks for the connection to renew in a separate transaction", nil}, // which step fails first varies
	},
}
