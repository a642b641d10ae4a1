package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var spending = topic{"spending", []check{
	{"a start that was spent can be read, has no identity and cannot be completed", func(t tb, s connect.Store) {
		p := start("anna", "tab")
		bind(t, s, p)
		require.NoError(t, s.Spend(t.Context(), p.TokenHash), "Spend")
		requireStart(t, s, spent(p))
		requireRefused(t, s, p, finished(p, identity("anna")), connect.ErrStateSpent)
		requireStart(t, s, spent(p))
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
	}},

	{"spending one start leaves all others live", func(t tb, s connect.Store) {
		p, sameUser, otherUser := start("anna", "tab 1"), start("anna", "tab 2"), start("ben", "tab 3")
		bind(t, s, p, sameUser, otherUser)
		require.NoError(t, s.Spend(t.Context(), p.TokenHash), "Spend")
		requireStart(t, s, sameUser)
		requireStart(t, s, otherUser)
	}},

	{"spending a start that is spent or unknown changes nothing and is no error", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, tokenHash := range []string{c.ended.TokenHash, c.gone.TokenHash, hash("never bound")} {
			require.NoError(t, s.Spend(t.Context(), tokenHash), "Spend of a start that is spent or unknown")
		}
		requireNoStart(t, s, hash("never bound"))
		c.requireUnchanged(t, s)
		c.requireTasksUnchanged(t, s)
	}},

	{"spending a start that was completed changes nothing and is no error", func(t tb, s connect.Store) {
		c := newScene(t, s)
		require.NoError(t, s.Spend(t.Context(), c.done.TokenHash), "Spend of a start that was completed")
		c.requireUnchanged(t, s)
		requireReload(t, s, c.done, c.anna)
		c.requireTasksUnchanged(t, s)
	}},
}}
