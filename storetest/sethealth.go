package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// news is what a call of SetHealth says of an identity.
type news struct {
	health connect.Health
	at     time.Time
}

func (n news) String() string { return fmt.Sprintf("%s at %v", n.health, n.at.Sub(signedIn)) }

// setHealth calls SetHealth.
func setHealth(t tb, s connect.Store, identityID string, health connect.Health, at time.Time) (c connect.Connection, changed bool) {
	t.Helper()
	c, changed, err := s.SetHealth(t.Context(), identityID, health, at)
	require.NoError(t, err, "SetHealth")
	return c, changed
}

// requireChange calls SetHealth with news that changes the Health of c, and returns c
// as it is afterwards.
func requireChange(t tb, s connect.Store, c connect.Connection, health connect.Health, at time.Time) connect.Connection {
	t.Helper()
	want := withHealth(c, health, at)
	got, changed := setHealth(t, s, c.IdentityID, health, at)
	require.Equal(t, inUTC(want), inUTC(got), "the connection that SetHealth returns")
	require.True(t, changed, "changed, which SetHealth returns for a change")
	requireAmong(t, s, want)
	return want
}

// requireNoChange calls SetHealth with news that leaves the Health unchanged. c is the
// connection afterwards: its HealthAt may change.
func requireNoChange(t tb, s connect.Store, c connect.Connection, health connect.Health, at time.Time) {
	t.Helper()
	got, changed := setHealth(t, s, c.IdentityID, health, at)
	require.Equal(t, inUTC(c), inUTC(got), "the connection that SetHealth returns")
	require.False(t, changed, "changed, which SetHealth returns without a change")
	requireAmong(t, s, c)
}

// requireNotConnected calls SetHealth for an identity that no connection has.
func requireNotConnected(t tb, s connect.Store, identityID string) {
	t.Helper()
	for _, health := range []connect.Health{needsSignIn, healthOK} {
		_, changed, err := s.SetHealth(t.Context(), identityID, health, later(5))
		require.ErrorIs(t, err, connect.ErrNotConnected, "SetHealth for an identity without a connection")
		require.False(t, changed, "changed, which SetHealth returns for an identity without a connection")
	}
}

// permutations returns all orders of some news.
func permutations(all []news) (orders [][]news) {
	if len(all) == 0 {
		return [][]news{nil}
	}
	for i, first := range all {
		for _, rest := range permutations(slices.Delete(slices.Clone(all), i, i+1)) {
			orders = append(orders, append([]news{first}, rest...))
		}
	}
	return orders
}

var unknownHealths = []connect.Health{"", "OK", "ok ", " ok", "needs sign-in", "NEEDS_SIGN_IN", "unknown", "0", "ok\x00", "\xff"}

var setHealthGroup = group{"SetHealth", []check{
	{"Complete stores the health of a new connection", func(t tb, s connect.Store) {
		for i, e := range []news{{healthOK, signedIn}, {needsSignIn, signedIn}, {healthOK, later(90)}, {needsSignIn, later(-90)}} {
			label := fmt.Sprint(i)
			p := flow("user "+label, label)
			c := connectedWith(t, s, p, withHealth(finished(p, identity(label)), e.health, e.at), single)
			requireConnections(t, s, c)
		}
	}},

	{"later news sets Health and HealthAt, and nothing else", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = requireChange(t, s, c, needsSignIn, later(1))
		c = requireChange(t, s, c, healthOK, later(2))
		c = requireChange(t, s, c, needsSignIn, later(60))
		requireTasks(t, s, tag(c))
	}},

	{"earlier news changes nothing", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireNoChange(t, s, c, needsSignIn, later(-1))
		requireNoChange(t, s, c, healthOK, later(-1))
		c = requireChange(t, s, c, needsSignIn, later(3))
		for _, minutes := range []int{2, 0, -1} {
			requireNoChange(t, s, c, healthOK, later(minutes))
			requireNoChange(t, s, c, needsSignIn, later(minutes))
		}
		requireChange(t, s, c, healthOK, later(4))
	}},

	{"the same news again changes nothing", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		for i, health := range []connect.Health{needsSignIn, healthOK, needsSignIn} {
			c = requireChange(t, s, c, health, later(i+1))
			requireNoChange(t, s, c, health, later(i+1))
			requireNoChange(t, s, c, health, later(i+1))
		}
	}},

	{"later news of the same health moves HealthAt", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = withHealth(c, healthOK, later(3))
		requireNoChange(t, s, c, healthOK, later(3))
		requireNoChange(t, s, c, needsSignIn, later(2))
		c = requireChange(t, s, c, needsSignIn, later(4))
		c = withHealth(c, needsSignIn, later(6))
		requireNoChange(t, s, c, needsSignIn, later(6))
		requireNoChange(t, s, c, healthOK, later(5))
		requireChange(t, s, c, healthOK, later(7))
	}},

	{"of news of one moment, HealthNeedsSignIn stands, in any order", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = requireChange(t, s, c, needsSignIn, later(1))
		requireNoChange(t, s, c, healthOK, later(1))
		c = requireChange(t, s, c, healthOK, later(2))
		requireNoChange(t, s, c, healthOK, later(2))
		c = requireChange(t, s, c, needsSignIn, later(2))
		requireNoChange(t, s, c, healthOK, later(2))
	}},

	{"news of the moment of the sign-in counts if it is HealthNeedsSignIn", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireNoChange(t, s, c, healthOK, signedIn)
		c = requireChange(t, s, c, needsSignIn, signedIn)
		requireNoChange(t, s, c, healthOK, signedIn)

		p := flow("ben", "ben")
		bind(t, s, p)
		ben := withHealth(finished(p, identity("ben")), needsSignIn, signedIn)
		completeWith(t, s, p, ben, single)
		requireNoChange(t, s, ben, healthOK, signedIn)
		requireNoChange(t, s, ben, needsSignIn, signedIn)
		requireChange(t, s, ben, healthOK, signedIn.Add(micro))
	}},

	{"the result does not depend on the order or number of calls", func(t tb, s connect.Store) {
		for i, row := range []struct {
			all []news
			end news
		}{
			{[]news{{needsSignIn, later(1)}, {healthOK, later(2)}, {needsSignIn, later(3)}, {healthOK, later(4)}}, news{healthOK, later(4)}},
			{[]news{{healthOK, later(1)}, {needsSignIn, later(2)}, {healthOK, later(3)}, {needsSignIn, later(4)}}, news{needsSignIn, later(4)}},
			{[]news{{needsSignIn, later(1)}, {healthOK, later(2)}, {needsSignIn, later(2)}}, news{needsSignIn, later(2)}},
			{[]news{{needsSignIn, later(1)}, {healthOK, later(1)}, {healthOK, later(2)}}, news{healthOK, later(2)}},
			{[]news{{needsSignIn, later(0)}, {healthOK, later(0)}, {needsSignIn, later(-1)}}, news{needsSignIn, later(0)}},
			{[]news{{needsSignIn, later(-3)}, {healthOK, later(-2)}, {needsSignIn, later(-1)}}, news{healthOK, later(0)}},
			{[]news{{needsSignIn, later(1)}, {healthOK, later(2)}, {healthOK, later(3)}}, news{healthOK, later(3)}},
		} {
			for j, order := range permutations(row.all) {
				label := fmt.Sprint(i, "/", j)
				c := connected(t, s, flow("user "+label, label), identity(label))
				want := withHealth(c, row.end.health, row.end.at)
				for range 2 {
					for _, e := range order {
						setHealth(t, s, c.IdentityID, e.health, e.at)
					}
					got, err := s.Connections(t.Context(), app, c.UserID)
					require.NoError(t, err, "Connections")
					requireSame(t, []connect.Connection{want}, got, fmt.Sprintf("the connection after this news: %v", order))
				}
			}
		}
	}},

	{"times are compared to the microsecond", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		requireNoChange(t, s, c, needsSignIn, signedIn.Add(-micro))
		c = requireChange(t, s, c, needsSignIn, signedIn.Add(micro))
		c = requireChange(t, s, c, healthOK, signedIn.Add(2*micro))
		requireNoChange(t, s, c, needsSignIn, signedIn.Add(micro))
		requireChange(t, s, c, needsSignIn, signedIn.Add(2*micro))
	}},

	{"equal times stay equal below a microsecond", func(t tb, s connect.Store) {
		for _, ns := range []time.Duration{1, 499, 500, 501, 999} {
			label := fmt.Sprint(int(ns))
			moment := signedIn.Add(ns)
			p := flow("user "+label, label)
			connectedWith(t, s, p, withHealth(finished(p, identity(label)), healthOK, moment), single)
			for _, e := range []struct {
				news
				changed bool
			}{
				{news{healthOK, moment}, false},
				{news{needsSignIn, moment}, true},
				{news{healthOK, moment}, false},
				{news{healthOK, moment.Add(micro)}, true},
				{news{needsSignIn, moment}, false},
				{news{needsSignIn, moment.Add(micro)}, true},
			} {
				c, changed := setHealth(t, s, identity(label), e.health, e.at)
				require.Equal(t, e.changed, changed, "changed, which SetHealth returns: %v, of %v", e, c)
			}
			requireNear(t, moment.Add(micro), onlyConnection(t, s, p.UserID).HealthAt, "HealthAt")
		}
	}},

	{"a time is the same instant in any zone", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		minutes := 0
		for _, kept := range zones(t) {
			for _, given := range zones(t) {
				minutes++
				moment := later(minutes)
				c = withHealth(c, healthOK, moment)
				setHealth(t, s, c.IdentityID, healthOK, moment.In(kept))
				requireConnections(t, s, c)
				requireNoChange(t, s, c, needsSignIn, moment.Add(-micro).In(given))
				c = requireChange(t, s, c, needsSignIn, moment.In(given))
				requireNoChange(t, s, c, healthOK, moment.In(kept))
			}
		}
	}},

	{"times are ordered as instants, not as strings", func(t tb, s connect.Store) {
		moments := orderedMoments()
		p := flow("anna", "tab")
		c := withHealth(finished(p, identity("anna")), healthOK, moments[0])
		connectedWith(t, s, p, c, single)
		for i, moment := range moments[1:] {
			other := needsSignIn
			if c.Health == needsSignIn {
				other = healthOK
			}
			for _, before := range moments[:i] {
				requireNoChange(t, s, c, other, before)
			}
			c = requireChange(t, s, c, other, moment)
		}
	}},

	{"an identity without a connection is ErrNotConnected", func(t tb, s connect.Store) {
		requireNotConnected(t, s, identity("nobody"))
		c := newScene(t, s)
		requireNotConnected(t, s, identity("nobody"))
		c.requireUnchanged(t, s)
	}},

	{"an identity that was replaced is ErrNotConnected", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireNotConnected(t, s, old.IdentityID)
		requireConnections(t, s, c)
		c = requireChange(t, s, c, needsSignIn, later(1))
		requireNotConnected(t, s, old.IdentityID)
		requireConnections(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},

	{"the identity of a connection that has ended is ErrNotConnected", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireNotConnected(t, s, c.dora.IdentityID)
		c.requireUnchanged(t, s)
		markDone(t, s, deletion(c.dora))
		requireNotConnected(t, s, c.dora.IdentityID)
		c.requireRowsUnchanged(t, s)
		// The connection that has the identity now gets the news.
		emil := complete(t, s, c.fresh, c.dora.IdentityID)
		requireChange(t, s, emil, needsSignIn, later(1))
		requireNoConnection(t, s, app, "dora")
	}},

	{"an identity is found in any application", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "here"), identity("here"))
		there := connected(t, s, flowIn(otherApp, "anna", "there"), identity("there"))
		third := connected(t, s, flowIn("a third", "ben", "third"), identity("third"))
		there = requireChange(t, s, there, needsSignIn, later(1))
		third = requireChange(t, s, third, needsSignIn, later(2))
		requireConnections(t, s, anna)
		requireChange(t, s, anna, needsSignIn, later(3))
		requireConnections(t, s, there)
		requireConnections(t, s, third)
	}},

	{"other connections, flows and tasks stay unchanged", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		c.anna = requireChange(t, s, c.anna, needsSignIn, later(1))
		c.requireRowsUnchanged(t, s)
		requireConnections(t, s, elsewhere)
		c.anna = requireChange(t, s, c.anna, healthOK, later(2))
		c.requireRowsUnchanged(t, s)
		c.anna = requireChange(t, s, c.anna, needsSignIn, later(3))
		c.requireRowsUnchanged(t, s)
		requireConnections(t, s, elsewhere)
		c.requireTasksUnchanged(t, s)
	}},

	{"of several connections only the one with the identity changes", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		second = requireChange(t, s, second, needsSignIn, later(1))
		requireConnections(t, s, first, second)
		first = requireChange(t, s, first, needsSignIn, later(2))
		second = requireChange(t, s, second, healthOK, later(3))
		requireConnections(t, s, first, second)
		requireTasks(t, s)
	}},

	{"a connection that needs a sign-in keeps its identity", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = requireChange(t, s, c, needsSignIn, later(1))
		thief := flow("ben", "ben")
		bind(t, s, thief)
		requireRefused(t, s, thief, finished(thief, c.IdentityID), single, connect.ErrIdentityTaken)
		requireConnections(t, s, c)
		requireTasks(t, s, tag(c))
	}},

	{"a renewal with the same identity takes the health of the new sign-in", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "first"), identity("anna"))
		requireChange(t, s, c, needsSignIn, later(5))
		p := flow("anna", "second")
		c = renewedWith(t, s, c, p, withHealth(finished(p, identity("anna")), healthOK, later(2)), single)
		requireConnections(t, s, c)
		// From then on the new HealthAt counts.
		requireNoChange(t, s, c, needsSignIn, later(1))
		requireChange(t, s, c, needsSignIn, later(3))

		p = flow("anna", "third")
		c = renewedWith(t, s, c, p, withHealth(finished(p, identity("anna")), needsSignIn, later(-1)), single)
		requireConnections(t, s, c)
	}},

	{"a renewal with another identity takes the health of the new sign-in", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "old"), identity("old"))
		requireChange(t, s, old, needsSignIn, later(5))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireConnections(t, s, c)
		requireChange(t, s, c, needsSignIn, later(1))
	}},

	{"a reload changes no health", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		begun := connected(t, s, p, identity("anna"))
		c := requireChange(t, s, begun, needsSignIn, later(1))
		requireReload(t, s, p, begun)
		requireConnections(t, s, c)
		requireReload(t, s, p, withHealth(c, healthOK, later(2)))
		requireConnections(t, s, c)
		requireChange(t, s, c, healthOK, later(2))
	}},

	{"Disconnect returns the health, and a new connection has its own", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = requireChange(t, s, c, needsSignIn, later(5))
		disconnect(t, s, c)
		markDone(t, s, deletion(c))
		c = connected(t, s, flow("anna", "again"), identity("anna"))
		requireConnections(t, s, c)
		requireChange(t, s, c, needsSignIn, later(1))
	}},

	{"an unknown health is an error, and nothing changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range unknownHealths {
			for _, there := range []connect.Connection{c.anna, c.ben} {
				_, changed, err := s.SetHealth(t.Context(), there.IdentityID, odd, later(5))
				require.Error(t, err, "SetHealth to %q", odd)
				require.NotErrorIs(t, err, connect.ErrNotConnected, "SetHealth to %q for a connected identity", odd)
				require.False(t, changed, "changed, which a refused SetHealth returns")
			}
			_, _, err := s.SetHealth(t.Context(), identity("nobody"), odd, later(5))
			require.Error(t, err, "SetHealth to %q for an identity without a connection", odd)
		}
		c.requireUnchanged(t, s)
	}},

	{"Complete with an unknown health is an error, and the flow stays pending", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range unknownHealths {
			done, err := s.Complete(t.Context(), c.fresh.TokenHash, withHealth(finished(c.fresh, identity("new")), odd, signedIn), single)
			require.Error(t, err, "Complete with a connection whose Health is %q", odd)
			require.Zero(t, done, "the result of a refused Complete: Health is %q", odd)
		}
		c.requireUnchanged(t, s)
		complete(t, s, c.fresh, identity("new"))
	}},
}}
