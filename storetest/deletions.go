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
				requireRefused(t, s, p, finished(p, c.dora.IdentityID), single, connect.ErrIdentityRetired)
			}
		}
		refuse()
		claim(t, s, deleteDue, plenty)
		refuse()
		postpone(t, s, deletion(c.dora), noon.AddDate(1, 0, 0))
		refuse()
		requireFlow(t, s, again)
		requireFlow(t, s, elsewhere)
		requireNoConnection(t, s, otherApp, "dora")
		c.requireRowsUnchanged(t, s)
	}},

	{"a replaced identity is ErrIdentityRetired, for its former user too", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		back, other := flow("anna", "back"), flow("ben", "other")
		bind(t, s, back, other)
		requireRefused(t, s, back, finished(back, old.IdentityID), single, connect.ErrIdentityRetired)
		requireRefused(t, s, other, finished(other, old.IdentityID), single, connect.ErrIdentityRetired)
		requireConnections(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"after Done the identity is like any other", func(t tb, s connect.Store) {
		c := newScene(t, s)
		markDone(t, s, deletion(c.dora))
		emil := complete(t, s, c.fresh, c.dora.IdentityID)
		requireConnections(t, s, emil)
		requireTasks(t, s, tag(c.anna), tag(c.ben), tag(emil))
	}},

	{"deletions are leased, done and postponed like tags", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		disconnect(t, s, c)
		requireDue(t, s, deleteDue, deletion(c))
		requireDue(t, s, deleteDue.Add(lease-micro))
		requireDue(t, s, deleteDue.Add(lease), attempted(deletion(c), 2))

		later := deleteDue.Add(3*lease + time.Minute)
		postpone(t, s, deletion(c), later)
		requireDue(t, s, later.Add(-micro))
		requireDue(t, s, later, attempted(deletion(c), 3))

		require.NoError(t, s.Done(t.Context(), tag(c)), "Done of an unknown task")
		requireDue(t, s, later.Add(lease), attempted(deletion(c), 4))
		markDone(t, s, deletion(c))
		requireTasks(t, s)
	}},
}}
