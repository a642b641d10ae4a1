package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLearnedAtIsLaterThanWhatWasKnown(t *testing.T) {
	t.Parallel()
	known := Connection{HealthAt: noon}
	tests := map[string]struct {
		date time.Time
		took time.Duration
		want time.Time
	}{
		"as long ago as the call took":                {noon.Add(time.Minute), 10 * time.Second, noon.Add(50 * time.Second)},
		"never before what was known before it":       {noon.Add(time.Second), 2 * time.Second, noon.Add(time.Microsecond)},
		"nor at the same moment":                      {noon.Add(time.Second), time.Second, noon.Add(time.Microsecond)},
		"an answer without a date is just after it":   {time.Time{}, time.Second, noon.Add(time.Microsecond)},
		"a clock that is slow does not lose the news": {noon.Add(-time.Hour), 0, noon.Add(time.Microsecond)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, learnedAt(known, test.date, test.took))
		})
	}
}
