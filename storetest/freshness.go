package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// freshness is about SameIdentity, which is set for an identity that is not
// fresh.
var freshness = topic{"freshness", []check{
	{"SameIdentity allows the identity that the user has, and it is the newer connection", func(t tb, s connect.Store) {
		connected(t, s, start("anna", "first"), identity("anna"))
		p := start("anna", "second")
		bind(t, s, p)
		c := withHealth(finished(p, identity("anna")), needsSignIn, later(1))
		c.ConnectedAt = noon.Add(time.Minute)
		completeHow(t, s, p, c, same)
		requireConnection(t, s, c)
		requireStart(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"SameIdentity refuses any other identity as ErrIdentityTooOld, and nothing changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefusedHow(t, s, c.live, finished(c.live, identity("new")), same, connect.ErrIdentityTooOld)
		c.requireUnchanged(t, s)
		c.requireTasksUnchanged(t, s)
		complete(t, s, c.live, identity("new"))
	}},

	{"SameIdentity refuses every identity of a user who has no connection, and nothing changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefusedHow(t, s, c.fresh, finished(c.fresh, identity("new")), same, connect.ErrIdentityTooOld)
		c.requireUnchanged(t, s)
		c.requireTasksUnchanged(t, s)
		complete(t, s, c.fresh, identity("new"))
	}},

	{"SameIdentity refuses an identity that the user had before", func(t tb, s connect.Store) {
		replaced := connected(t, s, start("anna", "replaced"), identity("replaced"))
		c := connected(t, s, start("anna", "new"), identity("new"))
		ended := connected(t, s, start("ben", "ended"), identity("ended"))
		disconnect(t, s, ended)
		annas, bens := start("anna", "again"), start("ben", "again, ben")
		bind(t, s, annas, bens)
		requireRefusedHow(t, s, annas, finished(annas, replaced.IdentityID), same, connect.ErrIdentityRetired)
		requireRefusedHow(t, s, bens, finished(bens, ended.IdentityID), same, connect.ErrIdentityRetired)
		for _, old := range []connect.Connection{replaced, ended} {
			require.NoError(t, s.Done(t.Context(), deletion(old)), "Done")
		}
		requireRefusedHow(t, s, annas, finished(annas, replaced.IdentityID), same, connect.ErrIdentityTooOld)
		requireRefusedHow(t, s, bens, finished(bens, ended.IdentityID), same, connect.ErrIdentityTooOld)
		requireConnection(t, s, c)
		requireNoConnection(t, s, app, "ben")
		requireTasks(t, s, tag(c))
	}},

	{"SameIdentity does not concern a reload, not even of a return that was replaced", func(t tb, s connect.Store) {
		p := start("anna", "old")
		old := connected(t, s, p, identity("old"))
		requireReloadHow(t, s, p, old, same)
		c := connected(t, s, start("anna", "new"), identity("new"))
		requireReloadHow(t, s, p, old, same)
		requireConnection(t, s, c)
		requireTasks(t, s, deletion(old), tag(c))
	}},
}}
