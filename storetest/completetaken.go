package storetest

import (
	"github.com/anchorconnect/connect"
)

var completeTakenGroup = group{"Complete taken identity", []check{
	{"the identity of another user is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flow("ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
		requireNoConnection(t, s, app, "ben")
		requireFlow(t, s, p)
		requireTasks(t, s, tag(anna))
	}},

	{"the identity of another user in another application is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flowIn(otherApp, "ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
		requireNoConnection(t, s, otherApp, "ben")
		requireTasks(t, s, tag(anna))
	}},

	{"the identity of the same user id in another application is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flowIn(otherApp, "anna", "elsewhere")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
		requireNoConnection(t, s, otherApp, "anna")
		requireTasks(t, s, tag(anna))
	}},

	{"a refusal leaves the user's own connection unchanged", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("anna"))
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		p := flow("ben", "again")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, anna.IdentityID), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
		requireConnections(t, s, ben)
		requireTasks(t, s, tag(anna), tag(ben))
	}},

	{"an identity stays taken after its flow was swept", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		sweepAll(t, s, 1)
		p := flow("ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
	}},
}}
