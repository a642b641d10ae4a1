package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var completeActorsGroup = group{"Complete actors", []check{
	{"another actor is ErrAnotherUser, and the flow stays pending", func(t tb, s connect.Store) {
		for i, pair := range [][2]string{{"", "ben"}, {"ben", ""}, {"ben", "carl"}, {"ben", "Ben"}, {"", "anna"}, {"anna", ""}} {
			bound, other := pair[0], pair[1]
			user := fmt.Sprint("user ", i)
			p := actedBy(flow(user, user), bound)
			bind(t, s, p)
			requireRefused(t, s, p, finished(actedBy(p, other), identity(user)), single, connect.ErrAnotherUser)
			requireFlow(t, s, p)
			requireNoConnection(t, s, app, user)
			requireConnections(t, s, complete(t, s, p, identity(user)))
		}
	}},

	{"a reload by another actor is ErrAnotherUser, and changes nothing", func(t tb, s connect.Store) {
		p := actedBy(flow("anna", "tab"), "ben")
		c := connected(t, s, p, identity("anna"))
		for _, other := range []string{"", "carl", "anna"} {
			stolen := c
			stolen.ActorID = other
			requireRefused(t, s, p, stolen, single, connect.ErrAnotherUser)
		}
		requireFlow(t, s, completed(p, c.IdentityID))
		requireConnections(t, s, c)
		requireReload(t, s, p, c)
	}},

	{"every ActorID is stored exactly, and distinct from similar ones", func(t tb, s connect.Store) {
		flows := make([]connect.Pending, len(lookalikes))
		for i, actor := range lookalikes {
			flows[i] = actedBy(adds(flow("anna", fmt.Sprint(i))), actor)
			bindWithin(t, s, 1, flows[i])
		}
		for i, p := range flows {
			requireFlow(t, s, p)
			c := finished(p, identity(fmt.Sprint(i)))
			for _, j := range []int{i - 1, i + 1} {
				if j < 0 || j >= len(lookalikes) {
					continue
				}
				stolen := c
				stolen.ActorID = lookalikes[j]
				requireRefused(t, s, p, stolen, several, connect.ErrAnotherUser)
			}
			completeWith(t, s, p, c, several)
		}
	}},

	{"actors share the owner's connections, and ActorID is who signed in last", func(t tb, s connect.Store) {
		bens := connected(t, s, actedBy(flow("anna", "ben"), "ben"), identity("ben"))
		carls := added(t, s, actedBy(flow("anna", "carl"), "carl"), identity("carl"))
		requireConnections(t, s, sortByID(bens, carls)...)
		carls = renewed(t, s, carls, renews(actedBy(flow("anna", "ben again"), "ben"), carls.ID), identity("new"))
		bens = renewed(t, s, bens, renews(flow("anna", "anna"), bens.ID), bens.IdentityID)
		require.Equal(t, []string{"ben", ""}, []string{carls.ActorID, bens.ActorID})
		requireConnections(t, s, sortByID(bens, carls)...)
		requireNoConnection(t, s, app, "ben")
		requireNoConnection(t, s, app, "carl")
	}},

	{"the owner's connections and flows are not the actor's own", func(t tb, s connect.Store) {
		p := actedBy(flow("anna", "for anna"), "ben")
		own := flow("ben", "own")
		bind(t, s, p, own)
		annas := complete(t, s, p, identity("anna"))
		bens := complete(t, s, own, identity("ben"))
		requireApplicationsOf(t, s, "ben", app)
		disconnect(t, s, bens)
		requireConnections(t, s, annas)
		requireFlow(t, s, completed(p, annas.IdentityID))
		disconnectNone(t, s, app, "ben")
		requireApplicationsOf(t, s, "ben")
		requireTasks(t, s, tag(annas), deletion(bens))
	}},
}}
