package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var racesGroup = group{"Races", []check{
	{"fifty equal calls of Complete: one is First, the others are reloads", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		c := finished(p, identity("anna"))
		results := make([]result, 50)
		race(len(results), func(i int) {
			results[i].complete(t, s, p, c, single)
		})
		require.Len(t, winners(t, results, nil), 1, "the calls of Complete that return First")
		requireConnections(t, s, c)
		requireTasks(t, s, tag(c))
	}},

	{"Complete with different identities: one is stored, the others are ErrStateSpent", func(t tb, s connect.Store) {
		p := flow("anna", "tab")
		bind(t, s, p)
		results := make([]result, 20)
		connections := make([]connect.Connection, len(results))
		for i := range connections {
			connections[i] = finished(p, identity(fmt.Sprint(i)))
		}
		race(len(results), func(i int) {
			results[i].complete(t, s, p, connections[i], single)
		})
		winning := winners(t, results, connect.ErrStateSpent)
		require.Len(t, winning, 1, "the calls of Complete that return First")
		c := connections[winning[0]]
		requireConnections(t, s, c)
		requireFlow(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"users with one identity: one gets it, the others are ErrIdentityTaken", func(t tb, s connect.Store) {
		flows := make([]connect.Pending, 20)
		for i := range flows {
			application := app
			if i%2 == 1 {
				application = otherApp
			}
			label := fmt.Sprint(i)
			flows[i] = flowIn(application, "user "+label, label)
		}
		bind(t, s, flows...)
		results := completeAll(t, s, flows, sharing(identity("shared")), single)
		winning := winners(t, results, connect.ErrIdentityTaken)
		require.Len(t, winning, 1, "the calls of Complete that return First")
		for i, p := range flows {
			c := finished(p, identity("shared"))
			if i == winning[0] {
				requireConnections(t, s, c)
				continue
			}
			requireNoConnection(t, s, p.ApplicationID, p.UserID)
			requireFlow(t, s, p)
		}
		requireTasks(t, s, tag(finished(flows[winning[0]], identity("shared"))))
	}},

	{"flows of one user with different identities: one stays, the others are to be deleted", func(t tb, s connect.Store) {
		flows := rivals(t, s, "anna", 10, plain)
		results := completeAll(t, s, flows, own, single)
		require.Len(t, winners(t, results), len(flows), "the calls of Complete that return First, each for its own flow")

		last := onlyConnection(t, s, "anna")
		var want []connect.Task
		var replaced, deleted []string
		for i, p := range flows {
			c := own(p)
			requireFlow(t, s, completed(p, c.IdentityID))
			if results[i].replaced != "" {
				replaced = append(replaced, results[i].replaced)
			}
			if c.IdentityID == last.IdentityID {
				want = append(want, tag(c))
				continue
			}
			want = append(want, deletion(c))
			deleted = append(deleted, c.IdentityID)
		}
		require.ElementsMatch(t, deleted, replaced, "the identities that Complete returns as Replaced")
		requireTasks(t, s, want...)
	}},

	{"Complete and Disconnect: no connection is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			p := flow(user, user)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, disconnecting result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { disconnecting.disconnect(t, s, endAll(app, user, disconnectedAt)) })
			require.NoError(t, disconnecting.err, "Disconnect")
			if completing.won(t, connect.ErrStateSpent) {
				requireSame(t, []connect.Connection{c}, disconnecting.ended, "the result of a Disconnect that came second")
				want = append(want, deletion(c))
			} else {
				require.Empty(t, disconnecting.ended, "the result of a Disconnect that came first")
			}
			requireNoConnection(t, s, app, user)
			requireFlow(t, s, spent(p))
			return want
		})
	}},

	{"a renewal and Disconnect: no connection is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			old := connectedBefore(t, s, user)
			p := flow(user, user)
			c := renewal(old, finished(p, identity(user)))
			bind(t, s, p)
			var completing, disconnecting result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { disconnecting.disconnect(t, s, endAll(app, user, disconnectedAt)) })
			require.NoError(t, disconnecting.err, "Disconnect")
			want = append(want, deletion(old))
			ended := old
			if completing.won(t, connect.ErrStateSpent) {
				want = append(want, deletion(c))
				ended = c
			}
			requireSame(t, []connect.Connection{ended}, disconnecting.ended, "the result of Disconnect")
			requireNoConnection(t, s, app, user)
			requireFlow(t, s, spent(p))
			return want
		})
	}},

	{"Bind and Complete of an earlier flow, and Disconnect: no connection is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			if i%4 < 2 {
				old := connectedBefore(t, s, user)
				want = append(want, deletion(old))
			}
			p := begunAt(user, user, noon.Add(-micro))
			c := finished(p, identity(user))
			var completing, disconnecting result
			duel(i,
				func() { completing.bindAndComplete(t, s, p, c, single) },
				func() { disconnecting.disconnect(t, s, endAll(app, user, noon)) })
			require.NoError(t, disconnecting.err, "Disconnect")
			if completing.won(t, connect.ErrStateSpent) {
				want = append(want, deletion(c))
			}
			requireNoConnection(t, s, app, user)
			return want
		})
	}},

	{"the same identity and one that replaces it: the new identity stays", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			old := connectedBefore(t, s, user)
			again, p := flow(user, user+", again"), flow(user, user)
			c := renewal(old, finished(p, identity(user)))
			bind(t, s, again, p)
			var returning, replacing result
			duel(i,
				func() { returning.complete(t, s, again, finished(again, old.IdentityID), sameIdentity(single)) },
				func() {
					replacing.complete(t, s, p, c, single)
					// After Done the old identity is like any other.
					replacing.err = errors.Join(replacing.err, s.Done(t.Context(), deletion(old)))
				})
			require.True(t, replacing.won(t), "First, which Complete returns")
			returning.won(t, connect.ErrIdentityTooOld, connect.ErrIdentityRetired)
			requireConnections(t, s, c)
			return append(want, tag(c))
		})
	}},

	{"Complete and Spend: the results agree with the store", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			p := flow(user, user)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, spending result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { spending.err = s.Spend(t.Context(), p.TokenHash) })
			require.NoError(t, spending.err, "Spend")
			if completing.won(t, connect.ErrStateSpent) {
				requireFlow(t, s, completed(p, c.IdentityID))
				requireConnections(t, s, c)
				return append(want, tag(c))
			}
			requireFlow(t, s, spent(p))
			requireNoConnection(t, s, app, user)
			return want
		})
	}},

	{"Complete for the identity of a user who gives it up: refused", func(t tb, s connect.Store) {
		for i := range rounds {
			user, thief := fmt.Sprint("user ", i), fmt.Sprint("thief ", i)
			c := connected(t, s, flow(user, user), identity(user))
			p := flow(thief, thief)
			bind(t, s, p)
			newer := flow(user, user+", again")
			bind(t, s, newer)
			var stealing, leaving result
			duel(i,
				func() { stealing.complete(t, s, p, finished(p, c.IdentityID), single) },
				func() {
					if i%4 < 2 {
						leaving.disconnect(t, s, endAll(app, user, disconnectedAt))
						return
					}
					leaving.complete(t, s, newer, finished(newer, identity(user+", again")), single)
				})
			require.NoError(t, leaving.err, "the Disconnect or Complete that gives up the identity")
			require.False(t, stealing.won(t, connect.ErrIdentityTaken, connect.ErrIdentityRetired), "whether a Complete for another user succeeds")
			requireNoConnection(t, s, app, thief)
			requireFlow(t, s, p)
		}
	}},

	{"Disconnect: one call ends the connection, the others find none", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		results := make([]result, 20)
		race(len(results), func(i int) {
			results[i].disconnect(t, s, endAll(app, "anna", disconnectedAt))
		})
		winning := winners(t, results, nil)
		require.Len(t, winning, 1, "the calls of Disconnect that ended the connection")
		requireSame(t, []connect.Connection{c}, results[winning[0]].ended, "the result of Disconnect")
		requireTasks(t, s, deletion(c))
	}},

	{"Bind of one token hash: exactly one succeeds", func(t tb, s connect.Store) {
		flows := make([]connect.Pending, 20)
		results := make([]result, len(flows))
		for i := range flows {
			flows[i] = flow(fmt.Sprint("user ", i), "the same")
		}
		race(len(flows), func(i int) {
			results[i].err = s.Bind(t.Context(), flows[i], plenty)
		})
		var kept []connect.Pending
		for i, a := range results {
			if a.err == nil {
				kept = append(kept, flows[i])
			}
		}
		require.Len(t, kept, 1, "the flows that Bind accepted")
		requireFlow(t, s, kept[0])
	}},

	{"Bind for one user: all succeed, and the next one restores the limit", func(t tb, s connect.Store) {
		const limit = 5
		flows := make([]connect.Pending, 20)
		for i := range flows {
			flows[i] = expiring("anna", fmt.Sprint("tab ", i), i+1)
		}
		errs := make([]error, len(flows))
		race(len(flows), func(i int) {
			errs[i] = s.Bind(t.Context(), flows[i], limit)
		})
		require.NoError(t, errors.Join(errs...), "Bind")

		// Whichever flows are left, these expire last.
		next := expiring("anna", "next", 30)
		bindWithin(t, s, limit, next)
		flows = append(flows, next)
		requireFlows(t, s, flows[len(flows)-limit:], nil)
		require.Equal(t, limit, countLive(t, s, flows), "the number of live flows of a user")
		bindWithin(t, s, limit, expiring("anna", "last", 31))
		sweepAll(t, s, 2*limit+1)
	}},

	{"Complete and the Bind that spends its flow: the results agree with the store", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			p, next := expiring(user, user, 1), expiring(user, user+", next", 2)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, binding result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { binding.err = s.Bind(t.Context(), next, 1) })
			require.NoError(t, binding.err, "Bind")
			requireFlow(t, s, next)
			if completing.won(t, connect.ErrStateSpent) {
				requireFlow(t, s, completed(p, c.IdentityID))
				requireConnections(t, s, c)
				requireReload(t, s, p, c)
				return append(want, tag(c))
			}
			requireFlow(t, s, spent(p))
			requireNoConnection(t, s, app, user)
			return want
		})
	}},

	{"SetHealth with the same news: exactly one call reports a change", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		for i, health := range []connect.Health{needsSignIn, healthOK, needsSignIn} {
			c = withHealth(c, health, later(i+1))
			results := make([]result, 20)
			race(len(results), func(j int) {
				results[j].setHealth(t, s, c.IdentityID, c.Health, c.HealthAt)
			})
			require.Len(t, winners(t, results, nil), 1, "the calls of SetHealth that report a change")
			for _, a := range results {
				require.Equal(t, inUTC(c), inUTC(a.connection), "the connection that SetHealth returns")
			}
			requireConnections(t, s, c)
		}
	}},

	{"SetHealth with different news: the latest stands", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			c := connected(t, s, flow(user, user), identity(user))
			all := []news{{needsSignIn, later(3)}, {healthOK, later(5)}, {healthOK, later(2)}, {needsSignIn, later(5)}, {healthOK, later(4)}}
			errs := make([]error, len(all))
			race(len(all), func(j int) {
				_, _, errs[j] = s.SetHealth(t.Context(), c.IdentityID, all[j].health, all[j].at)
			})
			require.NoError(t, errors.Join(errs...), "SetHealth")
			requireConnections(t, s, withHealth(c, needsSignIn, later(5)))
		}
	}},

	{"SetHealth and a replacement: the old identity stays away", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			old := connectedBefore(t, s, user)
			p := flow(user, user)
			c := renewal(old, finished(p, identity(user)))
			bind(t, s, p)
			var completing, news result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { news.setHealth(t, s, old.IdentityID, needsSignIn, later(1)) })
			require.True(t, completing.won(t), "First, which Complete returns")
			if news.won(t, connect.ErrNotConnected) {
				require.Equal(t, inUTC(withHealth(old, needsSignIn, later(1))), inUTC(news.connection), "the connection that SetHealth returns")
			}
			requireConnections(t, s, c)
			requireNotConnected(t, s, old.IdentityID)
			requireConnections(t, s, c)
			return append(want, deletion(old), tag(c))
		})
	}},

	{"SetHealth and a renewal with the same identity: the sign-in is not lost", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			old := connected(t, s, flow(user, user+", old"), identity(user))
			p := flow(user, user)
			bind(t, s, p)
			c := connectedAt(withHealth(renewal(old, finished(p, identity(user))), healthOK, later(2)), noon.Add(time.Minute))
			// In half of the rounds the sign-in is later than the news.
			at := later(1 + i/2%2*2)
			var completing, news result
			duel(i,
				func() { completing.complete(t, s, p, c, single) },
				func() { news.setHealth(t, s, c.IdentityID, needsSignIn, at) })
			require.True(t, completing.won(t), "First, which Complete returns")
			require.NoError(t, news.err, "SetHealth for a connected identity")
			switch told := inUTC(news.connection); {
			case told.ConnectedAt.Equal(old.ConnectedAt):
				require.Equal(t, inUTC(withHealth(old, needsSignIn, at)), told, "the connection that SetHealth returns if it came first")
				require.True(t, news.first, "changed, which SetHealth returns if it came first")
			case at.After(c.HealthAt):
				c = withHealth(c, needsSignIn, at)
				require.Equal(t, inUTC(c), told, "the connection that SetHealth returns if it came second")
				require.True(t, news.first, "changed, which SetHealth returns if it came second")
			default:
				require.Equal(t, inUTC(c), told, "the connection that SetHealth returns if it came second with earlier news")
				require.False(t, news.first, "changed, which SetHealth returns if it came second with earlier news")
			}
			requireConnections(t, s, c)
			return append(want, tag(c))
		})
	}},

	{"SetHealth and Disconnect: no connection is left", func(t tb, s connect.Store) {
		inRounds(t, s, func(i int, user string) (want []connect.Task) {
			c := connected(t, s, flow(user, user), identity(user))
			var disconnecting, news result
			duel(i,
				func() { disconnecting.disconnect(t, s, endAll(app, user, disconnectedAt)) },
				func() { news.setHealth(t, s, c.IdentityID, needsSignIn, later(1)) })
			require.NoError(t, disconnecting.err, "Disconnect")
			if news.won(t, connect.ErrNotConnected) {
				c = withHealth(c, needsSignIn, later(1))
				require.Equal(t, inUTC(c), inUTC(news.connection), "the connection that SetHealth returns if it came first")
			}
			requireNoConnection(t, s, app, user)
			requireNotConnected(t, s, c.IdentityID)
			requireSame(t, []connect.Connection{c}, disconnecting.ended, "the result of Disconnect")
			return append(want, deletion(c))
		})
	}},

	{"all methods for one user: every stored identity is connected or to be deleted", func(t tb, s connect.Store) {
		const returns = 12
		p := flow("anna", "first")
		first := connected(t, s, p, identity("first"))
		connections := []connect.Connection{first}
		var flows []connect.Pending
		for i := range returns {
			label := fmt.Sprint(i)
			flows = append(flows, expiring("anna", label, i+1))
			connections = append(connections, finished(flows[i], identity(label)))
		}
		results := make([]result, returns)
		errs := make([]error, returns+8)
		race(len(errs), func(i int) {
			switch {
			case i < returns:
				errs[i] = s.Bind(t.Context(), flows[i], 3)
				a := &results[i]
				a.complete(t, s, flows[i], connections[i+1], single)
			case i%2 == 0:
				_, errs[i] = s.Disconnect(t.Context(), endAll(app, "anna", disconnectedAt))
			default:
				for _, c := range connections {
					_, _, err := s.SetHealth(t.Context(), c.IdentityID, needsSignIn, later(i))
					if !errors.Is(err, connect.ErrNotConnected) {
						errs[i] = errors.Join(errs[i], err)
					}
				}
			}
		})
		require.NoError(t, errors.Join(errs...), "the errors of Bind, Disconnect and SetHealth")

		stored := []connect.Connection{first}
		for _, i := range winners(t, results, connect.ErrStateSpent, connect.ErrStateUnknown) {
			stored = append(stored, inUTC(results[i].connection))
		}
		left, err := s.Connections(t.Context(), app, "anna")
		require.NoError(t, err, "Connections")
		require.LessOrEqual(t, len(left), 1, "the number of connections that are left")
		var last connect.Connection
		if len(left) > 0 {
			last = left[0]
			require.Contains(t, stored, withHealth(inUTC(last), healthOK, signedIn), "the connections that Complete returned")
		}
		var want []connect.Task
		for _, c := range stored {
			if c.IdentityID == last.IdentityID {
				want = append(want, tag(c))
				continue
			}
			want = append(want, deletion(c))
			requireNotConnected(t, s, c.IdentityID)
		}
		requireTasks(t, s, want...)
	}},

	{"many users: no call fails", func(t tb, s connect.Store) {
		const users = 30
		flows := make([]connect.Pending, users)
		var olds []connect.Connection
		for i := range flows {
			user := fmt.Sprint("user ", i)
			flows[i] = flow(user, user)
			olds = append(olds, connectedBefore(t, s, user))
		}
		errs := make([]error, users+10)
		race(len(errs), func(i int) {
			if i >= users {
				// Meanwhile others claim and sweep, and find nothing.
				_, claiming := s.Claim(t.Context(), app, noon.Add(-time.Hour), noon, plenty)
				_, sweeping := s.Sweep(t.Context(), noon.Add(-time.Hour), plenty)
				errs[i] = errors.Join(claiming, sweeping)
				return
			}
			p := flows[i]
			binding := s.Bind(t.Context(), p, plenty)
			done, completing := s.Complete(t.Context(), p.TokenHash, finished(p, identity(p.UserID)), single)
			if completing == nil && !done.First {
				completing = errors.New("Complete of a live flow did not return First")
			}
			var disconnecting error
			if i%2 == 0 {
				_, disconnecting = s.Disconnect(t.Context(), endAll(app, p.UserID, disconnectedAt))
			}
			errs[i] = errors.Join(binding, completing, disconnecting)
		})
		require.NoError(t, errors.Join(errs...), "the errors of all calls")

		var want []connect.Task
		for i, p := range flows {
			old := olds[i]
			c := renewal(old, finished(p, identity(p.UserID)))
			want = append(want, deletion(old))
			if i%2 == 0 {
				requireNoConnection(t, s, app, p.UserID)
				want = append(want, deletion(c))
				continue
			}
			requireConnections(t, s, c)
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"Claim: every task is returned exactly once", func(t tb, s connect.Store) {
		var want []connect.Task
		applications := []string{app, otherApp}
		for i := range 40 {
			label := fmt.Sprint(i)
			want = append(want, tag(connected(t, s, flowIn(applications[i%2], "user "+label, label), identity(label))))
		}
		claimed := make([][]connect.Task, 8)
		errs := make([]error, len(claimed))
		race(len(claimed), func(i int) {
			for range 2 * len(want) { // ends even if the store returns tasks forever
				tasks, err := s.Claim(t.Context(), applications[i%2], tagDue, tagDue.Add(lease), 3)
				if err != nil || len(tasks) == 0 {
					errs[i] = err
					return
				}
				claimed[i] = append(claimed[i], tasks...)
			}
		})
		require.NoError(t, errors.Join(errs...), "Claim")
		for i, tasks := range claimed {
			for _, task := range tasks {
				require.Equal(t, applications[i%2], task.ApplicationID, "the ApplicationID of a task that Claim returns")
			}
		}
		got := slices.Concat(claimed...)
		for _, task := range got {
			require.Equal(t, tagDue.Add(lease), task.NotBefore.UTC(), "the NotBefore of a task that Claim returns")
		}
		requireSameTasks(t, want, got, "the tasks that Claim returned")
		requireDue(t, s, tagDue)
	}},

	{"Sweep: every flow is counted exactly once", func(t tb, s connect.Store) {
		const expired = 40
		live := flow("anna", "live")
		bind(t, s, live)
		for i := range expired {
			p := flow("anna", fmt.Sprint(i))
			p.ExpiresAt = noon.Add(-time.Hour)
			bind(t, s, p)
		}
		swept := make([]int, 8)
		errs := make([]error, len(swept))
		race(len(swept), func(i int) {
			for range 2 * expired {
				n, err := s.Sweep(t.Context(), noon, 3)
				if err != nil || n < 1 {
					errs[i] = err
					return
				}
				swept[i] += n
			}
		})
		require.NoError(t, errors.Join(errs...), "Sweep")
		total := 0
		for _, n := range swept {
			total += n
		}
		require.Equal(t, expired, total, "the sum of the numbers that Sweep returns")
		requireFlow(t, s, live)
	}},
}}
