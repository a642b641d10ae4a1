package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestSetHealthNews(t *testing.T) {
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
			require.Equal(t, want, afterNews(before, row.said, row.at))
		})
	}
}

// MySQL does not count a row whose values stay the same, unless a parameter of the driver
// changes that.
func TestSetHealthOfAnUnchangedConnection(t *testing.T) {
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
				p := flow("anna", tokenHash)
				bind(t, s, p)
				complete(t, s, p, "1")
				requireConnection(t, s, "anna", "1")
				requireTasks(t, s, tag("anna", "1"))
			}
			other := flow("anna", "other")
			bind(t, s, other)
			complete(t, s, other, "2")
			requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))

			// The same row of another user is not the user's.
			bens := flow("ben", "bens")
			bind(t, s, bens)
			meanwhile(t, s, func() {
				_, err := s.Complete(t.Context(), bens.TokenHash, connection("ben", "3"), tagged)
				require.ErrorIs(t, err, connect.ErrIdentityTaken)
			}, insertConnection("dora", "3"))
			requireConnection(t, s, "ben", "")
			requireConnection(t, s, "dora", "3")
		})
	}
}

func TestDisconnectOvertaken(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("a disconnect waits for a return under way and then ends its connection", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			annas := flow("anna", "annas")
			bind(t, s, annas)
			var ended []connect.Connection
			var err error
			meanwhile(t, s, func() { ended, err = s.Disconnect(t.Context(), all("anna")) },
				"UPDATE connect_pending SET spent = TRUE, identity_id = '1' WHERE token_hash = 'annas'",
				"INSERT INTO connect_tasks VALUES ('1', 'tag', 'application', 'anna', 0, 0)",
				insertConnection("anna", "1"),
			)
			require.NoError(t, err)
			require.Len(t, ended, 1)
			require.Equal(t, "1", ended[0].IdentityID)
			requireConnection(t, s, "anna", "")
			requireTasks(t, s, deletion("anna", "1"))
			_, err = s.Complete(t.Context(), "annas", connection("anna", "1"), tagged)
			require.ErrorIs(t, err, connect.ErrStateSpent)
		})

		t.Run("two disconnects of one user end the connection once", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			connected(t, s, "anna", "1")
			var ended []connect.Connection
			var err error
			meanwhile(t, s, func() { ended, err = s.Disconnect(t.Context(), all("anna")) },
				"UPDATE connect_pending SET identity_id = '' WHERE user_id = 'anna'",
				"DELETE FROM connect_connections WHERE user_id = 'anna'",
				"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'anna', 0, 5)",
			)
			require.NoError(t, err)
			require.Empty(t, ended)
			first := deletion("anna", "1")
			first.Attempts = 6
			requireTasks(t, s, first)
		})

		t.Run("two disconnects of one user end the connection once, when all flows were swept", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			connected(t, s, "anna", "1")
			_, err := s.Sweep(t.Context(), noon.AddDate(1, 0, 0), 10)
			require.NoError(t, err)
			var ended []connect.Connection
			meanwhile(t, s, func() { ended, err = s.Disconnect(t.Context(), all("anna")) },
				"DELETE FROM connect_connections WHERE user_id = 'anna'",
				"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'anna', 0, 5)",
			)
			require.NoError(t, err)
			require.Empty(t, ended)
			first := deletion("anna", "1")
			first.Attempts = 6
			requireTasks(t, s, first)
		})
	})
}

func TestSetHealthOvertaken(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Minute)
	set := func(health connect.Health, at time.Time) string {
		return fmt.Sprintf("UPDATE connect_connections SET health = '%s', health_at = %d WHERE identity_id = '1'", health, micros(at))
	}
	for name, row := range map[string]struct {
		// locked is what another transaction does to anna's connection with the
		// identity 1, when an event of noon says that it needs signing in.
		locked  string
		changed bool
		want    func(c *connect.Connection)
		err     error
	}{
		"by the same event": {
			locked: set(connect.HealthNeedsSignIn, noon),
			want:   func(c *connect.Connection) { c.Health, c.HealthAt = connect.HealthNeedsSignIn, noon },
		},
		"by a later event": {
			locked: set(connect.HealthOK, later),
			want:   func(c *connect.Connection) { c.HealthAt = later },
		},
		"by another event of that moment": {
			locked:  set(connect.HealthOK, noon),
			changed: true,
			want:    func(c *connect.Connection) { c.Health, c.HealthAt = connect.HealthNeedsSignIn, noon },
		},
		"by an earlier event that says the same": {
			locked: set(connect.HealthNeedsSignIn, noon.Add(-time.Second)),
			want:   func(c *connect.Connection) { c.Health, c.HealthAt = connect.HealthNeedsSignIn, noon },
		},
		"by the same identity, connected again before the event": {
			locked:  fmt.Sprintf("UPDATE connect_connections SET connected_at = %d WHERE identity_id = '1'", micros(later)),
			changed: true,
			want: func(c *connect.Connection) {
				c.ConnectedAt, c.Health, c.HealthAt = later, connect.HealthNeedsSignIn, noon
			},
		},
		"by another identity in its place": {
			locked: "UPDATE connect_connections SET identity_id = '2' WHERE identity_id = '1'",
			err:    connect.ErrNotConnected,
		},
		"by the end of the connection": {
			locked: "DELETE FROM connect_connections WHERE identity_id = '1'",
			err:    connect.ErrNotConnected,
		},
	} {
		t.Run("an event is overtaken "+name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				s := d.migrated(t)
				connected(t, s, "anna", "1")
				var c connect.Connection
				var changed bool
				var err error
				meanwhile(t, s, func() {
					c, changed, err = s.SetHealth(t.Context(), "1", connect.HealthNeedsSignIn, noon)
				}, row.locked)

				require.ErrorIs(t, err, row.err)
				require.Equal(t, row.changed, changed)
				if row.err != nil {
					require.Zero(t, c)
					return
				}
				want := connection("anna", "1")
				row.want(&want)
				require.Equal(t, want, c)
				connections, err := s.Connections(t.Context(), application, "anna")
				require.NoError(t, err)
				require.Equal(t, []connect.Connection{want}, connections)
			})
		})
	}
}
