package anchortest

import (
	"fmt"
	"time"
)

// A ListStyle is how an application's identities are listed. Anchor's own command
// line sends page and limit, which its API reference does not document.
type ListStyle int

const (
	// PagedLists answers the requested page. It is the default.
	PagedLists ListStyle = iota
	// WholeLists answers the whole list to every call.
	WholeLists
)

// SetListStyle sets how an application's identities are listed from now on.
func (s *Server) SetListStyle(l ListStyle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists.style = l
}

// SetPageLimit limits pages to n identities, whatever limit a request has. Zero
// removes the limit. It panics if n is negative.
func (s *Server) SetPageLimit(n int) {
	if n < 0 {
		panic(fmt.Errorf("anchortest: a page cannot hold %d identities", n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists.pageLimit = int64(n)
}

// lists has the settings of lists.
type lists struct {
	style     ListStyle
	pageLimit int64 // 0 for none
}

// AddOrphans adds n identities that were created age ago, and whose users never
// returned from the hosted page to the application. They belong to the first
// application and have no metadata. The webhook receives no event.
func (s *Server) AddOrphans(n int, age time.Duration) []Identity {
	created := s.time().Add(-age)
	orphans := make([]Identity, n)
	for i := range orphans {
		orphans[i] = s.PutIdentity(Identity{Name: fmt.Sprintf("Orphan %d", i+1), CreatedAt: created})
	}
	return orphans
}

// WithOrphans calls [Server.AddOrphans] when the fake is created.
func WithOrphans(n int, age time.Duration) Option {
	return func(c *config) { c.orphans, c.orphanAge = n, age }
}

// SetClockOffset sets how far the fake's clock is ahead of the clock of
// [Server.SetNow], or behind it if d is negative. It affects the Date header and all
// times in answers and events, from now on.
func (s *Server) SetClockOffset(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset = d
}

// SetStatus sets an identity's status, which may be an unknown one. Unlike
// [Server.FailIdentity] and [Server.Reauthenticate], it sends no event. It reports
// whether the identity exists.
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
