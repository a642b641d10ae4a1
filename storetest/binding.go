package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var binding = topic{"binding", []check{
	{"a start is read back as it was bound", func(t tb, s connect.Store) {
		first, second := start("anna", "first"), startIn(otherApp, "ben", "second")
		second.ReturnTo = ""
		second.ExpiresAt = noon.Add(time.Hour)
		bind(t, s, first, second)
		requireStart(t, s, first)
		requireStart(t, s, second)
	}},

	{"a start whose beginning is not known is read back with a zero BegunAt", func(t tb, s connect.Store) {
		p := start("anna", "tab")
		p.BegunAt = time.Time{}
		bind(t, s, p)
		requireStart(t, s, p)
	}},

	{"a start begins live, whatever Spent and IdentityID say", func(t tb, s connect.Store) {
		p := start("anna", "tab")
		bind(t, s, completed(p, identity("ignored")))
		requireStart(t, s, p)
		c := complete(t, s, p, identity("ignored"))
		requireConnection(t, s, c)
	}},

	{"a start that was never bound is ErrStateUnknown", func(t tb, s connect.Store) {
		requireNoStart(t, s, hash("never bound"))
		bind(t, s, start("anna", "tab"))
		requireNoStart(t, s, hash("never bound"))
	}},

	{"a token hash is bound once, and its start stays as it was", func(t tb, s connect.Store) {
		live, done, ended, late := start("anna", "live"), start("anna", "done"), start("anna", "ended"), start("anna", "late")
		late.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, live, done, ended, late)
		c := complete(t, s, done, identity("anna"))
		require.NoError(t, s.Spend(t.Context(), ended.TokenHash), "Spend")

		for _, bound := range []connect.Pending{live, completed(done, c.IdentityID), spent(ended), late} {
			later := bound
			later.ReturnTo, later.ExpiresAt = "/elsewhere", noon.Add(time.Hour)
			others, elsewhere := later, later
			others.UserID, elsewhere.ApplicationID = "ben", otherApp
			for _, p := range []connect.Pending{bound, later, others, elsewhere} {
				require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a token hash that is bound already")
				requireStart(t, s, bound)
			}
		}
	}},

	{"a user has several starts, and each is completed on its own", func(t tb, s connect.Store) {
		tabs := []connect.Pending{start("anna", "tab 1"), start("anna", "tab 2"), start("anna", "tab 3")}
		bind(t, s, tabs...)
		complete(t, s, tabs[1], identity("anna"))
		requireStart(t, s, tabs[0])
		requireStart(t, s, completed(tabs[1], identity("anna")))
		requireStart(t, s, tabs[2])
		complete(t, s, tabs[2], identity("anna"))
		complete(t, s, tabs[0], identity("anna"))
	}},

	{"a start that has expired is read back like any other", func(t tb, s connect.Store) {
		p := start("anna", "long ago")
		p.IssuedAt, p.ExpiresAt = noon.AddDate(-70, 0, 0), noon.AddDate(-70, 0, 1)
		bind(t, s, p)
		requireStart(t, s, p)
	}},
}}
