package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIsOrphanAgeOnlyAfterADay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		created, at time.Time
		want        bool
	}{
		"older than a day":               {noon.Add(-minOrphanAge - time.Second), noon, true},
		"a day old":                      {noon.Add(-minOrphanAge), noon, false},
		"younger":                        {noon.Add(-time.Hour), noon, false},
		"made later":                     {noon.Add(time.Hour), noon, false},
		"an identity without a date":     {time.Time{}, noon, false},
		"an answer without a date":       {noon.AddDate(-1, 0, 0), time.Time{}, false},
		"both without a date":            {time.Time{}, time.Time{}, false},
		"an answer dated long before it": {noon, noon.AddDate(-1, 0, 0), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, isOrphanAge(test.created, test.at))
		})
	}
}
