package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var bindGroup = group{"Bind", []check{
	{"a flow is returned as it was bound", func(t tb, s connect.Store) {
		first, second := flow("anna", "first"), flowIn(otherApp, "ben", "second")
		second.ReturnTo = ""
		second.ExpiresAt = noon.Add(time.Hour)
		third, fourth := adds(flow("anna", "third")), renews(actedBy(flow("anna", "fourth"), "carl"), "an id")
		third.Label, fourth.Label = "work", "at home"
		for _, p := range []connect.Pending{first, second, third, fourth} {
			bind(t, s, p)
			requireFlow(t, s, p)
		}
	}},

	{"a zero BegunAt is returned as zero", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		p.BegunAt = time.Time{}
		bind(t, s, p)
		requireFlow(t, s, p)
	}},

	{"Spent and IdentityID are ignored: a flow begins live", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, completed(p, identity("ignored")))
		requireFlow(t, s, p)
		c := complete(t, s, p, identity("ignored"))
		requireConnections(t, s, c)
	}},

	{"an unknown token hash is ErrStateUnknown", func(t tb, s connect.Store) {
		requireNoFlow(t, s, hash("never bound"))
		bind(t, s, flow("anna", "tab"))
		requireNoFlow(t, s, hash("never bound"))
	}},

	{"a token hash that is bound already is an error, and its flow stays unchanged", func(t tb, s connect.Store) {
		live, done, ended, late := flow("anna", "live"), flow("anna", "done"), flow("anna", "ended"), flow("anna", "late")
		late.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, live, done, ended, late)
		c := complete(t, s, done, identity("anna"))
		spend(t, s, ended)

		for _, bound := range []connect.Pending{live, completed(done, c.IdentityID), spent(ended), late} {
			later := bound
			later.ReturnTo, later.ExpiresAt = "/elsewhere", noon.Add(time.Hour)
			others, elsewhere := later, later
			others.UserID, elsewhere.ApplicationID = "ben", otherApp
			for _, p := range []connect.Pending{bound, later, others, elsewhere, adds(bound), renews(bound, "an id"), actedBy(bound, "ben")} {
				require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a token hash that is bound already")
				requireFlow(t, s, bound)
			}
		}
	}},

	{"a user has several flows, and completes each on its own", func(t tb, s connect.Store) {
		tabs := []connect.Pending{flow("anna", "tab 1"), flow("anna", "tab 2"), flow("anna", "tab 3")}
		bind(t, s, tabs...)
		c := complete(t, s, tabs[1], identity("anna"))
		requireFlow(t, s, tabs[0])
		requireFlow(t, s, completed(tabs[1], identity("anna")))
		requireFlow(t, s, tabs[2])
		renew(t, s, c, tabs[2], identity("anna"))
		renew(t, s, c, tabs[0], identity("anna"))
	}},

	{"an expired flow is returned like any other", func(t tb, s connect.Store) {
		p := flow("anna", "long ago")
		p.IssuedAt, p.ExpiresAt = noon.AddDate(-70, 0, 0), noon.AddDate(-70, 0, 1)
		bind(t, s, p)
		requireFlow(t, s, p)
	}},
}}
