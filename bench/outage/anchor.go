package main

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// A phase is a state of Anchor.
type phase string

const (
	preparing  phase = "preparing" // Responses take no time.
	calm       phase = "before"
	writesFail phase = "writes fail"
	down       phase = "everything fails"
	recovering phase = "recovery"
)

// worse returns the phase of a request that began in one phase and ended in another.
func worse(began, ended phase) phase {
	for _, p := range []phase{down, writesFail, recovering} {
		if began == p || ended == p {
			return p
		}
	}
	return began
}

// anchor is the fake behind an outage and a rate limit.
type anchor struct {
	fake   *anchortest.Server
	answer time.Duration

	mu      sync.Mutex
	phase   phase
	bucket  bucket
	written map[write]bool
	counts  map[phase]map[int]int // by status
	seconds map[int64]int         // calls refused by the limit, by second
}

// A write is a call that changes an identity.
type write struct{ method, identityID string }

func newAnchor(s settings) *anchor {
	return &anchor{
		fake: anchortest.New(), answer: s.answer, phase: preparing, bucket: newBucket(s.perSecond),
		written: make(map[write]bool), counts: make(map[phase]map[int]int), seconds: make(map[int64]int),
	}
}

func (a *anchor) begin(p phase) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.phase = p
}

func (a *anchor) now() phase {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.phase
}

// ServeHTTP implements [http.Handler].
func (a *anchor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := a.now()
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	switch {
	case p == recovering && !a.allowed():
		// The limit responds without delay.
		w.Header().Set("Retry-After", "1")
		answer.WriteHeader(http.StatusTooManyRequests)
	default:
		if p != preparing {
			time.Sleep(a.answer)
		}
		writes := r.Method == http.MethodPut || r.Method == http.MethodDelete
		if p == down || p == writesFail && writes {
			answer.WriteHeader(http.StatusServiceUnavailable)
			break
		}
		a.fake.ServeHTTP(answer, r)
	}
	a.record(p, r, answer.status)
}

func (a *anchor) allowed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bucket.take(time.Now())
}

func (a *anchor) record(p phase, r *http.Request, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts[p] == nil {
		a.counts[p] = make(map[int]int)
	}
	a.counts[p][status]++
	if status == http.StatusTooManyRequests {
		a.seconds[time.Now().Unix()]++
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/v1/identities/"); ok && status == http.StatusOK {
		a.written[write{r.Method, id}] = true
	}
}

// has reports whether a call has changed an identity.
func (a *anchor) has(w write) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written[w]
}

// statuses returns the number of calls in a phase by response status.
func (a *anchor) statuses(p phase) map[int]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.counts[p])
}

// mostRefused returns the largest number of calls that the limit refused in one second.
func (a *anchor) mostRefused() (most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := range maps.Values(a.seconds) {
		most = max(most, n)
	}
	return most
}

// A bucket is a rate limit that allows bursts of one second's calls.
type bucket struct {
	perSecond float64
	tokens    float64
	filled    time.Time
}

func newBucket(perSecond int) bucket {
	return bucket{perSecond: float64(perSecond), tokens: float64(perSecond)}
}

// take reports whether a call is allowed.
func (b *bucket) take(now time.Time) bool {
	if !b.filled.IsZero() {
		b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*b.perSecond, b.perSecond)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// A statusWriter records the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
