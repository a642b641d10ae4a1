package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// A scene is a store with flows, connections and tasks of every kind. Checks of calls
// that must change nothing compare it afterwards.
type scene struct {
	live     connect.Pending // of anna, who is connected
	done     connect.Pending // of anna, completed
	expired  connect.Pending // of ben, who is connected
	bens     connect.Pending // of ben, completed; he needs to sign in
	ended    connect.Pending // of carl, spent
	gone     connect.Pending // of dora, who has disconnected
	fresh    connect.Pending // of emil, who has nothing else
	first    connect.Pending // of fred, completed; he has two connections
	second   connect.Pending // of fred, completed by his actor gina
	renewing connect.Pending // of fred, renews his first connection
	adding   connect.Pending // of fred, begun by gina, adds a third connection

	anna, ben, dora connect.Connection
	home, work      connect.Connection // of fred, without tasks
}

// sceneFlows is the number of flows in a scene.
const sceneFlows = 11

// newScene fills an empty store.
func newScene(t tb, s connect.Store) scene {
	t.Helper()
	c := scene{
		live:     flow("anna", "live"),
		done:     flow("anna", "done"),
		expired:  flow("ben", "expired"),
		bens:     flow("ben", "bens"),
		ended:    flow("carl", "ended"),
		gone:     flow("dora", "gone"),
		fresh:    flow("emil", "fresh"),
		first:    flow("fred", "first of fred"),
		second:   actedBy(adds(flow("fred", "second of fred")), "gina"),
		renewing: flow("fred", "renewing"),
		adding:   actedBy(adds(flow("fred", "adding")), "gina"),
	}
	c.expired.ExpiresAt = noon.Add(-time.Hour)
	c.second.Label = "work"
	bind(t, s, c.live, c.done, c.expired, c.bens, c.ended, c.gone, c.fresh, c.first, c.second)
	c.anna = complete(t, s, c.done, identity("anna"))
	c.ben = completeWith(t, s, c.bens, withHealth(finished(c.bens, identity("ben")), needsSignIn, signedIn), single)
	spend(t, s, c.ended)
	c.dora = complete(t, s, c.gone, identity("dora"))
	disconnect(t, s, c.dora)

	c.home = completeWith(t, s, c.first, createdAt(finished(c.first, identity("home")), noon.Add(-time.Minute)), single)
	c.work = completeWith(t, s, c.second, finished(c.second, identity("work")), several)
	markDone(t, s, tag(c.home), tag(c.work))
	c.renewing.ConnectionID = c.home.ID
	bind(t, s, c.renewing, c.adding)
	return c
}

// flows returns the flows of a scene as they are stored.
func (c scene) flows() []connect.Pending {
	return []connect.Pending{
		c.live, completed(c.done, c.anna.IdentityID), c.expired, completed(c.bens, c.ben.IdentityID),
		spent(c.ended), spent(c.gone), c.fresh, completed(c.first, c.home.IdentityID),
		completed(c.second, c.work.IdentityID), c.renewing, c.adding,
	}
}

// requireRowsUnchanged compares all flows and connections, and may be repeated.
func (c scene) requireRowsUnchanged(t tb, s connect.Store) {
	t.Helper()
	flows := c.flows()
	require.Len(t, flows, sceneFlows)
	requireFlows(t, s, flows, nil)
	requireConnections(t, s, c.anna)
	requireConnections(t, s, c.ben)
	requireConnections(t, s, c.home, c.work)
	for _, user := range []string{"carl", "dora", "emil", "gina"} {
		requireNoConnection(t, s, app, user)
	}
}

// requireUnchanged compares everything. It claims all tasks, so it comes last.
func (c scene) requireUnchanged(t tb, s connect.Store) {
	t.Helper()
	c.requireRowsUnchanged(t, s)
	c.requireTasksUnchanged(t, s)
}

// requireTasksUnchanged claims all tasks, so it comes last.
func (c scene) requireTasksUnchanged(t tb, s connect.Store) {
	t.Helper()
	requireDue(t, s, tagDue.Add(-micro))
	requireDue(t, s, tagDue, tag(c.anna), tag(c.ben))
	requireDue(t, s, deleteDue.Add(-micro))
	requireDue(t, s, deleteDue, deletion(c.dora))
	requireTasks(t, s, attempted(tag(c.anna), 2), attempted(tag(c.ben), 2), attempted(deletion(c.dora), 2))
}
