package anchortest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// A Hold stops calls at an exact point, so that a test can look at a program,
// end it, or have another one overtake it there:
//
//	hold := fake.Hold("PUT", "/v1/identities/")
//	go finish(callbackURL)
//	err := hold.Wait(ctx, 1) // the tag is about to be written
//	…
//	hold.Release()
//
// All methods may be called concurrently.
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
	holdAnswer                  // between effect and answer
)

// Hold holds every call with this method and path, matched as in a [Fault],
// before it has any effect. Call [Hold.Release] to let them go on. A call whose
// caller goes away meanwhile never takes effect.
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

// Wait waits until n calls have arrived at the hold since it was made, or until
// ctx is done, whose error it then wraps.
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

// Release lets the held calls go on and ends the hold. Releasing twice does
// nothing.
func (h *Hold) Release() {
	h.release.Do(func() {
		h.server.mu.Lock()
		h.server.holds = slices.DeleteFunc(h.server.holds, func(other *Hold) bool { return other == h })
		h.server.mu.Unlock()
		close(h.released)
	})
}

// pass lets a call wait at every hold for it at this point, and says whether
// its caller is still there.
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
