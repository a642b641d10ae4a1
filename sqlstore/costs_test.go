package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// Round trips take most of the time, so this test pins their number. See traffic.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		db, w := watched(t, d)
		s := d.emptyIn(t, db)
		require.NoError(t, s.Migrate(t.Context()))
		first, again, newer := flow("anna", "first"), flow("anna", "again"), flow("anna", "newer moment")
		justTheSame, onlyTheSame, spent := flow("anna", "just the same"), flow("anna", "only the same"), flow("anna", "spent")
		bind(t, s, again, newer, justTheSame, onlyTheSame, spent)

		// holds requires the number of f's statements and how its transaction ends, if it
		// has one.
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
		holds("a whole callback", on(8, 3, 8), commit, func() {
			_, err := s.Pending(t.Context(), first.TokenHash)
			require.NoError(t, err)
			complete(t, s, first, "1")
			require.NoError(t, s.Done(t.Context(), tag("anna", "1")))
		})
		holds("Connections", 1, "", func() { requireConnection(t, s, "anna", "1") })
		holds("Complete, again with another identity", on(7, 1, 7), commit, func() { complete(t, s, again, "2") })
		holds("Complete, a reload", on(2, 3, 2), commit, func() {
			done, err := s.Complete(t.Context(), again.TokenHash, connection("anna", "2"), tagged)
			require.NoError(t, err)
			require.Zero(t, done)
		})
		holds("Complete, refused", on(2, 3, 2), rollback, func() {
			_, err := s.Complete(t.Context(), again.TokenHash, connection("anna", "3"), tagged)
			require.ErrorIs(t, err, connect.ErrStateSpent)
		})
		require.NoError(t, s.Done(t.Context(), tag("anna", "2")))
		holds("Complete, again with the same identity", on(6, 1, 6), commit, func() {
			c := connection("anna", "2")
			c.ConnectedAt = noon.Add(time.Second)
			done, err := s.Complete(t.Context(), newer.TokenHash, c, tagged)
			require.NoError(t, err)
			require.True(t, done.First)
		})
		holds("Complete, again just the same", on(6, 1, 6), commit, func() {
			c := connection("anna", "2")
			c.ConnectedAt = noon.Add(time.Second)
			done, err := s.Complete(t.Context(), justTheSame.TokenHash, c, tagged)
			require.NoError(t, err)
			require.True(t, done.First)
		})
		require.NoError(t, s.Done(t.Context(), tag("anna", "2")))
		holds("Complete, with the identity that the user has", on(6, 1, 6), commit, func() {
			done, err := s.Complete(t.Context(), onlyTheSame.TokenHash, connection("anna", "2"), same)
			require.NoError(t, err)
			require.True(t, done.First)
		})
		holds("Complete, with another identity than the user has", 3, rollback, func() {
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
		holds("Disconnect", 5, "commit", func() { disconnect(t, s, "anna") })
		holds("Disconnect, not connected", 3, "commit", func() {
			ended, err := s.Disconnect(t.Context(), all("anna"))
			require.NoError(t, err)
			require.Empty(t, ended)
		})
		holds("Sweep", 2, "commit", func() {
			n, err := s.Sweep(t.Context(), noon.AddDate(1, 0, 0), 10)
			require.NoError(t, err)
			require.Equal(t, 6, n)
		})
		for i := range 2 {
			bind(t, s, flow("anna", fmt.Sprint("live ", i)))
		}
		holds("Bind, one is spent to make room", on(3, 1, 3), commit, func() {
			require.NoError(t, s.Bind(t.Context(), flow("anna", "new"), 2))
		})
		require.NoError(t, s.Bind(t.Context(), flow("anna", "newer"), 1))
		holds("Bind, some are spent and some removed", on(4, 1, 4), commit, func() {
			require.NoError(t, s.Bind(t.Context(), flow("anna", "newest"), 1))
		})
		holds("Claim and Sweep, with a limit below one", 0, "", func() {
			_, err := s.Claim(t.Context(), application, noon, tagDue, 0)
			require.NoError(t, err)
			_, err = s.Sweep(t.Context(), noon, -1)
			require.NoError(t, err)
		})
	})
}
