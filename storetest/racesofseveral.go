package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var racesOfSeveralGroup = group{"Races of several connections", []check{
	{"flows that add: the limit is kept, the others are ErrConnectionLimit", func(t tb, s connect.Store) {
		for i, row := range []struct{ have, limit int }{{1, 2}, {2, 3}, {0, 1}, {0, 3}, {1, 5}} {
			user := fmt.Sprint("user ", i)
			var want []connect.Connection
			for j := range row.have {
				want = append(want, added(t, s, flow(user, fmt.Sprint(user, ", had ", j)), identity(fmt.Sprint(user, ", had ", j))))
			}
			flows := make([]connect.Pending, 15)
			for j := range flows {
				flows[j] = actedBy(adds(flow(user, fmt.Sprint(user, ", ", j))), fmt.Sprint("actor ", j%3))
			}
			bind(t, s, flows...)
			results := completeAll(t, s, flows, own, upTo(row.limit))
			winning := winners(t, results, connect.ErrConnectionLimit)
			require.Len(t, winning, row.limit-row.have, "the calls of Complete that added a connection")
			for j, p := range flows {
				if !results[j].first {
					requireFlow(t, s, p)
					continue
				}
				c := own(p)
				require.Equal(t, inUTC(c), inUTC(results[j].connection), "the connection that Complete returns")
				requireFlow(t, s, completed(p, c.IdentityID))
				want = append(want, c)
			}
			requireConnections(t, s, sortByID(want...)...)
		}
	}},

	{"two flows that add at the limit: exactly one is stored", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			first := connectedBefore(t, s, user)
			flows := []connect.Pending{adds(flow(user, user+", a")), adds(flow(user, user+", b"))}
			bind(t, s, flows...)
			results := make([]result, 2)
			duel(i,
				func() { results[0].complete(t, s, flows[0], own(flows[0]), upTo(2)) },
				func() { results[1].complete(t, s, flows[1], own(flows[1]), upTo(2)) })
			winning := winners(t, results, connect.ErrConnectionLimit)
			require.Len(t, winning, 1, "the calls of Complete that added a connection")
			p := flows[winning[0]]
			requireConnections(t, s, sortByID(first, own(p))...)
		}
	}},

	{"first flows without ConnectionID or Adds: one adds, the others renew", func(t tb, s connect.Store) {
		for i := range rounds / 2 {
			user := fmt.Sprint("user ", i)
			flows := rivals(t, s, user, 4, plain)
			results := completeAll(t, s, flows, own, several)
			require.Len(t, winners(t, results), len(flows), "the calls of Complete that return First, each for its own flow")
			c := onlyConnection(t, s, user)
			fresh := 0
			for _, a := range results {
				require.Equal(t, c.ID, a.connection.ID, "the connection that Complete returns")
				if a.replaced == "" {
					fresh++
				}
			}
			require.Equal(t, 1, fresh, "the number of calls of Complete that replaced no identity")
		}
	}},

	{"flows that add one identity: one adds, the others renew that connection", func(t tb, s connect.Store) {
		for i, limit := range []int{plenty, 2, 2} {
			user := fmt.Sprint("user ", i)
			first := connectedBefore(t, s, user)
			markDone(t, s, tag(first))
			flows := rivals(t, s, user, 15, adds)
			results := completeAll(t, s, flows, sharing(identity(user)), upTo(limit))
			require.Len(t, winners(t, results), len(flows), "the calls of Complete that return First, each for its own flow")
			second := finished(flows[0], identity(user))
			second.ID = results[0].connection.ID
			for j, a := range results {
				require.Equal(t, inUTC(second), inUTC(a.connection), "the connection that Complete returns")
				require.Empty(t, a.replaced, "Replaced, which Complete returns")
				requireFlow(t, s, completed(flows[j], second.IdentityID))
			}
			requireConnections(t, s, sortByID(first, second)...)
			requireTasks(t, s, tag(second))
			markDone(t, s, tag(second))
		}
	}},

	{"users with one identity, adding or renewing: exactly one gets it", func(t tb, s connect.Store) {
		flows := make([]connect.Pending, 16)
		olds := make([]connect.Connection, len(flows))
		for i := range flows {
			application, user := app, fmt.Sprint("user ", i)
			if i%4 == 0 {
				application = otherApp
			}
			olds[i] = connected(t, s, flowIn(application, user, user+", old"), identity(user+", old"))
			markDone(t, s, tag(olds[i]))
			flows[i] = adds(flowIn(application, user, user))
			if i%2 == 0 {
				flows[i] = renews(flowIn(application, user, user), olds[i].ID)
			}
		}
		bind(t, s, flows...)
		results := completeAll(t, s, flows, sharing(identity("shared")), several)
		winning := winners(t, results, connect.ErrIdentityTaken)
		require.Len(t, winning, 1, "the calls of Complete that got the identity")
		var want []connect.Task
		for i, p := range flows {
			c := finished(p, identity("shared"))
			switch {
			case i != winning[0]:
				requireFlow(t, s, p)
				requireConnections(t, s, olds[i])
				continue
			case p.Adds:
				requireConnections(t, s, sortByID(olds[i], c)...)
			default:
				requireConnections(t, s, renewal(olds[i], c))
				want = append(want, deletion(olds[i]))
			}
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"renewals of one connection: each is stored, one after the other", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds / 2 {
			user := fmt.Sprint("user ", i)
			first, second := pair(t, s, user)
			flows := rivals(t, s, user, 6, func(p connect.Pending) connect.Pending { return renews(p, second.ID) })
			results := completeAll(t, s, flows, own, several)
			require.Len(t, winners(t, results), len(flows), "the calls of Complete that return First, each for its own flow")
			connections, err := s.Connections(t.Context(), app, user)
			require.NoError(t, err, "Connections")
			require.Len(t, connections, 2, "the result of Connections")
			last := connections[1]

			stored, replaced := []string{second.IdentityID}, []string{last.IdentityID}
			want = append(want, deletion(second))
			for j, a := range results {
				c := renewal(second, own(flows[j]))
				require.Equal(t, inUTC(c), inUTC(a.connection), "the connection that Complete returns")
				requireFlow(t, s, completed(flows[j], c.IdentityID))
				stored, replaced = append(stored, c.IdentityID), append(replaced, a.replaced)
				if c.IdentityID == last.IdentityID {
					requireConnections(t, s, first, c)
					want = append(want, tag(c))
					continue
				}
				want = append(want, deletion(c))
			}
			require.ElementsMatch(t, stored, replaced, "the identities that Complete returns as Replaced, and the one that is left")
		}
		requireTasks(t, s, want...)
	}},

	{"a renewal and Disconnect of its connection: the connection is gone", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			first, second := pair(t, s, user)
			p := renews(flow(user, user), second.ID)
			c := finished(p, identity(user))
			if i%4 < 2 {
				c.IdentityID = second.IdentityID
			}
			bind(t, s, p)
			var renewing, ending result
			duel(i,
				func() { renewing.complete(t, s, p, c, several) },
				func() { ending.disconnect(t, s, endOne(second)) })
			require.NoError(t, ending.err, "Disconnect of one connection")
			ended := second
			want = append(want, deletion(second))
			if renewing.won(t, connect.ErrStateSpent) {
				ended = renewal(second, c)
				require.Equal(t, inUTC(ended), inUTC(renewing.connection), "the connection that Complete returns if it came first")
				if c.IdentityID != second.IdentityID {
					want = append(want, deletion(c))
				}
			}
			requireSame(t, []connect.Connection{ended}, ending.ended, "the result of Disconnect")
			requireConnections(t, s, first)
			requireFlow(t, s, spent(p))
			return want
		})
	}},

	{"Bind and a renewal, and Disconnect of the connection: the connection is gone", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			first, second := pair(t, s, user)
			p := renews(flow(user, user), second.ID)
			c := finished(p, identity(user))
			var renewing, ending result
			duel(i,
				func() { renewing.bindAndComplete(t, s, p, c, several) },
				func() { ending.disconnect(t, s, endOne(second)) })
			require.NoError(t, ending.err, "Disconnect of one connection")
			want = append(want, deletion(second))
			if renewing.won(t, connect.ErrStateSpent, connect.ErrConnectionUnknown) {
				want = append(want, deletion(c))
			}
			requireConnections(t, s, first)
			return want
		})
	}},

	{"flows that add and Disconnect of all: no connection is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			first, second := pair(t, s, user)
			flows := rivals(t, s, user, 3, adds)
			results := make([]result, len(flows))
			var ending result
			race(len(flows)+1, func(j int) {
				if j = (j + i) % (len(flows) + 1); j < len(flows) {
					results[j].complete(t, s, flows[j], own(flows[j]), several)
					return
				}
				ending.disconnect(t, s, endAll(app, user, disconnectedAt))
			})
			require.NoError(t, ending.err, "Disconnect of all connections")
			all := []connect.Connection{second}
			want = append(want, deletion(first), deletion(second))
			for _, j := range winners(t, results, connect.ErrStateSpent) {
				c := own(flows[j])
				all, want = append(all, c), append(want, deletion(c))
			}
			requireSame(t, append([]connect.Connection{first}, sortByID(all...)...), ending.ended, "the result of Disconnect")
			requireNoConnection(t, s, app, user)
			for _, p := range flows {
				requireFlow(t, s, spent(p))
			}
			return want
		})
	}},

	{"a flow without ConnectionID or Adds and Disconnect of one of two: none is renewed", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			first, second := pair(t, s, user)
			p := flow(user, user)
			bind(t, s, p)
			var renewing, ending result
			duel(i,
				func() { renewing.complete(t, s, p, finished(p, identity(user)), several) },
				func() { ending.disconnect(t, s, endOne(first)) })
			require.NoError(t, ending.err, "Disconnect of one connection")
			require.False(t, renewing.won(t, connect.ErrConnectionLimit, connect.ErrStateSpent), "whether Complete chooses a connection")
			requireConnections(t, s, second)
			requireFlow(t, s, spent(p))
			return append(want, deletion(first))
		})
	}},

	{"Disconnect of one connection: one call ends it, the others are ErrConnectionUnknown", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		results := make([]result, 15)
		race(len(results), func(i int) {
			results[i].disconnect(t, s, endOne(second))
		})
		winning := winners(t, results, connect.ErrConnectionUnknown)
		require.Len(t, winning, 1, "the calls of Disconnect that ended the connection")
		requireSame(t, []connect.Connection{second}, results[winning[0]].ended, "the result of Disconnect")
		requireConnections(t, s, first)
		requireTasks(t, s, deletion(second))
	}},

	{"Disconnect of one and of all: each connection is ended once", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			first, second := pair(t, s, user)
			var one, all result
			duel(i,
				func() { one.disconnect(t, s, endOne(first)) },
				func() { all.disconnect(t, s, endAll(app, user, disconnectedAt)) })
			require.NoError(t, all.err, "Disconnect of all connections")
			if one.err == nil {
				requireSame(t, []connect.Connection{first}, one.ended, "the result of Disconnect of one")
				requireSame(t, []connect.Connection{second}, all.ended, "the result of Disconnect of all")
			} else {
				require.ErrorIs(t, one.err, connect.ErrConnectionUnknown, "a Disconnect of one that came second")
				requireSame(t, []connect.Connection{first, second}, all.ended, "the result of Disconnect of all")
			}
			requireNoConnection(t, s, app, user)
			return append(want, deletion(first), deletion(second))
		})
	}},

	{"SetLabel and a renewal without a label: both are stored", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connectedBefore(t, s, user)
			p := renews(flow(user, user), old.ID)
			bind(t, s, p)
			c := connectedAt(withHealth(finished(p, identity(user)), needsSignIn, later(-1)), noon.Add(time.Second))
			var renewing, labelling result
			duel(i,
				func() { renewing.complete(t, s, p, c, single) },
				func() { labelling.setLabel(t, s, old, "work") })
			require.True(t, renewing.won(t), "First, which Complete returns")
			require.NoError(t, labelling.err, "SetLabel")
			now := withLabel(renewal(old, c), "work")
			require.Contains(t, []connect.Connection{inUTC(withLabel(old, "work")), inUTC(now)}, inUTC(labelling.connection), "the connection that SetLabel returns")
			require.Contains(t, []connect.Connection{inUTC(withLabel(now, "")), inUTC(now)}, inUTC(renewing.connection), "the connection that Complete returns")
			requireConnections(t, s, now)
		}
	}},

	{"SetLabel and a renewal with a label: the last one stays", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connectedBefore(t, s, user)
			p := flow(user, user)
			p.Label = "brought"
			bind(t, s, p)
			var renewing, labelling result
			duel(i,
				func() { renewing.complete(t, s, p, finished(p, identity(user)), single) },
				func() { labelling.setLabel(t, s, old, "set") })
			require.True(t, renewing.won(t), "First, which Complete returns")
			require.NoError(t, labelling.err, "SetLabel")
			c := renewal(old, finished(p, identity(user)))
			require.Equal(t, inUTC(c), inUTC(renewing.connection), "the connection that Complete returns")
			if labelling.connection.IdentityID == c.IdentityID {
				c = withLabel(c, "set") // SetLabel came second
			}
			requireConnections(t, s, c)
		}
	}},

	{"SetLabel and SetHealth: both are stored", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			c := connected(t, s, flow(user, user), identity(user))
			var news, labelling result
			duel(i,
				func() { news.setHealth(t, s, c.IdentityID, needsSignIn, later(1)) },
				func() { labelling.setLabel(t, s, c, "work") })
			require.NoError(t, errors.Join(news.err, labelling.err), "SetHealth and SetLabel")
			requireConnections(t, s, withLabel(withHealth(c, needsSignIn, later(1)), "work"))
		}
	}},

	{"SetLabel and Disconnect: the connection is gone", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			c := connected(t, s, flow(user, user), identity(user))
			var ending, labelling result
			duel(i,
				func() { ending.disconnect(t, s, endOne(c)) },
				func() { labelling.setLabel(t, s, c, "work") })
			require.NoError(t, ending.err, "Disconnect of one connection")
			if labelling.err == nil {
				c = withLabel(c, "work")
			} else {
				require.ErrorIs(t, labelling.err, connect.ErrConnectionUnknown, "a SetLabel that came second")
			}
			requireSame(t, []connect.Connection{c}, ending.ended, "the result of Disconnect")
			requireNoConnection(t, s, app, user)
			return append(want, deletion(c))
		})
	}},

	{"Queue of a deletion and Complete: exactly one succeeds", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			p := flow(user, user)
			if i%4 < 2 {
				old := connectedBefore(t, s, user)
				markDone(t, s, tag(old))
				p = adds(p)
			}
			bind(t, s, p)
			c := finished(p, identity(user))
			orphan := newTask(connect.DeleteIdentity, app, "nobody", c.IdentityID)
			var completing result
			errs := make([]error, 5)
			race(len(errs)+1, func(j int) {
				if j = (j + i) % (len(errs) + 1); j < len(errs) {
					errs[j] = s.Queue(t.Context(), orphan)
					return
				}
				completing.complete(t, s, p, c, several)
			})
			if completing.won(t, connect.ErrIdentityRetired) {
				for _, err := range errs {
					require.ErrorIs(t, err, connect.ErrIdentityTaken, "a Queue that came second")
				}
				requireAmong(t, s, c)
				return append(want, tag(c))
			}
			require.NoError(t, errors.Join(errs...), "a Queue that came first")
			requireFlow(t, s, p)
			return append(want, orphan)
		})
	}},

	{"Queue of a tag and the end of its identity: no tag is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			old := connectedBefore(t, s, user)
			p := renews(flow(user, user), old.ID)
			bind(t, s, p)
			want = append(want, deletion(old))
			if i%4 < 2 {
				want = append(want, tag(finished(p, identity(user))))
			}
			var leaving, queuing result
			duel(i,
				func() {
					if i%4 < 2 {
						leaving.complete(t, s, p, finished(p, identity(user)), single)
						return
					}
					leaving.disconnect(t, s, endOne(old))
				},
				func() { queuing.err = s.Queue(t.Context(), tag(old)) })
			require.NoError(t, leaving.err, "the Disconnect or Complete that gives up the identity")
			if queuing.err != nil {
				require.ErrorIs(t, queuing.err, connect.ErrNotConnected, "a Queue that came second")
			}
			return want
		})
	}},

	{"all methods for a user with several connections: every stored identity is connected or to be deleted", func(t tb, s connect.Store) {
		const limit = 3
		first, second := pair(t, s, "anna")
		stored := map[string]bool{first.IdentityID: true, second.IdentityID: true}
		var flows []connect.Pending
		for i := range 18 {
			p := flow("anna", fmt.Sprint(i))
			switch i % 3 {
			case 0:
				p = adds(p)
			case 1:
				p = renews(p, first.ID)
			}
			flows = append(flows, actedBy(p, fmt.Sprint("actor ", i%2)))
		}
		bind(t, s, flows...)
		results := make([]result, len(flows))
		errs := make([]error, len(flows)+8)
		race(len(errs), func(i int) {
			switch {
			case i < len(flows):
				results[i].complete(t, s, flows[i], finished(flows[i], identity(fmt.Sprint(i))), upTo(limit))
				if !errors.Is(results[i].err, connect.ErrConnectionLimit) && !errors.Is(results[i].err, connect.ErrConnectionUnknown) &&
					!errors.Is(results[i].err, connect.ErrStateSpent) {
					errs[i] = results[i].err
				}
			case i%4 == 0:
				_, err := s.Disconnect(t.Context(), endOne(second))
				if !errors.Is(err, connect.ErrConnectionUnknown) {
					errs[i] = err
				}
			case i%4 == 1:
				_, errs[i] = s.SetLabel(t.Context(), app, "anna", first.ID, "work")
			case i%4 == 2:
				_, _, errs[i] = s.SetHealth(t.Context(), first.IdentityID, needsSignIn, later(i))
				if errors.Is(errs[i], connect.ErrNotConnected) {
					errs[i] = nil
				}
			default:
				var connections []connect.Connection
				connections, errs[i] = s.Connections(t.Context(), app, "anna")
				if len(connections) < 1 || len(connections) > limit {
					errs[i] = fmt.Errorf("%d connections", len(connections))
				}
			}
		})
		require.NoError(t, errors.Join(errs...), "the errors of all calls")
		for i, a := range results {
			if a.first {
				stored[identity(fmt.Sprint(i))] = true
			}
		}
		connections, err := s.Connections(t.Context(), app, "anna")
		require.NoError(t, err, "Connections")
		require.LessOrEqual(t, len(connections), limit, "the number of connections of a user")
		var want []connect.Task
		for _, c := range connections {
			require.True(t, stored[c.IdentityID], "whether Complete stored the identity that Connections returns, and only once")
			delete(stored, c.IdentityID)
			if c.IdentityID != first.IdentityID && c.IdentityID != second.IdentityID {
				want = append(want, tag(c))
			}
			if c.ID == first.ID {
				require.Equal(t, "work", c.Label, "the label that was set")
			}
		}
		for identityID := range stored {
			want = append(want, newTask(connect.DeleteIdentity, app, "anna", identityID))
		}
		requireTasks(t, s, want...)
	}},
}}
