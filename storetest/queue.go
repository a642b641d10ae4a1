package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// queue queues a task, with Attempts that the store must ignore.
func queue(t tb, s connect.Store, task connect.Task, notBefore time.Time) {
	t.Helper()
	task.NotBefore, task.Attempts = notBefore, 7
	require.NoError(t, s.Queue(t.Context(), task), "Queue")
}

// requireQueueRefused queues a task, and requires an error.
func requireQueueRefused(t tb, s connect.Store, task connect.Task, want error) {
	t.Helper()
	task.NotBefore = noon
	require.ErrorIs(t, s.Queue(t.Context(), task), want, "a Queue that the contract refuses: %s", described([]connect.Task{task}))
}

var queueGroup = group{"Queue", []check{
	{"a tag is queued for the identity of a connection", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		for _, c := range []connect.Connection{first, second, elsewhere} {
			queue(t, s, tag(c), tagDue)
		}
		requireDue(t, s, tagDue.Add(-micro))
		requireDue(t, s, tagDue, tag(first), tag(second), tag(elsewhere))
		requireConnections(t, s, first, second)
	}},

	{"a deletion is queued for an identity without a connection", func(t tb, s connect.Store) {
		c := newScene(t, s)
		orphan, elsewhere := newTask(connect.DeleteIdentity, app, "anna", identity("orphan")), newTask(connect.DeleteIdentity, otherApp, "nobody", identity("elsewhere"))
		another := newTask(connect.DeleteIdentity, app, "anna", identity("another orphan"))
		for _, task := range []connect.Task{orphan, elsewhere, another} {
			queue(t, s, task, deleteDue.Add(time.Hour))
		}
		requireDue(t, s, deleteDue.Add(time.Hour-micro), tag(c.anna), tag(c.ben), deletion(c.dora))
		requireDue(t, s, deleteDue.Add(time.Hour), orphan, elsewhere, another)
		c.requireRowsUnchanged(t, s)
	}},

	{"a tag is ErrNotConnected unless a connection of its user has the identity", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, none := range []connect.Task{
			newTask(connect.TagIdentity, app, "anna", identity("nobody's")),
			newTask(connect.TagIdentity, app, "anna", c.ben.IdentityID),
			newTask(connect.TagIdentity, app, "Anna", c.anna.IdentityID),
			newTask(connect.TagIdentity, app, "anna ", c.anna.IdentityID),
			newTask(connect.TagIdentity, otherApp, "anna", c.anna.IdentityID),
			newTask(connect.TagIdentity, "anna", app, c.anna.IdentityID),
			newTask(connect.TagIdentity, app, "gina", c.work.IdentityID),
			newTask(connect.TagIdentity, app, "dora", c.dora.IdentityID),
		} {
			requireQueueRefused(t, s, none, connect.ErrNotConnected)
		}
		c.requireUnchanged(t, s)
	}},

	{"a tag of a replaced identity is ErrNotConnected", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireQueueRefused(t, s, tag(old), connect.ErrNotConnected)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"a deletion of a connected identity is ErrIdentityTaken", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		for _, connection := range []connect.Connection{c.anna, c.ben, c.home, c.work, elsewhere} {
			for _, application := range []string{app, otherApp} {
				for _, user := range []string{"anna", "ben", "fred", "nobody"} {
					requireQueueRefused(t, s, newTask(connect.DeleteIdentity, application, user, connection.IdentityID), connect.ErrIdentityTaken)
				}
			}
		}
		requireConnections(t, s, elsewhere)
		c.requireUnchanged(t, s)
	}},

	{"a tag that is queued again is replaced, with no attempts", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		claim(t, s, tagDue, plenty)
		claim(t, s, tagDue.Add(lease), plenty)
		sooner := tagDue.Add(time.Second)
		queue(t, s, tag(c), sooner)
		requireDue(t, s, sooner.Add(-micro))
		requireDue(t, s, sooner, tag(c))
		queue(t, s, tag(c), sooner.Add(2*lease))
		queue(t, s, tag(c), sooner.Add(3*lease))
		requireDue(t, s, sooner.Add(3*lease-micro))
		requireTasks(t, s, tag(c))
	}},

	{"a deletion that is queued again is replaced, with no attempts", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnect(t, s, old)
		claim(t, s, deleteDue, plenty)
		again := newTask(connect.DeleteIdentity, app, "ben", old.IdentityID)
		queue(t, s, again, deleteDue.Add(time.Second))
		requireDue(t, s, deleteDue.Add(time.Second), again)
		elsewhere := newTask(connect.DeleteIdentity, otherApp, "carl", old.IdentityID)
		queue(t, s, elsewhere, deleteDue)
		requireTasks(t, s, elsewhere)
	}},

	{"an identity with a queued deletion is ErrIdentityRetired until Done", func(t tb, s connect.Store) {
		c := newScene(t, s)
		orphan := newTask(connect.DeleteIdentity, otherApp, "nobody", identity("orphan"))
		queue(t, s, orphan, deleteDue.Add(9*lease))
		for _, p := range []connect.Pending{c.live, c.fresh, c.renewing, c.adding} {
			requireRefused(t, s, p, finished(p, orphan.IdentityID), several, connect.ErrIdentityRetired)
		}
		c.requireRowsUnchanged(t, s)
		markDone(t, s, orphan)
		emil := complete(t, s, c.fresh, orphan.IdentityID)
		requireQueueRefused(t, s, orphan, connect.ErrIdentityTaken)
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(emil))
	}},

	{"the application of a queued task is listed", func(t tb, s connect.Store) {
		queue(t, s, newTask(connect.DeleteIdentity, "task", "anna", identity("orphan")), noon)
		requireApplications(t, s, "task")
		requireApplicationsOf(t, s, "anna")
	}},

	{"an unknown kind, an empty key or an invalid string is an error", func(t tb, s connect.Store) {
		c := newScene(t, s)
		good := []connect.Task{tag(c.anna), newTask(connect.DeleteIdentity, app, "anna", identity("orphan"))}
		texts := []string{""}
		for _, odd := range invalidStrings {
			texts = append(texts, odd.text)
		}
		for _, task := range good {
			for _, kind := range []connect.TaskKind{"", "other", "TAG", "delete ", "tag\x00"} {
				odd := task
				odd.Kind = kind
				require.Error(t, s.Queue(t.Context(), odd), "Queue of a task of the kind %q", kind)
			}
			for _, text := range texts {
				application, user, identified := task, task, task
				application.ApplicationID, user.UserID, identified.IdentityID = text, text, text
				for _, odd := range []connect.Task{application, user, identified} {
					require.Error(t, s.Queue(t.Context(), odd), "Queue of a task with an invalid string: %s", described([]connect.Task{odd}))
				}
			}
		}
		c.requireUnchanged(t, s)
	}},

	{"every UserID and ApplicationID is stored exactly", func(t tb, s connect.Store) {
		var want []connect.Task
		for i, text := range lookalikes {
			for _, task := range []connect.Task{
				newTask(connect.DeleteIdentity, app, text, identity(fmt.Sprint("user ", i))),
				newTask(connect.DeleteIdentity, text, "anna", identity(fmt.Sprint("application ", i))),
			} {
				queue(t, s, task, noon)
				want = append(want, task)
			}
		}
		requireTasks(t, s, want...)
	}},
}}
