package sqlstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestAfterNews(t *testing.T) {
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

			// Somebody else's row that would be the same after all is not the user's.
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
