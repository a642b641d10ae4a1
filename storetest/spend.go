package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var spendGroup = group{"Spend", []check{
	{"a spent flow has no identity and is ErrStateSpent", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		spend(t, s, p)
		requireFlow(t, s, spent(p))
		requireRefused(t, s, p, finished(p, identity("anna")), single, connect.ErrStateSpent)
		requireFlow(t, s, spent(p))
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"other flows stay live", func(t tb, s connect.Store) {
		p, sameUser, otherUser := flow("anna", "tab 1"), flow("anna", "tab 2"), flow("ben", "tab 3")
		bind(t, s, p, sameUser, otherUser)
		spend(t, s, p)
		requireFlow(t, s, sameUser)
		requireFlow(t, s, otherUser)
	}},

	{"a spent or unknown flow is no error, and nothing changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, tokenHash := range []string{c.ended.TokenHash, c.gone.TokenHash, hash("never bound")} {
			require.NoError(t, s.Spend(t.Context(), tokenHash), "Spend of a spent or unknown flow")
		}
		requireNoFlow(t, s, hash("never bound"))
		c.requireUnchanged(t, s)
	}},

	{"a completed flow is no error, and stays completed", func(t tb, s connect.Store) {
		c := newScene(t, s)
		require.NoError(t, s.Spend(t.Context(), c.done.TokenHash), "Spend of a completed flow")
		c.requireRowsUnchanged(t, s)
		requireReload(t, s, c.done, c.anna)
		c.requireTasksUnchanged(t, s)
	}},
}}
