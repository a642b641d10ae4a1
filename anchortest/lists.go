package anchortest

import (
	"fmt"
	"time"
)

// A ListStyle is how an application's identities are listed. Anchor's own command line
// sends page and limit; its API reference knows neither.
type ListStyle int

const (
	// PagedLists answers the page that is asked for. The default.
	PagedLists ListStyle = iota
	// WholeLists answers the whole list to every call, whatever page it asks for.
	WholeLists
)

// SetListStyle chooses how an application's identities are listed from now on.
func (s *Server) SetListStyle(l ListStyle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists.style = l
}

// SetPageLimit makes pages of a list hold at most n identities, whatever limit is
// asked for. Zero lifts it. It panics when n is negative.
func (s *Server) SetPageLimit(n int) {
	if n < 0 {
		panic(fmt.Errorf("anchortest: a page cannot hold %d identities", n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists.pageLimit = int64(n)
}

// lists is how lists are answered.
type lists struct {
	style     ListStyle
	pageLimit int64 // 0 for none
}

// AddOrphans adds n identities that were left behind: somebody signed in on the hosted
// page, age ago, and never came back to the app. They belong to the application that
// the fake began with and have no metadata. The webhook is not told.
func (s *Server) AddOrphans(n int, age time.Duration) []Identity {
	created := s.time().Add(-age)
	orphans := make([]Identity, n)
	for i := range orphans {
		orphans[i] = s.PutIdentity(Identity{Name: fmt.Sprintf("Left behind %d", i+1), CreatedAt: created})
	}
	return orphans
}

// WithOrphans is [Server.AddOrphans] from the beginning.
func WithOrphans(n int, age time.Duration) Option {
	return func(c *config) { c.orphans, c.orphanAge = n, age }
}

// SetClockOffset makes the fake's clock run ahead of the one that [Server.SetNow] set,
// or behind it if d is negative: the Date header of every answer, and all times in
// answers and events. It does so from now on, and zero ends it.
func (s *Server) SetClockOffset(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset = d
}

// SetStatus gives an identity any status, also one that nobody knows. The webhook is
// not told, unlike by [Server.FailIdentity] and [Server.Reauthenticate]. It reports
// whether there is such an identity.
func (s *Server) SetStatus(identityID string, status Status) bool {
	now := s.time()
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	defer s.mu.Unlock()
	identity := s.identities.get(id)
	if identity == nil {
		return false
	}
	identity.Status, identity.UpdatedAt = status, now
	return true
}
