package anchortest

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
)

// externalUserID is the key of an identity's metadata under which an app writes
// whose it is.
const externalUserID = "externalUserId"

// WaitTagged waits until an identity's metadata names its owner, which connect
// writes after it has answered the callback. It takes the callback's address, as
// [Server.Approve] returns it, or the identity's id, and returns the identity:
//
//	identity, err := fake.WaitTagged(ctx, callback)
//
// It is an error when the address holds no identity's id, when the identity is
// unknown or has been deleted, or when ctx ends first, whose error it wraps.
func (s *Server) WaitTagged(ctx context.Context, callbackURL string) (Identity, error) {
	id, ok := parseUUID(callbackURL)
	if !ok {
		u, err := url.Parse(callbackURL)
		if err != nil {
			return Identity{}, fmt.Errorf("anchortest: %w", err)
		}
		query := u.Query()
		if id, ok = parseUUID(cmp.Or(query.Get("identity_id"), query.Get("identityId"))); !ok {
			return Identity{}, fmt.Errorf("anchortest: %q holds no identity's id", callbackURL)
		}
	}
	for {
		s.mu.Lock()
		identity, changed := s.identities.get(id), s.changed
		if identity == nil {
			s.mu.Unlock()
			return Identity{}, fmt.Errorf("anchortest: identity %s is unknown", id)
		}
		tagged := copyOf(identity)
		s.mu.Unlock()
		if owner, _ := tagged.Metadata[externalUserID].(string); owner != "" {
			return tagged, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Identity{}, fmt.Errorf("anchortest: identity %s is not tagged: %w", id, ctx.Err())
		}
	}
}

// identityChanged wakes those who wait. It is called with the lock held.
func (s *Server) identityChanged() {
	close(s.changed)
	s.changed = make(chan struct{})
}
