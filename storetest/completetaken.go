package storetest

import (
	"github.com/anchorconnect/connect"
)

// refusesTaken returns a check that a flow is not completed with the identity of anna.
func refusesTaken(whose string, p connect.Pending) check {
	return check{"the identity of " + whose + " is ErrIdentityTaken", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("shared"))
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("shared")), single, connect.ErrIdentityTaken)
		requireConnections(t, s, anna)
		requireNoConnection(t, s, p.ApplicationID, p.UserID)
		requireFlow(t, s, p)
		requireTasks(t, s, tag(anna))
	}}
}

var completeTakenGroup = group{"Complete taken identity", []check{
	refusesTaken("another user", flow("ben", "ben")),
	refusesTaken("another user in another application", flowIn(otherApp, "ben", "ben")),
	refusesTaken("the same user id in another application", flowIn(otherApp, "anna", "elsewhere")),

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
