package storetest

// flawsOfConnections are flaws with users who have several connections.
var flawsOfConnections = map[string][]flaw{
	"Bind limit/only flows of the same actor are spent or removed": {
		{"spends the flows of all actors", []string{"Pending", stateUnknown}},
		{"compares ActorID without case", []string{"Pending", stateUnknown}},
	},
	"Bind limit/flows of every kind count": {
		{"spends flows of the same ConnectionID only", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},

	"Complete Accepted/a renewal or an addition that the app accepted is stored": {
		{"refuses an accepted addition", []string{"Complete of a pending flow", changed}},
	},
	"Complete Accepted/anything else is ErrConnectionChanged, and nothing changes": {
		{"ignores Accepted", []string{"a Complete that the contract refuses", changed}},
		{"compares the ID of Accepted alone", []string{"a Complete that the contract refuses", changed}},
		{"compares the IdentityID of Accepted alone", []string{"a Complete that the contract refuses", changed}},
		{"spends a flow that it refuses", []string{"a Complete that the contract refuses", changed}},
	},
	"Complete Accepted/other reasons to refuse come before ErrConnectionChanged": {
		{"checks Accepted first", []string{"a Complete that the contract refuses", changed}},
	},
	"Complete Accepted/a reload is not affected": {
		{"checks Accepted for a reload", []string{"Complete of a reload", changed}},
	},
	"Complete Accepted/of racing flows with one acceptance, exactly one is stored": {
		{"ignores Accepted", []string{"the calls of Complete that return First"}},
		{"looks for the connection to renew in a separate transaction", []string{"the calls of Complete that return First"}},
	},

	"Complete adds/a flow that adds stores one more connection": {
		{"stores one connection for a user at most", []string{"the result of Connections", "- ID: (string) (len=31)"}},
		{"ignores Adds", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Complete adds/the first connection is added with or without Adds": {
		{"adds no connection without Adds", []string{"Complete of a pending flow", limitReached}},
		{"allows one connection less", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/the CreatedAt of a new connection is its ConnectedAt": {
		{"stores the CreatedAt that it is given", []string{"the result of Complete", "- wall: (uint64) 123456000", "+ wall: (uint64) 0"}},
	},
	"Complete adds/an identity that the user has is renewed, even at the limit": {
		{"adds an identity that the user has", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"counts connections before it looks for the identity", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/a flow that adds at the limit is ErrConnectionLimit": {
		{"allows one connection more", []string{"a Complete that the contract refuses", limitReached}},
		{"allows one connection less", []string{"Complete of a pending flow", limitReached}},
		{"spends a flow that it refuses", []string{"a Complete that the contract refuses", limitReached}},
	},
	"Complete adds/a flow that was refused at the limit can be completed below it": {
		{"spends a flow that it refuses", []string{"Complete of a pending flow", stateSpent}},
		{"spends flows that add when one connection ends", []string{"Complete of a pending flow", stateSpent}},
		{"keeps the connection that it ends", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/a limit below one counts as one": {
		{"treats a limit below one as no limit", []string{"a Complete that the contract refuses", limitReached}},
		{"allows nothing with a limit below one", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/a lowered limit ends no connection, and allows renewals": {
		{"refuses to renew above the limit", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/without ConnectionID or Adds, several connections are ErrConnectionLimit": {
		{"renews the oldest of several", []string{"a Complete that the contract refuses", limitReached}},
		{"adds a connection instead of refusing to choose", []string{"a Complete that the contract refuses", limitReached}},
	},
	"Complete adds/the limit counts the connections of one user in one application": {
		{"counts the connections of all users", []string{"Complete of a pending flow", limitReached}},
		{"counts the connections of the user id in all applications", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete adds/connections are ordered by CreatedAt, not by when they were stored or renewed": {
		{"returns connections in the order in which they were stored", []string{"the result of Connections", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"orders connections by the last sign-in", []string{"the result of Connections", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"orders connections by the second", []string{"the result of Connections", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"returns ended connections the newest first", []string{"the result of Disconnect", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Complete adds/CreatedAt is ordered as an instant, in any zone and year": {
		{"compares times as strings", []string{"the result of Connections"}},
		{"compares times as strings in UTC", []string{"the result of Connections"}},
	},
	"Complete adds/connections with the same CreatedAt are ordered by ID, byte by byte": {
		{"orders ids without case", []string{"the result of Connections", `- ID: (string) (len=4) "Anna"`, `+ ID: (string) (len=1) "_"`}},
		{"orders ids by their length", []string{"the result of Connections", `- ID: (string) (len=2) "$1"`, `+ ID: (string) (len=1) "%"`}},
		{"orders connections by their ids alone", []string{"the result of Connections", "time.May, 17, 12, 0, 0, 123455000"}},
	},

	"Complete renews/a ConnectionID renews that connection alone": {
		{"renews the oldest connection", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"deletes all identities when one is replaced", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=4)"}},
		{"stores no ConnectionID and Adds", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Complete renews/a ConnectionID renews a connection with the identity that it has": {
		{"deletes an identity that is renewed", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"returns the same identity as Replaced", []string{"the result of Complete", `- Replaced: (string) ""`, `+ Replaced: (string) (len=36) "baee5246-dca0-47aa-9fe3-2748690a176c"`}},
	},
	"Complete renews/a ConnectionID counts before Adds": {
		{"adds though a connection is named", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Complete renews/without ConnectionID or Adds, the only connection is renewed at any limit": {
		{"adds a connection below the limit without Adds", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"returns no Replaced", []string{"the result of Complete", `- Replaced: (string) (len=36) "1d4a30d7-8de6-4e5f-9885-ffac2c6b8425"`, `+ Replaced: (string) ""`}},
	},
	"Complete renews/without ConnectionID or Adds, the connection that has the identity is renewed": {
		{"refuses to choose before it looks for the identity", []string{"Complete of a pending flow", limitReached}},
		{"adds an identity that the user has", []string{"Complete of a pending flow", limitReached}},
	},
	"Complete renews/a renewal keeps ID and CreatedAt, and takes the rest from the new sign-in": {
		{"changes the ID of a connection that is renewed", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"changes the ID of a connection with its identity", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"changes the CreatedAt of a renewed connection", []string{"the result of Complete", "- ext: (int64) 65019153600", "+ ext: (int64) 65019153601"}},
		{"keeps the actor of a connection that is renewed", []string{"the result of Complete", `- ActorID: (string) (len=4) "carl"`, `+ ActorID: (string) (len=3) "ben"`}},
		{"keeps the ConnectedAt of a connection that is renewed", []string{"the result of Complete", "- ext: (int64) 65019153601", "+ ext: (int64) 65019153600"}},
		{"keeps the label of a connection that is renewed with another", []string{"the result of Complete", `- Label: (string) (len=7) "label 0"`, `+ Label: (string) (len=4) "work"`}},
		{"keeps the health of the connection that it replaces", []string{"the result of Complete", `- Health: (connect.Health) (len=2) "ok"`, `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"Complete renews/a renewal with the same identity keeps and takes the same fields": {
		{"changes the ID of a connection that is renewed", []string{"the result of Complete", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"keeps the actor of an identity that is renewed", []string{"the result of Complete", `- ActorID: (string) (len=4) "carl"`, `+ ActorID: (string) (len=3) "ben"`}},
		{"keeps the later health of an identity that is renewed", []string{"the result of Complete", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"returns the same identity as Replaced", []string{"the result of Complete", `- Replaced: (string) ""`, `+ Replaced: (string) (len=36) "55579b55-7896-40ce-9764-c47fed644f9b"`}},
	},
	"Complete renews/a renewal without a label keeps the old one": {
		{"removes the label of a connection that is renewed", []string{"the result of Complete", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
		{"stores the label of the flow", []string{"the result of Complete", `- Label: (string) (len=4) "work"`, `+ Label: (string) (len=16) "that of the flow"`}},
	},
	"Complete renews/a ConnectionID that the user does not have is ErrConnectionUnknown": {
		{"finds a connection by its ID alone", []string{"a Complete that the contract refuses", unknown}},
		{"adds a connection in the place of one that has ended", []string{"a Complete that the contract refuses", unknown}},
		{"compares ID without case", []string{"a Complete that the contract refuses", unknown}},
		{"compares ID without spaces at the end", []string{"a Complete that the contract refuses", unknown}},
		{"finds connections by patterns", []string{"a Complete that the contract refuses", unknown}},
	},
	"Complete renews/a connection that has ended is ErrConnectionUnknown for later flows": {
		{"adds a connection in the place of one that has ended", []string{"a Complete that the contract refuses", unknown}},
		{"renews whichever connection has the identity", []string{"a Complete that the contract refuses", unknown}},
	},
	"Complete renews/the identity of another connection of the user is ErrIdentityConnected": {
		{"renews whichever connection has the identity", []string{"a Complete that the contract refuses", connectedElse}},
		{"stores one identity in two connections", []string{"a Complete that the contract refuses", connectedElse}},
	},
	"Complete renews/of several reasons to refuse, the first in order is returned": {
		{"looks for the identity before the connection that is named", []string{"a Complete that the contract refuses: connection unknown, identity of another connection", unknown}},
		{"checks the limit before the connection", []string{"a Complete that the contract refuses: connection unknown, over the limit", unknown}},
		{"checks SameIdentity last", []string{"a Complete that the contract refuses: too old, connection unknown", identityTooOld}},
		{"checks SameIdentity before the identity", []string{"a Complete that the contract refuses: retired, too old, connection unknown", identityRetired}},
	},
	"Complete renews/a flow that was refused can still be completed": {
		{"spends a flow that it refuses", []string{"Complete of a pending flow", stateSpent}},
	},

	"Complete SameIdentity/the identity of any connection of the user is renewed": {
		{"looks for the identity in the oldest connection of its user", []string{"Complete of a pending flow", identityTooOld}},
		{"refuses every identity with SameIdentity", []string{"Complete of a pending flow", identityTooOld}},
	},

	"Complete actors/another actor is ErrAnotherUser, and the flow stays pending": {
		{"ignores the actor of a flow", []string{"a Complete that the contract refuses", anotherUser}},
		{"accepts the owner for every actor's flow", []string{"a Complete that the contract refuses", anotherUser}},
		{"accepts any actor for the owner's flow", []string{"a Complete that the contract refuses", anotherUser}},
		{"compares ActorID without case", []string{"a Complete that the contract refuses", anotherUser}},
	},
	"Complete actors/a reload by another actor is ErrAnotherUser, and changes nothing": {
		{"accepts any actor for a reload", []string{"a Complete that the contract refuses", anotherUser}},
	},
	"Complete actors/every ActorID is stored exactly, and distinct from similar ones": {
		{"compares ActorID without case", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ActorID without accents", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ActorID without spaces at the end", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"stores no ActorID and Label of a flow", []string{"Pending", stateUnknown}},
	},
	"Complete actors/actors share the owner's connections, and ActorID is who signed in last": {
		{"renews connections of the same actor alone", []string{"Complete of a pending flow", unknown}},
		{"keeps the actor of a connection that is renewed", []string{"the result of Complete", `- ActorID: (string) (len=3) "ben"`, `+ ActorID: (string) (len=4) "carl"`}},
	},
	"Complete actors/the owner's connections and flows are not the actor's own": {
		{"spends the flows of all users when it disconnects one", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"treats the actor as the user", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},

	"SetLabel/a label is set, replaced and removed, and nothing else changes": {
		{"removes no label", []string{"the connection that SetLabel returns", `- Label: (string) ""`, `+ Label: (string) (len=4) "home"`}},
		{"changes ConnectedAt with the label", []string{"the connection that SetLabel returns", "- ext: (int64) 65019153540", "+ ext: (int64) 65019153541"}},
		{"tags an identity whose label has changed", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", "+([]string) (len=3)"}},
		{"labels all of the user's connections", []string{"the result of Connections", `- Label: (string) (len=4) "work"`, `+ Label: (string) (len=4) "home"`}},
		{"returns the connection as it was before the label", []string{"the connection that SetLabel returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"SetLabel/a label of up to 100 characters is stored exactly": {
		{"trims spaces", []string{"the connection that SetLabel returns", `- Label: (string) (len=1) " "`, `+ Label: (string) ""`}},
		{"stores labels of 100 bytes at most", []string{"SetLabel", "too long"}},
		{"stores strings in lower case", []string{"the connection that SetLabel returns", `- Label: (string) (len=4) "Anna"`, `+ Label: (string) (len=4) "anna"`}},
	},
	"SetLabel/Complete stores the label of a new connection exactly": {
		{"begins every connection without a label", []string{"the result of Complete", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
		{"trims spaces", []string{"the result of Complete", `- Label: (string) (len=5) "work "`, `+ Label: (string) (len=4) "work"`}},
		{"stores no ActorID and Label of a flow", []string{"the result of Pending", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"SetLabel/a label with a NUL byte or invalid UTF-8 is an error, and the old one stays": {
		{"truncates strings at a NUL byte", []string{"SetLabel to a label with a NUL byte inside", "An error is expected"}},
		{"repairs invalid UTF-8", []string{"SetLabel to a label with a byte that is no UTF-8", "An error is expected"}},
		{"returns ErrConnectionUnknown for an invalid label", []string{"SetLabel to a label with a NUL byte inside"}},
	},
	"SetLabel/a label of more than 100 characters is stored exactly or rejected": {
		{"truncates labels to 100 characters", []string{"the connection that SetLabel returns", "- Label: (string) (len=101)", "+ Label: (string) (len=100)"}},
	},
	"SetLabel/a connection that the user does not have is ErrConnectionUnknown": {
		{"finds a connection by its ID alone", []string{`SetLabel of the connection "connection-`, unknown}},
		{"returns no error for an unknown connection", []string{`SetLabel of the connection "connection-`, unknown}},
		{"compares ID without case", []string{`SetLabel of the connection "CONNECTION-`, unknown}},
		{"finds connections by patterns", []string{`SetLabel of the connection "%", which the user does not have`, unknown}},
	},
	"SetLabel/a label survives SetHealth, and renewals without a label": {
		{"removes the label of a connection that is renewed", []string{"the result of Complete", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},

	"SetHealth/of several connections only the one with the identity changes": {
		{"sets the health of all of the user's connections", []string{"the result of Connections", `- Health: (connect.Health) (len=2) "ok"`, `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},

	"Queue/a tag is queued for the identity of a connection": {
		{"queues nothing", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "actual : []string{}", "-([]string) (len=3)"}},
		{"queues at once", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", "+([]string) (len=3)"}},
	},
	"Queue/a deletion is queued for an identity without a connection": {
		{"queues nothing", []string{"the tasks that are due at 2061-05-17 13:02:00.123456", "actual : []string{}", "-([]string) (len=3)"}},
		{"queues at once", []string{"the tasks that are due at 2061-05-17 13:02:00.123455", "-([]string) (len=3)", "+([]string) (len=6)"}},
		{"queues one deletion for a user at most", []string{"the tasks that are due at 2061-05-17 13:02:00.123456", "-([]string) (len=3)", "+([]string) (len=2)"}},
	},
	"Queue/a tag is ErrNotConnected unless a connection of its user has the identity": {
		{"queues a tag without a connection", []string{"a Queue that the contract refuses: [tag", notConnected}},
		{"queues a tag for an identity of anybody", []string{"a Queue that the contract refuses: [tag", notConnected}},
		{"queues a tag for the user id in any application", []string{"a Queue that the contract refuses: [tag", notConnected}},
	},
	"Queue/a tag of a replaced identity is ErrNotConnected": {
		{"queues a tag for a replaced identity", []string{"a Queue that the contract refuses: [tag", notConnected}},
	},
	"Queue/a deletion of a connected identity is ErrIdentityTaken": {
		{"queues a deletion of any identity", []string{"a Queue that the contract refuses: [delete", identityTaken}},
		{"looks for an identity to delete in its application", []string{"a Queue that the contract refuses: [delete", identityTaken}},
		{"looks for an identity to delete with its user", []string{"a Queue that the contract refuses: [delete", identityTaken}},
	},
	"Queue/a tag that is queued again is replaced, with no attempts": {
		{"queues no task again", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "actual : []string{}", "-([]string) (len=1)"}},
		{"queues a task twice", []string{"the tasks that are due at 2061-05-17 15:01:01.123455", "+([]string) (len=3)"}},
		{"keeps the attempts of a task that is queued again", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "claimed 1 times", "claimed 3 times"}},
		{"queues with the attempts that it is given", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "claimed 1 times", "claimed 8 times"}},
	},
	"Queue/a deletion that is queued again is replaced, with no attempts": {
		{"queues no deletion again", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", "actual : []string{}", "-([]string) (len=1)"}},
		{"keeps the user of a task that is queued again", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", `of \"ben\"`, `of \"anna\"`}},
		{"queues with the attempts that it is given", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", "claimed 1 times", "claimed 8 times"}},
	},
	"Queue/an identity with a queued deletion is ErrIdentityRetired until Done": {
		{"accepts an identity whose deletion Queue has queued", []string{"a Complete that the contract refuses", identityRetired}},
		{"never accepts an identity that was deleted", []string{"Complete of a pending flow", identityRetired}},
	},
	"Queue/the application of a queued task is listed": {
		{"lists no applications of tasks", []string{"all applications", "extra elements in list A", "task"}},
	},
	"Queue/an unknown kind, an empty key or an invalid string is an error": {
		{"queues any task", []string{`Queue of a task of the kind ""`, "An error is expected"}},
		{"truncates strings at a NUL byte", []string{"Queue of a task with an invalid string", "An error is expected"}},
	},
	"Queue/every UserID and ApplicationID is stored exactly": {
		{"trims spaces", []string{"the tasks that are due", `of \" anna\"`, `of \"anna\"`}},
		{"stores strings in lower case", []string{"the ApplicationID of a task that Claim returns"}},
	},

	"Disconnect all/all connections end, and are returned in order": {
		{"ends the oldest connection alone", []string{"the result of Disconnect", "- ID: (string) (len=31)"}},
		{"returns ended connections the newest first", []string{"the result of Disconnect", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"Disconnect all/flows of every kind and actor are spent": {
		{"leaves flows of actors", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that add", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that name a connection", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Disconnect all/flows of every kind and actor that began earlier are ErrStateSpent": {
		{"stores no time of Disconnect", []string{"a Complete that the contract refuses", stateSpent}},
		{"ignores BegunAt of flows with an actor", []string{"a Complete that the contract refuses", stateSpent}},
	},

	"Disconnect one/the connection ends, and the others stay unchanged": {
		{"ends all connections of the user", []string{"the result of Disconnect", "+ ID: (string) (len=31)"}},
		{"drops all of the user's tags when a connection ends", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "actual : []string{}", "-([]string) (len=1)"}},
		{"returns ended connections as HealthOK", []string{"the result of Disconnect", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"leaves the tag of an ended connection", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "-([]string) (len=1)"}},
		{"deletes at once", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"Disconnect one/a second call is ErrConnectionUnknown, and the deletion stays": {
		{"returns no error for an unknown connection", []string{`Disconnect of the connection "connection-`, unknown}},
		{"queues one deletion for a user at most", []string{"the tasks that are due", "-([]string) (len=2)"}},
	},
	"Disconnect one/only flows that could renew the connection are spent": {
		{"spends all flows when one connection ends", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"spends flows that add when one connection ends", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"spends flows that name any connection", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"leaves flows that name a connection", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that name no connection", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows of actors", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves live flows", []string{"the result of Pending", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"Disconnect one/completed flows of the connection are spent: a reload is ErrStateSpent": {
		{"leaves completed flows of one connection", []string{"the result of Pending", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
		{"spends completed flows but keeps their identity", []string{"the result of Pending", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
		{"spends completed flows of every connection when one ends", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"leaves the flow that made the connection", []string{"the result of Pending", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
	},
	"Disconnect one/At is ignored: a flow that began earlier can be completed": {
		{"stores the time of Disconnect of one connection", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect one/a user whose only connection ended can connect again": {
		{"spends flows that add when one connection ends", []string{"Complete of a pending flow", stateSpent}},
		{"stores the time of Disconnect of one connection", []string{"Complete of a pending flow", stateSpent}},
	},
	"Disconnect one/the identity is ErrIdentityRetired until its deletion is done": {
		{"queues no deletion of an ended connection", []string{"a Complete that the contract refuses", identityRetired}},
		{"accepts a retired identity of its former user", []string{"a Complete that the contract refuses", identityRetired}},
	},
	"Disconnect one/a connection that the user does not have is ErrConnectionUnknown": {
		{"finds a connection by its ID alone", []string{`Disconnect of the connection "connection-`, unknown}},
		{"returns no error for an unknown connection", []string{`Disconnect of the connection "connection-`, unknown}},
		{"spends flows before it looks for the connection", []string{"the result of Pending", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ID without case", []string{`Disconnect of the connection "CONNECTION-`, unknown}},
		{"finds connections by patterns", []string{`Disconnect of the connection "%", which the user does not have`, unknown}},
		{"truncates strings at a NUL byte", []string{`Disconnect of the connection "connection-`, unknown}},
	},
	"Disconnect one/every ID is stored exactly, and distinct from similar ones": {
		{"compares ID without case", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID without spaces at the end", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID without accents", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID with one weight for all emoji", []string{"Complete of a pending flow", connectedElse}},
		{"trims spaces", []string{"the result of Complete", `- ID: (string) (len=5) "anna "`, `+ ID: (string) (len=4) "anna"`}},
		{"compares ConnectionID without case", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"compares ConnectionID without spaces at the end", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},

	"List/connections are ordered by ID, in pages of any size": {
		{"lists connections in the order in which they were stored", []string{"all connections, in pages of 1", "- ID: (string) (len=31)"}},
		{"lists from the cursor on", []string{"the pages of List do not end"}},
	},
	"List/a full last page is followed by an empty one": {
		{"returns an error for an empty page", []string{"List", "no rows"}},
		{"lists from the cursor on", []string{"the second page", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"List/WithIdentities finds connections of any user and application": {
		{"returns an error for an identity without a connection", []string{"WithIdentities", "the user is not connected"}},
		{"finds identities in one application", []string{"the result of WithIdentities"}},
		{"finds one identity", []string{"the result of WithIdentities"}},
	},
	"List/WithIdentities finds no identity that was replaced or has ended": {
		{"finds identities that are about to be deleted", []string{"the result of WithIdentities"}},
	},
	"List/IDs are ordered byte by byte, and connections are returned as stored": {
		{"orders ids without case", []string{"all connections, in pages of 7", `- ID: (string) (len=4) "ANNA"`, `+ ID: (string) (len=1) "_"`}},
		{"orders ids by their length", []string{"all connections, in pages of 7", `- ID: (string) (len=2) "$1"`, `+ ID: (string) (len=1) "%"`}},
	},
	"List/Health selects connections, and pages are full": {
		{"lists connections of any health", []string{"the connections that are ok, in pages of 1", "+ ID: (string) (len=31)"}},
		{"fills a page before it looks at the health", []string{"the connections that are ok, in pages of 1", "actual : []connect.Connection{}", "- ID: (string) (len=31)"}},
	},
	"List/an unknown health is an error": {
		{"lists connections of an unknown health", []string{`List of the health "OK"`, "An error is expected"}},
	},
	"List/only connections of the application are returned": {
		{"lists the connections of every application", []string{"the connections of the application", "+ ID: (string) (len=31)"}},
	},
	"List/a limit below one returns nothing, and is no error": {
		{"treats a limit below one as no limit", []string{"the number of connections that List returns"}},
	},
	"List/After may be an ID that no connection has": {
		{"finds nothing after a connection that has ended", []string{"the connections after", "actual : []connect.Connection{}", "- ID: (string) (len=31)"}},
	},
	"List/changes between two pages neither repeat nor skip a connection": {
		{"finds nothing after a connection that has ended", []string{"the number of times that List returns the connection", "expected: 1", "actual : 0"}},
		{"lists connections in the order in which they were stored", []string{"the number of times that List returns the connection", "expected: 1", "actual : 0"}},
	},
	"List/concurrent changes neither repeat nor skip a connection": {
		{"reads a page in two transactions", []string{"the number of times that List returns the connection"}},
	},

	"Contexts/SetLabel soon returns the error of its context, and changes nothing": {
		{"SetLabel ignores its context", []string{"SetLabel with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Disconnect of one connection soon returns the error of its context, and changes nothing": {
		{"Disconnect ignores its context", []string{"Disconnect of one connection with a context that is cancelled", "context canceled"}},
		{"spends flows before it looks at its context", []string{"the result of Pending", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},
	"Contexts/List soon returns the error of its context, and changes nothing": {
		{"List ignores its context", []string{"List with a context that is cancelled", "context canceled"}},
	},
	"Contexts/Queue soon returns the error of its context, and changes nothing": {
		{"Queue ignores its context", []string{"Queue with a context that is cancelled", "context canceled"}},
	},
}
