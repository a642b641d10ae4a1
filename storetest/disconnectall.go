package storetest

import (
	"fmt"
	"time"

	"github.com/anchorconnect/connect"
)

var disconnectAllGroup = group{"Disconnect all", []check{
	{"the connection ends, its tag is removed and its deletion is queued", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnect(t, s, c)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"all connections end, and are returned in order", func(t tb, s connect.Store) {
		var connections []connect.Connection
		for i := range 4 {
			label := fmt.Sprint(i)
			p := actedBy(adds(flow("anna", label)), "actor "+label)
			p.Label = label
			c := createdAt(finished(p, identity(label)), noon.Add(-time.Duration(i)*time.Second))
			connections = append([]connect.Connection{connectedWith(t, s, p, c, several)}, connections...)
		}
		disconnect(t, s, connections...)
		requireNoConnection(t, s, app, "anna")
		requireDue(t, s, deleteDue.Add(-micro))
		var deletions []connect.Task
		for _, c := range connections {
			deletions = append(deletions, deletion(c))
		}
		requireDue(t, s, deleteDue, deletions...)
	}},

	{"flows of every kind and actor are spent", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		done := adds(flow("anna", "the second of two"))
		done.TokenHash = hash("anna, the second of two")
		requireFlow(t, s, completed(done, second.IdentityID))
		flows := []connect.Pending{
			flow("anna", "plain"), adds(flow("anna", "adds")), renews(flow("anna", "named"), first.ID), renews(flow("anna", "lost"), "unknown"),
			actedBy(flow("anna", "ben's"), "ben"), actedBy(adds(flow("anna", "ben adds")), "ben"), actedBy(renews(flow("anna", "ben's, named"), second.ID), "ben"),
		}
		bind(t, s, flows...)
		disconnect(t, s, first, second)
		for _, p := range append(flows, done) {
			requireFlow(t, s, spent(p))
			requireRefused(t, s, p, finished(p, identity("new")), several, connect.ErrStateSpent)
		}
	}},

	{"flows of every kind and actor that began earlier are ErrStateSpent", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		before := begunAt("anna", "before", disconnectedAt.Add(-micro))
		kinds := []connect.Pending{before, adds(before), renews(before, "an id"), actedBy(before, "ben"), actedBy(adds(before), "ben")}
		for i, p := range kinds {
			p.TokenHash = hash(fmt.Sprint("before ", i))
			bind(t, s, p)
			requireRefused(t, s, p, finished(p, identity("new")), several, connect.ErrStateSpent)
			requireFlow(t, s, p)
		}
		requireNoConnection(t, s, app, "anna")
	}},

	{"a claimed tag is removed", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireDue(t, s, tagDue, tag(c))
		disconnect(t, s, c)
		requireTasks(t, s, deletion(c))
	}},

	{"without a connection it is no error, and queues nothing", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnectNone(t, s, app, "ben")
		disconnect(t, s, c)
		disconnectNone(t, s, app, "anna")
		// The second call leaves the deletion of the first one unchanged.
		requireDue(t, s, deleteDue, deletion(c))
	}},

	{"live flows are spent", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "done"), identity("anna"))
		p, late := flow("anna", "live"), flow("anna", "late")
		late.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, p, late)
		disconnect(t, s, c)
		requireFlow(t, s, spent(p))
		requireFlow(t, s, spent(late))
		requireRefused(t, s, p, finished(p, identity("new")), single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"live flows are spent without a connection, too", func(t tb, s connect.Store) {
		p, other := flow("anna", "tab 1"), flow("anna", "tab 2")
		bind(t, s, p, other)
		disconnectNone(t, s, app, "anna")
		requireFlow(t, s, spent(p))
		requireFlow(t, s, spent(other))
		requireRefused(t, s, p, finished(p, identity("anna")), single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"completed flows are spent: a reload is ErrStateSpent", func(t tb, s connect.Store) {
		before := flow("anna", "before")
		old := connected(t, s, before, identity("old"))
		p := flow("anna", "done")
		c := renewed(t, s, old, p, identity("anna"))
		disconnect(t, s, c)
		requireFlow(t, s, spent(p))
		requireFlow(t, s, spent(before))
		requireRefused(t, s, p, c, single, connect.ErrStateSpent)
		requireRefused(t, s, before, old, single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c), deletion(old))
	}},

	{"other users and applications stay unchanged", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := flowIn(otherApp, "emil", "elsewhere")
		done := flowIn(otherApp, "emil", "done elsewhere")
		bind(t, s, elsewhere)
		there := connected(t, s, done, identity("there"))
		mine := flow("hans", "hans")
		hans := connected(t, s, mine, identity("hans"))

		disconnect(t, s, hans)
		requireFlow(t, s, spent(mine))
		disconnectNone(t, s, app, "hans")
		disconnectNone(t, s, otherApp, "hans")
		requireFlow(t, s, elsewhere)
		requireFlow(t, s, completed(done, there.IdentityID))
		requireConnections(t, s, there)
		c.requireRowsUnchanged(t, s)
		requireReload(t, s, done, there)
		renew(t, s, there, elsewhere, there.IdentityID)
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(there), deletion(hans))
	}},

	{"a new flow connects again, and the deletion stays", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		disconnect(t, s, old)
		c := connected(t, s, flow("anna", "new"), identity("new"))
		requireConnections(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"a flow that began earlier and is bound later is ErrStateSpent", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "old"), identity("old"))
		disconnect(t, s, c)
		p := begunAt("anna", "late", disconnectedAt.Add(-micro))
		bind(t, s, p)
		requireFlow(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), single, connect.ErrStateSpent)
		requireFlow(t, s, p)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"a flow that began earlier is ErrStateSpent without a connection, too", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		p := begunAt("anna", "late", disconnectedAt.Add(-micro))
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"a flow that began at the same moment can be completed", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		connected(t, s, begunAt("anna", "tab", disconnectedAt), identity("anna"))
	}},

	{"a flow with a zero BegunAt that is bound later can be completed", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		p := begunAt("anna", "tab", time.Time{})
		c := connected(t, s, p, identity("anna"))
		disconnect(t, s, c)
		requireRefused(t, s, p, c, single, connect.ErrStateSpent)
	}},

	{"of several calls the latest At counts, in any order", func(t tb, s connect.Store) {
		for i, minutes := range [][]int{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {3, 3, 3}} {
			user := fmt.Sprint("user ", i)
			for _, m := range minutes {
				requireDisconnect(t, s, endAll(app, user, disconnectedAt.Add(time.Duration(m)*time.Minute)))
			}
			latest := disconnectedAt.Add(3 * time.Minute)
			late, p := begunAt(user, user+", late", latest.Add(-micro)), begunAt(user, user, latest)
			bind(t, s, late, p)
			requireRefused(t, s, late, finished(late, identity(user)), single, connect.ErrStateSpent)
			complete(t, s, p, identity(user))
		}
	}},

	{"At counts for its user and application alone", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		before := disconnectedAt.Add(-micro)
		for i, pair := range [][2]string{{app, "ben"}, {otherApp, "anna"}, {"anna", app}, {app, "Anna"}, {app, "anna "}} {
			label := fmt.Sprint(i)
			p := begunAt(pair[1], label, before)
			p.ApplicationID = pair[0]
			connected(t, s, p, identity(label))
		}
		p := begunAt("anna", "late", before)
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), single, connect.ErrStateSpent)
	}},

	{"BegunAt and At are compared as instants, in any zone and year", func(t tb, s connect.Store) {
		moments := orderedMoments()
		for i, at := range moments {
			for j, begun := range moments {
				user := fmt.Sprint("user ", i, "/", j)
				requireDisconnect(t, s, endAll(app, user, at))
				p := begunAt(user, user, begun)
				bind(t, s, p)
				requireFlow(t, s, p)
				if j < i {
					requireRefused(t, s, p, finished(p, identity(user)), single, connect.ErrStateSpent)
				} else {
					complete(t, s, p, identity(user))
				}
			}
		}
	}},

	{"equal BegunAt and At stay equal below a microsecond", func(t tb, s connect.Store) {
		for _, ns := range []time.Duration{1, 499, 500, 501, 999} {
			user := fmt.Sprint("user ", int(ns))
			moment := disconnectedAt.Add(ns)
			requireDisconnect(t, s, endAll(app, user, moment))
			p, late := begunAt(user, user, moment), begunAt(user, user+", late", moment.Add(-micro))
			bind(t, s, p, late)
			requireRefused(t, s, late, finished(late, identity(user)), single, connect.ErrStateSpent)
			complete(t, s, p, identity(user))
		}
	}},

	{"a connection that was renewed with another identity ends with the new one", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		disconnect(t, s, c)
		requireNoConnection(t, s, app, "anna")
		// The deletion of the replaced identity is due already.
		requireDue(t, s, noon, deletion(old))
		requireDue(t, s, deleteDue, deletion(c))
	}},
}}
