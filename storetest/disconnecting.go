package storetest

import (
	"fmt"
	"time"

	"github.com/anchorconnect/connect"
)

// begunAt is a start that began at any moment.
func begunAt(user, label string, begun time.Time) connect.Pending {
	p := start(user, label)
	p.BegunAt = begun
	return p
}

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

	{"a start that began before a disconnect and is bound after it is ErrStateSpent, and stays as it was bound", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "old"), identity("old"))
		disconnect(t, s, c)
		p := begunAt("anna", "late", disconnectedAt.Add(-micro))
		bind(t, s, p)
		requireStart(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), connect.ErrStateSpent)
		requireStart(t, s, p)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(c))
	}},

	{"a start that began before a disconnect of a user who had no connection is ErrStateSpent, too", func(t tb, s connect.Store) {
		requireNothingToDisconnect(t, s, app, "anna")
		p := begunAt("anna", "late", disconnectedAt.Add(-micro))
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"a start that began at the very moment of a disconnect is completed", func(t tb, s connect.Store) {
		requireNothingToDisconnect(t, s, app, "anna")
		connected(t, s, begunAt("anna", "tab", disconnectedAt), identity("anna"))
	}},

	{"a start whose beginning is not known is completed when it is bound after a disconnect", func(t tb, s connect.Store) {
		requireNothingToDisconnect(t, s, app, "anna")
		p := begunAt("anna", "tab", time.Time{})
		c := connected(t, s, p, identity("anna"))
		disconnect(t, s, c)
		requireRefused(t, s, p, c, connect.ErrStateSpent)
	}},

	{"of several disconnects the latest moment counts, in whatever order they come", func(t tb, s connect.Store) {
		for i, minutes := range [][]time.Duration{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {3, 3, 3}} {
			user := fmt.Sprint("user ", i)
			for _, m := range minutes {
				requireNothingToDisconnectAt(t, s, app, user, disconnectedAt.Add(m*time.Minute))
			}
			latest := disconnectedAt.Add(3 * time.Minute)
			late, p := begunAt(user, user+", late", latest.Add(-micro)), begunAt(user, user, latest)
			bind(t, s, late, p)
			requireRefused(t, s, late, finished(late, identity(user)), connect.ErrStateSpent)
			complete(t, s, p, identity(user))
		}
	}},

	{"the moment of a disconnect is that of its user and application alone", func(t tb, s connect.Store) {
		requireNothingToDisconnect(t, s, app, "anna")
		before := disconnectedAt.Add(-micro)
		for i, pair := range [][2]string{{app, "ben"}, {otherApp, "anna"}, {"anna", app}, {app, "Anna"}, {app, "anna "}} {
			label := fmt.Sprint(i)
			p := begunAt(pair[1], label, before)
			p.ApplicationID = pair[0]
			connected(t, s, p, identity(label))
		}
		p := begunAt("anna", "late", before)
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("new")), connect.ErrStateSpent)
	}},

	{"beginnings and disconnects are compared as instants, in whatever zone and year", func(t tb, s connect.Store) {
		moments := inOrder()
		for i, at := range moments {
			for j, begun := range moments {
				user := fmt.Sprint("user ", i, "/", j)
				requireNothingToDisconnectAt(t, s, app, user, at)
				p := begunAt(user, user, begun)
				bind(t, s, p)
				requireStart(t, s, p)
				if j < i {
					requireRefused(t, s, p, finished(p, identity(user)), connect.ErrStateSpent)
				} else {
					complete(t, s, p, identity(user))
				}
			}
		}
	}},

	{"a beginning and a disconnect of one moment are equal, though something finer than a microsecond is lost of them", func(t tb, s connect.Store) {
		for _, ns := range []time.Duration{1, 499, 500, 501, 999} {
			user := fmt.Sprint("user ", int(ns))
			moment := disconnectedAt.Add(ns)
			requireNothingToDisconnectAt(t, s, app, user, moment)
			p, late := begunAt(user, user, moment), begunAt(user, user+", late", moment.Add(-micro))
			bind(t, s, p, late)
			requireRefused(t, s, late, finished(late, identity(user)), connect.ErrStateSpent)
			complete(t, s, p, identity(user))
		}
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
