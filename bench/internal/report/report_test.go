package report_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/bench/internal/report"
)

// upTo returns the durations from n down to 1.
func upTo(n int) (took []time.Duration) {
	for i := n; i > 0; i-- {
		took = append(took, time.Duration(i))
	}
	return took
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n, percent int
		want       time.Duration
	}{
		{0, 50, 0}, {1, 50, 1}, {1, 99, 1}, {1, 0, 1}, {2, 50, 1}, {3, 50, 2}, {4, 50, 2},
		{10, 99, 10}, {100, 50, 50}, {100, 99, 99}, {100, 100, 100}, {101, 99, 100}, {1000, 99, 990},
	} {
		took := upTo(tt.n)
		require.Equal(t, tt.want, report.Percentile(took, tt.percent), "%d%% of %d", tt.percent, tt.n)
		require.Equal(t, upTo(tt.n), took, "it is not sorted in place")
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	require.Empty(t, report.At(nil, 50))
	require.Equal(t, "0.3 ms", report.At([]time.Duration{310 * time.Microsecond}, 50))
	require.Equal(t, "51.2 ms", report.Milliseconds(51249*time.Microsecond))
	require.Equal(t, "1500.0 ms", report.Milliseconds(1500*time.Millisecond))
}

func TestTable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "| | p50 | p99 |\n|---|---:|---:|\n| connect | 1.0 ms | |\n",
		report.Table([]string{"", "p50", "p99"}, [][]string{{"connect", "1.0 ms", ""}}))
}
