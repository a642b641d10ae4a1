package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var bindLimitGroup = group{"Bind limit", []check{
	{"flows within the limit stay live", func(t tb, s connect.Store) {
		tabs := []connect.Pending{flow("anna", "tab 1"), flow("anna", "tab 2"), flow("anna", "tab 3")}
		bindWithin(t, s, 3, tabs...)
		requireFlows(t, s, tabs, nil)
		c := complete(t, s, tabs[1], identity("anna"))
		renew(t, s, c, tabs[2], identity("anna"))
		renew(t, s, c, tabs[0], identity("anna"))
	}},

	{"one flow beyond the limit spends the one that expires first", func(t tb, s connect.Store) {
		tabs := []connect.Pending{expiring("anna", "tab 1", 1), expiring("anna", "tab 2", 2), expiring("anna", "tab 3", 3)}
		bindWithin(t, s, 3, tabs...)
		p := expiring("anna", "tab 4", 4)
		bindWithin(t, s, 3, p)
		requireFlows(t, s, []connect.Pending{spent(tabs[0]), tabs[1], tabs[2], p}, nil)
		requireRefused(t, s, tabs[0], finished(tabs[0], identity("anna")), single, connect.ErrStateSpent)
		requireNoConnection(t, s, app, "anna")
		requireTasks(t, s)
		c := complete(t, s, tabs[1], identity("anna"))
		renew(t, s, c, p, identity("anna"))
	}},

	{"the order of ExpiresAt counts, not that of binding", func(t tb, s connect.Store) {
		second, fourth, first, third := expiring("anna", "second", 2), expiring("anna", "fourth", 4), expiring("anna", "first", 1), expiring("anna", "third", 3)
		// The order of IssuedAt does not count either.
		first.IssuedAt = noon
		bindWithin(t, s, 4, second, fourth, first, third)
		fifth, sixth := expiring("anna", "fifth", 5), expiring("anna", "sixth", 6)
		bindWithin(t, s, 4, fifth)
		requireFlows(t, s, []connect.Pending{spent(first), second, third, fourth, fifth}, nil)
		bindWithin(t, s, 4, sixth)
		requireFlows(t, s, []connect.Pending{spent(first), spent(second), third, fourth, fifth, sixth}, nil)
	}},

	{"ExpiresAt is compared to the microsecond", func(t tb, s connect.Store) {
		oldest, middle, newest := flow("anna", "oldest"), flow("anna", "middle"), flow("anna", "newest")
		oldest.ExpiresAt = noon.Add(time.Minute - micro)
		middle.ExpiresAt = noon.Add(time.Minute)
		newest.ExpiresAt = noon.Add(time.Minute + micro)
		bindWithin(t, s, 3, newest, oldest, middle)
		p := flow("anna", "tab")
		bindWithin(t, s, 3, p)
		requireFlows(t, s, []connect.Pending{spent(oldest), middle, newest, p}, nil)
	}},

	{"of flows that expire at the same moment, as many stay as the limit allows", func(t tb, s connect.Store) {
		const limit = 3
		var tabs []connect.Pending
		for i := range 10 {
			p := flow("anna", fmt.Sprint("tab ", i))
			tabs = append(tabs, p)
			bindWithin(t, s, limit, p)
			requireFlow(t, s, p)
		}
		require.Equal(t, limit, countLive(t, s, tabs), "the number of live flows of a user")
		sweepAll(t, s, 2*limit+1)
	}},

	{"the flow that is bound stays live, even if it expires first", func(t tb, s connect.Store) {
		later, latest := expiring("anna", "later", 20), expiring("anna", "latest", 21)
		bindWithin(t, s, 2, latest, later)
		p := expiring("anna", "tab", 1)
		bindWithin(t, s, 2, p)
		requireFlows(t, s, []connect.Pending{spent(later), latest, p}, nil)
		// The same holds for a flow that has expired already.
		late := expiring("anna", "late", -1)
		bindWithin(t, s, 2, late)
		requireFlows(t, s, []connect.Pending{spent(later), latest, spent(p), late}, nil)
		complete(t, s, latest, identity("anna"))
	}},

	{"a limit of one leaves the new flow live, and keeps one spent flow", func(t tb, s connect.Store) {
		first, second, third, fourth := expiring("anna", "1", 1), expiring("anna", "2", 2), expiring("anna", "3", 3), expiring("anna", "4", 4)
		bindWithin(t, s, 1, first)
		requireFlow(t, s, first)
		bindWithin(t, s, 1, second)
		requireFlows(t, s, []connect.Pending{spent(first), second}, nil)
		bindWithin(t, s, 1, third)
		requireFlows(t, s, []connect.Pending{spent(first), spent(second), third}, nil)
		bindWithin(t, s, 1, fourth)
		requireFlows(t, s, []connect.Pending{spent(second), spent(third), fourth}, []connect.Pending{first})
	}},

	{"a lower limit spends and removes several flows in one call", func(t tb, s connect.Store) {
		var ended, tabs []connect.Pending
		for i := range 6 {
			ended = append(ended, expiring("anna", fmt.Sprint("ended ", i), i+1))
			tabs = append(tabs, expiring("anna", fmt.Sprint("tab ", i), i+11))
		}
		bind(t, s, ended...)
		ended = spend(t, s, ended...)
		bind(t, s, tabs...)
		p := expiring("anna", "tab", 20)
		bindWithin(t, s, 2, p)
		// Only the next call removes what this one has spent.
		requireFlows(t, s, []connect.Pending{
			ended[4], ended[5],
			spent(tabs[0]), spent(tabs[1]), spent(tabs[2]), spent(tabs[3]), spent(tabs[4]),
			tabs[5], p,
		}, ended[:4])
		next := expiring("anna", "next", 21)
		bindWithin(t, s, 2, next)
		requireFlows(t, s, []connect.Pending{spent(tabs[3]), spent(tabs[4]), spent(tabs[5]), p, next}, append(ended, tabs[:3]...))
	}},

	{"live flows and spent flows are counted separately", func(t tb, s connect.Store) {
		ended := []connect.Pending{expiring("anna", "ended 1", 11), expiring("anna", "ended 2", 12), expiring("anna", "ended 3", 13)}
		bind(t, s, ended...)
		ended = spend(t, s, ended...)
		tabs := []connect.Pending{expiring("anna", "tab 1", 1), expiring("anna", "tab 2", 2), expiring("anna", "tab 3", 3)}
		for i, p := range tabs {
			bindWithin(t, s, 3, p)
			requireFlows(t, s, ended, nil)
			requireFlows(t, s, tabs[:i+1], nil)
		}
	}},

	{"the spent flows that expire last are kept, with their identities", func(t tb, s connect.Store) {
		flows := []connect.Pending{
			expiring("anna", "1", 1), expiring("anna", "2", 2), expiring("anna", "3", 3),
			expiring("anna", "4", 4), expiring("anna", "5", 5), expiring("anna", "6", 6),
		}
		bind(t, s, flows...)
		first := complete(t, s, flows[1], identity("anna"))
		c := renew(t, s, first, flows[4], identity("anna"))
		spend(t, s, flows[5], flows[3], flows[0], flows[2])
		p := expiring("anna", "tab", 2)
		bindWithin(t, s, 3, p)
		requireFlows(t, s, []connect.Pending{spent(flows[3]), completed(flows[4], c.IdentityID), spent(flows[5]), p}, flows[:3])
		requireReload(t, s, flows[4], c)
	}},

	{"removing a completed flow keeps its connection and its task", func(t tb, s connect.Store) {
		p := expiring("anna", "first", 1)
		c := connected(t, s, p, identity("anna"))
		next := expiring("anna", "second", 2)
		bind(t, s, next)
		spend(t, s, next)
		bindWithin(t, s, 1, expiring("anna", "third", 3))
		requireNoFlow(t, s, p.TokenHash)
		requireRefused(t, s, p, c, single, connect.ErrStateUnknown)
		requireConnections(t, s, c)
		requireTasks(t, s, tag(c))
		// As after Sweep, the token hash may be bound again.
		again := flow("ben", "first")
		bind(t, s, again)
		requireFlow(t, s, again)
	}},

	{"expired flows count as live, and are spent first", func(t tb, s connect.Store) {
		longAgo, lately, tab := flow("anna", "long ago"), expiring("anna", "lately", -1), expiring("anna", "tab", 1)
		longAgo.IssuedAt, longAgo.ExpiresAt = noon.AddDate(-70, 0, 0), noon.AddDate(-70, 0, 1)
		bindWithin(t, s, 3, longAgo, lately, tab)
		requireFlows(t, s, []connect.Pending{longAgo, lately, tab}, nil)
		p, next := expiring("anna", "next", 2), expiring("anna", "last", 3)
		bindWithin(t, s, 3, p)
		requireFlows(t, s, []connect.Pending{spent(longAgo), lately, tab, p}, nil)
		bindWithin(t, s, 3, next)
		requireFlows(t, s, []connect.Pending{spent(longAgo), spent(lately), tab, p, next}, nil)
	}},

	{"flows that Disconnect spent are removed like any other", func(t tb, s connect.Store) {
		done, tab := expiring("anna", "done", 1), expiring("anna", "tab", 2)
		c := connected(t, s, done, identity("anna"))
		bind(t, s, tab)
		disconnect(t, s, c)
		p := expiring("anna", "new", 3)
		bindWithin(t, s, 1, p)
		requireFlows(t, s, []connect.Pending{spent(tab), p}, []connect.Pending{done})
		requireTasks(t, s, deletion(c))
	}},

	{"flows of other users and applications stay unchanged", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere, done, ended := flowIn(otherApp, "emil", "elsewhere"), flowIn(otherApp, "emil", "done elsewhere"), flowIn(otherApp, "emil", "ended elsewhere")
		bind(t, s, elsewhere, done, ended)
		there := complete(t, s, done, identity("there"))
		spend(t, s, ended)

		fresh := c.fresh
		for i := range 4 {
			p := expiring("emil", fmt.Sprint("tab ", i), 60+i)
			bindWithin(t, s, 1, p)
			c.fresh = p // the only live one
			c.requireRowsUnchanged(t, s)
			requireFlows(t, s, []connect.Pending{elsewhere, completed(done, there.IdentityID), spent(ended)}, nil)
		}
		requireNoFlow(t, s, fresh.TokenHash)
		requireConnections(t, s, there)
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(there))
	}},

	{"users and applications with similar ids are distinct", func(t tb, s connect.Store) {
		var flows []connect.Pending
		for i, text := range lookalikes {
			user, application := flow(text, fmt.Sprint("user ", i)), flowIn(text, "anna", fmt.Sprint("application ", i))
			bindWithin(t, s, 1, user, application)
			flows = append(flows, user, application)
		}
		requireFlows(t, s, flows, nil)
	}},

	{"only flows of the same actor are spent or removed", func(t tb, s connect.Store) {
		var flows, ended []connect.Pending
		for i, actor := range []string{"", "ben", "Ben", "anna", "carl"} {
			p, done := actedBy(expiring("anna", fmt.Sprint("tab ", i), 1), actor), actedBy(expiring("anna", fmt.Sprint("ended ", i), 1), actor)
			bind(t, s, p, done)
			flows = append(flows, p)
			ended = append(ended, spend(t, s, done)...)
		}
		requireFlows(t, s, append(flows, ended...), nil)
		for i := range 3 {
			bindWithin(t, s, 1, actedBy(adds(expiring("anna", fmt.Sprint("ben's ", i), 10+i)), "ben"))
		}
		flows[1] = spent(flows[1])
		requireFlows(t, s, []connect.Pending{flows[0], flows[2], flows[3], flows[4], ended[0], ended[2], ended[3], ended[4]}, []connect.Pending{flows[1], ended[1]})
		bindWithin(t, s, 1, expiring("anna", "own", 10))
		requireFlows(t, s, []connect.Pending{spent(flows[0]), flows[2], flows[3], flows[4], ended[0], ended[2], ended[3], ended[4]}, nil)
	}},

	{"flows of every kind count", func(t tb, s connect.Store) {
		tabs := []connect.Pending{expiring("anna", "plain", 1), adds(expiring("anna", "adds", 2)), renews(expiring("anna", "named", 3), "an id"), expiring("anna", "last", 4)}
		for i, p := range tabs {
			bindWithin(t, s, 1, p)
			if i > 0 {
				requireFlow(t, s, spent(tabs[i-1]))
			}
		}
	}},

	{"a Bind that fails spends and removes nothing", func(t tb, s connect.Store) {
		removable, kept := expiring("anna", "removable", 1), expiring("anna", "kept", 2)
		bind(t, s, removable, kept)
		ended := spend(t, s, removable, kept)
		tabs := []connect.Pending{expiring("anna", "tab 1", 3), expiring("anna", "tab 2", 4)}
		others := flow("ben", "others")
		bind(t, s, tabs...)
		bind(t, s, others)

		odd := flow("anna", "odd")
		odd.ReturnTo = "/\x00"
		mine := others
		mine.UserID = "anna"
		// The token hash of removable would be free if Bind removed it first.
		for _, p := range []connect.Pending{removable, kept, tabs[0], tabs[1], mine, odd} {
			require.Error(t, s.Bind(t.Context(), p, 1), "Bind of a token hash that is bound already, or of an invalid string")
			requireFlows(t, s, ended, nil)
			requireFlows(t, s, tabs, nil)
			requireFlow(t, s, others)
		}
	}},

	{"a user who completes no flow has at most twice the limit plus one", func(t tb, s connect.Store) {
		const limit = 5
		for i := range 40 {
			bindWithin(t, s, limit, expiring("anna", fmt.Sprint("tab ", i), i))
		}
		sweepAll(t, s, 2*limit+1)
	}},

	{"a user who completes every flow has at most the limit plus one", func(t tb, s connect.Store) {
		const limit = 5
		c := connected(t, s, expiring("anna", "first", 1), identity("anna"))
		for i := range 40 {
			p := expiring("anna", fmt.Sprint("tab ", i), i+2)
			bindWithin(t, s, limit, p)
			renew(t, s, c, p, identity("anna"))
		}
		bindWithin(t, s, limit, expiring("anna", "last", 42))
		sweepAll(t, s, limit+1)
	}},
}}

// countLive returns how many of the flows are stored and not spent.
func countLive(t tb, s connect.Store, flows []connect.Pending) (n int) {
	t.Helper()
	for _, p := range flows {
		got, err := s.Pending(t.Context(), p.TokenHash)
		if err != nil {
			require.ErrorIs(t, err, connect.ErrStateUnknown, "Pending")
			continue
		}
		if !got.Spent {
			n++
		}
	}
	return n
}
