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

// ended is the time of a Disconnect of all connections.
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
	late := s.has("checks its context after it has spent other flows")
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
	case s.has("stores empty strings") && err != nil && strings.HasSuffix(err.Error(), "empty"):
	case s.has("stores 191 bytes at most") && max(len(p.TokenHash), len(p.ApplicationID), len(p.UserID)) > 191:
		return errors.New("too long")
	case s.has("stores ReturnTo of 255 bytes at most") && len(p.ReturnTo) > 255:
		return errors.New("too long")
	case s.has("stores a flow that it rejects") && err != nil:
		s.flows = append(s.flows, &p)
		return err
	case err != nil:
		return err
	}

	if s.has("spends flows before it looks for the token hash") {
		s.makeRoom(&p, limit)
	}
	switch {
	case s.has("truncates ExpiresAt, but not what it compares it with"):
		p.ExpiresAt = p.ExpiresAt.Truncate(micro)
	case s.has("rounds up ExpiresAt, but not what it compares it with"):
		p.ExpiresAt = p.ExpiresAt.Add(micro - 1).Truncate(micro)
	}
	bound := s.flow(p.TokenHash)
	s.gap("looks for a token hash in a separate transaction")
	switch {
	case bound != nil && s.has("binds a token hash again"):
		*bound = p
		return nil
	case bound != nil && s.has("returns no error for a token hash that is bound"):
		return nil
	case bound != nil && s.has("spends flows when Bind fails"):
		s.makeRoom(&p, limit)
		return errors.New("bound already")
	case bound != nil, slices.Contains(s.swept, p.TokenHash):
		return errors.New("bound already")
	case s.has("stores one flow for a user at most"):
		s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool {
			return s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID)
		})
	case s.has("stores no ReturnTo"):
		p.ReturnTo = ""
	case s.has("stores no ConnectionID and Adds"):
		p.Adds, p.ConnectionID = false, ""
	case s.has("stores no ActorID and Label of a flow"):
		p.ActorID, p.Label = "", ""
	case s.has("queues a tag for a flow"):
		s.queue(connect.TagIdentity, finished(p, ""), noon)
	}
	if !s.has("stores Spent and IdentityID in Bind") {
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

// beginning returns BegunAt as it is stored.
func (s *sketch) beginning(t time.Time) time.Time {
	switch {
	case s.has("stores no BegunAt"):
		return time.Time{}
	case t.IsZero() && s.has("stores a zero BegunAt as 1970"):
		return time.Unix(0, 0)
	case t.IsZero():
		return t
	case s.has("truncates BegunAt, but not what it compares it with"):
		return t.Truncate(micro)
	}
	return s.moment(t)
}

// makeRoom spends and removes other flows so that p keeps to the limit.
func (s *sketch) makeRoom(p *connect.Pending, limit int) {
	var live, ended []*connect.Pending
	for _, other := range s.flows {
		switch {
		case !s.makesRoom(other, p):
		case s.has("spends flows of the same ConnectionID only") && other.ConnectionID != p.ConnectionID:
		case other.Spent, s.has("treats expired flows as spent") && other.ExpiresAt.Before(p.IssuedAt):
			ended = append(ended, other)
		default:
			live = append(live, other)
		}
	}
	stay, keep := limit-1, limit
	switch {
	case s.has("binds any number of flows"):
		return
	case s.has("spends one flow too few"):
		stay++
	case s.has("spends one flow too many"):
		stay--
	case s.has("keeps one spent flow more"):
		keep++
	case s.has("keeps one spent flow less"):
		keep--
	case s.has("keeps no spent flow"):
		keep = 0
	case s.has("counts live and spent flows together"):
		stay -= len(ended)
	case s.has("spends the flow that it binds if it expires first"):
		live = append(live, p)
		stay++
	}
	spend, remove := s.oldest(live, stay), s.oldest(ended, keep)
	s.gap("looks for flows to spend in a separate transaction")
	s.gap("looks for one flow to spend, in a separate transaction")
	switch {
	case s.has("looks for one flow to spend, in a separate transaction"):
		spend = spend[:min(len(spend), 1)]
	case s.has("removes the flows that it should spend"):
		remove = append(remove, spend...)
	case s.has("spends one flow at most"):
		spend = spend[:min(len(spend), 1)]
	case s.has("removes the flows that it has just spent"):
		remove = s.oldest(append(ended, spend...), keep)
	case s.has("spends spent flows again"):
		spend = append(spend, ended...)
	case s.has("ends connections with the flows it removes"):
		s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool {
			return slices.ContainsFunc(remove, func(p *connect.Pending) bool { return p.IdentityID == c.IdentityID })
		})
	case s.has("never binds again a token hash that Bind removed"):
		for _, other := range remove {
			s.swept = append(s.swept, other.TokenHash)
		}
	}
	for _, other := range spend {
		other.Spent, other.IdentityID = true, ""
	}
	s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool { return slices.Contains(remove, other) })
}

// makesRoom reports whether makeRoom counts other.
func (s *sketch) makesRoom(other, p *connect.Pending) bool {
	switch {
	case s.has("spends the flows of all users"):
		return true
	case s.has("spends the flows of the user id in all applications"):
		return other.UserID == p.UserID
	}
	return s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID) &&
		(s.same("ActorID", other.ActorID, p.ActorID) || s.has("spends the flows of all actors"))
}

// oldest returns all flows but the n that expire last. flows are in the order of
// binding.
func (s *sketch) oldest(flows []*connect.Pending, n int) []*connect.Pending {
	n = min(max(n, 0), len(flows))
	flows = slices.Clone(flows)
	slices.SortStableFunc(flows, func(a, b *connect.Pending) int {
		switch {
		case s.has("spends flows in the order of binding"):
			return 0
		case s.has("spends flows in the order of IssuedAt"):
			return a.IssuedAt.Compare(b.IssuedAt)
		case s.has("compares ExpiresAt by the second"):
			return cmp.Compare(a.ExpiresAt.Unix(), b.ExpiresAt.Unix())
		case s.has("spends the flows that expire last"):
			return b.ExpiresAt.Compare(a.ExpiresAt)
		}
		return a.ExpiresAt.Compare(b.ExpiresAt)
	})
	oldest, newest := flows[:len(flows)-n], flows[len(flows)-n:]
	if s.has("counts flows that expire at one moment as one") && n > 0 {
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
	case p == nil && s.has("returns an empty flow for an unknown token hash"):
		return connect.Pending{TokenHash: tokenHash}, nil
	case p == nil, s.has("returns no expired flows") && p.ExpiresAt.Before(time.Now()):
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
	case p == nil && s.has("returns an error for an unknown flow"):
		return connect.ErrStateUnknown
	case p == nil:
		return nil
	case s.has("removes a flow that is spent"):
		s.flows = slices.DeleteFunc(s.flows, func(other *connect.Pending) bool { return other == p })
	case s.has("spends all flows of the user"):
		for _, other := range s.flows {
			other.Spent = other.Spent || s.sameUser(other.ApplicationID, other.UserID, p.ApplicationID, p.UserID)
		}
	case s.has("removes the IdentityID of a completed flow that is spent"):
		p.IdentityID = ""
	}
	read := *p
	s.gap("reads a flow, and writes it back when it is spent")
	read.Spent = true
	*p = read
	return nil
}

// hasEnded reports whether a Disconnect has ended p, which may have been bound later.
func (s *sketch) hasEnded(p *connect.Pending) bool {
	if p.BegunAt.IsZero() && !s.has("treats a zero BegunAt as the earliest") || p.ActorID != "" && s.has("ignores BegunAt of flows with an actor") {
		return false
	}
	for _, e := range s.ended {
		switch {
		case s.has("disconnects the user id in all applications") && e.userID == p.UserID:
		case s.has("disconnects all users of the application") && e.applicationID == p.ApplicationID:
		case !s.sameUser(e.applicationID, e.userID, p.ApplicationID, p.UserID):
			continue
		}
		if s.before(p.BegunAt, e.at) || s.has("refuses what began at the moment of a Disconnect") && p.BegunAt.Equal(e.at) {
			return true
		}
	}
	return false
}

// remember stores the time of a Disconnect.
func (s *sketch) remember(applicationID, userID string, at time.Time) {
	at = s.moment(at)
	if s.has("rounds up the time of Disconnect, but not BegunAt") {
		at = at.Add(micro - 1).Truncate(micro)
	}
	for _, e := range s.ended {
		if !s.sameUser(e.applicationID, e.userID, applicationID, userID) {
			continue
		}
		if s.before(e.at, at) && !s.has("keeps the first time of Disconnect") || s.has("keeps the last time of Disconnect") {
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

	if limit < 1 && s.has("treats a limit below one as no limit") || s.has("sweeps without a limit") {
		limit = len(s.flows)
	}
	var gone []*connect.Pending
	for _, p := range s.flows {
		expired := s.before(p.ExpiresAt, s.moment(before))
		switch {
		case s.has("sweeps flows that expire at the moment"):
			expired = !s.before(s.moment(before), p.ExpiresAt)
		case s.has("sweeps live flows"):
			expired = true
		case s.has("sweeps live flows with expired ones"):
			expired = expired || len(gone) > 0
		case s.has("sweeps no completed flows") && p.IdentityID != "":
			expired = false
		}
		if expired && len(gone) < limit {
			gone = append(gone, p)
		}
	}
	s.gap("looks for flows to sweep in a separate transaction")
	if len(gone) == 0 && s.has("returns an error when it sweeps no flow") {
		return 0, errors.New("no rows")
	}
	for _, p := range gone {
		if s.has("sweeps connections with their flows") {
			s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool { return c.IdentityID == p.IdentityID })
		}
		if s.has("sweeps tasks with their flows") {
			s.tasks = slices.DeleteFunc(s.tasks, func(t *connect.Task) bool { return t.UserID == p.UserID })
		}
		if s.has("removes times of Disconnect with the flows that it sweeps") {
			s.ended = slices.DeleteFunc(s.ended, func(e *ended) bool { return e.userID == p.UserID })
		}
		if s.has("never binds again a token hash that was swept") {
			s.swept = append(s.swept, p.TokenHash)
		}
	}
	s.flows = slices.DeleteFunc(s.flows, func(p *connect.Pending) bool { return slices.Contains(gone, p) })
	if s.has("counts flows and times of Disconnect together") {
		limit -= len(gone)
	}
	forgotten := s.forget(before, limit)
	switch {
	case s.has("miscounts what it sweeps"):
		return limit, nil
	case s.has("counts the times of Disconnect that it removes"):
		return len(gone) + forgotten, nil
	}
	return len(gone), nil
}

// forget removes times of Disconnect, and returns how many.
func (s *sketch) forget(before time.Time, limit int) int {
	var gone []*ended
	for _, e := range s.ended {
		old := s.before(e.at, s.moment(before))
		switch {
		case s.has("never removes a time of Disconnect"):
			old = false
		case s.has("removes all times of Disconnect"):
			old = true
		case s.has("removes a time of Disconnect at that moment"):
			old = !s.before(s.moment(before), e.at)
		}
		if old && (len(gone) < limit || s.has("removes times of Disconnect without a limit")) {
			gone = append(gone, e)
		}
	}
	s.ended = slices.DeleteFunc(s.ended, func(e *ended) bool { return slices.Contains(gone, e) })
	if s.has("ends connections with the times of Disconnect that it removes") {
		s.connections = slices.DeleteFunc(s.connections, func(c *connect.Connection) bool {
			return slices.ContainsFunc(gone, func(e *ended) bool { return s.sameUser(e.applicationID, e.userID, c.ApplicationID, c.UserID) })
		})
	}
	return len(gone)
}
