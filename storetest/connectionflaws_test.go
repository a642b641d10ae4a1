package storetest

// flawsOfConnections are those of stores that keep several connections of a user.
var flawsOfConnections = map[string][]flaw{
	"room/flows of one user make room for flows of the same actor alone": {
		{"makes room among the flows of all actors", []string{"Pending", stateUnknown}},
		{"compares ActorID without case", []string{"Pending", stateUnknown}},
	},
	"room/of flows of one actor those of every kind make room": {
		{"makes room among the flows for the same connection", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},

	"accepting/what the app has agreed to is stored: one more, a renewal of the only one, of one that is named and of one that has the identity": {
		{"takes no agreement to one more", []string{"Complete of a pending flow", changed}},
	},
	"accepting/anything else is ErrConnectionChanged, and nothing changes": {
		{"does not ask what was agreed to", []string{"Complete that must be refused", changed}},
		{"compares the id alone that was agreed to", []string{"Complete that must be refused", changed}},
		{"compares the identity alone that was agreed to", []string{"Complete that must be refused", changed}},
		{"spends what it refuses", []string{"Complete that must be refused", changed}},
	},
	"accepting/another reason comes before ErrConnectionChanged": {
		{"looks first at what was agreed to", []string{"Complete that must be refused", changed}},
	},
	"accepting/a reload is one, whatever the app has agreed to since": {
		{"asks what was agreed to of a reload", []string{"Complete once more, a reload", changed}},
	},
	"accepting/of flows that race with one agreement exactly one wins, and the others are ErrConnectionChanged": {
		{"does not ask what was agreed to", []string{"calls of Complete that have stored what was agreed"}},
		{"looks for the connection to renew in a transaction of its own", []string{"calls of Complete that have stored what was agreed"}},
	},

	"adding/a flow that adds is one more connection, and leaves the others as they are": {
		{"keeps one connection for a user", []string{"the connections that Connections returns", "- ID: (string) (len=31)"}},
		{"ignores whether a flow adds", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"adding/a user's first connection is added by a flow that adds, and by one that does not say": {
		{"adds nothing for a flow that does not say so", []string{"Complete of a pending flow", limitReached}},
		{"allows one connection less", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/a new connection began when its user signed in, whatever CreatedAt says": {
		{"keeps the CreatedAt that it is given", []string{"what Complete returns", "- wall: (uint64) 123456000", "+ wall: (uint64) 0"}},
	},
	"adding/a flow that adds renews the connection that has the identity already, even at the limit": {
		{"adds an identity that the user has", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"counts connections before it looks for the identity", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/a flow that adds is ErrConnectionLimit from the limit on, and nothing changes": {
		{"allows one connection more", []string{"Complete that must be refused", limitReached}},
		{"allows one connection less", []string{"Complete of a pending flow", limitReached}},
		{"spends what it refuses", []string{"Complete that must be refused", limitReached}},
	},
	"adding/a flow that was refused at the limit adds when there is room": {
		{"spends what it refuses", []string{"Complete of a pending flow", stateSpent}},
		{"spends flows that add when one connection ends", []string{"Complete of a pending flow", stateSpent}},
		{"keeps the connection that it ends", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/a limit below one counts as one": {
		{"takes no limit for any limit", []string{"Complete that must be refused", limitReached}},
		{"allows nothing with a limit below one", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/a lowered limit ends no connection: all can be renewed, and none can be added": {
		{"refuses to renew above the limit", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/a flow that does not say which is ErrConnectionLimit if its user has several, and nothing changes": {
		{"renews the oldest of several", []string{"Complete that must be refused", limitReached}},
		{"adds if nobody says which of several", []string{"Complete that must be refused", limitReached}},
	},
	"adding/the limit is for the connections of one user in one application": {
		{"counts the connections of everybody", []string{"Complete of a pending flow", limitReached}},
		{"counts the connections of the user id everywhere", []string{"Complete of a pending flow", limitReached}},
	},
	"adding/connections are in the order in which they began, whenever they were stored or renewed": {
		{"returns connections as they were stored", []string{"the connections that Connections returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"orders connections by the last sign-in", []string{"the connections that Connections returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"orders connections by the second", []string{"the connections that Connections returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"returns ended connections the newest first", []string{"the connections that Disconnect returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"adding/connections are ordered by when they began as instants, in whatever zone and year": {
		{"compares moments as texts", []string{"the connections that Connections returns"}},
		{"compares moments as texts in UTC", []string{"the connections that Connections returns"}},
	},
	"adding/connections that began at one moment are in the order of their ids, byte by byte": {
		{"orders ids without case", []string{"the connections that Connections returns", `- ID: (string) (len=4) "Anna"`, `+ ID: (string) (len=1) "_"`}},
		{"orders ids by their length", []string{"the connections that Connections returns", `- ID: (string) (len=2) "$1"`, `+ ID: (string) (len=1) "%"`}},
		{"orders connections by their ids alone", []string{"the connections that Connections returns", "time.May, 17, 12, 0, 0, 123455000"}},
	},

	"renewing/a flow that names a connection renews that one, and leaves the others as they are": {
		{"renews the oldest connection", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"deletes all identities when one is replaced", []string{"the tasks that are due", "-([]string) (len=2)", "+([]string) (len=4)"}},
		{"forgets what a flow is for", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"renewing/a flow that names a connection may bring the identity that it has": {
		{"deletes an identity that comes again", []string{"the tasks that are due", "-([]string) (len=1)", "+([]string) (len=2)"}},
		{"says that the same identity was replaced", []string{"what Complete returns", `- Replaced: (string) ""`, `+ Replaced: (string) (len=36) "baee5246-dca0-47aa-9fe3-2748690a176c"`}},
	},
	"renewing/a flow that names a connection renews it, even if it says that it adds": {
		{"adds though a connection is named", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"renewing/a flow that does not say which renews the user's only connection, however many are allowed": {
		{"adds whenever there is room", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"does not say which identity it has replaced", []string{"what Complete returns", `- Replaced: (string) (len=36) "1d4a30d7-8de6-4e5f-9885-ffac2c6b8425"`, `+ Replaced: (string) ""`}},
	},
	"renewing/a flow that does not say which renews, of several connections, the one that has the identity": {
		{"refuses who does not say which before it looks for the identity", []string{"Complete of a pending flow", limitReached}},
		{"adds an identity that the user has", []string{"Complete of a pending flow", limitReached}},
	},
	"renewing/a renewal keeps the id and the beginning of the connection, and all else is that of the new sign-in": {
		{"gives a renewed connection another id", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"gives a connection another id with another identity", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"begins a renewed connection anew", []string{"what Complete returns", "- ext: (int64) 65019153600", "+ ext: (int64) 65019153601"}},
		{"keeps the actor of a connection that is renewed", []string{"what Complete returns", `- ActorID: (string) (len=4) "carl"`, `+ ActorID: (string) (len=3) "ben"`}},
		{"keeps when the user signed in first", []string{"what Complete returns", "- ext: (int64) 65019153601", "+ ext: (int64) 65019153600"}},
		{"keeps the label of a connection that is renewed with another", []string{"what Complete returns", `- Label: (string) (len=7) "label 0"`, `+ Label: (string) (len=4) "work"`}},
		{"keeps the health of the connection that it replaces", []string{"what Complete returns", `- Health: (connect.Health) (len=2) "ok"`, `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},
	"renewing/a renewal by the same identity keeps and replaces as much as one by another": {
		{"gives a renewed connection another id", []string{"what Complete returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
		{"keeps the actor of an identity that comes again", []string{"what Complete returns", `- ActorID: (string) (len=4) "carl"`, `+ ActorID: (string) (len=3) "ben"`}},
		{"keeps the newer health of an identity that comes again", []string{"what Complete returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"says that the same identity was replaced", []string{"what Complete returns", `- Replaced: (string) ""`, `+ Replaced: (string) (len=36) "55579b55-7896-40ce-9764-c47fed644f9b"`}},
	},
	"renewing/a renewal without a label keeps the one that there is, whatever the flow says": {
		{"forgets the label of a connection that is renewed", []string{"what Complete returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
		{"takes the label of the flow", []string{"what Complete returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) (len=16) "that of the flow"`}},
	},
	"renewing/a connection that the user does not have is ErrConnectionUnknown, and nothing changes": {
		{"finds a connection by its ID alone", []string{"Complete that must be refused", unknown}},
		{"adds a connection in the place of one that has ended", []string{"Complete that must be refused", unknown}},
		{"compares ID without case", []string{"Complete that must be refused", unknown}},
		{"compares ID without spaces at the end", []string{"Complete that must be refused", unknown}},
		{"finds connections by patterns", []string{"Complete that must be refused", unknown}},
	},
	"renewing/a connection that has ended is ErrConnectionUnknown for flows that were bound afterwards": {
		{"adds a connection in the place of one that has ended", []string{"Complete that must be refused", unknown}},
		{"renews whichever connection has the identity", []string{"Complete that must be refused", unknown}},
	},
	"renewing/the identity of another connection of the user is ErrIdentityConnected, and nothing changes": {
		{"renews whichever connection has the identity", []string{"Complete that must be refused", connectedElse}},
		{"gives an identity to two connections", []string{"Complete that must be refused", connectedElse}},
	},
	"renewing/of several reasons to refuse a user who has connections the first in order is given, and nothing changes": {
		{"looks for the identity before the connection that is named", []string{"Complete that must be refused: connection unknown, identity of another connection", unknown}},
		{"looks at the limit before anything else of a connection", []string{"Complete that must be refused: connection unknown, over the limit", unknown}},
		{"judges freshness last", []string{"Complete that must be refused: too old, connection unknown", identityTooOld}},
		{"judges freshness before anything else of an identity", []string{"Complete that must be refused: retired, too old, connection unknown", identityRetired}},
	},
	"renewing/a flow that was refused its connection or identity is completed by the next good callback": {
		{"spends what it refuses", []string{"Complete of a pending flow", stateSpent}},
	},

	"freshness/SameIdentity allows the identity of any connection of the user": {
		{"looks for the identity in the oldest connection of its user", []string{"Complete of a pending flow", identityTooOld}},
		{"takes only fresh identities", []string{"Complete of a pending flow", identityTooOld}},
	},

	"actors/another actor of the user may not complete a flow, and the right one still may": {
		{"forgets whose actor may complete a flow", []string{"Complete that must be refused", anotherUser}},
		{"lets the owner complete every flow", []string{"Complete that must be refused", anotherUser}},
		{"lets every actor complete the owner's flow", []string{"Complete that must be refused", anotherUser}},
		{"compares ActorID without case", []string{"Complete that must be refused", anotherUser}},
	},
	"actors/a reload by another actor of the user is ErrAnotherUser, and changes nothing": {
		{"lets every actor reload", []string{"Complete that must be refused", anotherUser}},
	},
	"actors/every ActorID is kept exactly, and told from all that look like it": {
		{"compares ActorID without case", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ActorID without accents", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ActorID without spaces at the end", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"forgets the actor and the label of a flow", []string{"Pending", stateUnknown}},
	},
	"actors/the actors of a user share the user's connections, and each connection says who signed in last": {
		{"renews connections of the same actor alone", []string{"Complete of a pending flow", unknown}},
		{"keeps the actor of a connection that is renewed", []string{"what Complete returns", `- ActorID: (string) (len=3) "ben"`, `+ ActorID: (string) (len=4) "carl"`}},
	},
	"actors/an actor is no user: who acts for one user has nothing of it elsewhere": {
		{"spends everybody's flows", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"takes the actor for the user", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},

	"labelling/a label is set, replaced and removed, and nothing else changes": {
		{"removes no label", []string{"the connection that SetLabel returns", `- Label: (string) ""`, `+ Label: (string) (len=4) "home"`}},
		{"takes a label for a sign-in", []string{"the connection that SetLabel returns", "- ext: (int64) 65019153540", "+ ext: (int64) 65019153541"}},
		{"tags an identity whose label has changed", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", "+([]string) (len=3)"}},
		{"labels all of the user's connections", []string{"the connections that Connections returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) (len=4) "home"`}},
		{"returns the connection as it was before the label", []string{"the connection that SetLabel returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"labelling/a label is kept exactly, up to 100 characters of any length": {
		{"trims spaces", []string{"the connection that SetLabel returns", `- Label: (string) (len=1) " "`, `+ Label: (string) ""`}},
		{"has labels of 100 bytes", []string{"SetLabel", "too long"}},
		{"keeps texts in lower case", []string{"the connection that SetLabel returns", `- Label: (string) (len=4) "Anna"`, `+ Label: (string) (len=4) "anna"`}},
	},
	"labelling/a connection begins with its label, which is kept exactly": {
		{"begins every connection without a label", []string{"what Complete returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
		{"trims spaces", []string{"what Complete returns", `- Label: (string) (len=5) "work "`, `+ Label: (string) (len=4) "work"`}},
		{"forgets the actor and the label of a flow", []string{"the flow that Pending returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},
	"labelling/a label that cannot be kept is refused, and the old one stays": {
		{"cuts texts at a NUL byte", []string{"SetLabel to a label that has a NUL byte inside", "An error is expected"}},
		{"repairs what is no UTF-8", []string{"SetLabel to a label that has a byte that is no UTF-8", "An error is expected"}},
		{"says that a connection is unknown when its label is odd", []string{"SetLabel to a label that has a NUL byte inside"}},
	},
	"labelling/a label of more than 100 characters is kept exactly or refused": {
		{"cuts labels at 100 characters", []string{"the connection that SetLabel returns", "- Label: (string) (len=101)", "+ Label: (string) (len=100)"}},
	},
	"labelling/a connection that the user does not have is ErrConnectionUnknown, and nothing changes": {
		{"finds a connection by its ID alone", []string{`SetLabel of the connection "connection-`, unknown}},
		{"says nothing of a connection that is unknown", []string{`SetLabel of the connection "connection-`, unknown}},
		{"compares ID without case", []string{`SetLabel of the connection "CONNECTION-`, unknown}},
		{"finds connections by patterns", []string{`SetLabel of the connection "%", which the user does not have`, unknown}},
	},
	"labelling/a label outlasts news, and a renewal that brings none": {
		{"forgets the label of a connection that is renewed", []string{"what Complete returns", `- Label: (string) (len=4) "work"`, `+ Label: (string) ""`}},
	},

	"health/an event of one of several connections changes that one alone": {
		{"sets the health of all of the user's connections", []string{"the connections that Connections returns", `- Health: (connect.Health) (len=2) "ok"`, `+ Health: (connect.Health) (len=13) "needs_sign_in"`}},
	},

	"queuing/a tag is queued for the identity of a connection, and due at its moment": {
		{"queues nothing", []string{"the tasks that are due at 2061-05-17 12:01:00.123456", "actual : []string{}", "-([]string) (len=3)"}},
		{"queues at once", []string{"the tasks that are due at 2061-05-17 12:01:00.123455", "+([]string) (len=3)"}},
	},
	"queuing/a deletion is queued for an identity that no connection has, and due at its moment": {
		{"queues nothing", []string{"the tasks that are due at 2061-05-17 13:02:00.123456", "actual : []string{}", "-([]string) (len=3)"}},
		{"queues at once", []string{"the tasks that are due at 2061-05-17 13:02:00.123455", "-([]string) (len=3)", "+([]string) (len=6)"}},
		{"has one deletion for a user", []string{"the tasks that are due at 2061-05-17 13:02:00.123456", "-([]string) (len=3)", "+([]string) (len=2)"}},
	},
	"queuing/a tag for an identity that is no connection of its user is ErrNotConnected, and none is queued": {
		{"queues a tag for nobody", []string{"Queue of a task that must be refused: [tag", notConnected}},
		{"queues a tag for an identity of anybody", []string{"Queue of a task that must be refused: [tag", notConnected}},
		{"queues a tag for the user id everywhere", []string{"Queue of a task that must be refused: [tag", notConnected}},
	},
	"queuing/a tag for an identity that was replaced is ErrNotConnected": {
		{"queues a tag for a replaced identity", []string{"Queue of a task that must be refused: [tag", notConnected}},
	},
	"queuing/a deletion of an identity that a connection has is ErrIdentityTaken, whoever's it is": {
		{"queues a deletion of any identity", []string{"Queue of a task that must be refused: [delete", identityTaken}},
		{"looks for an identity to delete in its application", []string{"Queue of a task that must be refused: [delete", identityTaken}},
		{"looks for an identity to delete with its user", []string{"Queue of a task that must be refused: [delete", identityTaken}},
	},
	"queuing/queuing a tag again leaves one, with the newer moment and no attempts": {
		{"queues a task once", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "actual : []string{}", "-([]string) (len=1)"}},
		{"queues a task twice", []string{"the tasks that are due at 2061-05-17 15:01:01.123455", "+([]string) (len=3)"}},
		{"counts on when a task is queued again", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "claimed 1 times", "claimed 3 times"}},
		{"queues with the attempts that it is given", []string{"the tasks that are due at 2061-05-17 12:01:01.123456", "claimed 1 times", "claimed 8 times"}},
	},
	"queuing/queuing a deletion again leaves one, with the newer values and no attempts": {
		{"queues a deletion once", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", "actual : []string{}", "-([]string) (len=1)"}},
		{"keeps whose a task was", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", `of \"ben\"`, `of \"anna\"`}},
		{"queues with the attempts that it is given", []string{"the tasks that are due at 2061-05-17 12:02:01.123456", "claimed 1 times", "claimed 8 times"}},
	},
	"queuing/an identity whose deletion was queued is ErrIdentityRetired for everybody until it is done": {
		{"gives out identities whose deletion was queued", []string{"Complete that must be refused", identityRetired}},
		{"never gives out an identity that was deleted", []string{"Complete of a pending flow", identityRetired}},
	},
	"queuing/applications with a queued task are listed": {
		{"lists no applications of tasks", []string{"all applications", "extra elements in list A", "owed"}},
	},
	"queuing/a task of another kind, with an empty key or with a text that cannot be kept is refused": {
		{"queues any task", []string{`Queue of a task of the kind ""`, "An error is expected"}},
		{"cuts texts at a NUL byte", []string{"Queue of a task with a text that cannot be kept", "An error is expected"}},
	},
	"queuing/every UserID and ApplicationID of a queued task is kept exactly": {
		{"trims spaces", []string{"the tasks that are due", `of \" anna\"`, `of \"anna\"`}},
		{"keeps texts in lower case", []string{"the application of a task that Claim returns is the one it was asked for"}},
	},

	"disconnecting/disconnecting ends all connections, and returns them in order": {
		{"ends the oldest connection alone", []string{"the connections that Disconnect returns", "- ID: (string) (len=31)"}},
		{"returns ended connections the newest first", []string{"the connections that Disconnect returns", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"disconnecting/disconnecting spends flows of every kind and of every actor": {
		{"leaves flows of actors", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that add", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that name a connection", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"disconnecting/a flow of any kind and actor that began before a disconnect is ErrStateSpent": {
		{"forgets when a user was disconnected", []string{"Complete that must be refused", stateSpent}},
		{"lets actors outlast a disconnect", []string{"Complete that must be refused", stateSpent}},
	},

	"ending/ending one connection returns it, drops its tag, queues its deletion and leaves the others": {
		{"ends all connections whichever is named", []string{"the connections that Disconnect returns", "+ ID: (string) (len=31)"}},
		{"drops all of the user's tags when a connection ends", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "actual : []string{}", "-([]string) (len=1)"}},
		{"forgets the health of who disconnects", []string{"the connections that Disconnect returns", `- Health: (connect.Health) (len=13) "needs_sign_in"`, `+ Health: (connect.Health) (len=2) "ok"`}},
		{"leaves the tag of who disconnects", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "-([]string) (len=1)"}},
		{"deletes at once", []string{"the tasks that are due at 2061-05-17 12:02:00.123455", "-([]string) (len=1)", "+([]string) (len=2)"}},
	},
	"ending/ending a connection twice is ErrConnectionUnknown, and its deletion stays": {
		{"says nothing of a connection that is unknown", []string{`Disconnect of the connection "connection-`, unknown}},
		{"has one deletion for a user", []string{"the tasks that are due", "-([]string) (len=2)"}},
	},
	"ending/ending one connection spends the flows that could renew it, and no others": {
		{"spends all flows when one connection ends", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"spends flows that add when one connection ends", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"spends flows that name any connection", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"leaves flows that name a connection", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows that name no connection", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves flows of actors", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
		{"leaves live flows", []string{"the flow that Pending returns", "- Spent: (bool) true", "+ Spent: (bool) false"}},
	},
	"ending/ending one connection spends completed flows that could renew it: their reload is ErrStateSpent": {
		{"leaves completed flows of one connection", []string{"the flow that Pending returns", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
		{"spends completed flows but keeps their identity", []string{"the flow that Pending returns", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
		{"spends completed flows of every connection when one ends", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"leaves the flow that made the connection", []string{"the flow that Pending returns", `- IdentityID: (string) ""`, "+ IdentityID: (string) (len=36)"}},
	},
	"ending/ending one connection remembers no moment: an earlier flow that is bound afterwards is completed": {
		{"remembers when one connection was ended", []string{"Complete of a pending flow", stateSpent}},
	},
	"ending/ending a user's only connection leaves a user like any without one": {
		{"spends flows that add when one connection ends", []string{"Complete of a pending flow", stateSpent}},
		{"remembers when one connection was ended", []string{"Complete of a pending flow", stateSpent}},
	},
	"ending/an identity whose connection was ended is ErrIdentityRetired until its deletion is done": {
		{"forgets to queue the deletion", []string{"Complete that must be refused", identityRetired}},
		{"gives a retired identity back to its user", []string{"Complete that must be refused", identityRetired}},
	},
	"ending/a connection that the user does not have is ErrConnectionUnknown, and nothing changes": {
		{"finds a connection by its ID alone", []string{`Disconnect of the connection "connection-`, unknown}},
		{"says nothing of a connection that is unknown", []string{`Disconnect of the connection "connection-`, unknown}},
		{"spends flows before it looks for the connection", []string{"the flow that Pending returns", "- Spent: (bool) false", "+ Spent: (bool) true"}},
		{"compares ID without case", []string{`Disconnect of the connection "CONNECTION-`, unknown}},
		{"finds connections by patterns", []string{`Disconnect of the connection "%", which the user does not have`, unknown}},
		{"cuts texts at a NUL byte", []string{`Disconnect of the connection "connection-`, unknown}},
	},
	"ending/every ID is kept exactly, and told from all that look like it": {
		{"compares ID without case", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID without spaces at the end", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID without accents", []string{"Complete of a pending flow", connectedElse}},
		{"compares ID with one weight for all emoji", []string{"Complete of a pending flow", connectedElse}},
		{"trims spaces", []string{"what Complete returns", `- ID: (string) (len=5) "anna "`, `+ ID: (string) (len=4) "anna"`}},
		{"compares ConnectionID without case", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
		{"compares ConnectionID without spaces at the end", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},

	"listing/connections are listed in the order of their ids, whatever the size of a page": {
		{"lists connections as they were stored", []string{"all connections, in pages of 1", "- ID: (string) (len=31)"}},
		{"lists from the cursor on", []string{"the pages of List do not end"}},
	},
	"listing/a page that is exactly full is followed by an empty one": {
		{"fails to list nothing", []string{"List", "no rows"}},
		{"lists from the cursor on", []string{"the second page", "- ID: (string) (len=31)", "+ ID: (string) (len=31)"}},
	},
	"listing/connections are found by their identities, whoever's they are": {
		{"fails to find an identity that nobody has", []string{"WithIdentities", "the user is not connected"}},
		{"finds identities in one application", []string{"the connections that have an identity"}},
		{"finds one identity", []string{"the connections that have an identity"}},
	},
	"listing/an identity that was replaced or has ended is nobody's": {
		{"finds identities that are about to be deleted", []string{"the connections that have an identity"}},
	},
	"listing/connections are listed byte by byte, and each as it is": {
		{"orders ids without case", []string{"all connections, in pages of 7", `- ID: (string) (len=4) "ANNA"`, `+ ID: (string) (len=1) "_"`}},
		{"orders ids by their length", []string{"all connections, in pages of 7", `- ID: (string) (len=2) "$1"`, `+ ID: (string) (len=1) "%"`}},
	},
	"listing/only connections with the health that is asked for are listed, and pages are full of them": {
		{"lists connections of any health", []string{"the connections that are ok, in pages of 1", "+ ID: (string) (len=31)"}},
		{"fills a page before it looks at the health", []string{"the connections that are ok, in pages of 1", "actual : []connect.Connection{}", "- ID: (string) (len=31)"}},
	},
	"listing/a health that is none of the two is an error": {
		{"lists any health", []string{`List of the health "OK"`, "An error is expected"}},
	},
	"listing/the connections of one application are listed, and of no other": {
		{"lists the connections of every application", []string{"the connections of the application", "+ ID: (string) (len=31)"}},
	},
	"listing/a limit below one lists nothing and is no error": {
		{"takes no limit for any limit", []string{"how many connections List returns"}},
	},
	"listing/a page comes after an ID, even if no connection has it any more": {
		{"finds nothing after a connection that has ended", []string{"the connections after", "actual : []connect.Connection{}", "- ID: (string) (len=31)"}},
	},
	"listing/connections that exist throughout are listed once, whatever happens between two pages": {
		{"finds nothing after a connection that has ended", []string{"how often List returns the connection", "expected: 1", "actual : 0"}},
		{"lists connections as they were stored", []string{"how often List returns the connection", "expected: 1", "actual : 0"}},
	},
	"listing/connections that exist throughout are listed once, whatever happens at the same time": {
		{"reads a page in two transactions", []string{"how often List returns the connection"}},
	},

	"contexts/SetLabel with a context that has ended says so in bounded time, and changes nothing": {
		{"SetLabel ignores its context", []string{"SetLabel with a context that is cancelled", "context canceled"}},
	},
	"contexts/Disconnect of one connection with a context that has ended says so in bounded time, and changes nothing": {
		{"Disconnect ignores its context", []string{"Disconnect of one connection with a context that is cancelled", "context canceled"}},
		{"spends flows before it looks at its context", []string{"the flow that Pending returns", "- IdentityID: (string) (len=36)", `+ IdentityID: (string) ""`}},
	},
	"contexts/List with a context that has ended says so in bounded time, and changes nothing": {
		{"List ignores its context", []string{"List with a context that is cancelled", "context canceled"}},
	},
	"contexts/Queue with a context that has ended says so in bounded time, and changes nothing": {
		{"Queue ignores its context", []string{"Queue with a context that is cancelled", "context canceled"}},
	},
}
