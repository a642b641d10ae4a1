package anchorhttp

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 8 * time.Second
	// jitter is the part of a wait that is taken off at random, so that many
	// clients do not come back together.
	jitter = 0.25
	// maxAsked bounds what a header may ask for.
	maxAsked = 24 * time.Hour
)

// shouldRetry tells whether an answer is worth another attempt.
func shouldRetry(status int, h http.Header) bool {
	if status/100 == 3 {
		// The next answer would be the same redirect.
		return false
	}
	switch h.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// waitFor is how long to wait before the next attempt, when retries have been
// made before it. h is the header of the last answer, nil if there was none.
// random is in [0, 1).
func waitFor(h http.Header, retries int, now time.Time, random float64) time.Duration {
	if wait, ok := askedWait(h, now); ok && wait >= 0 {
		return wait
	}
	wait := maxWait
	if retries < 4 {
		wait = firstWait << retries
	}
	return wait - time.Duration(random*jitter*float64(wait))
}

// askedWait is the wait that the header asks for, which may be negative: a
// moment that is over. It is at most a day in either direction.
func askedWait(h http.Header, now time.Time) (time.Duration, bool) {
	if wait, ok := units(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return wait, true
	}
	value := h.Get("Retry-After")
	if wait, ok := units(value, time.Second); ok {
		return wait, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), -maxAsked), maxAsked), true
	}
	return 0, false
}

func units(s string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, false
	}
	// Bounded before the conversion, which an overflow would spoil.
	n = min(max(n*float64(unit), -float64(maxAsked)), float64(maxAsked))
	return time.Duration(n), true
}

// retry makes attempts until one succeeds, one fails for good, or retries have
// been made after the first.
func retry(ctx context.Context, retries int, attempt func() (answer, *failure)) (answer, error) {
	var last error // of the last attempt that ctx did not cut short
	for made := 0; ; made++ {
		a, f := attempt()
		switch {
		case f == nil:
			return a, nil
		case ctx.Err() != nil && !f.answered:
			return answer{}, cutShort(ctx, last)
		case !f.retry || made == retries:
			return answer{}, f.err
		}
		last = f.err
		now := time.Now()
		wait := waitFor(f.header, made, now, rand.Float64())
		if !endsInTime(ctx, now.Add(wait)) {
			return answer{}, f.err
		}
		if !sleep(ctx, wait) {
			return answer{}, cutShort(ctx, last)
		}
	}
}

// endsInTime reports whether a wait until then ends before ctx's deadline.
func endsInTime(ctx context.Context, then time.Time) bool {
	deadline, ok := ctx.Deadline()
	return !ok || then.Before(deadline)
}

// sleep waits, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cutShort is the error of a call that its context ended. last is the failure
// before that, or nil.
func cutShort(ctx context.Context, last error) error {
	if last == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w, after this: %w", ctx.Err(), last)
}
