package anchorhttp

import (
	"context"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestRetryStatuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		header http.Header
		want   bool
	}{
		{"400 is final", 400, nil, false},
		{"401 is final", 401, nil, false},
		{"402 is final", 402, nil, false},
		{"404 is final", 404, nil, false},
		{"408 is not", 408, nil, true},
		{"409 is not", 409, nil, true},
		{"422 is final", 422, nil, false},
		{"429 is not", 429, nil, true},
		{"499 is final", 499, nil, false},
		{"500 is not", 500, nil, true},
		{"503 is not", 503, nil, true},
		{"599 is not", 599, nil, true},
		{"a 404 that asks for it is retried", 404, header("x-should-retry", "true"), true},
		{"a 503 that asks not to is final", 503, header("x-should-retry", "false"), false},
		{"another value says nothing", 503, header("x-should-retry", "maybe"), true},
		{"a redirect is final", 302, nil, false},
		{"a redirect is final, whatever it asks for", 307, header("x-should-retry", "true"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, shouldRetry(tt.status, tt.header))
		})
	}
}

func TestRetryWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name    string
		header  http.Header
		retries int
		random  float64
		want    time.Duration
	}{
		{"first", nil, 0, 0, 500 * time.Millisecond},
		{"second", nil, 1, 0, time.Second},
		{"third", nil, 2, 0, 2 * time.Second},
		{"fourth", nil, 3, 0, 4 * time.Second},
		{"fifth", nil, 4, 0, 8 * time.Second},
		{"never more than 8 s", nil, 5, 0, 8 * time.Second},
		{"however often", nil, math.MaxInt, 0, 8 * time.Second},
		{"half of the jitter", nil, 1, 0.5, 875 * time.Millisecond},
		{"all of the jitter", nil, 1, 1, 750 * time.Millisecond},
		{"seconds", header("Retry-After", "3"), 0, 0, 3 * time.Second},
		{"a part of a second", header("Retry-After", "1.5"), 0, 0, 1500 * time.Millisecond},
		{"no second at all", header("Retry-After", "0"), 0, 0, 0},
		{"just below a minute", header("Retry-After", "59.999"), 0, 0, 59999 * time.Millisecond},
		{"a minute is obeyed too: it is the context that ends a call", header("Retry-After", "60"), 0, 0, time.Minute},
		{"nor a negative number", header("Retry-After", "-1"), 1, 0, time.Second},
		{"nor infinity", header("Retry-After", "Inf"), 0, 0, 500 * time.Millisecond},
		{"nor NaN", header("Retry-After", "NaN"), 0, 0, 500 * time.Millisecond},
		{"nor a word", header("Retry-After", "soon"), 0, 0, 500 * time.Millisecond},
		{"a date", header("Retry-After", "Fri, 02 Jan 2026 03:04:15 GMT"), 0, 0, 10 * time.Second},
		{"a date that is over", header("Retry-After", "Fri, 02 Jan 2026 03:04:04 GMT"), 0, 0, 500 * time.Millisecond},
		{"milliseconds", header("retry-after-ms", "20"), 0, 0, 20 * time.Millisecond},
		{"milliseconds go before seconds", header("retry-after-ms", "20", "Retry-After", "7"), 0, 0, 20 * time.Millisecond},
		{"unless they are no number", header("retry-after-ms", "x", "Retry-After", "7"), 0, 0, 7 * time.Second},
		{"a wait that is asked for has no jitter", header("Retry-After", "8"), 0, 1, 8 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, waitFor(tt.header, tt.retries, now, tt.random))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name   string
		header http.Header
		want   time.Duration
		ok     bool
	}{
		{"nothing", nil, 0, false},
		{"NaN is nothing", header("retry-after-ms", "NaN", "Retry-After", "NaN"), 0, false},
		{"a minute", header("Retry-After", "60"), time.Minute, true},
		{"a day at most", header("Retry-After", "86401"), 24 * time.Hour, true},
		{"a day at most, of what no duration holds", header("Retry-After", "1e300"), 24 * time.Hour, true},
		{"a day at most, by date", header("Retry-After", "Fri, 02 Jan 2099 03:04:05 GMT"), 24 * time.Hour, true},
		{"a day ago at most", header("retry-after-ms", "-1e300"), -24 * time.Hour, true},
		{"a day ago at most, by date", header("Retry-After", "Fri, 02 Jan 1998 03:04:05 GMT"), -24 * time.Hour, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := askedWait(tt.header, now)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.ok, ok)
		})
	}
}

func TestRetryWaitEndsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.True(t, endsInTime(t.Context(), now.Add(time.Hour)), "no deadline")
	ctx, cancel := context.WithDeadline(t.Context(), now.Add(10*time.Second))
	defer cancel()
	require.True(t, endsInTime(ctx, now.Add(9*time.Second)))
	require.False(t, endsInTime(ctx, now.Add(10*time.Second)))
	require.False(t, endsInTime(ctx, now.Add(11*time.Second)))
}
