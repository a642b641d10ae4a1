package anchorhttp

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
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

// pace is the [backoff.BackOff] of one call.
type pace struct {
	deadline time.Time // of the call; zero if it has none
	retries  int
	header   http.Header // of the last answer; nil if there was none
}

func (p *pace) Reset() { p.retries = 0 }

// NextBackOff stops when the wait would not end before the deadline.
func (p *pace) NextBackOff() time.Duration {
	now := time.Now()
	wait := waitFor(p.header, p.retries, now, rand.Float64())
	p.retries++
	if !p.deadline.IsZero() && !now.Add(wait).Before(p.deadline) {
		return backoff.Stop
	}
	return wait
}
