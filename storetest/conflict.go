package storetest

import (
	"github.com/anchorconnect/connect"
)

var conflict = topic{"conflict", []check{
	{"the identity of another user is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flow("ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), connect.ErrIdentityTaken)
		requireConnection(t, s, anna)
		requireNoConnection(t, s, app, "ben")
		requireFlow(t, s, p)
		requireTasks(t, s, tag(anna))
	}},

	{"the identity of a user of another application is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flowIn(otherApp, "ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), connect.ErrIdentityTaken)
		requireConnection(t, s, anna)
		requireNoConnection(t, s, otherApp, "ben")
		requireTasks(t, s, tag(anna))
	}},

	{"the identity of the same user id in another application is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		p := flowIn(otherApp, "anna", "elsewhere")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), connect.ErrIdentityTaken)
		requireConnection(t, s, anna)
		requireNoConnection(t, s, otherApp, "anna")
		requireTasks(t, s, tag(anna))
	}},

	{"a user keeps the own connection when the identity of another is refused", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("anna"))
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		p := flow("ben", "again")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, anna.IdentityID), connect.ErrIdentityTaken)
		requireConnection(t, s, anna)
		requireConnection(t, s, ben)
		requireTasks(t, s, tag(anna), tag(ben))
	}},

	{"an identity stays its user's after the flow it came with was swept", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		sweepAll(t, s, 1)
		p := flow("ben", "ben")
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), connect.ErrIdentityTaken)
		requireConnection(t, s, anna)
	}},
}}
