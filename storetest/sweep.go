package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// sweep sweeps, and requires that want flows are removed.
func sweep(t tb, s connect.Store, before time.Time, limit, want int) {
	t.Helper()
	got, err := s.Sweep(t.Context(), before, limit)
	require.NoError(t, err, "Sweep")
	require.Equal(t, want, got, "the number of flows that Sweep returns")
}

// sweepAll sweeps all flows.
func sweepAll(t tb, s connect.Store, want int) {
	t.Helper()
	sweep(t, s, noon.AddDate(1, 0, 0), plenty, want)
}

// removedTimes returns the users whose time of Disconnect was removed. None of them may
// have a connection. It connects those that it returns.
func removedTimes(t tb, s connect.Store, users ...string) (gone []string) {
	t.Helper()
	for _, user := range users {
		p := begunAt(user, user+", begun long ago", time.Unix(1, 0))
		if _, err := s.Pending(t.Context(), p.TokenHash); err != nil {
			bind(t, s, p)
		}
		_, err := s.Complete(t.Context(), p.TokenHash, finished(p, identity(user)), single)
		if errors.Is(err, connect.ErrStateSpent) {
			continue
		}
		require.NoError(t, err, "Complete of a live flow")
		gone = append(gone, user)
	}
	return gone
}

var sweepGroup = group{"Sweep", []check{
	{"flows that expired before the moment are removed, and no others", func(t tb, s connect.Store) {
		before, at, after := flow("anna", "before"), flow("anna", "at"), flow("anna", "after")
		before.ExpiresAt = noon.Add(-micro)
		at.ExpiresAt = noon
		after.ExpiresAt = noon.Add(micro)
		bind(t, s, before, at, after)
		sweep(t, s, noon, plenty, 1)
		requireNoFlow(t, s, before.TokenHash)
		requireFlow(t, s, at)
		requireFlow(t, s, after)
		sweep(t, s, noon, plenty, 0)
	}},

	{"live, spent and completed flows are removed, and no connection or task", func(t tb, s connect.Store) {
		c := newScene(t, s)
		sweepAll(t, s, sceneFlows)
		for _, p := range []connect.Pending{c.live, c.done, c.expired, c.bens, c.ended, c.gone, c.fresh, c.first, c.second, c.renewing, c.adding} {
			requireNoFlow(t, s, p.TokenHash)
		}
		requireConnections(t, s, c.anna)
		requireConnections(t, s, c.ben)
		requireConnections(t, s, c.home, c.work)
		c.requireTasksUnchanged(t, s)
	}},

	{"a flow that was swept is ErrStateUnknown, and its token hash can be bound again", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		c := connected(t, s, p, identity("anna"))
		sweepAll(t, s, 1)
		requireRefused(t, s, p, c, single, connect.ErrStateUnknown)
		requireConnections(t, s, c)
		again := flow("ben", "tab")
		bind(t, s, again)
		requireFlow(t, s, again)
	}},

	{"no more flows than the limit are removed, and their number is returned", func(t tb, s connect.Store) {
		live := flow("anna", "live")
		done := flow("ben", "done")
		bind(t, s, live)
		c := connected(t, s, done, identity("ben"))
		var expired []connect.Pending
		for i := range 25 {
			p := flow(fmt.Sprint("user ", i), fmt.Sprint(i))
			p.ExpiresAt = noon.Add(-time.Duration(i+1) * time.Minute)
			bind(t, s, p)
			expired = append(expired, p)
		}
		left := func() (n int) {
			t.Helper()
			for _, p := range expired {
				_, err := s.Pending(t.Context(), p.TokenHash)
				if errors.Is(err, connect.ErrStateUnknown) {
					continue
				}
				require.NoError(t, err, "Pending")
				n++
			}
			return n
		}
		for _, batch := range []struct{ swept, left int }{{10, 15}, {10, 5}, {5, 0}, {0, 0}} {
			sweep(t, s, noon, 10, batch.swept)
			require.Equal(t, batch.left, left(), "the number of expired flows that are left after a batch")
			requireFlow(t, s, live)
			requireFlow(t, s, completed(done, c.IdentityID))
		}
	}},

	{"times of Disconnect before the moment are removed, and not counted", func(t tb, s connect.Store) {
		for user, at := range map[string]time.Time{"before": noon.Add(-micro), "at": noon, "after": noon.Add(micro)} {
			requireDisconnect(t, s, endAll(app, user, at))
		}
		sweep(t, s, noon, plenty, 0)
		require.Equal(t, []string{"before"}, removedTimes(t, s, "before", "at", "after"), "the users whose time of Disconnect was removed")
		sweep(t, s, noon.Add(2*micro), plenty, 0)
		require.Equal(t, []string{"at", "after"}, removedTimes(t, s, "at", "after"), "the users whose time of Disconnect was removed")
	}},

	{"removing the time of a Disconnect keeps the connection", func(t tb, s connect.Store) {
		disconnectNone(t, s, app, "anna")
		p := flow("anna", "tab")
		c := connected(t, s, p, identity("anna"))
		sweep(t, s, noon, plenty, 0)
		requireConnections(t, s, c)
		requireFlow(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"removing the last flow of a user keeps the time of a later Disconnect", func(t tb, s connect.Store) {
		p := flow("anna", "expired")
		p.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, p)
		requireDisconnect(t, s, endAll(app, "anna", noon))
		sweep(t, s, noon, plenty, 1)
		require.Empty(t, removedTimes(t, s, "anna"), "the users whose time of Disconnect was removed")
	}},

	{"no more times of Disconnect than the limit are removed, besides the flows", func(t tb, s connect.Store) {
		var users []string
		for i := range 25 {
			user := fmt.Sprint("user ", i)
			requireDisconnect(t, s, endAll(app, user, noon.Add(-time.Duration(i+1)*time.Minute)))
			users = append(users, user)
			p := flow("anna", user)
			p.ExpiresAt = noon.Add(-time.Hour)
			bind(t, s, p)
		}
		for _, batch := range []struct{ flows, moments int }{{10, 10}, {10, 10}, {5, 5}, {0, 0}} {
			sweep(t, s, noon, 10, batch.flows)
			gone := removedTimes(t, s, users...)
			require.Len(t, gone, batch.moments, "the users whose time of Disconnect was removed")
			users = slices.DeleteFunc(users, func(user string) bool { return slices.Contains(gone, user) })
		}
	}},

	{"a limit below one removes nothing, and is no error", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		p.ExpiresAt = noon.Add(-time.Hour)
		bind(t, s, p)
		disconnectNone(t, s, app, "ben")
		for _, limit := range []int{0, -1, -1 << 31} {
			sweep(t, s, noon, limit, 0)
			requireFlow(t, s, p)
			require.Empty(t, removedTimes(t, s, "ben"), "the users whose time of Disconnect was removed")
		}
		sweep(t, s, noon, 1, 1)
	}},

	{"a store without flows is no error", func(t tb, s connect.Store) {
		sweepAll(t, s, 0)
	}},
}}
