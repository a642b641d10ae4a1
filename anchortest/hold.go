package anchortest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// A Hold stops calls at an exact point, so that a test can inspect a program there,
// end it, or let another one overtake it:
//
//	hold := fake.Hold("PUT", "/v1/identities/")
//	go finish(callbackURL)
//	err := hold.Wait(ctx, 1) // The metadata is about to be written.
//	…
//	hold.Release()
//
// Its methods are safe for concurrent use.
type Hold struct {
	server *Server
	point  holdPoint
	match  func(method, path string) bool
	what   string

	release  sync.Once
	released chan struct{}

	mu      sync.Mutex
	arrived int
	changed chan struct{} // closed and replaced when arrived changes
}

type holdPoint int

const (
	holdCall   holdPoint = iota // before the call takes effect
	holdAnswer                  // after the effect, before the answer
)

// Hold stops every call with this method and path, matched as in a [Fault], before
// it takes effect. [Hold.Release] lets the calls continue. A call whose caller goes
// away meanwhile never takes effect.
func (s *Server) Hold(method, path string) *Hold {
	return s.hold(method, path, holdCall)
}

// HoldAnswer is like [Server.Hold], but the calls have taken effect and their
// answers are held.
func (s *Server) HoldAnswer(method, path string) *Hold {
	return s.hold(method, path, holdAnswer)
}

func (s *Server) hold(method, path string, point holdPoint) *Hold {
	h := &Hold{
		server:   s,
		point:    point,
		match:    mustMatcher(method, path),
		what:     method + " " + path,
		released: make(chan struct{}),
		changed:  make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
	return h
}

// Wait waits until n calls have arrived at the hold since it was created. If ctx is
// done first, it returns ctx's error, wrapped.
func (h *Hold) Wait(ctx context.Context, n int) error {
	for {
		h.mu.Lock()
		arrived, changed := h.arrived, h.changed
		h.mu.Unlock()
		if arrived >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("anchortest: %d of %d calls %s have arrived: %w", arrived, n, h.what, ctx.Err())
		}
	}
}

// Release lets the held calls continue and ends the hold. It is idempotent.
func (h *Hold) Release() {
	h.release.Do(func() {
		h.server.mu.Lock()
		h.server.holds = slices.DeleteFunc(h.server.holds, func(other *Hold) bool { return other == h })
		h.server.mu.Unlock()
		close(h.released)
	})
}

// pass waits at every hold for the call at this point. It returns false if the
// caller goes away first.
func (s *Server) pass(r *http.Request, point holdPoint) bool {
	s.mu.Lock()
	holds := slices.Clone(s.holds)
	s.mu.Unlock()
	for _, h := range holds {
		if h.point != point || !h.match(r.Method, r.URL.Path) {
			continue
		}
		h.mu.Lock()
		h.arrived++
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
		select {
		case <-h.released:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}
