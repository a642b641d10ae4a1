package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// refusesAnother returns a check of a callback with another user or application.
func refusesAnother(what string, change func(c *connect.Connection)) check {
	return check{"another " + what + " is ErrAnotherUser, and the flow stays pending", func(t tb, s connect.Store) {
		c := newScene(t, s)
		stolen := finished(c.live, identity("new"))
		change(&stolen)
		requireRefused(t, s, c.live, stolen, single, connect.ErrAnotherUser)
		requireNoConnection(t, s, otherApp, "anna")
		c.requireUnchanged(t, s)
		renew(t, s, c.anna, c.live, identity("new"))
	}}
}

var completeGroup = group{"Complete", []check{
	{"the connection is stored, the flow is spent and a tag is queued", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		requireNoConnection(t, s, app, "anna")
		c := complete(t, s, p, identity("anna"))
		requireConnections(t, s, c)
		requireFlow(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"a reload is not First, and changes nothing", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireReload(t, s, c.done, c.anna)
		later := c.anna
		later.ConnectedAt = noon.Add(time.Minute)
		requireReload(t, s, c.done, later)
		c.requireUnchanged(t, s)
	}},

	{"another identity for a completed flow is ErrStateSpent", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefused(t, s, c.done, finished(c.done, identity("another")), single, connect.ErrStateSpent)
		c.requireUnchanged(t, s)
	}},

	refusesAnother("user", func(c *connect.Connection) { c.UserID = "emil" }),
	refusesAnother("application", func(c *connect.Connection) { c.ApplicationID = otherApp }),

	{"an unknown flow is ErrStateUnknown, and nothing is stored", func(t tb, s connect.Store) {
		c := newScene(t, s)
		unknown := flow("emil", "never bound")
		requireRefused(t, s, unknown, finished(unknown, identity("new")), single, connect.ErrStateUnknown)
		requireNoFlow(t, s, unknown.TokenHash)
		c.requireUnchanged(t, s)
	}},

	{"of several reasons to refuse, the first in order is returned", func(t tb, s connect.Store) {
		c := newScene(t, s)
		const carl, emil = "carl", "emil"
		fresh, taken, retired := identity("fresh"), c.ben.IdentityID, c.dora.IdentityID
		unknown := flow("anna", "never bound")
		late := c.live.ExpiresAt
		before := begunAt("dora", "before", disconnectedAt.Add(-micro)) // dora has disconnected
		only, more := flow("fred", "only"), adds(flow("fred", "more"))
		lost := renews(flow("fred", "lost"), c.anna.ID)
		bind(t, s, before, only, more, lost)

		rows := []struct {
			reasons  string
			flow     connect.Pending
			user     string
			identity string
			at       time.Time
			want     error
		}{
			{"unknown", unknown, "anna", fresh, noon, connect.ErrStateUnknown},
			{"unknown, identity taken", unknown, "anna", taken, noon, connect.ErrStateUnknown},
			{"unknown, identity retired", unknown, "anna", retired, noon, connect.ErrStateUnknown},
			{"another user", c.live, emil, fresh, noon, connect.ErrAnotherUser},
			{"another user, completed with this identity", c.done, emil, c.anna.IdentityID, noon, connect.ErrAnotherUser},
			{"another user, completed with another identity", c.done, emil, fresh, noon, connect.ErrAnotherUser},
			{"another user, spent", c.ended, emil, fresh, noon, connect.ErrAnotherUser},
			{"another user, expired", c.live, emil, fresh, late, connect.ErrAnotherUser},
			{"another user, identity retired", c.live, emil, retired, noon, connect.ErrAnotherUser},
			{"another user, who has the identity", c.live, "ben", taken, noon, connect.ErrAnotherUser},
			{"spent", c.ended, carl, fresh, noon, connect.ErrStateSpent},
			{"spent, expired", c.ended, carl, fresh, late, connect.ErrStateSpent},
			{"spent, identity retired", c.ended, carl, retired, noon, connect.ErrStateSpent},
			{"spent, identity taken", c.ended, carl, taken, noon, connect.ErrStateSpent},
			{"spent by disconnecting, identity retired by it", c.gone, "dora", retired, noon, connect.ErrStateSpent},
			{"completed with another identity", c.done, "anna", fresh, noon, connect.ErrStateSpent},
			{"completed with another identity, expired", c.done, "anna", fresh, late, connect.ErrStateSpent},
			{"completed with another identity, this one retired", c.done, "anna", retired, noon, connect.ErrStateSpent},
			{"completed with another identity, this one taken", c.done, "anna", taken, noon, connect.ErrStateSpent},
			{"another user, begun before a disconnect", before, emil, fresh, noon, connect.ErrAnotherUser},
			{"begun before a disconnect", before, "dora", fresh, noon, connect.ErrStateSpent},
			{"begun before a disconnect, expired", before, "dora", fresh, late, connect.ErrStateSpent},
			{"begun before a disconnect, identity retired", before, "dora", retired, noon, connect.ErrStateSpent},
			{"begun before a disconnect, identity taken", before, "dora", taken, noon, connect.ErrStateSpent},
			{"expired", c.live, "anna", fresh, late, connect.ErrStateExpired},
			{"expired, identity retired", c.live, "anna", retired, late, connect.ErrStateExpired},
			{"expired, identity taken", c.live, "anna", taken, late, connect.ErrStateExpired},
			{"identity retired", c.live, "anna", retired, noon, connect.ErrIdentityRetired},
			{"identity taken", c.live, "anna", taken, noon, connect.ErrIdentityTaken},
			{"identity taken, of two connections no one named", only, "fred", taken, noon, connect.ErrIdentityTaken},
			{"identity taken, connection unknown", lost, "fred", taken, noon, connect.ErrIdentityTaken},
			{"identity taken, as many connections as allowed", more, "fred", taken, noon, connect.ErrIdentityTaken},
		}
		// SameIdentity adds ErrIdentityTooOld, which comes after all of these.
		for _, how := range []connect.Completion{single, sameIdentity(single)} {
			for _, row := range rows {
				done, err := s.Complete(t.Context(), row.flow.TokenHash, connect.Connection{
					ID: "new", ApplicationID: app, UserID: row.user, IdentityID: row.identity, ConnectedAt: row.at,
					Health: needsSignIn, HealthAt: row.at,
				}, how)
				require.ErrorIs(t, err, row.want, "a Complete that the contract refuses: %s", row.reasons)
				require.Zero(t, done, "the result of a refused Complete: %s", row.reasons)
				c.requireRowsUnchanged(t, s)
				requireFlows(t, s, []connect.Pending{before, only, more, lost}, nil)
			}
		}
		c.requireTasksUnchanged(t, s)
	}},

	{"a flow that was refused can still be completed", func(t tb, s connect.Store) {
		c := newScene(t, s)
		p := c.fresh
		stolen := finished(p, identity("new"))
		stolen.UserID = "anna"
		requireRefused(t, s, p, stolen, single, connect.ErrAnotherUser)
		requireRefused(t, s, p, finished(p, c.ben.IdentityID), single, connect.ErrIdentityTaken)
		requireRefused(t, s, p, finished(p, c.dora.IdentityID), single, connect.ErrIdentityRetired)
		complete(t, s, p, identity("new"))
	}},
}}
