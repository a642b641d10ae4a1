package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// rounds is how often a race is run that either side may win.
const rounds = 20

// race calls f(0) to f(n-1) at once and waits for all of them. They may not
// fail the test themselves: that is for the test's own goroutine.
func race(n int, f func(i int)) {
	ready := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-ready
			f(i)
		})
	}
	close(ready)
	running.Wait()
}

// duel is race for two, who take turns in being called first.
func duel(round int, a, b func()) {
	sides := []func(){a, b}
	race(2, func(i int) { sides[(i+round)%2]() })
}

// An answer is what one of many calls got.
type answer struct {
	first      bool
	connection connect.Connection
	err        error
}

// won counts the calls that won. All others must have got one of the errors.
func won(t tb, answers []answer, otherwise ...error) (winners []int) {
	t.Helper()
	for i, a := range answers {
		if a.first {
			require.NoError(t, a.err, "the call that says it is the first")
			winners = append(winners, i)
			continue
		}
		require.True(t, slices.ContainsFunc(otherwise, func(want error) bool {
			return want == nil && a.err == nil || want != nil && errors.Is(a.err, want)
		}), "a call that lost the race returns %v, not one of %v", a.err, otherwise)
	}
	return winners
}

var races = topic{"races", []check{
	{"of fifty equal calls of Complete exactly one is the first, and the others are reloads", func(t tb, s connect.Store) {
		p := start("anna", "tab")
		bind(t, s, p)
		c := finished(p, identity("anna"))
		answers := make([]answer, 50)
		race(len(answers), func(i int) {
			answers[i].first, answers[i].err = s.Complete(t.Context(), p.TokenHash, c, tagged)
		})
		require.Len(t, won(t, answers, nil), 1, "calls that say they are the first")
		requireConnection(t, s, c)
		requireTasks(t, s, tag(c))
	}},

	{"of calls of Complete with different identities one is stored, and the others are ErrStateSpent", func(t tb, s connect.Store) {
		p := start("anna", "tab")
		bind(t, s, p)
		answers := make([]answer, 20)
		connections := make([]connect.Connection, len(answers))
		for i := range connections {
			connections[i] = finished(p, identity(fmt.Sprint(i)))
		}
		race(len(answers), func(i int) {
			answers[i].first, answers[i].err = s.Complete(t.Context(), p.TokenHash, connections[i], tagged)
		})
		winners := won(t, answers, connect.ErrStateSpent)
		require.Len(t, winners, 1, "calls that say they are the first")
		c := connections[winners[0]]
		requireConnection(t, s, c)
		requireStart(t, s, completed(p, c.IdentityID))
		requireTasks(t, s, tag(c))
	}},

	{"of users who race for one identity one gets it, and the others are ErrIdentityTaken", func(t tb, s connect.Store) {
		starts := make([]connect.Pending, 20)
		for i := range starts {
			application := app
			if i%2 == 1 {
				application = otherApp
			}
			label := fmt.Sprint(i)
			starts[i] = startIn(application, "user "+label, label)
		}
		bind(t, s, starts...)
		answers := make([]answer, len(starts))
		race(len(starts), func(i int) {
			answers[i].first, answers[i].err = s.Complete(t.Context(), starts[i].TokenHash, finished(starts[i], identity("shared")), tagged)
		})
		winners := won(t, answers, connect.ErrIdentityTaken)
		require.Len(t, winners, 1, "calls that say they are the first")
		for i, p := range starts {
			c := finished(p, identity("shared"))
			if i == winners[0] {
				requireConnection(t, s, c)
				continue
			}
			requireNoConnection(t, s, p.ApplicationID, p.UserID)
			requireStart(t, s, p)
		}
		requireTasks(t, s, tag(finished(starts[winners[0]], identity("shared"))))
	}},

	{"of one user's starts that race with different identities one stays, and the others are to be deleted", func(t tb, s connect.Store) {
		starts := make([]connect.Pending, 10)
		for i := range starts {
			starts[i] = start("anna", fmt.Sprint(i))
		}
		bind(t, s, starts...)
		answers := make([]answer, len(starts))
		race(len(starts), func(i int) {
			answers[i].first, answers[i].err = s.Complete(t.Context(), starts[i].TokenHash, finished(starts[i], identity(fmt.Sprint(i))), tagged)
		})
		require.Len(t, won(t, answers), len(starts), "calls that say they are the first, each of its own start")

		last, err := s.Connection(t.Context(), app, "anna")
		require.NoError(t, err, "Connection")
		var want []connect.Task
		for i, p := range starts {
			c := finished(p, identity(fmt.Sprint(i)))
			requireStart(t, s, completed(p, c.IdentityID))
			if c.IdentityID == last.IdentityID {
				want = append(want, tag(c))
				continue
			}
			want = append(want, deletion(c))
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of Complete and Disconnect comes first, no connection outlives them", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			p := start(user, fmt.Sprint(user, "'s tab"))
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, disconnecting answer
			duel(i,
				func() {
					completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged)
				},
				func() {
					disconnecting.connection, disconnecting.err = s.Disconnect(t.Context(), app, user, disconnectedAt, deleteDue)
				})
			if completing.first {
				require.NoError(t, completing.err, "Complete that came first")
				require.NoError(t, disconnecting.err, "Disconnect that came second")
				require.Equal(t, inUTC(c), inUTC(disconnecting.connection), "the connection that Disconnect returns")
				want = append(want, deletion(c))
			} else {
				require.ErrorIs(t, disconnecting.err, connect.ErrNotConnected, "Disconnect that came first")
				require.ErrorIs(t, completing.err, connect.ErrStateSpent, "Complete that came second")
			}
			requireNoConnection(t, s, app, user)
			requireStart(t, s, spent(p))
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of a replacing Complete and Disconnect comes first, no connection outlives them", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connected(t, s, start(user, fmt.Sprint(user, "'s old tab")), identity(user+", old"))
			p := start(user, fmt.Sprint(user, "'s tab"))
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, disconnecting answer
			duel(i,
				func() {
					completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged)
				},
				func() {
					disconnecting.connection, disconnecting.err = s.Disconnect(t.Context(), app, user, disconnectedAt, deleteDue)
				})
			require.NoError(t, disconnecting.err, "Disconnect of a user who has a connection either way")
			want = append(want, deletion(old))
			ended := old
			if completing.first {
				require.NoError(t, completing.err, "Complete that came first")
				want = append(want, deletion(c))
				ended = c
			} else {
				require.ErrorIs(t, completing.err, connect.ErrStateSpent, "Complete that came second")
			}
			require.Equal(t, inUTC(ended), inUTC(disconnecting.connection), "the connection that Disconnect returns")
			requireNoConnection(t, s, app, user)
			requireStart(t, s, spent(p))
		}
		requireTasks(t, s, want...)
	}},

	{"whatever begins before a disconnect and is bound beside it, no connection outlives them", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			if i%4 < 2 {
				old := connected(t, s, start(user, user+", old"), identity(user+", old"))
				want = append(want, deletion(old))
			}
			p := begunAt(user, user, noon.Add(-micro))
			c := finished(p, identity(user))
			var completing, disconnecting answer
			duel(i,
				func() {
					if completing.err = s.Bind(t.Context(), p, plenty); completing.err == nil {
						completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged)
					}
				},
				func() {
					_, disconnecting.err = s.Disconnect(t.Context(), app, user, noon, deleteDue)
				})
			if disconnecting.err != nil {
				require.ErrorIs(t, disconnecting.err, connect.ErrNotConnected, "Disconnect")
			}
			if len(won(t, []answer{completing}, connect.ErrStateSpent)) == 1 {
				want = append(want, deletion(c))
			}
			requireNoConnection(t, s, app, user)
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of a return with the same identity and one that replaces it comes first, the newer identity stays", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connected(t, s, start(user, user+", old"), identity(user+", old"))
			again, p := start(user, user+", again"), start(user, user)
			c := finished(p, identity(user))
			bind(t, s, again, p)
			var returning, replacing answer
			duel(i,
				func() {
					returning.first, returning.err = s.Complete(t.Context(), again.TokenHash, finished(again, old.IdentityID), same)
				},
				func() {
					replacing.first, replacing.err = s.Complete(t.Context(), p.TokenHash, c, tagged)
					// The old identity is deleted soon, and is then like any other.
					replacing.err = errors.Join(replacing.err, s.Done(t.Context(), deletion(old)))
				})
			require.Len(t, won(t, []answer{replacing}), 1, "calls of Complete with a new identity that are the first")
			won(t, []answer{returning}, connect.ErrIdentityTooOld, connect.ErrIdentityRetired)
			requireConnection(t, s, c)
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of Complete and Spend comes first, their answers agree with the store", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			p := start(user, user)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, spending answer
			duel(i,
				func() { completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged) },
				func() { spending.err = s.Spend(t.Context(), p.TokenHash) })
			require.NoError(t, spending.err, "Spend")
			if completing.first {
				require.NoError(t, completing.err, "Complete that came first")
				requireStart(t, s, completed(p, c.IdentityID))
				requireConnection(t, s, c)
				want = append(want, tag(c))
				continue
			}
			require.ErrorIs(t, completing.err, connect.ErrStateSpent, "Complete that came second")
			requireStart(t, s, spent(p))
			requireNoConnection(t, s, app, user)
		}
		requireTasks(t, s, want...)
	}},

	{"an identity that is being given up passes to nobody meanwhile", func(t tb, s connect.Store) {
		for i := range rounds {
			user, thief := fmt.Sprint("user ", i), fmt.Sprint("thief ", i)
			c := connected(t, s, start(user, user), identity(user))
			p := start(thief, thief)
			bind(t, s, p)
			newer := start(user, user+", again")
			bind(t, s, newer)
			var stealing, leaving answer
			duel(i,
				func() {
					stealing.first, stealing.err = s.Complete(t.Context(), p.TokenHash, finished(p, c.IdentityID), tagged)
				},
				func() {
					if i%4 < 2 {
						_, leaving.err = s.Disconnect(t.Context(), app, user, disconnectedAt, deleteDue)
						return
					}
					leaving.first, leaving.err = s.Complete(t.Context(), newer.TokenHash, finished(newer, identity(user+", again")), tagged)
				})
			require.NoError(t, leaving.err, "Disconnect, or Complete that replaces")
			require.Empty(t, won(t, []answer{stealing}, connect.ErrIdentityTaken, connect.ErrIdentityRetired), "another user's calls of Complete that passed")
			requireNoConnection(t, s, app, thief)
			requireStart(t, s, p)
		}
	}},

	{"of calls of Disconnect one ends the connection, and the others are ErrNotConnected", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "tab"), identity("anna"))
		answers := make([]answer, 20)
		race(len(answers), func(i int) {
			answers[i].connection, answers[i].err = s.Disconnect(t.Context(), app, "anna", disconnectedAt, deleteDue)
			answers[i].first = answers[i].err == nil
		})
		winners := won(t, answers, connect.ErrNotConnected)
		require.Len(t, winners, 1, "calls that ended the connection")
		require.Equal(t, inUTC(c), inUTC(answers[winners[0]].connection), "the connection that Disconnect returns")
		requireTasks(t, s, deletion(c))
	}},

	{"of calls of Bind with one token hash exactly one is kept", func(t tb, s connect.Store) {
		starts := make([]connect.Pending, 20)
		answers := make([]answer, len(starts))
		for i := range starts {
			starts[i] = start(fmt.Sprint("user ", i), "the same")
		}
		race(len(starts), func(i int) {
			answers[i].err = s.Bind(t.Context(), starts[i], plenty)
		})
		var kept []connect.Pending
		for i, a := range answers {
			if a.err == nil {
				kept = append(kept, starts[i])
			}
		}
		require.Len(t, kept, 1, "starts that Bind says it has kept")
		requireStart(t, s, kept[0])
	}},

	{"of many binds of one user at once all are kept, and the next one makes room for itself", func(t tb, s connect.Store) {
		const limit = 5
		starts := make([]connect.Pending, 20)
		for i := range starts {
			starts[i] = expiring("anna", fmt.Sprint("tab ", i), i+1)
		}
		errs := make([]error, len(starts))
		race(len(starts), func(i int) {
			errs[i] = s.Bind(t.Context(), starts[i], limit)
		})
		require.NoError(t, errors.Join(errs...), "Bind")

		// Whatever the twenty have left, these are the newest of it.
		next := expiring("anna", "next", 30)
		bindWithin(t, s, limit, next)
		starts = append(starts, next)
		requireStarts(t, s, starts[len(starts)-limit:], nil)
		require.Equal(t, limit, live(t, s, starts), "how many starts of a user are live")
		bindWithin(t, s, limit, expiring("anna", "last", 31))
		sweepAll(t, s, 2*limit+1)
	}},

	{"whichever of Complete and the Bind that spends its start comes first, their answers agree with the store", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			p, next := expiring(user, user, 1), expiring(user, user+", next", 2)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, binding answer
			duel(i,
				func() { completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged) },
				func() { binding.err = s.Bind(t.Context(), next, 1) })
			require.NoError(t, binding.err, "Bind")
			requireStart(t, s, next)
			if completing.first {
				require.NoError(t, completing.err, "Complete that came first")
				requireStart(t, s, completed(p, c.IdentityID))
				requireConnection(t, s, c)
				requireReload(t, s, p, c)
				want = append(want, tag(c))
				continue
			}
			require.ErrorIs(t, completing.err, connect.ErrStateSpent, "Complete that came second")
			requireStart(t, s, spent(p))
			requireNoConnection(t, s, app, user)
		}
		requireTasks(t, s, want...)
	}},

	{"of twenty equal events exactly one changes the health", func(t tb, s connect.Store) {
		c := connected(t, s, start("anna", "tab"), identity("anna"))
		for i, health := range []connect.Health{needsSignIn, healthOK, needsSignIn} {
			c = withHealth(c, health, later(i+1))
			answers := make([]answer, 20)
			race(len(answers), func(j int) {
				a := &answers[j]
				a.connection, a.first, a.err = s.SetHealth(t.Context(), c.IdentityID, c.Health, c.HealthAt)
			})
			require.Len(t, won(t, answers, nil), 1, "calls that say they change the health")
			for _, a := range answers {
				require.Equal(t, inUTC(c), inUTC(a.connection), "the connection that SetHealth returns")
			}
			requireConnection(t, s, c)
		}
	}},

	{"of different events at once the newest stands", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			c := connected(t, s, start(user, user), identity(user))
			events := []event{{needsSignIn, later(3)}, {healthOK, later(5)}, {healthOK, later(2)}, {needsSignIn, later(5)}, {healthOK, later(4)}}
			errs := make([]error, len(events))
			race(len(events), func(j int) {
				_, _, errs[j] = s.SetHealth(t.Context(), c.IdentityID, events[j].health, events[j].at)
			})
			require.NoError(t, errors.Join(errs...), "SetHealth")
			requireConnection(t, s, withHealth(c, needsSignIn, later(5)))
		}
	}},

	{"an event brings back no connection that is being replaced", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connected(t, s, start(user, user+", old"), identity(user+", old"))
			p := start(user, user)
			c := finished(p, identity(user))
			bind(t, s, p)
			var completing, telling answer
			duel(i,
				func() { completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged) },
				func() {
					telling.connection, telling.first, telling.err = s.SetHealth(t.Context(), old.IdentityID, needsSignIn, later(1))
				})
			require.Len(t, won(t, []answer{completing}), 1, "calls of Complete that say they are the first")
			if len(won(t, []answer{telling}, connect.ErrNotConnected)) == 1 {
				require.Equal(t, inUTC(withHealth(old, needsSignIn, later(1))), inUTC(telling.connection), "the connection that SetHealth returns")
			}
			requireConnection(t, s, c)
			requireNobodys(t, s, old.IdentityID)
			requireConnection(t, s, c)
			want = append(want, deletion(old), tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of an event and a return with the same identity comes first, the connection is the return's", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			old := connected(t, s, start(user, user+", old"), identity(user))
			p := start(user, user)
			bind(t, s, p)
			c := withHealth(finished(p, identity(user)), healthOK, later(2))
			c.ConnectedAt = noon.Add(time.Minute)
			// In half of the rounds the return is newer than the event.
			at := later(1 + i/2%2*2)
			var completing, telling answer
			duel(i,
				func() { completing.first, completing.err = s.Complete(t.Context(), p.TokenHash, c, tagged) },
				func() {
					telling.connection, telling.first, telling.err = s.SetHealth(t.Context(), c.IdentityID, needsSignIn, at)
				})
			require.Len(t, won(t, []answer{completing}), 1, "calls of Complete that say they are the first")
			require.NoError(t, telling.err, "SetHealth of an identity that is connected all the time")
			switch told := inUTC(telling.connection); {
			case told.ConnectedAt.Equal(old.ConnectedAt):
				require.Equal(t, inUTC(withHealth(old, needsSignIn, at)), told, "the connection that SetHealth that came first returns")
				require.True(t, telling.first, "SetHealth that came first says that it does not change the health")
			case at.After(c.HealthAt):
				c = withHealth(c, needsSignIn, at)
				require.Equal(t, inUTC(c), told, "the connection that SetHealth that came second returns")
				require.True(t, telling.first, "SetHealth that came second says that it does not change the health")
			default:
				require.Equal(t, inUTC(c), told, "the connection that SetHealth that came second and too late returns")
				require.False(t, telling.first, "SetHealth that came second and too late says that it changes the health")
			}
			requireConnection(t, s, c)
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"whichever of an event and Disconnect comes first, no connection outlives them", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			c := connected(t, s, start(user, user), identity(user))
			var disconnecting, telling answer
			duel(i,
				func() {
					disconnecting.connection, disconnecting.err = s.Disconnect(t.Context(), app, user, disconnectedAt, deleteDue)
				},
				func() {
					telling.connection, telling.first, telling.err = s.SetHealth(t.Context(), c.IdentityID, needsSignIn, later(1))
				})
			require.NoError(t, disconnecting.err, "Disconnect of a user who has a connection either way")
			if len(won(t, []answer{telling}, connect.ErrNotConnected)) == 1 {
				c = withHealth(c, needsSignIn, later(1))
				require.Equal(t, inUTC(c), inUTC(telling.connection), "the connection that SetHealth that came first returns")
			}
			requireNoConnection(t, s, app, user)
			requireNobodys(t, s, c.IdentityID)
			require.Equal(t, inUTC(c), inUTC(disconnecting.connection), "the connection that Disconnect returns")
			want = append(want, deletion(c))
		}
		requireTasks(t, s, want...)
	}},

	{"whatever a user does at once, every identity that was stored is the user's or to be deleted", func(t tb, s connect.Store) {
		const returns = 12
		p := start("anna", "first")
		bind(t, s, p)
		connections := []connect.Connection{complete(t, s, p, identity("first"))}
		var starts []connect.Pending
		for i := range returns {
			label := fmt.Sprint(i)
			starts = append(starts, expiring("anna", label, i+1))
			connections = append(connections, finished(starts[i], identity(label)))
		}
		answers := make([]answer, returns)
		errs := make([]error, returns+8)
		race(len(errs), func(i int) {
			switch {
			case i < returns:
				errs[i] = s.Bind(t.Context(), starts[i], 3)
				a := &answers[i]
				a.first, a.err = s.Complete(t.Context(), starts[i].TokenHash, connections[i+1], tagged)
			case i%2 == 0:
				_, err := s.Disconnect(t.Context(), app, "anna", disconnectedAt, deleteDue)
				if !errors.Is(err, connect.ErrNotConnected) {
					errs[i] = err
				}
			default:
				for _, c := range connections {
					_, _, err := s.SetHealth(t.Context(), c.IdentityID, needsSignIn, later(i))
					if !errors.Is(err, connect.ErrNotConnected) {
						errs[i] = errors.Join(errs[i], err)
					}
				}
			}
		})
		require.NoError(t, errors.Join(errs...), "what Bind, Disconnect and SetHealth return")

		stored := []connect.Connection{connections[0]}
		for _, i := range won(t, answers, connect.ErrStateSpent, connect.ErrStateUnknown) {
			stored = append(stored, connections[i+1])
		}
		last, err := s.Connection(t.Context(), app, "anna")
		if err != nil {
			require.ErrorIs(t, err, connect.ErrNotConnected, "Connection")
		} else {
			require.Contains(t, stored, withHealth(inUTC(last), healthOK, signedIn), "the connections that Complete says it has stored")
		}
		var want []connect.Task
		for _, c := range stored {
			if c.IdentityID == last.IdentityID {
				want = append(want, tag(c))
				continue
			}
			want = append(want, deletion(c))
			requireNobodys(t, s, c.IdentityID)
		}
		requireTasks(t, s, want...)
	}},

	{"users who come and go at once do not get in each other's way", func(t tb, s connect.Store) {
		const users = 30
		starts := make([]connect.Pending, users)
		for i := range starts {
			user := fmt.Sprint("user ", i)
			starts[i] = start(user, user)
			connected(t, s, start(user, user+", old"), identity(user+", old"))
		}
		errs := make([]error, users+10)
		race(len(errs), func(i int) {
			if i >= users {
				// Meanwhile others look for work and find none.
				_, claiming := s.Claim(t.Context(), app, noon.Add(-time.Hour), noon, plenty)
				_, sweeping := s.Sweep(t.Context(), noon.Add(-time.Hour), plenty)
				errs[i] = errors.Join(claiming, sweeping)
				return
			}
			p := starts[i]
			binding := s.Bind(t.Context(), p, plenty)
			first, completing := s.Complete(t.Context(), p.TokenHash, finished(p, identity(p.UserID)), tagged)
			if completing == nil && !first {
				completing = errors.New("a live start is a reload")
			}
			var disconnecting error
			if i%2 == 0 {
				_, disconnecting = s.Disconnect(t.Context(), app, p.UserID, disconnectedAt, deleteDue)
			}
			errs[i] = errors.Join(binding, completing, disconnecting)
		})
		require.NoError(t, errors.Join(errs...), "what the calls of all users return")

		var want []connect.Task
		for i, p := range starts {
			c, old := finished(p, identity(p.UserID)), finished(p, identity(p.UserID+", old"))
			want = append(want, deletion(old))
			if i%2 == 0 {
				requireNoConnection(t, s, app, p.UserID)
				want = append(want, deletion(c))
				continue
			}
			requireConnection(t, s, c)
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"of tasks that many claim at once none is given out twice, and all are", func(t tb, s connect.Store) {
		var want []connect.Task
		applications := []string{app, otherApp}
		for i := range 40 {
			label := fmt.Sprint(i)
			want = append(want, tag(connected(t, s, startIn(applications[i%2], "user "+label, label), identity(label))))
		}
		claimed := make([][]connect.Task, 8)
		errs := make([]error, len(claimed))
		race(len(claimed), func(i int) {
			for range 2 * len(want) { // a store that never runs out of tasks ends, too
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
				require.Equal(t, applications[i%2], task.ApplicationID, "the application of a task that Claim returns is the one it was asked for")
			}
		}
		got := slices.Concat(claimed...)
		for _, task := range got {
			require.Equal(t, tagDue.Add(lease), task.NotBefore.UTC(), "NotBefore of a task that Claim returns is the end of its lease")
		}
		requireSameTasks(t, want, got, "the tasks that were given out")
		requireDue(t, s, tagDue)
	}},

	{"of many sweeps at once each start is counted by one", func(t tb, s connect.Store) {
		const expired = 40
		live := start("anna", "live")
		bind(t, s, live)
		for i := range expired {
			p := start("anna", fmt.Sprint(i))
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
		require.Equal(t, expired, total, "how many starts the sweeps say they have removed, together")
		requireStart(t, s, live)
	}},
}}
