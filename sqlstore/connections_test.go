package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	c := connection("anna", "1")
	live := func(change func(r *reasons)) reasons {
		r := reasons{known: true, start: start("anna", "")}
		change(&r)
		return r
	}
	everything := func(r *reasons) {
		r.start.ExpiresAt = noon
		r.retired, r.taken = true, true
	}
	for name, row := range map[string]struct {
		given reasons
		want  error
	}{
		"nothing is known": {reasons{retired: true, taken: true}, connect.ErrStateUnknown},
		"another user": {live(func(r *reasons) {
			everything(r)
			r.start.UserID, r.start.Spent, r.start.IdentityID = "ben", true, "1"
		}), connect.ErrAnotherUser},
		"another application": {live(func(r *reasons) {
			everything(r)
			r.start.ApplicationID, r.start.Spent, r.start.IdentityID = "other", true, "1"
		}), connect.ErrAnotherUser},
		"a reload": {live(func(r *reasons) {
			r.start.Spent, r.start.IdentityID = true, "1"
		}), nil},
		"a reload, whatever has become of start and identity": {live(func(r *reasons) {
			everything(r)
			r.start.Spent, r.start.IdentityID = true, "1"
		}), nil},
		"spent": {live(func(r *reasons) {
			everything(r)
			r.start.Spent = true
		}), connect.ErrStateSpent},
		"completed with another identity": {live(func(r *reasons) {
			everything(r)
			r.start.Spent, r.start.IdentityID = true, "2"
		}), connect.ErrStateSpent},
		"begun before a disconnect": {live(func(r *reasons) {
			everything(r)
			r.disconnected = true
		}), connect.ErrStateSpent},
		"a reload of a start that began before a disconnect": {live(func(r *reasons) {
			r.disconnected = true
			r.start.Spent, r.start.IdentityID = true, "1"
		}), nil},
		"expired at this moment": {live(everything), connect.ErrStateExpired},
		"expired, finer than the store keeps": {live(func(r *reasons) {
			r.start.ExpiresAt = noon.Add(time.Nanosecond)
		}), connect.ErrStateExpired},
		"retired": {live(func(r *reasons) {
			r.start.ExpiresAt = noon.Add(time.Microsecond)
			r.retired, r.taken = true, true
		}), connect.ErrIdentityRetired},
		"taken": {live(func(r *reasons) { r.taken, r.connected = true, true }), connect.ErrIdentityTaken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// That the identity has to be the user's is the last reason there is.
			require.Equal(t, row.want, row.given.judge(c, tagged))
			require.Equal(t, row.want, row.given.judge(c, same))
		})
	}
	t.Run("any identity may come, and there is no reason at all", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, errOvertaken, live(func(*reasons) {}).judge(c, tagged))
	})
	t.Run("the identity has to be the user's, and it is", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, errOvertaken, live(func(r *reasons) { r.connected = true }).judge(c, same))
	})
	t.Run("the identity has to be the user's, and is nobody's", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, connect.ErrIdentityTooOld, live(func(*reasons) {}).judge(c, same))
	})
}

func TestAfterEvent(t *testing.T) {
	t.Parallel()
	const ok, needsSignIn = connect.HealthOK, connect.HealthNeedsSignIn
	for name, row := range map[string]struct {
		health connect.Health
		said   connect.Health
		at     time.Time
		counts bool
	}{
		"later, worse":                               {ok, needsSignIn, signedIn.Add(time.Microsecond), true},
		"later, better":                              {needsSignIn, ok, signedIn.Add(time.Microsecond), true},
		"later, the same":                            {ok, ok, signedIn.Add(time.Microsecond), true},
		"at that very moment, worse":                 {ok, needsSignIn, signedIn, true},
		"at that very moment, better":                {needsSignIn, ok, signedIn, false},
		"at that very moment, the same":              {needsSignIn, needsSignIn, signedIn, false},
		"earlier, worse":                             {ok, needsSignIn, signedIn.Add(-time.Microsecond), false},
		"earlier, better":                            {needsSignIn, ok, signedIn.Add(-time.Microsecond), false},
		"later by less than the store keeps, worse":  {ok, needsSignIn, signedIn.Add(time.Nanosecond), true},
		"later by less than the store keeps, better": {needsSignIn, ok, signedIn.Add(time.Nanosecond), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := connection("anna", "1")
			before.Health = row.health
			want := before
			if row.counts {
				want.Health, want.HealthAt = row.said, row.at.Truncate(time.Microsecond)
			}
			got, counts := afterEvent(before, row.said, row.at)
			require.Equal(t, row.counts, counts)
			require.Equal(t, want, got)
		})
	}
}

// A round trip is what costs time, so their number is held here. What stands
// for one is said at traffic.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		db, w := watched(t, d)
		s := d.emptyIn(t, db)
		require.NoError(t, s.Migrate(t.Context()))
		first, again, newer := start("anna", "first"), start("anna", "again"), start("anna", "newer moment")
		justTheSame, onlyTheSame, spent := start("anna", "just the same"), start("anna", "only the same"), start("anna", "spent")
		bind(t, s, again, newer, justTheSame, onlyTheSame, spent)

		// holds requires that f takes so many statements, and whether they are a
		// transaction.
		holds := func(name string, statements int, transaction string, f func()) {
			t.Helper()
			sent := w.during(f)
			var began, ended string
			var count int
			for _, sending := range sent {
				switch sending {
				case "begin":
					began = sending
				case "commit", "rollback":
					ended = sending
				default:
					count++
				}
			}
			require.Equal(t, statements, count, "statements of %s: %q", name, sent)
			require.Equal(t, transaction, ended, "the end of %s", name)
			require.Equal(t, ended != "", began != "", "the beginning of %s", name)
			t.Logf("%s: %d, %s", name, count, ended)
		}
		on := func(sqlite, postgreSQL, mySQL int) int {
			return map[Dialect]int{SQLite: sqlite, PostgreSQL: postgreSQL, MySQL: mySQL}[d.dialect]
		}
		commit := map[Dialect]string{SQLite: "commit", MySQL: "commit"}[d.dialect]
		rollback := map[Dialect]string{SQLite: "rollback", MySQL: "rollback"}[d.dialect]

		holds("Bind", on(2, 1, 2), "", func() { bind(t, s, first) })
		holds("a whole callback", on(5, 3, 5), commit, func() {
			_, err := s.Pending(t.Context(), first.TokenHash)
			require.NoError(t, err)
			complete(t, s, first, "1")
			require.NoError(t, s.Done(t.Context(), tag("anna", "1")))
		})
		holds("Connection", 1, "", func() { requireConnection(t, s, "anna", "1") })
		holds("Complete, again with another identity", on(3, 1, 3), commit, func() { complete(t, s, again, "2") })
		holds("Complete, a reload", 2, commit, func() {
			first, err := s.Complete(t.Context(), again.TokenHash, connection("anna", "2"), tagged)
			require.NoError(t, err)
			require.False(t, first)
		})
		holds("Complete, refused", 2, rollback, func() {
			_, err := s.Complete(t.Context(), again.TokenHash, connection("anna", "3"), tagged)
			require.ErrorIs(t, err, connect.ErrStateSpent)
		})
		require.NoError(t, s.Done(t.Context(), tag("anna", "2")))
		holds("Complete, again with the same identity", on(3, 1, 3), commit, func() {
			c := connection("anna", "2")
			c.ConnectedAt = noon.Add(time.Second)
			first, err := s.Complete(t.Context(), newer.TokenHash, c, tagged)
			require.NoError(t, err)
			require.True(t, first)
		})
		holds("Complete, again just the same", on(3, 1, 3), commit, func() {
			c := connection("anna", "2")
			c.ConnectedAt = noon.Add(time.Second)
			first, err := s.Complete(t.Context(), justTheSame.TokenHash, c, tagged)
			require.NoError(t, err)
			require.True(t, first)
		})
		require.NoError(t, s.Done(t.Context(), tag("anna", "2")))
		holds("Complete, with the identity that the user has", on(3, 1, 4), commit, func() {
			first, err := s.Complete(t.Context(), onlyTheSame.TokenHash, connection("anna", "2"), same)
			require.NoError(t, err)
			require.True(t, first)
		})
		holds("Complete, with another identity than the user has", 2, rollback, func() {
			_, err := s.Complete(t.Context(), spent.TokenHash, connection("anna", "3"), same)
			require.ErrorIs(t, err, connect.ErrIdentityTooOld)
		})
		setHealth := func(health connect.Health, at time.Time, wantChanged bool) {
			_, changed, err := s.SetHealth(t.Context(), "2", health, at)
			require.NoError(t, err)
			require.Equal(t, wantChanged, changed)
		}
		holds("SetHealth, an event that changes it", 2, "", func() { setHealth(connect.HealthNeedsSignIn, noon, true) })
		holds("SetHealth, a later event that says the same", 2, "", func() { setHealth(connect.HealthNeedsSignIn, noon.Add(time.Second), false) })
		holds("SetHealth, an event that does not count", 1, "", func() { setHealth(connect.HealthOK, noon, false) })
		holds("SetHealth, nobody's identity", 1, "", func() {
			_, _, err := s.SetHealth(t.Context(), "nobody's", connect.HealthOK, noon)
			require.ErrorIs(t, err, connect.ErrNotConnected)
		})
		holds("Spend", 1, "", func() { require.NoError(t, s.Spend(t.Context(), spent.TokenHash)) })
		holds("Claim", on(3, 1, 3), commit, func() {
			tasks, err := s.Claim(t.Context(), application, tagDue, tagDue, 10)
			require.NoError(t, err)
			require.Len(t, tasks, 2)
		})
		holds("Claim, nothing due", 1, "", func() {
			tasks, err := s.Claim(t.Context(), application, noon.Add(-time.Second), tagDue, 10)
			require.NoError(t, err)
			require.Empty(t, tasks)
		})
		holds("Postpone", 1, "", func() { require.NoError(t, s.Postpone(t.Context(), tag("anna", "2"), noon)) })
		holds("ApplicationsOf", 1, "", func() {
			ids, err := s.ApplicationsOf(t.Context(), "anna")
			require.NoError(t, err)
			require.Equal(t, []string{application}, ids)
		})
		holds("Applications, of which there is one", 2, "", func() {
			ids, err := s.Applications(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{application}, ids)
		})
		holds("Disconnect", on(4, 4, 5), "commit", func() { disconnect(t, s, "anna") })
		holds("Disconnect, not connected", 3, "commit", func() {
			_, err := s.Disconnect(t.Context(), application, "anna", disconnectedAt, deleteDue)
			require.ErrorIs(t, err, connect.ErrNotConnected)
		})
		holds("Sweep", 2, "commit", func() {
			n, err := s.Sweep(t.Context(), noon.AddDate(1, 0, 0), 10)
			require.NoError(t, err)
			require.Equal(t, 6, n)
		})
		for i := range 2 {
			bind(t, s, start("anna", fmt.Sprint("live ", i)))
		}
		holds("Bind, one is spent to make room", on(3, 1, 3), commit, func() {
			require.NoError(t, s.Bind(t.Context(), start("anna", "new"), 2))
		})
		require.NoError(t, s.Bind(t.Context(), start("anna", "newer"), 1))
		holds("Bind, some are spent and some removed", on(4, 1, 4), commit, func() {
			require.NoError(t, s.Bind(t.Context(), start("anna", "newest"), 1))
		})
		holds("Claim and Sweep, with a limit below one", 0, "", func() {
			_, err := s.Claim(t.Context(), application, noon, tagDue, 0)
			require.NoError(t, err)
			_, err = s.Sweep(t.Context(), noon, -1)
			require.NoError(t, err)
		})
	})
}

// MySQL counts a row that is set to what it was as none, unless a parameter of
// the driver says otherwise.
func TestUnchangedConnection(t *testing.T) {
	t.Parallel()
	for name, parameters := range map[string]string{
		"MySQL counts changed rows": "",
		"MySQL counts found rows":   "clientFoundRows=true",
		"MySQL prepares statements": "interpolateParams=false",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := on(t, MySQL)
			s := d.emptyIn(t, d.open(t, withParameters(d.url(t), parameters)))
			require.NoError(t, s.Migrate(t.Context()))
			for _, tokenHash := range []string{"first", "again", "and again"} {
				p := start("anna", tokenHash)
				bind(t, s, p)
				complete(t, s, p, "1")
				requireConnection(t, s, "anna", "1")
				requireTasks(t, s, tag("anna", "1"))
			}
			other := start("anna", "other")
			bind(t, s, other)
			complete(t, s, other, "2")
			requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))

			// Somebody else's row that would be the same after all is not the user's.
			bens := start("ben", "bens")
			bind(t, s, bens)
			meanwhile(t, s, func() {
				_, err := s.Complete(t.Context(), bens.TokenHash, connection("ben", "3"), tagged)
				require.ErrorIs(t, err, connect.ErrIdentityTaken)
			}, "INSERT INTO connect_connections VALUES "+connectionValues("dora", "3"))
			requireConnection(t, s, "ben", "")
			requireConnection(t, s, "dora", "3")
		})
	}
}
