package storetest

import (
	"time"

	"github.com/anchorconnect/connect"
)

var completeSameIdentityGroup = group{"Complete SameIdentity", []check{
	{"the identity that the user has is renewed", func(t tb, s connect.Store) {
		old := connected(t, s, flow("anna", "first"), identity("anna"))
		p := flow("anna", "second")
		c := connectedAt(withHealth(finished(p, identity("anna")), needsSignIn, later(1)), noon.Add(time.Minute))
		c = renewedWith(t, s, old, p, c, sameIdentity(single))
		requireConnections(t, s, c)
		requireFlow(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"the identity of any connection of the user is renewed", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		how := sameIdentity(upTo(2))
		for i, p := range []connect.Pending{flow("anna", "plain"), adds(flow("anna", "adds")), renews(flow("anna", "named"), second.ID)} {
			c := connectedAt(finished(p, second.IdentityID), noon.Add(time.Duration(i+1)*time.Second))
			second = renewedWith(t, s, second, p, c, how)
			requireConnections(t, s, first, second)
		}
		requireTasks(t, s, tag(second))
	}},

	{"any other identity is ErrIdentityTooOld, and nothing changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefused(t, s, c.live, finished(c.live, identity("new")), sameIdentity(single), connect.ErrIdentityTooOld)
		c.requireUnchanged(t, s)
		renew(t, s, c.anna, c.live, identity("new"))
	}},

	{"without a connection, every identity is ErrIdentityTooOld", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefused(t, s, c.fresh, finished(c.fresh, identity("new")), sameIdentity(single), connect.ErrIdentityTooOld)
		c.requireUnchanged(t, s)
		complete(t, s, c.fresh, identity("new"))
	}},

	{"an identity that the user had before is refused", func(t tb, s connect.Store) {
		replaced := connected(t, s, flow("anna", "replaced"), identity("replaced"))
		c := renewed(t, s, replaced, flow("anna", "new"), identity("new"))
		ended := connected(t, s, flow("ben", "ended"), identity("ended"))
		disconnect(t, s, ended)
		annas, bens := flow("anna", "again"), flow("ben", "again, ben")
		bind(t, s, annas, bens)
		requireRefused(t, s, annas, finished(annas, replaced.IdentityID), sameIdentity(single), connect.ErrIdentityRetired)
		requireRefused(t, s, bens, finished(bens, ended.IdentityID), sameIdentity(single), connect.ErrIdentityRetired)
		for _, old := range []connect.Connection{replaced, ended} {
			markDone(t, s, deletion(old))
		}
		requireRefused(t, s, annas, finished(annas, replaced.IdentityID), sameIdentity(single), connect.ErrIdentityTooOld)
		requireRefused(t, s, bens, finished(bens, ended.IdentityID), sameIdentity(single), connect.ErrIdentityTooOld)
		requireConnections(t, s, c)
		requireNoConnection(t, s, app, "ben")
		requireTasks(t, s, tag(c))
	}},

	{"a reload is not affected", func(t tb, s connect.Store) {
		p := flow("anna", "old")
		old := connected(t, s, p, identity("old"))
		requireReloadWith(t, s, p, old, sameIdentity(single))
		c := renewed(t, s, old, flow("anna", "new"), identity("new"))
		requireReloadWith(t, s, p, old, sameIdentity(single))
		requireConnections(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},
}}
