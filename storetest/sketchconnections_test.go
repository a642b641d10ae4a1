package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

// connectionsOf returns a user's connections in order.
func (s *sketch) connectionsOf(application, user string) (all []*connect.Connection) {
	for _, c := range s.connections {
		if s.sameUser(c.ApplicationID, c.UserID, s.text(application), s.text(user)) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b *connect.Connection) int {
		order := cmp.Or(s.compare(a.CreatedAt, b.CreatedAt), s.compareIDs(a.ID, b.ID))
		switch {
		case s.has("returns connections in the order in which they were stored"):
			return 0
		case s.has("orders connections by the last sign-in"):
			order = cmp.Or(a.ConnectedAt.Compare(b.ConnectedAt), s.compareIDs(a.ID, b.ID))
		case s.has("orders connections by the second"):
			order = cmp.Or(cmp.Compare(a.CreatedAt.Unix(), b.CreatedAt.Unix()), s.compareIDs(a.ID, b.ID))
		case s.has("orders connections by their ids alone"):
			order = s.compareIDs(a.ID, b.ID)
		}
		return order
	})
	return all
}

// compareIDs orders the IDs of connections.
func (s *sketch) compareIDs(a, b string) int {
	switch {
	case s.has("orders ids without case"):
		return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
	case s.has("orders ids by their length"):
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

// withID returns a connection of a user, or nil.
func (s *sketch) withID(application, user, id string) *connect.Connection {
	connections := s.connectionsOf(application, user)
	if s.has("finds a connection by its ID alone") {
		connections = s.connections
	}
	for _, c := range connections {
		if id != "" && s.same("ID", c.ID, s.text(id)) || id == "%" && s.has("finds connections by patterns") {
			return c
		}
	}
	return nil
}

func (s *sketch) Connections(ctx context.Context, applicationID, userID string) ([]connect.Connection, error) {
	if err := s.enter(ctx, "Connections"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	var all []connect.Connection
	for _, c := range s.connectionsOf(applicationID, userID) {
		if c.Health != needsSignIn || !s.has("returns no connection that needs a sign-in") {
			all = append(all, *c)
		}
	}
	switch {
	case len(all) == 0 && s.has("returns an empty connection for users without one"):
		return []connect.Connection{{}}, nil
	case len(all) == 0 && s.has("returns an error without a connection"):
		return nil, connect.ErrNotConnected
	}
	return all, nil
}

func (s *sketch) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (connect.Connection, bool, error) {
	if err := s.enter(ctx, "SetHealth"); err != nil {
		return connect.Connection{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	identityID, at = s.text(identityID), s.moment(at)
	c := s.connectionWith(identityID)
	switch err := health.Validate(); {
	case err != nil && s.has("returns ErrNotConnected for an unknown health"):
		return connect.Connection{}, false, connect.ErrNotConnected
	case err != nil && !s.has("stores any health"):
		return connect.Connection{}, false, err
	case c == nil && s.has("accepts news of any identity"):
		return connect.Connection{}, true, nil
	case c == nil:
		return connect.Connection{}, false, connect.ErrNotConnected
	}

	before, newer, older := *c, s.before(c.HealthAt, at), s.before(at, c.HealthAt)
	counts := newer || !older && c.Health == healthOK && health == needsSignIn
	switch {
	case s.has("counts all news"):
		counts = true
	case s.has("prefers the last news of one moment"):
		counts = !older
	case s.has("prefers the first news of one moment"):
		counts = newer
	case s.has("prefers HealthOK at one moment"):
		counts = newer || !older && c.Health == needsSignIn && health == healthOK
	case s.has("compares news by the millisecond"):
		counts = c.HealthAt.Truncate(time.Millisecond).Before(at.Truncate(time.Millisecond))
	case s.has("truncates HealthAt, but not what it compares it with"):
		kept := c.HealthAt.Truncate(micro)
		counts = kept.Before(at) || kept.Equal(at) && health == needsSignIn
	case s.has("rounds up HealthAt, but not what it compares it with"):
		kept := c.HealthAt.Add(micro - 1).Truncate(micro)
		counts = kept.Before(at) || kept.Equal(at) && health == needsSignIn
	case s.has("keeps HealthAt for later news of the same health"):
		counts = counts && health != c.Health
	}
	s.gap("looks for the connection whose health it sets in a separate transaction")
	s.gap("writes the whole connection back when it sets its health")
	if !counts {
		return before, s.has("reports a change for all news"), nil
	}

	after := before
	after.Health, after.HealthAt = health, at
	switch {
	case s.has("never changes HealthAt"):
		after.HealthAt = before.HealthAt
	case s.has("changes ConnectedAt with the health"):
		after.ConnectedAt = at
	case s.has("spends the flows of a user who needs to sign in"):
		for _, p := range s.flows {
			p.Spent = p.Spent || s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID)
		}
	case s.has("tags an identity whose health has changed"):
		s.queue(connect.TagIdentity, after, at)
	}
	for _, other := range s.connections {
		if s.has("sets the health of all users") || s.has("sets the health of the user id in all applications") && other.UserID == c.UserID ||
			s.has("sets the health of all of the user's connections") && s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID) {
			other.Health = health
		}
	}
	if s.has("writes the whole connection back when it sets its health") {
		s.store(s.withID(after.ApplicationID, after.UserID, after.ID), after)
	}
	*c = after
	switch {
	case s.has("returns the connection as it was before the news"):
		return before, before.Health != health, nil
	case s.has("reports no change"):
		return after, false, nil
	}
	return after, before.Health != health || s.has("reports a change for all news"), nil
}

// connectionWith returns the connection that has an identity, or nil.
func (s *sketch) connectionWith(identityID string) *connect.Connection {
	if s.has("looks for the identity of news in the flows") {
		for _, p := range s.flows {
			if connections := s.connectionsOf(p.ApplicationID, p.UserID); p.IdentityID == identityID && len(connections) > 0 {
				return connections[0]
			}
		}
	}
	for _, c := range s.connections {
		if c.IdentityID == identityID && !(s.has("looks for the identity of news in one application") && c.ApplicationID != app) {
			return c
		}
	}
	if t := s.task(connect.DeleteIdentity, identityID); t != nil && s.has("restores a connection for late news") {
		s.connections = append(s.connections, &connect.Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: identityID})
		return s.connections[len(s.connections)-1]
	}
	return nil
}

func (s *sketch) SetLabel(ctx context.Context, applicationID, userID, connectionID, label string) (connect.Connection, error) {
	if err := s.enter(ctx, "SetLabel"); err != nil {
		return connect.Connection{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	c := s.withID(applicationID, userID, connectionID)
	label = s.text(label)
	switch {
	case s.has("truncates labels to 100 characters") && len([]rune(label)) > 100:
		label = string([]rune(label)[:100])
	case s.has("stores labels of 100 bytes at most") && len(label) > 100:
		return connect.Connection{}, errors.New("too long")
	}
	switch err := (connect.Pending{TokenHash: "x", ApplicationID: "x", UserID: "x", Label: label}).Validate(); {
	case err != nil && s.has("returns ErrConnectionUnknown for an invalid label"):
		return connect.Connection{}, connect.ErrConnectionUnknown
	case err != nil:
		return connect.Connection{}, err
	case c == nil && s.has("returns no error for an unknown connection"):
		return connect.Connection{}, nil
	case c == nil:
		return connect.Connection{}, connect.ErrConnectionUnknown
	}
	before, after := *c, *c
	after.Label = label
	s.gap("writes the whole connection back when it sets its label")
	switch {
	case label == "" && s.has("removes no label"):
		after.Label = before.Label
	case s.has("changes ConnectedAt with the label"):
		after.ConnectedAt = after.ConnectedAt.Add(time.Second)
	case s.has("tags an identity whose label has changed"):
		s.queue(connect.TagIdentity, after, noon)
	case s.has("labels all of the user's connections"):
		for _, other := range s.connectionsOf(c.ApplicationID, c.UserID) {
			other.Label = label
		}
	}
	if s.has("writes the whole connection back when it sets its label") {
		s.store(s.withID(after.ApplicationID, after.UserID, after.ID), after)
	}
	*c = after
	if s.has("returns the connection as it was before the label") {
		return before, nil
	}
	return after, nil
}

func (s *sketch) Disconnect(ctx context.Context, d connect.Disconnection) ([]connect.Connection, error) {
	err := s.enter(ctx, "Disconnect")
	if err != nil && !s.has("spends flows before it looks at its context") {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	d.ApplicationID, d.UserID = s.text(d.ApplicationID), s.text(d.UserID)
	if valid := (connect.Pending{TokenHash: "x", ApplicationID: d.ApplicationID, UserID: d.UserID}).Validate(); valid != nil {
		return nil, valid
	}
	all := d.ConnectionID == ""
	ending := s.connectionsOf(d.ApplicationID, d.UserID)
	if !all && !s.has("ends all connections of the user") {
		c := s.withID(d.ApplicationID, d.UserID, d.ConnectionID)
		switch {
		case c != nil:
			ending = []*connect.Connection{c}
		case s.has("returns no error for an unknown connection"):
			return nil, nil
		case s.has("spends flows before it looks for the connection"):
			s.spendFlows(d, []connect.Connection{{}})
			return nil, connect.ErrConnectionUnknown
		case err == nil:
			return nil, connect.ErrConnectionUnknown
		}
	}
	switch {
	case all && s.has("ends the oldest connection alone") && len(ending) > 1:
		ending = ending[:1]
	case s.has("returns ended connections the newest first"):
		slices.Reverse(ending)
	}
	switch {
	case err != nil, s.has("stores no time of Disconnect"):
	case !all && !s.has("stores the time of Disconnect of one connection"):
	case len(ending) == 0 && s.has("stores no time of Disconnect without a connection"):
	case s.has("stores the time of Disconnect in a separate transaction"):
		defer func() {
			s.gap("stores the time of Disconnect in a separate transaction")
			s.remember(d.ApplicationID, d.UserID, d.At)
		}()
	default:
		s.remember(d.ApplicationID, d.UserID, d.At)
	}
	s.gap("looks for the connection to end in a separate transaction")
	ended := make([]connect.Connection, 0, len(ending))
	for _, c := range ending {
		ended = append(ended, *c)
	}
	s.gap("reads the connection that it ends in a separate transaction")
	s.spendFlows(d, ended)
	if err != nil {
		return nil, err
	}
	if !s.has("keeps the connection that it ends") {
		s.connections = slices.DeleteFunc(s.connections, func(other *connect.Connection) bool { return slices.Contains(ending, other) })
	}
	s.gap("ends the connection before it queues the deletion")
	if s.has("deletes at once") {
		d.DeleteAfter = noon
	}
	for i, c := range ending {
		if !s.has("queues no deletion of an ended connection") {
			s.queue(connect.DeleteIdentity, *c, d.DeleteAfter)
		}
		if !s.has("leaves the tag of an ended connection") {
			s.drop(connect.TagIdentity, c.IdentityID)
		}
		if s.has("returns ended connections as HealthOK") {
			ended[i].Health = healthOK
		}
	}
	switch {
	case s.has("drops all of the user's tags when a connection ends"):
		for _, c := range s.connectionsOf(d.ApplicationID, d.UserID) {
			s.drop(connect.TagIdentity, c.IdentityID)
		}
	case all && len(ending) == 0 && s.has("returns an error for a user without a connection"):
		return nil, connect.ErrNotConnected
	}
	return ended, nil
}

// spendFlows spends the flows that Disconnect ends.
func (s *sketch) spendFlows(d connect.Disconnection, ending []connect.Connection) {
	for _, p := range s.flows {
		all := d.ConnectionID == ""
		made := !all && p.IdentityID != "" && slices.ContainsFunc(ending, func(c connect.Connection) bool { return c.IdentityID == p.IdentityID }) &&
			!s.has("leaves the flow that made the connection")
		ends := all || s.same("ConnectionID", p.ConnectionID, d.ConnectionID) || p.ConnectionID == "" && !p.Adds || made
		switch {
		case s.has("spends the flows of all users when it disconnects one"):
			p.Spent, p.IdentityID = true, ""
			continue
		case s.has("treats the actor as the user") && p.ActorID == d.UserID:
			p.Spent, p.IdentityID = true, ""
			continue
		case !s.sameUser(p.ApplicationID, p.UserID, d.ApplicationID, d.UserID):
			continue
		case s.has("leaves live flows") && !p.Spent:
		case s.has("leaves flows of a user without a connection") && len(ending) == 0:
		case s.has("leaves completed flows") && p.IdentityID != "":
		case s.has("leaves completed flows of one connection") && p.IdentityID != "" && !all:
		case s.has("spends completed flows but keeps their identity") && p.Spent:
		case s.has("leaves flows of actors") && p.ActorID != "":
		case s.has("leaves flows that add") && p.Adds:
		case s.has("leaves flows that name a connection") && p.ConnectionID != "":
		case s.has("leaves flows that name no connection") && p.ConnectionID == "" && !all:
		case ends, s.has("spends all flows when one connection ends"),
			s.has("spends completed flows of every connection when one ends") && p.Spent,
			s.has("spends flows that name any connection") && p.ConnectionID != "",
			s.has("spends flows that add when one connection ends") && p.Adds:
			p.Spent, p.IdentityID = true, ""
		}
	}
}

func (s *sketch) ApplicationsOf(ctx context.Context, userID string) ([]string, error) {
	if err := s.enter(ctx, "ApplicationsOf"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	userID = s.text(userID)
	everybody := s.has("lists the applications of all users")
	var ids []string
	for _, c := range s.connections {
		if !s.has("lists no applications of connections") && (everybody || s.same("UserID", c.UserID, userID)) {
			ids = s.list(ids, c.ApplicationID)
		}
	}
	for _, p := range s.flows {
		switch {
		case s.has("lists no applications of flows"):
		case s.has("lists no applications of expired flows") && p.ExpiresAt.Before(noon):
		case p.Spent && !s.has("lists the applications of spent flows"):
		case everybody || s.same("UserID", p.UserID, userID):
			ids = s.list(ids, p.ApplicationID)
		}
	}
	return ids, nil
}

func (s *sketch) Applications(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx, "Applications"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	var ids []string
	for _, c := range s.connections {
		if !s.has("lists no applications of connections") {
			ids = s.list(ids, c.ApplicationID)
		}
	}
	for _, t := range s.tasks {
		if !s.has("lists no applications of tasks") {
			ids = s.list(ids, t.ApplicationID)
		}
	}
	for _, p := range s.flows {
		if s.has("lists the applications of flows") {
			ids = s.list(ids, p.ApplicationID)
		}
	}
	if s.has("lists ten applications at most") {
		ids = ids[:min(len(ids), 10)]
	}
	return ids, nil
}

// list appends an id that is not in the list.
func (s *sketch) list(ids []string, id string) []string {
	listed := slices.ContainsFunc(ids, func(other string) bool { return s.same("ApplicationID", other, id) })
	if listed && !s.has("lists an application twice") {
		return ids
	}
	return append(ids, id)
}

// lister is a sketch that implements connect.Lister.
type lister struct{ sketch }

func (s *lister) List(ctx context.Context, q connect.ListQuery) ([]connect.Connection, error) {
	if err := s.enter(ctx, "List"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case q.Health != "" && q.Health.Validate() != nil && s.has("lists connections of an unknown health"):
		return nil, nil
	case q.Health != "" && q.Health.Validate() != nil:
		return nil, q.Health.Validate()
	case q.Limit < 1 && s.has("treats a limit below one as no limit"):
		q.Limit = plenty
	case s.has("finds nothing after a connection that has ended") && q.After != "" && !slices.ContainsFunc(s.connections, func(c *connect.Connection) bool { return c.ID == q.After }):
		return nil, nil
	}
	if s.has("reads a page in two transactions") && q.Limit > 1 {
		first, all := q, q
		first.Limit, all.Limit = q.Limit/2, plenty
		page, offset := s.page(first), q.Limit/2-len(s.page(all))
		all.After = ""
		offset += len(s.page(all))
		s.gap("reads a page in two transactions")
		rest := s.page(all)
		rest = rest[min(len(rest), offset):]
		return append(page, rest[:min(len(rest), q.Limit-len(page))]...), nil
	}
	page := s.page(q)
	if len(page) == 0 && s.has("returns an error for an empty page") {
		return nil, errors.New("no rows")
	}
	return page, nil
}

func (s *lister) WithIdentities(ctx context.Context, identityIDs []string) (found []connect.Connection, err error) {
	if err := s.enter(ctx, "WithIdentities"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, id := range identityIDs {
		i := slices.IndexFunc(s.connections, func(c *connect.Connection) bool { return s.same("IdentityID", c.IdentityID, id) })
		switch {
		case i < 0 && s.has("returns an error for an identity without a connection"):
			return nil, connect.ErrNotConnected
		case i < 0 && s.has("finds identities that are about to be deleted"):
			for _, t := range s.tasks {
				if t.Kind == connect.DeleteIdentity && t.IdentityID == id {
					found = append(found, connect.Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: id})
				}
			}
		case i < 0:
		case s.connections[i].ApplicationID != app && s.has("finds identities in one application"):
		default:
			found = append(found, *s.connections[i])
		}
		if s.has("finds one identity") && len(found) > 0 {
			break
		}
	}
	return found, nil
}

// page returns one page.
func (s *lister) page(q connect.ListQuery) (page []connect.Connection) {
	for _, c := range s.connections {
		after := s.compareIDs(c.ID, q.After) > 0
		if s.has("lists from the cursor on") {
			after = s.compareIDs(c.ID, q.After) >= 0
		}
		switch {
		case !after:
		case c.ApplicationID != q.ApplicationID && !s.has("lists the connections of every application"):
		case q.Health != "" && c.Health != q.Health && !s.has("lists connections of any health") && !s.has("fills a page before it looks at the health"):
		default:
			page = append(page, *c)
		}
	}
	slices.SortStableFunc(page, func(a, b connect.Connection) int {
		if s.has("lists connections in the order in which they were stored") {
			return 0
		}
		return s.compareIDs(a.ID, b.ID)
	})
	page = page[:min(len(page), max(q.Limit, 0))]
	if s.has("fills a page before it looks at the health") && q.Health != "" {
		page = slices.DeleteFunc(page, func(c connect.Connection) bool { return c.Health != q.Health })
	}
	return page
}
