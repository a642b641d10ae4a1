package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var spending = topic{"spending", []check{
	{"a flow that was spent can be read, has no identity and cannot be completed", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		require.NoError(t, s.Spend(t.Context(), p.TokenHash), "Spend")
		requireFlow(t, s, spent(p))
		requireRefused(t, s, p, finished(p, identity("anna")), connect.ErrStateSpent)
		requireFlow(t, s, spent(p))
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"spending one flow leaves all others live", func(t tb, s connect.Store) {
		p, sameUser, otherUser := flow("anna", "tab 1"), flow("anna", "tab 2"), flow("ben", "tab 3")
		bind(t, s, p, sameUser, otherUser)
		require.NoError(t, s.Spend(t.Context(), p.TokenHash), "Spend")
		requireFlow(t, s, sameUser)
		requireFlow(t, s, otherUser)
	}},

	{"spending a flow that is spent or unknown changes nothing and is no error", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, tokenHash := range []string{c.ended.TokenHash, c.gone.TokenHash, hash("never bound")} {
			require.NoError(t, s.Spend(t.Context(), tokenHash), "Spend of a flow that is spent or unknown")
		}
		requireNoFlow(t, s, hash("never bound"))
		c.requireUnchanged(t, s)
		c.requireTasksUnchanged(t, s)
	}},

	{"spending a flow that was completed changes nothing and is no error", func(t tb, s connect.Store) {
		c := newScene(t, s)
		require.NoError(t, s.Spend(t.Context(), c.done.TokenHash), "Spend of a flow that was completed")
		c.requireUnchanged(t, s)
		requireReload(t, s, c.done, c.anna)
		c.requireTasksUnchanged(t, s)
	}},
}}
