package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anchorconnect/connect"
)

// judge returns whether c completes p again, or why it may not complete it.
func (s *sketch) judge(p *connect.Pending, c connect.Connection, how connect.Completion) (reload bool, err error) {
	if s.has("checks the identity before the flow") {
		if err := s.judgeIdentity(c, how); err != nil {
			return false, err
		}
	}
	switch {
	case p == nil:
		return false, connect.ErrStateUnknown
	case s.has("ignores the user of a flow"):
	case s.has("compares the user id of a flow alone") && s.same("UserID", p.UserID, c.UserID):
	case !s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID):
		return false, connect.ErrAnotherUser
	case s.has("ignores the actor of a flow"):
	case s.has("accepts the owner for every actor's flow") && c.ActorID == "":
	case s.has("accepts any actor for the owner's flow") && p.ActorID == "":
	case s.has("accepts any actor for a reload") && p.Spent:
	case !s.same("ActorID", p.ActorID, c.ActorID):
		return false, connect.ErrAnotherUser
	}

	now := c.ConnectedAt
	if s.has("uses a clock of its own") {
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
	case expired && s.has("returns ErrStateExpired for a late reload"):
		return false, connect.ErrStateExpired
	case s.has("refuses the reload of a replaced identity") && p.IdentityID != "" && s.ownedBy(c, p.IdentityID) == nil:
		return false, connect.ErrStateSpent
	case s.has("refuses every reload") && p.Spent:
		return false, connect.ErrStateSpent
	case s.has("checks SameIdentity for a reload") && how.SameIdentity && s.isTooOld(c):
		return false, connect.ErrIdentityTooOld
	case p.IdentityID == c.IdentityID && c.IdentityID != "":
		return true, nil
	case p.Spent && !s.has("completes a flow that is spent"):
		return false, connect.ErrStateSpent
	case s.hasEnded(p):
		p.Spent = p.Spent || s.has("spends flows that began before a Disconnect")
		return false, connect.ErrStateSpent
	case expired:
		p.Spent = s.has("spends an expired flow")
		return false, connect.ErrStateExpired
	}
	return false, nil
}

// ownedBy returns the connection of c's user that has an identity, or nil.
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

// isTooOld reports whether no connection of its user has the identity of c.
func (s *sketch) isTooOld(c connect.Connection) bool {
	switch {
	case s.has("ignores SameIdentity"):
		return false
	case s.has("refuses every identity with SameIdentity"):
		return true
	case len(s.connectionsOf(c.ApplicationID, c.UserID)) == 0:
		return !s.has("ignores SameIdentity without a connection")
	case s.has("looks for the user's identity in the flows"):
		return !slices.ContainsFunc(s.flows, func(p *connect.Pending) bool {
			return s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID) && p.IdentityID == c.IdentityID
		})
	}
	return s.ownedBy(c, c.IdentityID) == nil
}

// judgeIdentity returns why c may not have its identity, or nil.
func (s *sketch) judgeIdentity(c connect.Connection, how connect.Completion) error {
	var tooOld error
	if how.SameIdentity && s.isTooOld(c) {
		tooOld = connect.ErrIdentityTooOld
	}
	switch {
	case s.has("checks SameIdentity before the identity"):
		return cmp.Or(tooOld, s.judgeOwner(c))
	case s.has("checks SameIdentity last"):
		return s.judgeOwner(c)
	}
	return cmp.Or(s.judgeOwner(c), tooOld)
}

// judgeOwner is judgeIdentity without SameIdentity.
func (s *sketch) judgeOwner(c connect.Connection) error {
	if t := s.task(connect.DeleteIdentity, c.IdentityID); t != nil {
		switch {
		case s.has("accepts retired identities"):
		case s.has("accepts an identity whose deletion Queue has queued") && slices.Contains(s.byQueue, c.IdentityID):
		case s.has("accepts an identity whose deletion is claimed") && t.Attempts > 0:
		case s.has("accepts a retired identity of its former user") && s.sameUser(t.ApplicationID, t.UserID, c.ApplicationID, c.UserID):
		default:
			return connect.ErrIdentityRetired
		}
	}
	if s.has("never accepts an identity that was deleted") && slices.Contains(s.deleted, c.IdentityID) {
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
		case s.has("accepts the identity of a connection that needs a sign-in") && other.Health == needsSignIn:
		case s.has("looks for an identity's user in the application") && other.ApplicationID != c.ApplicationID:
		case s.has("treats the user id in another application as the same user") && other.UserID == c.UserID:
		case !s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID):
			return connect.ErrIdentityTaken
		}
	}
	return nil
}

// which returns the connection that c renews, or nil if it is one more.
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
	case s.has("treats a limit below one as no limit") && how.MaxConnections < 1:
		limit = plenty
	case s.has("allows nothing with a limit below one"):
		limit = how.MaxConnections
	case s.has("allows one connection more"):
		limit++
	case s.has("allows one connection less"):
		limit--
	case s.has("counts the connections of all users"):
		count = len(s.connections)
	case s.has("counts the connections of the user id in all applications"):
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
	case p.Adds && p.ConnectionID == "" && s.has("ignores Adds") && count > 0:
		return connections[0], nil
	case p.ConnectionID != "" && s.has("renews the oldest connection") && count > 0:
		return connections[0], nil
	case p.ConnectionID != "" && s.has("renews whichever connection has the identity") && has != nil:
		return has, nil
	case p.ConnectionID != "" && s.has("looks for the identity before the connection that is named") && has != nil && has != named:
		return nil, connect.ErrIdentityConnected
	case p.ConnectionID != "" && s.has("checks the limit before the connection") && count > limit:
		return nil, connect.ErrConnectionLimit
	case count > limit && s.has("refuses to renew above the limit"):
		return nil, connect.ErrConnectionLimit
	case p.ConnectionID != "" && named == nil && s.has("adds a connection in the place of one that has ended"):
		return nil, nil
	case p.ConnectionID != "" && named == nil:
		return nil, connect.ErrConnectionUnknown
	case p.ConnectionID != "" && has != nil && has != named && !s.has("stores one identity in two connections"):
		return nil, connect.ErrIdentityConnected
	case p.ConnectionID != "":
		return named, nil
	case s.has("adds an identity that the user has"):
	case has != nil && count >= limit && p.Adds && s.has("counts connections before it looks for the identity"):
		return nil, connect.ErrConnectionLimit
	case has != nil && count > 1 && !p.Adds && s.has("refuses to choose before it looks for the identity"):
		return nil, connect.ErrConnectionLimit
	case has != nil:
		return has, nil
	}
	switch {
	case p.Adds:
		return mayAdd()
	case count == 0 && s.has("adds no connection without Adds"):
		return nil, connect.ErrConnectionLimit
	case s.has("adds a connection below the limit without Adds") && count < limit:
		return nil, nil
	case count == 1 && len(connections) > 0, count > 1 && s.has("renews the oldest of several") && len(connections) > 0:
		return connections[0], nil
	case count > 1 && s.has("adds a connection instead of refusing to choose") && count < limit:
		return nil, nil
	case len(connections) > 1:
		return nil, connect.ErrConnectionLimit
	}
	return mayAdd()
}

// accepts returns an error unless the app has accepted to renew old, or one more if it is
// nil.
func (s *sketch) accepts(how connect.Completion, old *connect.Connection) error {
	if how.Accepted == nil || s.has("ignores Accepted") {
		return nil
	}
	if old == nil {
		old = new(connect.Connection)
	}
	sameID := how.Accepted.ID == old.ID || s.has("compares the IdentityID of Accepted alone")
	sameIdentity := how.Accepted.IdentityID == old.IdentityID || s.has("compares the ID of Accepted alone")
	if !sameID || !sameIdentity || how.Accepted.ID == "" && s.has("refuses an accepted addition") {
		return connect.ErrConnectionChanged
	}
	return nil
}

func (s *sketch) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	late := s.has("checks its context when half is written")
	if err := s.enter(ctx, "Complete"); err != nil && !late {
		return connect.Completed{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	c.ApplicationID, c.UserID, c.IdentityID = s.text(c.ApplicationID), s.text(c.UserID), s.text(c.IdentityID)
	c.ID, c.ActorID, c.Label = s.text(c.ID), s.text(c.ActorID), s.text(c.Label)
	c.ConnectedAt, c.HealthAt = s.moment(c.ConnectedAt), s.moment(c.HealthAt)
	switch err := c.Validate(); {
	case err == nil, s.has("stores any identity"):
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
	s.gap("checks the identity in a separate transaction")
	reload, err := s.judge(p, c, how)
	s.gap("checks the flow in a separate transaction")
	switch {
	case reload && how.Accepted != nil && s.has("checks Accepted for a reload"):
		return connect.Completed{}, s.accepts(how, nil)
	case reload && s.has("stores a reload"):
		*s.ownedBy(c, c.IdentityID) = c
		return connect.Completed{}, nil
	case reload && s.has("stores the health of a reload"):
		old := s.ownedBy(c, c.IdentityID)
		old.Health, old.HealthAt = c.Health, c.HealthAt
		return connect.Completed{}, nil
	case reload && s.has("returns the connection of a reload"):
		return connect.Completed{Connection: c}, nil
	case reload:
		return connect.Completed{First: s.has("returns First for a reload")}, nil
	}
	var old *connect.Connection
	if err = cmp.Or(err, identityErr); err == nil {
		old, err = s.which(p, c, how)
	}
	if refused := s.accepts(how, old); refused != nil && (err == nil || s.has("checks Accepted first")) {
		err = refused
	}
	if err == nil && how.SameIdentity && s.has("checks SameIdentity last") && s.isTooOld(c) {
		err = connect.ErrIdentityTooOld
	}
	s.gap("looks for the connection to renew in a separate transaction")
	if s.has("replaces the connection of the user id in another application") {
		for _, other := range s.connections {
			if other.UserID == c.UserID {
				old = other
			}
		}
	}
	if err != nil {
		switch {
		case p != nil && s.has("spends a flow that it refuses"):
			p.Spent = true
		case errors.Is(err, connect.ErrIdentityTaken) && s.has("ends the old connection before it refuses the new one"):
			connections := s.connectionsOf(c.ApplicationID, c.UserID)
			s.connections = slices.DeleteFunc(s.connections, func(other *connect.Connection) bool { return slices.Contains(connections, other) })
		}
		return connect.Completed{}, err
	}

	if old != nil && s.has("reads the label that it keeps in a separate transaction") {
		label := old.Label
		s.gap("reads the label that it keeps in a separate transaction")
		old.Label = label
	}
	c = s.asStored(p, old, c)
	done := connect.Completed{First: true, Connection: c}
	if old != nil && (old.IdentityID != c.IdentityID || s.has("returns the same identity as Replaced")) && !s.has("returns no Replaced") {
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

// asStored returns c as it is stored. It renews old unless that is nil.
func (s *sketch) asStored(p *connect.Pending, old *connect.Connection, c connect.Connection) connect.Connection {
	switch {
	case s.has("begins every connection as HealthOK"):
		c.Health = healthOK
	case s.has("stores ConnectedAt as HealthAt"):
		c.HealthAt = c.ConnectedAt
	case old == nil:
	case s.has("keeps the health of the connection that it replaces") && c.IdentityID != old.IdentityID,
		s.has("keeps the health of an identity that is renewed") && c.IdentityID == old.IdentityID,
		s.has("keeps the later health of an identity that is renewed") && c.IdentityID == old.IdentityID && s.before(c.HealthAt, old.HealthAt):
		c.Health, c.HealthAt = old.Health, old.HealthAt
	}
	if old == nil {
		if !s.has("stores the CreatedAt that it is given") {
			c.CreatedAt = c.ConnectedAt
		}
		if s.has("begins every connection without a label") {
			c.Label = ""
		}
		return c
	}
	id, created, label := old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	switch {
	case s.has("changes the ID of a connection that is renewed"):
		id = c.ID
	case s.has("changes the ID of a connection with its identity") && old.IdentityID != c.IdentityID:
		id = c.ID
	case s.has("changes the CreatedAt of a renewed connection"):
		created = c.ConnectedAt
	case s.has("keeps the actor of a connection that is renewed"):
		c.ActorID = old.ActorID
	case s.has("keeps the actor of an identity that is renewed") && old.IdentityID == c.IdentityID:
		c.ActorID = old.ActorID
	case s.has("keeps the ConnectedAt of a connection that is renewed"):
		c.ConnectedAt = old.ConnectedAt
	case s.has("removes the label of a connection that is renewed"):
		label = c.Label
	case s.has("keeps the label of a connection that is renewed with another"):
		label = cmp.Or(old.Label, c.Label)
	case s.has("stores the label of the flow"):
		label = cmp.Or(p.Label, label)
	}
	c.ID, c.CreatedAt, c.Label = id, created, label
	return c
}

// store stores c. It replaces old unless that is nil.
func (s *sketch) store(old *connect.Connection, c connect.Connection) {
	switch {
	case old == nil:
	case old.IdentityID == c.IdentityID && !s.has("deletes an identity that is renewed"):
	default:
		if !s.has("queues no deletion of a replaced identity") {
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
		return other == old || s.has("stores one connection for a user at most") && s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID)
	})
	s.connections = append(s.connections, &c)
}
