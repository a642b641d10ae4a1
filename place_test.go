package connect

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichConnectionAFlowIsFor(t *testing.T) {
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
		"the first one is added":                            {theOnly, none, "new", 1, add, nil},
		"the only one is renewed":                           {theOnly, one, "new", 1, 0, nil},
		"the only one is renewed with its own identity":     {theOnly, one, "identity a", 1, 0, nil},
		"one of several is not guessed":                     {theOnly, two, "new", 1, 0, ErrConnectionLimit},
		"nor where there is room for more":                  {theOnly, two, "new", 3, 0, ErrConnectionLimit},
		"one of several is known by its identity":           {theOnly, two, "identity b", 1, 1, nil},
		"a further one is added":                            {adds, one, "new", 2, add, nil},
		"none is added beyond the limit":                    {adds, two, "new", 2, 0, ErrConnectionLimit},
		"nor beyond one that was lowered":                   {adds, two, "new", 1, 0, ErrConnectionLimit},
		"no limit is a limit of one":                        {adds, one, "new", 0, 0, ErrConnectionLimit},
		"and lets the first one in":                         {adds, none, "new", -5, add, nil},
		"an account that is there is renewed, not added":    {adds, two, "identity b", 2, 1, nil},
		"one is renewed by its id":                          {renewsB, two, "new", 1, 1, nil},
		"one is renewed with its own identity":              {renewsB, two, "identity b", 2, 1, nil},
		"one that has ended is not renewed":                 {renewsB, one, "new", 2, 0, ErrConnectionUnknown},
		"not even with another's identity":                  {renewsB, one, "identity a", 2, 0, ErrConnectionUnknown},
		"one does not become another":                       {renewsB, two, "identity a", 2, 0, ErrIdentityConnected},
		"a flow that names one does not add it":             {Pending{ConnectionID: "b", Adds: true}, none, "new", 2, 0, ErrConnectionUnknown},
		"no identity yet is like one that nobody has":       {adds, one, "", 2, add, nil},
		"no identity yet is at the limit all the same":      {adds, one, "", 1, 0, ErrConnectionLimit},
		"the connection that is named counts before labels": {Pending{ConnectionID: "a", Label: "work"}, two, "new", 2, 0, nil},
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

func TestTheFirstConnectionIsTheOldestThatWorks(t *testing.T) {
	t.Parallel()
	dead, works := Connection{ID: "dead", Health: HealthNeedsSignIn}, Connection{ID: "works", Health: HealthOK}
	tests := map[string]struct {
		connections []Connection
		want        string // empty for none
	}{
		"none":                       {nil, ""},
		"one":                        {[]Connection{works}, "works"},
		"a dead one before another":  {[]Connection{dead, works}, "works"},
		"a dead one after another":   {[]Connection{works, dead}, "works"},
		"dead ones alone":            {[]Connection{dead, {ID: "x", Health: HealthNeedsSignIn}}, "dead"},
		"the older of two that work": {[]Connection{works, {ID: "x", Health: HealthOK}}, "works"},
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

func TestAConnectionIDIsRandomAndFitsIntoURLs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		id := newConnectionID()
		require.Regexp(t, regexp.MustCompile(`^[a-z2-7]{26}$`), id)
		require.False(t, seen[id])
		seen[id] = true
	}
}
