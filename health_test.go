package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestWhenNewsCountsFrom(t *testing.T) {
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

func TestWhatAStatusSaysAboutAConnection(t *testing.T) {
	t.Parallel()
	dead := Connection{Health: HealthNeedsSignIn, HealthAt: noon}
	asked := noon.Add(time.Hour)
	tests := map[string]struct {
		status  string
		updated time.Time
		want    Health // empty for nothing
		at      time.Time
	}{
		"failed":                             {"failed", noon, HealthNeedsSignIn, asked},
		"failed for an agent":                {"agent_failed", noon, HealthNeedsSignIn, asked},
		"invalid for an agent":               {"agent_invalid", noon, HealthNeedsSignIn, asked},
		"validated since":                    {"validated", noon.Add(time.Minute), HealthOK, noon.Add(time.Minute)},
		"active since":                       {"active", noon.Add(time.Minute), HealthOK, noon.Add(time.Minute)},
		"validated before it failed":         {"validated", noon.Add(-time.Minute), "", time.Time{}},
		"validated at the moment it failed":  {"validated", noon, "", time.Time{}},
		"not tried yet":                      {"pending", noon.Add(time.Minute), "", time.Time{}},
		"a word that nobody has told us of":  {"dormant", noon.Add(time.Minute), "", time.Time{}},
		"no word at all":                     {"", noon.Add(time.Minute), "", time.Time{}},
		"validated, nobody knows since when": {"validated", time.Time{}, "", time.Time{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			health, at, news := statusNews(dead, anchorhttp.Identity{Status: test.status, UpdatedAt: test.updated}, asked)
			require.Equal(t, test.want != "", news)
			require.Equal(t, test.want, health)
			require.Equal(t, test.at, at)
		})
	}
}
