package anchortest

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
)

// externalUserID is the metadata key for the owner of an identity.
const externalUserID = "externalUserId"

// WaitTagged waits until an identity's metadata names its owner. Package connect
// writes it after it has answered the callback. callbackURL is the URL from
// [Server.Approve], or the identity's id. WaitTagged returns the identity:
//
//	identity, err := fake.WaitTagged(ctx, callbackURL)
//
// It returns an error if the URL has no id, if the identity does not exist, or if
// ctx is done first, which it wraps.
func (s *Server) WaitTagged(ctx context.Context, callbackURL string) (Identity, error) {
	id, ok := parseUUID(callbackURL)
	if !ok {
		u, err := url.Parse(callbackURL)
		if err != nil {
			return Identity{}, fmt.Errorf("anchortest: %w", err)
		}
		query := u.Query()
		if id, ok = parseUUID(cmp.Or(query.Get("identity_id"), query.Get("identityId"))); !ok {
			return Identity{}, fmt.Errorf("anchortest: %q has no identity id", callbackURL)
		}
	}
	for {
		s.mu.Lock()
		identity, changed := s.identities.get(id), s.changed
		if identity == nil {
			s.mu.Unlock()
			return Identity{}, fmt.Errorf("anchortest: identity %s does not exist", id)
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

// identityChanged wakes callers of WaitTagged. The caller holds the lock.
func (s *Server) identityChanged() {
	close(s.changed)
	s.changed = make(chan struct{})
}
