package storetest

import (
	"time"

	"github.com/anchorconnect/connect"
)

var completeExpiryGroup = group{"Complete expiry", []check{
	{"a flow is live until a microsecond before ExpiresAt", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		c := connectedWith(t, s, p, createdAt(finished(p, identity("anna")), p.ExpiresAt.Add(-micro)), single)
		requireConnections(t, s, c)
	}},

	{"a flow is ErrStateExpired from ExpiresAt on", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		c := finished(p, identity("anna"))
		for _, late := range []time.Duration{0, micro, time.Second, 24 * time.Hour, 50 * 365 * 24 * time.Hour} {
			c.ConnectedAt = p.ExpiresAt.Add(late)
			requireRefused(t, s, p, c, single, connect.ErrStateExpired)
		}
		requireFlow(t, s, p)
		requireNoConnection(t, s, app, "anna")
	}},

	{"ConnectedAt decides, not a clock of the store", func(t tb, s connect.Store) {
		for _, year := range []int{1985, 2001, 2033, 2099} {
			moment := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
			user := moment.Format("user of 2006")
			p, late := flow(user, user), flow(user, user+", late")
			p.ExpiresAt, late.ExpiresAt = moment.Add(micro), moment
			bind(t, s, p, late)

			c := createdAt(finished(p, identity(user)), moment)
			requireRefused(t, s, late, c, single, connect.ErrStateExpired)
			completeWith(t, s, p, c, single)
			requireConnections(t, s, c)
		}
	}},

	{"an expired flow is not spent", func(t tb, s connect.Store) {
		// The clocks of replicas differ, so it may be live for another one.
		p := flow("anna", "tab")
		bind(t, s, p)
		c := connectedAt(finished(p, identity("anna")), p.ExpiresAt)
		requireRefused(t, s, p, c, single, connect.ErrStateExpired)
		complete(t, s, p, identity("anna"))
	}},

	{"a reload of an expired flow succeeds", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		c := connected(t, s, p, identity("anna"))
		repeated := c
		repeated.ConnectedAt = p.ExpiresAt.Add(24 * time.Hour)
		requireReload(t, s, p, repeated)
		requireConnections(t, s, c)
	}},
}}
