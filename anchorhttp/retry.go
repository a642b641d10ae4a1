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
	// jitter is the largest part of a wait that is subtracted at random, so that
	// many clients do not retry at the same moment.
	jitter = 0.25
	// maxAsked bounds the wait that a header may request.
	maxAsked = 24 * time.Hour
)

// shouldRetry reports whether an answer allows another attempt.
func shouldRetry(status int, h http.Header) bool {
	if status/100 == 3 {
		// A retry would be redirected again.
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

// waitFor returns the wait before the next attempt, after the given number of
// retries. h is the header of the last answer, or nil. random is in [0, 1).
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

// askedWait returns the wait that the header requests, at most a day. It is negative
// if the requested time has passed.
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

// units parses s as a number of units.
func units(s string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, false
	}
	// Clamped before the conversion, which could overflow.
	n = min(max(n*float64(unit), -float64(maxAsked)), float64(maxAsked))
	return time.Duration(n), true
}

// retry makes attempts until one succeeds, one fails permanently, or the retries are
// used up.
func retry(ctx context.Context, retries int, attempt func() (answer, *failure)) (answer, error) {
	var last error // of the last attempt that ctx did not interrupt
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

// endsInTime reports whether then is before ctx's deadline.
func endsInTime(ctx context.Context, then time.Time) bool {
	deadline, ok := ctx.Deadline()
	return !ok || then.Before(deadline)
}

// sleep waits for d. It returns false if ctx ends first.
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

// cutShort returns the error of a call that its context ended. last is the failure
// before that, or nil.
func cutShort(ctx context.Context, last error) error {
	if last == nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w (the last failure was: %w)", ctx.Err(), last)
}
