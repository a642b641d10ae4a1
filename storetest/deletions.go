package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var deletionsGroup = group{"Deletions", []check{
	{"a deletion is due at DeleteAfter, not a microsecond earlier", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnect(t, s, c)
		requireDue(t, s, deleteDue.Add(-micro))
		requireDue(t, s, deleteDue, deletion(c))
	}},

	{"an identity with a queued deletion is ErrIdentityRetired for everybody", func(t tb, s connect.Store) {
		c := newScene(t, s)
		again := flow("dora", "again")
		elsewhere := flowIn(otherApp, "dora", "elsewhere")
		bind(t, s, again, elsewhere)
		refuse := func() {
			t.Helper()
			for _, p := range []connect.Pending{again, elsewhere, c.live, c.fresh} {
				requireRefused(t, s, p, finished(p, c.dora.IdentityID), connect.ErrIdentityRetired)
			}
		}
		refuse()
		claim(t, s, deleteDue, plenty)
		refuse()
		require.NoError(t, s.Postpone(t.Context(), deletion(c.dora), noon.AddDate(1, 0, 0)), "Postpone")
		refuse()
		requireFlow(t, s, again)
		requireFlow(t, s, elsewhere)
		requireNoConnection(t, s, otherApp, "dora")
		c.requireUnchanged(t, s)
	}},

	{"a replaced identity is ErrIdentityRetired, for its former user too", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		back, other := flow("anna", "back"), flow("ben", "other")
		bind(t, s, back, other)
		requireRefused(t, s, back, finished(back, old.IdentityID), connect.ErrIdentityRetired)
		requireRefused(t, s, other, finished(other, old.IdentityID), connect.ErrIdentityRetired)
		requireConnection(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"after Done the identity is like any other", func(t tb, s connect.Store) {
		c := newScene(t, s)
		require.NoError(t, s.Done(t.Context(), deletion(c.dora)), "Done")
		emil := complete(t, s, c.fresh, c.dora.IdentityID)
		requireConnection(t, s, emil)
		requireTasks(t, s, tag(c.anna), tag(c.ben), tag(emil))
	}},

	{"deletions are leased, done and postponed like tags", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnect(t, s, c)
		requireDue(t, s, deleteDue, deletion(c))
		requireDue(t, s, deleteDue.Add(lease-micro))
		requireDue(t, s, deleteDue.Add(lease), again(deletion(c), 2))

		later := deleteDue.Add(3*lease + time.Minute)
		require.NoError(t, s.Postpone(t.Context(), deletion(c), later), "Postpone")
		requireDue(t, s, later.Add(-micro))
		requireDue(t, s, later, again(deletion(c), 3))

		require.NoError(t, s.Done(t.Context(), tag(c)), "Done of an unknown task")
		requireDue(t, s, later.Add(lease), again(deletion(c), 4))
		require.NoError(t, s.Done(t.Context(), deletion(c)), "Done")
		requireTasks(t, s)
	}},
}}
