package storetest

import (
	"time"

	"github.com/anchorconnect/connect"
)

var completeReplacesGroup = group{"Complete replaces", []check{
	{"another identity replaces the old one and queues its deletion", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		p := flow("anna", "new")
		c := connectedAt(finished(p, identity("new")), noon.Add(5*time.Minute))
		c = renewedWith(t, s, old, p, c, single)

		requireConnections(t, s, c)
		requireFlow(t, s, completed(flow("anna", "old"), old.IdentityID))
		// The tag of the old identity is removed. Its deletion is due at ConnectedAt.
		requireDue(t, s, c.ConnectedAt.Add(-micro), tag(c))
		requireDue(t, s, c.ConnectedAt, deletion(old))
		requireTasks(t, s, attempted(tag(c), 2), attempted(deletion(old), 2))
	}},

	{"a claimed tag of the old identity is removed", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		requireDue(t, s, tagDue, tag(old))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"the same identity replaces nothing, and updates the connection", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "first"), identity("anna"))
		p := flow("anna", "second")
		c := connectedAt(finished(p, identity("anna")), noon.Add(time.Minute))
		c = renewedWith(t, s, old, p, c, single)
		requireConnections(t, s, c)
		requireTasks(t, s, tag(c))
	}},

	{"each replaced identity has a deletion of its own", func(t tb, s connect.Store) {
		first := connected(t, s, flow("anna", "1"), identity("1"))
		second := renewed(t, s, first, flow("anna", "2"), identity("2"))
		third := renewed(t, s, second, flow("anna", "3"), identity("3"))
		requireConnections(t, s, third)
		requireTasks(t, s, deletion(first), deletion(second), tag(third))
	}},

	{"a reload of a flow whose identity was replaced changes nothing", func(t tb, s connect.Store) {
		p := flow("anna", "old")
		old := connected(t, s, p, identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireReload(t, s, p, old)
		requireConnections(t, s, c)
		requireFlow(t, s, completed(p, old.IdentityID))
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"a refusal replaces nothing", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefused(t, s, c.live, finished(c.live, c.ben.IdentityID), single, connect.ErrIdentityTaken)
		requireRefused(t, s, c.live, finished(c.live, c.dora.IdentityID), single, connect.ErrIdentityRetired)
		c.requireUnchanged(t, s)
	}},

	{"connections of other users and applications stay unchanged", func(t tb, s connect.Store) {
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireConnections(t, s, ben)
		requireConnections(t, s, elsewhere)
		requireTasks(t, s, tag(ben), tag(elsewhere), deletion(old), tag(c))
	}},
}}
