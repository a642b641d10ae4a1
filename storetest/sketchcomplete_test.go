package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anchorconnect/connect"
)

// judge reports whether c may complete p.
func (s *sketch) judge(p *connect.Pending, c connect.Connection, how connect.Completion) (reload bool, err error) {
	if s.has("judges the identity first") {
		if err := s.judgeIdentity(c, how); err != nil {
			return false, err
		}
	}
	switch {
	case p == nil:
		return false, connect.ErrStateUnknown
	case s.has("forgets whose flow it is"):
	case s.has("compares the user id of a flow alone") && s.same("UserID", p.UserID, c.UserID):
	case !s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID):
		return false, connect.ErrAnotherUser
	case s.has("forgets whose actor may complete a flow"):
	case s.has("lets the owner complete every flow") && c.ActorID == "":
	case s.has("lets every actor complete the owner's flow") && p.ActorID == "":
	case s.has("lets every actor reload") && p.Spent:
	case !s.same("ActorID", p.ActorID, c.ActorID):
		return false, connect.ErrAnotherUser
	}

	now := c.ConnectedAt
	if s.has("has a clock of its own") {
		now = time.Now()
	}
	expired := !s.before(now, p.ExpiresAt)
	switch {
	case s.has("expires a microsecond early"):
		expired = !s.before(now.Add(micro), p.ExpiresAt)
	case s.has("expires a microsecond late"):
		expired = s.before(p.ExpiresAt, now)
	case s.has("never expires"):
		expired = false
	}

	switch {
	case expired && s.has("calls a late reload expired"):
		return false, connect.ErrStateExpired
	case s.has("takes no reload that was replaced") && p.IdentityID != "" && s.ownedBy(c, p.IdentityID) == nil:
		return false, connect.ErrStateSpent
	case s.has("takes no reload of who has no connection") && p.Spent && len(s.connectionsOf(c.ApplicationID, c.UserID)) == 0:
		return false, connect.ErrStateSpent
	case s.has("takes no reload") && p.Spent:
		return false, connect.ErrStateSpent
	case s.has("judges the identity of a reload") && how.SameIdentity && s.isTooOld(c):
		return false, connect.ErrIdentityTooOld
	case p.IdentityID == c.IdentityID && c.IdentityID != "":
		return true, nil
	case p.Spent && !s.has("completes a flow that is spent"):
		return false, connect.ErrStateSpent
	case s.hasEnded(p):
		p.Spent = p.Spent || s.has("spends what began before a disconnect when it is bound")
		return false, connect.ErrStateSpent
	case expired:
		p.Spent = s.has("spends what has expired")
		return false, connect.ErrStateExpired
	}
	return false, nil
}

// ownedBy finds the connection of c's user that has an identity.
func (s *sketch) ownedBy(c connect.Connection, identityID string) *connect.Connection {
	connections := s.connectionsOf(c.ApplicationID, c.UserID)
	if s.has("looks for the identity in the oldest connection of its user") && len(connections) > 0 {
		connections = connections[:1]
	}
	for _, other := range connections {
		if other.IdentityID == identityID {
			return other
		}
	}
	return nil
}

// isTooOld reports whether c has another identity than its user has.
func (s *sketch) isTooOld(c connect.Connection) bool {
	switch {
	case s.has("takes any identity for a fresh one"):
		return false
	case s.has("takes only fresh identities"):
		return true
	case len(s.connectionsOf(c.ApplicationID, c.UserID)) == 0:
		return !s.has("takes any identity of who has no connection")
	case s.has("looks for the user's identity in the flows"):
		return !slices.ContainsFunc(s.flows, func(p *connect.Pending) bool {
			return s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID) && p.IdentityID == c.IdentityID
		})
	}
	return s.ownedBy(c, c.IdentityID) == nil
}

// judgeIdentity reports whether c may have its identity.
func (s *sketch) judgeIdentity(c connect.Connection, how connect.Completion) error {
	var tooOld error
	if how.SameIdentity && s.isTooOld(c) {
		tooOld = connect.ErrIdentityTooOld
	}
	switch {
	case s.has("judges freshness before anything else of an identity"):
		return cmp.Or(tooOld, s.judgeOwner(c))
	case s.has("judges freshness last"):
		return s.judgeOwner(c)
	}
	return cmp.Or(s.judgeOwner(c), tooOld)
}

// judgeOwner reports whether the identity of c is free for its user.
func (s *sketch) judgeOwner(c connect.Connection) error {
	if t := s.task(connect.DeleteIdentity, c.IdentityID); t != nil {
		switch {
		case s.has("gives out retired identities"):
		case s.has("gives out identities whose deletion was queued") && slices.Contains(s.byQueue, c.IdentityID):
		case s.has("gives out identities that are being deleted") && t.Attempts > 0:
		case s.has("gives a retired identity back to its user") && s.sameUser(t.ApplicationID, t.UserID, c.ApplicationID, c.UserID):
		default:
			return connect.ErrIdentityRetired
		}
	}
	if s.has("never gives out an identity that was deleted") && slices.Contains(s.deleted, c.IdentityID) {
		return connect.ErrIdentityRetired
	}
	if s.has("looks for an identity's user in the flows") {
		for _, p := range s.flows {
			if p.IdentityID == c.IdentityID && p.UserID != c.UserID {
				return connect.ErrIdentityTaken
			}
		}
		return nil
	}
	for _, other := range s.connections {
		switch {
		case other.IdentityID != c.IdentityID:
		case s.has("lets users share an identity"):
		case s.has("gives out the identity of who needs to sign in") && other.Health == needsSignIn:
		case s.has("looks for an identity's user in the application") && other.ApplicationID != c.ApplicationID:
		case s.has("takes the same user id elsewhere for the same user") && other.UserID == c.UserID:
		case !s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID):
			return connect.ErrIdentityTaken
		}
	}
	return nil
}

// which returns the connection that c renews, nil if it is one more.
func (s *sketch) which(p *connect.Pending, c connect.Connection, how connect.Completion) (*connect.Connection, error) {
	connections := s.connectionsOf(c.ApplicationID, c.UserID)
	if s.has("renews connections of the same actor alone") {
		connections = slices.DeleteFunc(connections, func(other *connect.Connection) bool { return other.ActorID != c.ActorID })
	}
	has, named := s.ownedBy(c, c.IdentityID), s.withID(c.ApplicationID, c.UserID, p.ConnectionID)
	if s.has("renews connections of the same actor alone") && named != nil && named.ActorID != c.ActorID {
		named = nil
	}
	limit := max(how.MaxConnections, 1)
	count := len(connections)
	switch {
	case s.has("takes no limit for any limit") && how.MaxConnections < 1:
		limit = plenty
	case s.has("allows nothing with a limit below one"):
		limit = how.MaxConnections
	case s.has("allows one connection more"):
		limit++
	case s.has("allows one connection less"):
		limit--
	case s.has("counts the connections of everybody"):
		count = len(s.connections)
	case s.has("counts the connections of the user id everywhere"):
		count = 0
		for _, other := range s.connections {
			if other.UserID == c.UserID {
				count++
			}
		}
	}
	mayAdd := func() (*connect.Connection, error) {
		if count >= limit {
			return nil, connect.ErrConnectionLimit
		}
		return nil, nil
	}
	switch {
	case p.Adds && s.has("adds though a connection is named"):
		return mayAdd()
	case p.Adds && p.ConnectionID == "" && s.has("ignores whether a flow adds") && count > 0:
		return connections[0], nil
	case p.ConnectionID != "" && s.has("renews the oldest connection") && count > 0:
		return connections[0], nil
	case p.ConnectionID != "" && s.has("renews whichever connection has the identity") && has != nil:
		return has, nil
	case p.ConnectionID != "" && s.has("looks for the identity before the connection that is named") && has != nil && has != named:
		return nil, connect.ErrIdentityConnected
	case p.ConnectionID != "" && s.has("looks at the limit before anything else of a connection") && count > limit:
		return nil, connect.ErrConnectionLimit
	case count > limit && s.has("refuses to renew above the limit"):
		return nil, connect.ErrConnectionLimit
	case p.ConnectionID != "" && named == nil && s.has("adds a connection in the place of one that has ended"):
		return nil, nil
	case p.ConnectionID != "" && named == nil:
		return nil, connect.ErrConnectionUnknown
	case p.ConnectionID != "" && has != nil && has != named && !s.has("gives an identity to two connections"):
		return nil, connect.ErrIdentityConnected
	case p.ConnectionID != "":
		return named, nil
	case s.has("adds an identity that the user has"):
	case has != nil && count >= limit && p.Adds && s.has("counts connections before it looks for the identity"):
		return nil, connect.ErrConnectionLimit
	case has != nil && count > 1 && !p.Adds && s.has("refuses who does not say which before it looks for the identity"):
		return nil, connect.ErrConnectionLimit
	case has != nil:
		return has, nil
	}
	switch {
	case p.Adds:
		return mayAdd()
	case count == 0 && s.has("adds nothing for a flow that does not say so"):
		return nil, connect.ErrConnectionLimit
	case s.has("adds whenever there is room") && count < limit:
		return nil, nil
	case count == 1 && len(connections) > 0, count > 1 && s.has("renews the oldest of several") && len(connections) > 0:
		return connections[0], nil
	case count > 1 && s.has("adds if nobody says which of several") && count < limit:
		return nil, nil
	case len(connections) > 1:
		return nil, connect.ErrConnectionLimit
	}
	return mayAdd()
}

// agreed returns an error unless the app has agreed to the renewal of old, or to one more.
func (s *sketch) agreed(how connect.Completion, old *connect.Connection) error {
	if how.Accepted == nil || s.has("does not ask what was agreed to") {
		return nil
	}
	if old == nil {
		old = new(connect.Connection)
	}
	sameID := how.Accepted.ID == old.ID || s.has("compares the identity alone that was agreed to")
	sameIdentity := how.Accepted.IdentityID == old.IdentityID || s.has("compares the id alone that was agreed to")
	if !sameID || !sameIdentity || how.Accepted.ID == "" && s.has("takes no agreement to one more") {
		return connect.ErrConnectionChanged
	}
	return nil
}

func (s *sketch) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	late := s.has("looks at its context when half is written")
	if err := s.enter(ctx, "Complete"); err != nil && !late {
		return connect.Completed{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	c.ApplicationID, c.UserID, c.IdentityID = s.text(c.ApplicationID), s.text(c.UserID), s.text(c.IdentityID)
	c.ID, c.ActorID, c.Label = s.text(c.ID), s.text(c.ActorID), s.text(c.Label)
	c.ConnectedAt, c.HealthAt = s.moment(c.ConnectedAt), s.moment(c.HealthAt)
	switch err := c.Validate(); {
	case err == nil, s.has("keeps any identity"):
	case s.has("completes with any health") && c.Health.Validate() != nil:
	default:
		return connect.Completed{}, err
	}

	p := s.flow(tokenHash)
	if p == nil && s.has("connects without a flow") {
		p = &connect.Pending{ApplicationID: c.ApplicationID, UserID: c.UserID, ExpiresAt: noon.AddDate(100, 0, 0)}
	}
	identityErr := s.judgeIdentity(c, how)
	if s.has("is locked while it completes") {
		s.locked.Store(true)
		s.gap("is locked while it completes")
		s.locked.Store(false)
	}
	s.gap("judges the identity in a transaction of its own")
	reload, err := s.judge(p, c, how)
	s.gap("judges the flow in a transaction of its own")
	switch {
	case reload && how.Accepted != nil && s.has("asks what was agreed to of a reload"):
		return connect.Completed{}, s.agreed(how, nil)
	case reload && s.has("stores a reload"):
		*s.ownedBy(c, c.IdentityID) = c
		return connect.Completed{}, nil
	case reload && s.has("takes the health of a reload"):
		old := s.ownedBy(c, c.IdentityID)
		old.Health, old.HealthAt = c.Health, c.HealthAt
		return connect.Completed{}, nil
	case reload && s.has("returns the connection of a reload"):
		return connect.Completed{Connection: c}, nil
	case reload:
		return connect.Completed{First: s.has("says that a reload is the first")}, nil
	}
	var old *connect.Connection
	if err = cmp.Or(err, identityErr); err == nil {
		old, err = s.which(p, c, how)
	}
	if agreed := s.agreed(how, old); agreed != nil && (err == nil || s.has("looks first at what was agreed to")) {
		err = agreed
	}
	if err == nil && how.SameIdentity && s.has("judges freshness last") && s.isTooOld(c) {
		err = connect.ErrIdentityTooOld
	}
	s.gap("looks for the connection to renew in a transaction of its own")
	if s.has("replaces the connection of the user id elsewhere") {
		for _, other := range s.connections {
			if other.UserID == c.UserID {
				old = other
			}
		}
	}
	if err != nil {
		switch {
		case p != nil && s.has("spends what it refuses"):
			p.Spent = true
		case errors.Is(err, connect.ErrIdentityTaken) && s.has("ends the old connection before it refuses the new one"):
			connections := s.connectionsOf(c.ApplicationID, c.UserID)
			s.connections = slices.DeleteFunc(s.connections, func(other *connect.Connection) bool { return slices.Contains(connections, other) })
		}
		return connect.Completed{}, err
	}

	if old != nil && s.has("reads the label that it keeps in a transaction of its own") {
		label := old.Label
		s.gap("reads the label that it keeps in a transaction of its own")
		old.Label = label
	}
	c = s.asStored(p, old, c)
	done := connect.Completed{First: true, Connection: c}
	if old != nil && (old.IdentityID != c.IdentityID || s.has("says that the same identity was replaced")) && !s.has("does not say which identity it has replaced") {
		done.Replaced = old.IdentityID
	}
	s.store(old, c)
	if late && ctx.Err() != nil {
		return connect.Completed{}, ctx.Err()
	}
	if !s.has("completes without spending") {
		p.Spent, p.IdentityID = true, c.IdentityID
	}
	tagAfter := how.TagAfter
	switch {
	case s.has("tags at once"):
		tagAfter = c.ConnectedAt
	case s.has("spends the flows for a connection that is renewed"):
		for _, other := range s.flows {
			other.Spent = other.Spent || other.ConnectionID == c.ID
		}
	case s.has("drops the user's deletions when there is a new connection"):
		s.tasks = slices.DeleteFunc(s.tasks, func(t *connect.Task) bool { return t.UserID == c.UserID })
	}
	s.queue(connect.TagIdentity, c, tagAfter)
	return done, nil
}

// asStored is c as it is stored in the place of old, if there is one.
func (s *sketch) asStored(p *connect.Pending, old *connect.Connection, c connect.Connection) connect.Connection {
	switch {
	case s.has("begins every connection as HealthOK"):
		c.Health = healthOK
	case s.has("knows the health from when a connection was stored"):
		c.HealthAt = c.ConnectedAt
	case old == nil:
	case s.has("keeps the health of the connection that it replaces") && c.IdentityID != old.IdentityID,
		s.has("keeps the health of an identity that comes again") && c.IdentityID == old.IdentityID,
		s.has("keeps the newer health of an identity that comes again") && c.IdentityID == old.IdentityID && s.before(c.HealthAt, old.HealthAt):
		c.Health, c.HealthAt = old.Health, old.HealthAt
	}
	if old == nil {
		if !s.has("keeps the CreatedAt that it is given") {
			c.CreatedAt = c.ConnectedAt
		}
		if s.has("begins every connection without a label") {
			c.Label = ""
		}
		return c
	}
	id, created, label := old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	switch {
	case s.has("gives a renewed connection another id"):
		id = c.ID
	case s.has("gives a connection another id with another identity") && old.IdentityID != c.IdentityID:
		id = c.ID
	case s.has("begins a renewed connection anew"):
		created = c.ConnectedAt
	case s.has("keeps the actor of a connection that is renewed"):
		c.ActorID = old.ActorID
	case s.has("keeps the actor of an identity that comes again") && old.IdentityID == c.IdentityID:
		c.ActorID = old.ActorID
	case s.has("keeps when the user signed in first"):
		c.ConnectedAt = old.ConnectedAt
	case s.has("forgets the label of a connection that is renewed"):
		label = c.Label
	case s.has("keeps the label of a connection that is renewed with another"):
		label = cmp.Or(old.Label, c.Label)
	case s.has("takes the label of the flow"):
		label = cmp.Or(p.Label, label)
	}
	c.ID, c.CreatedAt, c.Label = id, created, label
	return c
}

// store stores c in the place of old, if there was one.
func (s *sketch) store(old *connect.Connection, c connect.Connection) {
	switch {
	case old == nil:
	case old.IdentityID == c.IdentityID && !s.has("deletes an identity that comes again"):
	default:
		if !s.has("forgets the replaced identity") {
			s.queue(connect.DeleteIdentity, *old, c.ConnectedAt)
		}
		if !s.has("keeps the tag of a replaced identity") {
			s.drop(connect.TagIdentity, old.IdentityID)
		}
		if s.has("deletes all identities when one is replaced") {
			for _, other := range s.connectionsOf(c.ApplicationID, c.UserID) {
				s.queue(connect.DeleteIdentity, *other, c.ConnectedAt)
			}
		}
	}
	s.connections = slices.DeleteFunc(s.connections, func(other *connect.Connection) bool {
		return other == old || s.has("keeps one connection for a user") && s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID)
	})
	s.connections = append(s.connections, &c)
}
