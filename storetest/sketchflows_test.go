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

// ended is when a user was disconnected.
type ended struct {
	applicationID, userID string
	at                    time.Time
}

func (s *sketch) flow(tokenHash string) *connect.Pending {
	for _, p := range s.flows {
		if s.same("TokenHash", p.TokenHash, s.text(tokenHash)) {
			return p
		}
	}
	return nil
}

func (s *sketch) Bind(ctx context.Context, p connect.Pending, limit int) error {
	late := s.has("looks at its context when it has made room")
	if err := s.enter(ctx, "Bind"); err != nil && !late {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	p.TokenHash, p.ApplicationID, p.UserID, p.ReturnTo = s.text(p.TokenHash), s.text(p.ApplicationID), s.text(p.UserID), s.text(p.ReturnTo)
	p.ActorID, p.ConnectionID, p.Label = s.text(p.ActorID), s.text(p.ConnectionID), s.text(p.Label)
	p.IssuedAt, p.ExpiresAt = s.moment(p.IssuedAt), s.moment(p.ExpiresAt)
	p.BegunAt = s.beginning(p.BegunAt)
	switch err := p.Validate(); {
	case s.has("keeps empty texts") && err != nil && strings.HasSuffix(err.Error(), "empty"):
	case s.has("has columns of 191 bytes") && max(len(p.TokenHash), len(p.ApplicationID), len(p.UserID)) > 191:
		return errors.New("too long")
	case s.has("has return paths of 255 bytes") && len(p.ReturnTo) > 255:
		return errors.New("too long")
	case s.has("keeps a flow that it refuses") && err != nil:
		s.flows = append(s.flows, &p)
		return err
	case err != nil:
		return err
	}

	if s.has("makes room before it looks for the token hash") {
		s.makeRoom(&p, limit)
	}
	switch {
	case s.has("cuts the expiry that it keeps, and not what it is compared with"):
		p.ExpiresAt = p.ExpiresAt.Truncate(micro)
	case s.has("rounds up the expiry that it keeps, and not what it is compared with"):
		p.ExpiresAt = p.ExpiresAt.Add(micro - 1).Truncate(micro)
	}
	bound := s.flow(p.TokenHash)
	s.gap("looks for a token hash in a transaction of its own")
	switch {
	case bound != nil && s.has("binds a token hash again"):
		*bound = p
		return nil
	case bound != nil && s.has("says nothing of a token hash that is bound"):
		return nil
	case bound != nil && s.has("makes room for a flow that it refuses"):
		s.makeRoom(&p, limit)
		return errors.New("bound already")
	case bound != nil, slices.Contains(s.swept, p.TokenHash):
		return errors.New("bound already")
	case s.has("keeps one flow for a user"):
		s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool {
			return s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID)
		})
	case s.has("forgets the return path"):
		p.ReturnTo = ""
	case s.has("forgets what a flow is for"):
		p.Adds, p.ConnectionID = false, ""
	case s.has("forgets the actor and the label of a flow"):
		p.ActorID, p.Label = "", ""
	case s.has("queues a tag for a flow"):
		s.queue(connect.TagIdentity, finished(p, ""), noon)
	}
	if !s.has("believes that a flow is spent") {
		p.Spent, p.IdentityID = false, ""
	}
	if s.has("is locked while it binds") {
		s.locked.Store(true)
		s.gap("is locked while it binds")
		s.locked.Store(false)
	}
	s.makeRoom(&p, limit)
	if late && ctx.Err() != nil {
		return ctx.Err()
	}
	s.flows = append(s.flows, &p)
	return nil
}

// beginning is when a flow began, as it is kept.
func (s *sketch) beginning(t time.Time) time.Time {
	switch {
	case s.has("forgets when a flow began"):
		return time.Time{}
	case t.IsZero() && s.has("keeps an unknown beginning as 1970"):
		return time.Unix(0, 0)
	case t.IsZero():
		return t
	case s.has("cuts the beginning that it keeps, and not what it is compared with"):
		return t.Truncate(micro)
	}
	return s.moment(t)
}

// makeRoom spends and removes the oldest flows of a user for the sake of p.
func (s *sketch) makeRoom(p *connect.Pending, limit int) {
	var live, ended []*connect.Pending
	for _, other := range s.flows {
		switch {
		case !s.makesRoom(other, p):
		case s.has("makes room among the flows for the same connection") && other.ConnectionID != p.ConnectionID:
		case other.Spent, s.has("takes what has expired for spent") && other.ExpiresAt.Before(p.IssuedAt):
			ended = append(ended, other)
		default:
			live = append(live, other)
		}
	}
	stay, keep := limit-1, limit
	switch {
	case s.has("binds any number of flows"):
		return
	case s.has("lets one flow more stay"):
		stay++
	case s.has("lets one flow less stay"):
		stay--
	case s.has("keeps one spent flow more"):
		keep++
	case s.has("keeps one spent flow less"):
		keep--
	case s.has("keeps no spent flow"):
		keep = 0
	case s.has("counts live and spent flows together"):
		stay -= len(ended)
	case s.has("spends the flow that is bound when it expires first"):
		live = append(live, p)
		stay++
	}
	spend, remove := s.oldest(live, stay), s.oldest(ended, keep)
	s.gap("looks for what makes room in a transaction of its own")
	s.gap("looks for one flow to spend, in a transaction of its own")
	switch {
	case s.has("looks for one flow to spend, in a transaction of its own"):
		spend = spend[:min(len(spend), 1)]
	case s.has("removes what makes room"):
		remove = append(remove, spend...)
	case s.has("spends one flow at most"):
		spend = spend[:min(len(spend), 1)]
	case s.has("removes what it has just spent"):
		remove = s.oldest(append(ended, spend...), keep)
	case s.has("spends kept flows once more"):
		spend = append(spend, ended...)
	case s.has("ends connections with the flows it removes"):
		s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool {
			return slices.ContainsFunc(remove, func(p *connect.Pending) bool { return p.IdentityID == c.IdentityID })
		})
	case s.has("never binds again what has made room"):
		for _, other := range remove {
			s.swept = append(s.swept, other.TokenHash)
		}
	}
	for _, other := range spend {
		other.Spent, other.IdentityID = true, ""
	}
	s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool { return slices.Contains(remove, other) })
}

// makesRoom reports whether other is one of those that make room for p.
func (s *sketch) makesRoom(other, p *connect.Pending) bool {
	switch {
	case s.has("makes room among all flows"):
		return true
	case s.has("makes room among the flows of the user id everywhere"):
		return other.UserID == p.UserID
	}
	return s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID) &&
		(s.same("ActorID", other.ActorID, p.ActorID) || s.has("makes room among the flows of all actors"))
}

// oldest are all flows but the n that expire last. Those given are in the order
// they were bound in.
func (s *sketch) oldest(flows []*connect.Pending, n int) []*connect.Pending {
	n = min(max(n, 0), len(flows))
	flows = slices.Clone(flows)
	slices.SortStableFunc(flows, func(a, b *connect.Pending) int {
		switch {
		case s.has("makes room in the order of binding"):
			return 0
		case s.has("makes room in the order of issue"):
			return a.IssuedAt.Compare(b.IssuedAt)
		case s.has("makes room by the second"):
			return cmp.Compare(a.ExpiresAt.Unix(), b.ExpiresAt.Unix())
		case s.has("makes room with the newest"):
			return b.ExpiresAt.Compare(a.ExpiresAt)
		}
		return a.ExpiresAt.Compare(b.ExpiresAt)
	})
	oldest, newest := flows[:len(flows)-n], flows[len(flows)-n:]
	if s.has("takes flows that expire at one moment for one") && n > 0 {
		return slices.DeleteFunc(oldest, func(p *connect.Pending) bool { return p.ExpiresAt.Equal(newest[0].ExpiresAt) })
	}
	return oldest
}

func (s *sketch) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	if err := s.enter(ctx, "Pending"); err != nil {
		return connect.Pending{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	p := s.flow(tokenHash)
	switch {
	case p == nil && s.has("has an empty flow for every token hash"):
		return connect.Pending{TokenHash: tokenHash}, nil
	case p == nil, s.has("hides what has expired") && p.ExpiresAt.Before(time.Now()):
		return connect.Pending{}, connect.ErrStateUnknown
	}
	return *p, nil
}

func (s *sketch) Spend(ctx context.Context, tokenHash string) error {
	if err := s.enter(ctx, "Spend"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	p := s.flow(tokenHash)
	switch {
	case p == nil && s.has("fails to spend an unknown flow"):
		return connect.ErrStateUnknown
	case p == nil:
		return nil
	case s.has("removes a flow that is spent"):
		s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool { return other == p })
	case s.has("spends all flows of the user"):
		for _, other := range s.flows {
			other.Spent = other.Spent || s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID)
		}
	case s.has("forgets the identity of a completed flow that is spent"):
		p.IdentityID = ""
	}
	read := *p
	s.gap("reads a flow, and writes it back when it is spent")
	read.Spent = true
	*p = read
	return nil
}

// hasEnded reports whether the user of p was disconnected since p began.
func (s *sketch) hasEnded(p *connect.Pending) bool {
	if p.BegunAt.IsZero() && !s.has("takes an unknown beginning for the earliest") || p.ActorID != "" && s.has("lets actors outlast a disconnect") {
		return false
	}
	for _, e := range s.ended {
		switch {
		case s.has("disconnects the user id everywhere") && e.userID == p.UserID:
		case s.has("disconnects everybody in the application") && e.applicationID == p.ApplicationID:
		case !s.sameUser(e.applicationID, e.userID, p.ApplicationID, p.UserID):
			continue
		}
		if s.before(p.BegunAt, e.at) || s.has("ends what began at the moment of a disconnect") && p.BegunAt.Equal(e.at) {
			return true
		}
	}
	return false
}

// remember remembers when a user was disconnected.
func (s *sketch) remember(applicationID, userID string, at time.Time) {
	at = s.moment(at)
	if s.has("rounds up the moment of a disconnect, and not the beginning") {
		at = at.Add(micro - 1).Truncate(micro)
	}
	for _, e := range s.ended {
		if !s.sameUser(e.applicationID, e.userID, applicationID, userID) {
			continue
		}
		if s.before(e.at, at) && !s.has("remembers the first disconnect") || s.has("remembers the last disconnect") {
			e.at = at
		}
		return
	}
	s.ended = append(s.ended, &ended{applicationID, userID, at})
}

func (s *sketch) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := s.enter(ctx, "Sweep"); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	if limit < 1 && s.has("takes no limit for any limit") || s.has("sweeps without a limit") {
		limit = len(s.flows)
	}
	var gone []*connect.Pending
	for _, p := range s.flows {
		expired := s.before(p.ExpiresAt, s.moment(before))
		switch {
		case s.has("sweeps what expires at the moment"):
			expired = !s.before(s.moment(before), p.ExpiresAt)
		case s.has("sweeps live flows"):
			expired = true
		case s.has("sweeps live flows when there is room in a batch"):
			expired = expired || len(gone) > 0
		case s.has("sweeps no completed flows") && p.IdentityID != "":
			expired = false
		}
		if expired && len(gone) < limit {
			gone = append(gone, p)
		}
	}
	s.gap("looks for what to sweep in a transaction of its own")
	if len(gone) == 0 && s.has("fails to sweep nothing") {
		return 0, errors.New("no rows")
	}
	for _, p := range gone {
		if s.has("sweeps connections with their flows") {
			s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool { return c.IdentityID == p.IdentityID })
		}
		if s.has("sweeps tasks with their flows") {
			s.tasks = slices.DeleteFunc(s.tasks, func(t *connect.Task) bool { return t.UserID == p.UserID })
		}
		if s.has("forgets the disconnects of those whose flows it sweeps") {
			s.ended = slices.DeleteFunc(s.ended, func(e *ended) bool { return e.userID == p.UserID })
		}
		if s.has("never binds again what was swept") {
			s.swept = append(s.swept, p.TokenHash)
		}
	}
	s.flows = slices.DeleteFunc(s.flows, func(p *connect.Pending) bool { return slices.Contains(gone, p) })
	if s.has("shares its limit between flows and disconnects") {
		limit -= len(gone)
	}
	forgotten := s.forget(before, limit)
	switch {
	case s.has("miscounts what it sweeps"):
		return limit, nil
	case s.has("counts the disconnects that it forgets"):
		return len(gone) + forgotten, nil
	}
	return len(gone), nil
}

// forget forgets when users were disconnected, and returns of how many.
func (s *sketch) forget(before time.Time, limit int) int {
	var gone []*ended
	for _, e := range s.ended {
		old := s.before(e.at, s.moment(before))
		switch {
		case s.has("never forgets a disconnect"):
			old = false
		case s.has("forgets every disconnect"):
			old = true
		case s.has("forgets a disconnect of that moment"):
			old = !s.before(s.moment(before), e.at)
		}
		if old && (len(gone) < limit || s.has("forgets disconnects without a limit")) {
			gone = append(gone, e)
		}
	}
	s.ended = slices.DeleteFunc(s.ended, func(e *ended) bool { return slices.Contains(gone, e) })
	if s.has("ends the connections of those whose disconnect it forgets") {
		s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool {
			return slices.ContainsFunc(gone, func(e *ended) bool { return s.sameUser(e.applicationID, e.userID, c.ApplicationID, c.UserID) })
		})
	}
	return len(gone)
}
