package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// requireDisconnectRefused ends a connection that the user does not have.
func requireDisconnectRefused(t tb, s connect.Store, d connect.Disconnection) {
	t.Helper()
	ended, err := s.Disconnect(t.Context(), d)
	require.ErrorIs(t, err, connect.ErrConnectionUnknown, "Disconnect of the connection %.40q, which the user does not have", d.ConnectionID)
	require.Empty(t, ended, "the result of a refused Disconnect")
}

var disconnectOneGroup = group{"Disconnect one", []check{
	{"the connection ends, and the others stay unchanged", func(t tb, s connect.Store) {
		p := actedBy(flow("anna", "first"), "ben")
		p.Label = "work"
		first := connected(t, s, p, identity("first"))
		second := added(t, s, flow("anna", "second"), identity("second"))
		first = requireChange(t, s, first, needsSignIn, later(1))
		disconnectOne(t, s, first)
		requireConnections(t, s, second)
		requireDue(t, s, deleteDue.Add(-micro), tag(second))
		requireDue(t, s, deleteDue, deletion(first))
		requireTasks(t, s, attempted(tag(second), 2), attempted(deletion(first), 2))
	}},

	{"a second call is ErrConnectionUnknown, and the deletion stays", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		disconnectOne(t, s, first)
		requireDisconnectRefused(t, s, endOne(first))
		requireConnections(t, s, second)
		disconnectOne(t, s, second)
		requireDisconnectRefused(t, s, endOne(second))
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(first), deletion(second))
	}},

	{"only flows that could renew the connection are spent", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		named, others, plain, more := renews(flow("anna", "named"), first.ID), renews(flow("anna", "others"), second.ID), flow("anna", "plain"), adds(flow("anna", "more"))
		late, both := renews(flow("anna", "late"), first.ID), adds(renews(flow("anna", "both"), first.ID))
		late.ExpiresAt = noon.Add(-lease)
		actors := []connect.Pending{
			actedBy(renews(flow("anna", "named, ben"), first.ID), "ben"), actedBy(flow("anna", "plain, ben"), "ben"),
			actedBy(renews(flow("anna", "others, ben"), second.ID), "ben"), actedBy(adds(flow("anna", "more, ben")), "ben"),
		}
		bind(t, s, named, others, plain, more, late, both)
		bind(t, s, actors...)
		somebodys := renews(flow("carl", "somebody's"), first.ID)
		elsewhere := renews(flowIn(otherApp, "anna", "elsewhere"), first.ID)
		bind(t, s, somebodys, elsewhere)

		disconnectOne(t, s, first)
		requireFlows(t, s, []connect.Pending{
			spent(named), others, spent(plain), more, spent(late), spent(both),
			spent(actors[0]), spent(actors[1]), actors[2], actors[3],
			somebodys, elsewhere,
		}, nil)
		requireRefused(t, s, named, finished(named, identity("new")), several, connect.ErrStateSpent)
		requireRefused(t, s, plain, finished(plain, second.IdentityID), several, connect.ErrStateSpent)
		second = renewWith(t, s, second, others, finished(others, second.IdentityID), several)
		third := completeWith(t, s, more, finished(more, identity("third")), several)
		requireConnections(t, s, sortByID(second, third)...)
	}},

	{"completed flows of the connection are spent: a reload is ErrStateSpent", func(t tb, s connect.Store) {
		plain := flow("anna", "plain")
		first := connected(t, s, plain, identity("first"))
		more := adds(flow("anna", "more"))
		second := added(t, s, more, identity("second"))
		named, others := renews(flow("anna", "named"), first.ID), renews(flow("anna", "others"), second.ID)
		first = renewed(t, s, first, named, identity("first"))
		second = renewed(t, s, second, others, identity("second"))

		disconnectOne(t, s, first)
		requireFlows(t, s, []connect.Pending{
			spent(plain), completed(more, second.IdentityID), spent(named), completed(others, second.IdentityID),
		}, nil)
		requireRefused(t, s, plain, finished(plain, first.IdentityID), single, connect.ErrStateSpent)
		requireRefused(t, s, named, finished(named, first.IdentityID), single, connect.ErrStateSpent)
		requireReload(t, s, more, finished(more, second.IdentityID))
		requireReload(t, s, others, second)
		requireConnections(t, s, second)
		// more could not renew the connection, but was completed with its identity.
		disconnectOne(t, s, second)
		requireFlow(t, s, spent(more))
		requireFlow(t, s, spent(others))
		requireRefused(t, s, more, finished(more, second.IdentityID), single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s, deletion(first), deletion(second))
	}},

	{"At is ignored: a flow that began earlier can be completed", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		d := endOne(first)
		d.At = noon.AddDate(1, 0, 0)
		ended, err := s.Disconnect(t.Context(), d)
		require.NoError(t, err, "Disconnect of one connection")
		requireSame(t, []connect.Connection{first}, ended, "the result of Disconnect")
		before, named := adds(flow("anna", "before")), renews(flow("anna", "named"), second.ID)
		bind(t, s, before, named)
		completeWith(t, s, before, finished(before, identity("before")), several)
		renewWith(t, s, second, named, finished(named, identity("new")), several)
	}},

	{"a user whose only connection ended can connect again", func(t tb, s connect.Store) {
		first := connected(t, s, flow("anna", "first"), identity("first"))
		more := adds(flow("anna", "more"))
		bind(t, s, more)
		disconnectOne(t, s, first)
		requireNoConnection(t, s, app, "anna")
		c := complete(t, s, more, identity("second"))
		disconnectOne(t, s, c)
		c2 := connected(t, s, flow("anna", "third"), identity("third"))
		requireConnections(t, s, c2)
		requireTasks(t, s, deletion(first), deletion(c), tag(c2))
	}},

	{"the identity is ErrIdentityRetired until its deletion is done", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		disconnectOne(t, s, first)
		more, named := adds(flow("anna", "more")), renews(flow("anna", "named"), second.ID)
		bind(t, s, more, named)
		requireRefused(t, s, more, finished(more, first.IdentityID), several, connect.ErrIdentityRetired)
		requireRefused(t, s, named, finished(named, first.IdentityID), several, connect.ErrIdentityRetired)
		requireNotConnected(t, s, first.IdentityID)
		markDone(t, s, deletion(first))
		third := completeWith(t, s, more, finished(more, first.IdentityID), several)
		requireConnections(t, s, sortByID(second, third)...)
	}},

	{"a connection that the user does not have is ErrConnectionUnknown", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		plain := renews(flow("anna", "for ben's"), c.ben.ID)
		bind(t, s, plain)
		for _, other := range []connect.Connection{c.ben, c.home, c.work, c.dora, elsewhere} {
			for _, user := range []string{"anna", "emil", "nobody"} {
				d := endOne(other)
				d.ApplicationID, d.UserID = app, user
				requireDisconnectRefused(t, s, d)
			}
		}
		there := endOne(c.anna)
		there.ApplicationID = otherApp
		requireDisconnectRefused(t, s, there)
		for _, id := range unknownIDs(c.anna) {
			d := endOne(c.anna)
			d.ConnectionID = id
			requireDisconnectRefused(t, s, d)
		}
		requireFlow(t, s, plain)
		requireConnections(t, s, elsewhere)
		c.requireUnchanged(t, s)
	}},

	{"every ID is stored exactly, and distinct from similar ones", func(t tb, s connect.Store) {
		var connections []connect.Connection
		for i, id := range lookalikes {
			p := adds(flow("anna", id))
			c := finished(p, identity(id))
			c.ID, c.Label = id, ""
			c = createdAt(c, noon.Add(time.Duration(i)*micro))
			connections = append(connections, connectedWith(t, s, p, c, several))
		}
		var done, live []connect.Pending
		for i, c := range connections {
			next := renews(flow("anna", c.ID+", again"), c.ID)
			connections[i] = renewed(t, s, c, next, c.IdentityID)
			c = connections[i]
			done, live = append(done, completed(next, c.IdentityID)), append(live, renews(flow("anna", c.ID+", live"), c.ID))
			bind(t, s, live[i])
			c.Label = "label of " + identity(c.ID)
			connections[i] = setLabel(t, s, c)
		}
		requireConnections(t, s, connections...)
		for i, c := range connections {
			// Ending the earlier ones has spent no flow of this one.
			requireFlow(t, s, done[i])
			requireFlow(t, s, live[i])
			requireConnections(t, s, connections[i:]...)
			disconnectOne(t, s, c)
			requireFlow(t, s, spent(done[i]))
			requireFlow(t, s, spent(live[i]))
		}
		requireNoConnection(t, s, app, "anna")
	}},
}}
