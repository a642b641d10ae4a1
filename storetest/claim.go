package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var claimGroup = group{"Claim", []check{
	{"a task is due at its NotBefore, not a microsecond earlier", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireDue(t, s, tagDue.Add(-micro))
		requireDue(t, s, tagDue, tag(c))
	}},

	{"a store without tasks returns none", func(t tb, s connect.Store) {
		requireTasks(t, s)
		bind(t, s, flow("anna", "tab"))
		requireTasks(t, s)
	}},

	{"a claimed task is returned again only when its lease ends", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireDue(t, s, tagDue, tag(c))
		requireDue(t, s, tagDue)
		requireDue(t, s, tagDue.Add(lease-micro))
		requireDue(t, s, tagDue.Add(lease), attempted(tag(c), 2))
		requireDue(t, s, tagDue.Add(2*lease-micro))
		requireDue(t, s, tagDue.Add(2*lease), attempted(tag(c), 3))
	}},

	{"Done removes a task, and is idempotent", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("anna"))
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		requireDue(t, s, tagDue, tag(anna), tag(ben))
		for range 2 {
			markDone(t, s, tag(anna))
		}
		requireTasks(t, s, attempted(tag(ben), 2))
		requireConnections(t, s, anna)
	}},

	{"Done removes a task that was never claimed", func(t tb, s connect.Store) {
		// A callback makes the call itself, before Run claims the task.
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		require.NoError(t, s.Done(t.Context(), tag(c)), "Done of a task that was not claimed")
		requireTasks(t, s)
	}},

	{"Done and Postpone find a task by Kind and IdentityID alone", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("anna"))
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		far := noon.AddDate(1, 0, 0)

		// These tasks are not stored.
		for _, none := range []connect.Task{
			deletion(anna),
			{Kind: connect.TagIdentity, IdentityID: identity("nobody"), ApplicationID: app, UserID: "anna"},
			{Kind: "other", IdentityID: anna.IdentityID},
		} {
			require.NoError(t, s.Done(t.Context(), none), "Done of an unknown task")
			require.NoError(t, s.Postpone(t.Context(), none, far), "Postpone of an unknown task")
		}
		requireDue(t, s, tagDue, tag(anna), tag(ben))

		// These are, whatever their other fields are.
		postpone(t, s, connect.Task{Kind: connect.TagIdentity, IdentityID: ben.IdentityID, UserID: "anna", Attempts: 7}, far)
		require.NoError(t, s.Done(t.Context(), connect.Task{Kind: connect.TagIdentity, IdentityID: anna.IdentityID, UserID: "ben"}), "Done")
		requireDue(t, s, far.Add(-micro))
		requireDue(t, s, far, attempted(tag(ben), 2))
	}},

	{"Postpone sets NotBefore and keeps the attempts", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireDue(t, s, tagDue, tag(c))
		later := tagDue.Add(3 * lease)
		postpone(t, s, tag(c), later)
		requireDue(t, s, later.Add(-micro))
		requireDue(t, s, later, attempted(tag(c), 2))

		// A task may be postponed to a moment before its lease ends.
		sooner := later.Add(time.Minute)
		postpone(t, s, tag(c), sooner)
		requireDue(t, s, sooner.Add(-micro))
		requireDue(t, s, sooner, attempted(tag(c), 3))
	}},

	{"Postpone of an unknown task creates none", func(t tb, s connect.Store) {
		c := finished(flow("anna", "tab"), identity("anna"))
		require.NoError(t, s.Postpone(t.Context(), tag(c), noon), "Postpone of an unknown task")
		requireTasks(t, s)
		connected(t, s, flow("anna", "tab"), identity("anna"))
		markDone(t, s, tag(c))
		require.NoError(t, s.Postpone(t.Context(), tag(c), noon), "Postpone of a task that is done")
		requireTasks(t, s)
	}},

	{"Complete replaces a task that is queued already, with no attempts", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "first"), identity("anna"))
		claim(t, s, tagDue, plenty)
		claim(t, s, tagDue.Add(lease), plenty)

		p := flow("anna", "second")
		bind(t, s, p)
		sooner := tagDue.Add(-30 * time.Second) // before the lease ends
		c := renewWith(t, s, old, p, finished(p, identity("anna")), tagAfter(sooner))

		requireDue(t, s, sooner.Add(-micro))
		requireDue(t, s, sooner, tag(c))
		requireTasks(t, s, attempted(tag(c), 2))
	}},

	{"a limit selects the tasks that are due longest", func(t tb, s connect.Store) {
		want := make([]connect.Task, 9)
		for _, i := range []int{4, 0, 7, 2, 8, 1, 6, 3, 5} {
			label := fmt.Sprint(i)
			p := flow("user "+label, label)
			c := connectedWith(t, s, p, finished(p, identity(label)), tagAfter(noon.Add(time.Duration(i)*micro)))
			want[i] = tag(c)
		}
		// The last one is not due yet.
		now := noon.Add(7 * micro)
		requireSameTasks(t, want[:3], claim(t, s, now, 3), "the three tasks that are due longest")
		requireSameTasks(t, want[3:7], claim(t, s, now, 4), "the next four")
		requireSameTasks(t, want[7:8], claim(t, s, now, 4), "the last task that is due")
		require.Empty(t, claim(t, s, now, 4), "the tasks when all that are due are claimed")
	}},

	{"tasks of other applications do not count towards the limit", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range 5 {
			label := fmt.Sprint(i)
			p := flowIn(otherApp, "user "+label, label)
			if i >= 3 {
				p.ApplicationID = app
			}
			c := connectedWith(t, s, p, finished(p, identity(label)), tagAfter(noon.Add(time.Duration(i)*micro)))
			want = append(want, tag(c))
		}
		requireSameTasks(t, want[3:], claim(t, s, tagDue, 2), "the two tasks of the application")
		requireDue(t, s, tagDue, want[:3]...)
	}},

	{"a limit below one returns nothing, and is no error", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		for _, limit := range []int{0, -1, -1 << 31} {
			require.Empty(t, claim(t, s, tagDue, limit), "tasks of a claim with limit %d", limit)
		}
		requireDue(t, s, tagDue, tag(c))
	}},
}}
