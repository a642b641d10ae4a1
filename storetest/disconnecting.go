package storetest

import (
	"time"

	"github.com/anchorconnect/connect"
)

var disconnecting = topic{"disconnecting", []check{
	{"disconnecting ends the connection, returns it, drops the tag and queues the deletion", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "tab"), identity("anna"))
		disconnect(t, s, c)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"disconnecting drops a tag that somebody is working on", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "tab"), identity("anna"))
		requireDue(t, s, tagDue, tag(c))
		disconnect(t, s, c)
		requireTasks(t, s, deletion(c))
	}},

	{"disconnecting who has no connection is ErrNotConnected and queues nothing", func(t tb, s connect.Store) {
		requireNothingToDisconnect(t, s, app, "anna")
		c := connected(t, s, start("anna", "tab"), identity("anna"))
		requireNothingToDisconnect(t, s, app, "ben")
		disconnect(t, s, c)
		requireNothingToDisconnect(t, s, app, "anna")
		// Nor does the second call move the deletion that the first one queued.
		requireDue(t, s, deleteDue, deletion(c))
	}},

	{"disconnecting spends the user's live starts", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "done"), identity("anna"))
		p, late := start("anna", "live"), start("anna", "late")
		late.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, p, late)
		disconnect(t, s, c)
		requireStart(t, s, spent(p))
		requireStart(t, s, spent(late))
		requireRefused(t, s, p, finished(p, identity("new")), connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"disconnecting spends the user's live starts when there is no connection, too", func(t tb, s connect.Store) {
		p, other := start("anna", "tab 1"), start("anna", "tab 2")
		bind(t, s, p, other)
		requireNothingToDisconnect(t, s, app, "anna")
		requireStart(t, s, spent(p))
		requireStart(t, s, spent(other))
		requireRefused(t, s, p, finished(p, identity("anna")), connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"disconnecting spends the user's completed starts: a reload is ErrStateSpent", func(t tb, s connect.Store) {
		before := start("anna", "before")
		old := connected(t, s, before, identity("old"))
		p := start("anna", "done")
		c := connected(t, s, p, identity("anna"))
		disconnect(t, s, c)
		requireStart(t, s, spent(p))
		requireStart(t, s, spent(before))
		requireRefused(t, s, p, c, connect.ErrStateSpent)
		requireRefused(t, s, before, old, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c), deletion(old))
	}},

	{"disconnecting touches nothing of anybody else", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := startIn(otherApp, "emil", "elsewhere")
		done := startIn(otherApp, "emil", "done elsewhere")
		bind(t, s, elsewhere)
		there := connected(t, s, done, identity("there"))
		mine := start("frida", "frida")
		frida := connected(t, s, mine, identity("frida"))

		disconnect(t, s, frida)
		requireStart(t, s, spent(mine))
		requireNothingToDisconnect(t, s, app, "frida")
		requireNothingToDisconnect(t, s, otherApp, "frida")
		requireStart(t, s, elsewhere)
		requireStart(t, s, completed(done, there.IdentityID))
		requireConnection(t, s, there)
		c.requireUnchanged(t, s)
		requireReload(t, s, done, there)
		complete(t, s, elsewhere, there.IdentityID)
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(there), deletion(frida))
	}},

	{"after disconnecting a new start connects again, and the deletion stays", func(t tb, s connect.Store) {
		old := connected(t, s, start("anna", "old"), identity("old"))
		disconnect(t, s, old)
		c := connected(t, s, start("anna", "new"), identity("new"))
		requireConnection(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"disconnecting who has replaced a connection ends the newer one", func(t tb, s connect.Store) {
		old := connected(t, s, start("anna", "old"), identity("old"))
		c := connected(t, s, start("anna", "new"), identity("new"))
		disconnect(t, s, c)
		requireNoConnection(t, s, app, "anna")
		// The deletion of the older one is due since it was replaced.
		requireDue(t, s, noon, deletion(old))
		requireDue(t, s, deleteDue, deletion(c))
	}},
}}
