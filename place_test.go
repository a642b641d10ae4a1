package connect

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlaceChoosesTheConnectionToRenew(t *testing.T) {
	t.Parallel()
	const add = -1
	a, b := Connection{ID: "a", IdentityID: "identity a"}, Connection{ID: "b", IdentityID: "identity b"}
	none, one, two := []Connection{}, []Connection{a}, []Connection{a, b}
	theOnly, adds, renewsB := Pending{}, Pending{Adds: true}, Pending{ConnectionID: "b"}
	tests := map[string]struct {
		flow        Pending
		connections []Connection
		identity    string
		limit       int
		want        int
		err         error
	}{
		"the first connection is added":                                           {theOnly, none, "new", 1, add, nil},
		"the only connection is renewed":                                          {theOnly, one, "new", 1, 0, nil},
		"the only connection is renewed with its identity":                        {theOnly, one, "identity a", 1, 0, nil},
		"one of several connections is not chosen":                                {theOnly, two, "new", 1, 0, ErrConnectionLimit},
		"one of several connections is not chosen below the limit":                {theOnly, two, "new", 3, 0, ErrConnectionLimit},
		"one of several connections has the identity":                             {theOnly, two, "identity b", 1, 1, nil},
		"one more is added below the limit":                                       {adds, one, "new", 2, add, nil},
		"none is added at the limit":                                              {adds, two, "new", 2, 0, ErrConnectionLimit},
		"none is added beyond a lowered limit":                                    {adds, two, "new", 1, 0, ErrConnectionLimit},
		"a limit of zero counts as one":                                           {adds, one, "new", 0, 0, ErrConnectionLimit},
		"a negative limit counts as one":                                          {adds, none, "new", -5, add, nil},
		"an identity that a connection has is renewed, not added":                 {adds, two, "identity b", 2, 1, nil},
		"a connection is renewed by its ID":                                       {renewsB, two, "new", 1, 1, nil},
		"a connection is renewed by its ID with its identity":                     {renewsB, two, "identity b", 2, 1, nil},
		"a connection that has ended is not renewed":                              {renewsB, one, "new", 2, 0, ErrConnectionUnknown},
		"a connection that has ended is not renewed with the identity of another": {renewsB, one, "identity a", 2, 0, ErrConnectionUnknown},
		"a connection is not renewed with the identity of another":                {renewsB, two, "identity a", 2, 0, ErrIdentityConnected},
		"a flow with a ConnectionID does not add":                                 {Pending{ConnectionID: "b", Adds: true}, none, "new", 2, 0, ErrConnectionUnknown},
		"an unknown identity is added":                                            {adds, one, "", 2, add, nil},
		"an unknown identity is not added at the limit":                           {adds, one, "", 1, 0, ErrConnectionLimit},
		"a label does not matter":                                                 {Pending{ConnectionID: "a", Label: "work"}, two, "new", 2, 0, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.flow.place(test.connections, test.identity, test.limit)
			if test.err != nil {
				require.ErrorIs(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestFirstReturnsTheOldestConnectionThatWorks(t *testing.T) {
	t.Parallel()
	dead, works := Connection{ID: "dead", Health: HealthNeedsSignIn}, Connection{ID: "works", Health: HealthOK}
	tests := map[string]struct {
		connections []Connection
		want        string // empty for none
	}{
		"none":                                   {nil, ""},
		"one":                                    {[]Connection{works}, "works"},
		"one that works after one that does not": {[]Connection{dead, works}, "works"},
		"one that works before one that does not": {[]Connection{works, dead}, "works"},
		"none works":    {[]Connection{dead, {ID: "x", Health: HealthNeedsSignIn}}, "dead"},
		"two that work": {[]Connection{works, {ID: "x", Health: HealthOK}}, "works"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, ok := first(test.connections)
			require.Equal(t, test.want != "", ok)
			require.Equal(t, test.want, c.ID)
		})
	}
}

func TestNewConnectionIDIsRandomAndFitsIntoURLs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		id := newConnectionID()
		require.Regexp(t, `^[a-z2-7]{26}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}
