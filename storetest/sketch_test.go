package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anchorconnect/connect"
)

// sketch is a store that is right in everything but one flaw, or in everything
// if it has none. It is written without a thought for speed, and otherwise than
// connect.MemoryStore: lists and nothing else.
type sketch struct {
	flaw string

	mu          sync.Mutex
	flows       []*connect.Pending
	connections []*connect.Connection
	tasks       []*connect.Task
	ended       []*ended
	swept       []string // token hashes
	deleted     []string // identities
	byQueue     []string // identities that Queue has queued a deletion for
	locked      atomic.Bool
}

// ended is when a user was disconnected.
type ended struct {
	applicationID, userID string
	at                    time.Time
}

// has reports whether this is the store's flaw.
func (s *sketch) has(flaw string) bool { return s.flaw == flaw }

// gap lets everybody else in, in the middle of what should be one transaction.
func (s *sketch) gap(flaw string) {
	if s.has(flaw) {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
}

// enter begins a method.
func (s *sketch) enter(ctx context.Context, method string) error {
	err := ctx.Err()
	switch {
	case s.locked.Load():
		return errors.New("the database is locked")
	case err == nil || s.has(method+" ignores its context"):
		return nil
	case s.has("gives the cause of a context's end"):
		return context.Cause(ctx)
	case s.has("hides that its context has ended"):
		return errors.New("interrupted")
	case s.has("does not return once its context has ended"):
		time.Sleep(time.Hour)
	}
	return err
}

// text is a text as it is kept.
func (s *sketch) text(text string) string {
	switch {
	case s.has("keeps texts in lower case"):
		return strings.ToLower(text)
	case s.has("trims spaces"):
		return strings.TrimSpace(text)
	case s.has("cuts texts at 255 bytes") && len(text) > 255:
		return text[:255]
	case s.has("cuts texts at a NUL byte"):
		text, _, _ = strings.Cut(text, "\x00")
	case s.has("repairs what is no UTF-8"):
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return text
}

// same compares two texts of a field.
func (s *sketch) same(field, a, b string) bool {
	switch {
	case s.has("compares " + field + " without case"):
		return strings.EqualFold(a, b)
	case s.has("compares " + field + " without spaces at the end"):
		return strings.TrimRight(a, " ") == strings.TrimRight(b, " ")
	case s.has("compares " + field + " without accents"):
		accents := strings.NewReplacer("\u00e1", "a", "\u0301", "")
		return accents.Replace(a) == accents.Replace(b)
	case s.has("compares " + field + " with one weight for all emoji"):
		emoji := strings.NewReplacer("🍣", "", "🍺", "")
		return emoji.Replace(a) == emoji.Replace(b)
	case s.has("compares " + field + " in its first 254 bytes"):
		return a[:min(len(a), 254)] == b[:min(len(b), 254)]
	}
	return a == b
}

// sameUser compares two users.
func (s *sketch) sameUser(application, user, otherApplication, otherUser string) bool {
	switch {
	case s.has("tells users by their id alone"):
		return s.same("UserID", user, otherUser)
	case s.has("tells users by their application alone"):
		return s.same("ApplicationID", application, otherApplication)
	case s.has("runs the keys of a user together"):
		return application+":"+user == otherApplication+":"+otherUser
	case s.has("mixes up the keys of a user") && application == otherUser:
		return user == otherApplication
	}
	return s.same("ApplicationID", application, otherApplication) && s.same("UserID", user, otherUser)
}

// moment is a moment as it is kept.
func (s *sketch) moment(t time.Time) time.Time {
	switch {
	case s.has("keeps seconds"):
		return t.Truncate(time.Second)
	case s.has("keeps milliseconds"):
		return t.Truncate(time.Millisecond)
	case s.has("loses the carry when it rounds"):
		rounded := t.Round(micro)
		if rounded.Second() != t.Second() {
			return rounded.Add(-time.Second)
		}
		return rounded
	case s.has("keeps the wall clock without its zone"):
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	case s.has("keeps the wall clock of Berlin"):
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			panic(err)
		}
		t = t.In(berlin)
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), berlin)
	case s.has("counts nanoseconds in 64 bits"):
		return time.Unix(0, t.UnixNano())
	}
	return t
}

// before compares two moments.
func (s *sketch) before(a, b time.Time) bool {
	switch {
	case s.has("compares moments as texts"):
		return a.Format(time.RFC3339Nano) < b.Format(time.RFC3339Nano)
	case s.has("compares moments as texts in UTC"):
		return a.UTC().Format(time.RFC3339Nano) < b.UTC().Format(time.RFC3339Nano)
	}
	return a.Before(b)
}

func (s *sketch) flow(tokenHash string) *connect.Pending {
	for _, p := range s.flows {
		if s.same("TokenHash", p.TokenHash, s.text(tokenHash)) {
			return p
		}
	}
	return nil
}

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
		case s.has("returns connections as they were stored"):
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

// compare orders moments.
func (s *sketch) compare(a, b time.Time) int {
	switch {
	case s.before(a, b):
		return -1
	case s.before(b, a):
		return 1
	}
	return 0
}

// compareIDs orders ids of connections.
func (s *sketch) compareIDs(a, b string) int {
	switch {
	case s.has("orders ids without case"):
		return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
	case s.has("orders ids by their length"):
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

// withID finds a connection of a user.
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

func (s *sketch) task(kind connect.TaskKind, identityID string) *connect.Task {
	for _, t := range s.tasks {
		if t.Kind == kind && t.IdentityID == identityID {
			return t
		}
	}
	return nil
}

func (s *sketch) drop(kind connect.TaskKind, identityID string) {
	s.tasks = slices.DeleteFunc(s.tasks, func(t *connect.Task) bool {
		return t.Kind == kind && t.IdentityID == identityID
	})
}

func (s *sketch) queue(kind connect.TaskKind, c connect.Connection, notBefore time.Time) {
	queued := s.task(kind, c.IdentityID)
	switch {
	case queued != nil && s.has("queues a task once"):
		return
	case queued != nil && s.has("counts on when a task is queued again"):
		queued.NotBefore = notBefore
		return
	case s.has("queues a task twice"):
	case s.has("has one deletion for a user"):
		s.tasks = slices.DeleteFunc(s.tasks, func(t *connect.Task) bool {
			return t.Kind == kind && s.sameUser(t.ApplicationID, t.UserID, c.ApplicationID, c.UserID)
		})
	default:
		s.drop(kind, c.IdentityID)
	}
	s.tasks = append(s.tasks, &connect.Task{
		Kind: kind, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID,
		NotBefore: s.moment(notBefore),
	})
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

func (s *sketch) Connections(ctx context.Context, applicationID, userID string) ([]connect.Connection, error) {
	if err := s.enter(ctx, "Connections"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	var all []connect.Connection
	for _, c := range s.connectionsOf(applicationID, userID) {
		if c.Health != needsSignIn || !s.has("takes who needs to sign in for not connected") {
			all = append(all, *c)
		}
	}
	switch {
	case len(all) == 0 && s.has("has an empty connection for every user"):
		return []connect.Connection{{}}, nil
	case len(all) == 0 && s.has("fails to find nothing"):
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
	case err != nil && s.has("says that nobody is connected when a health is odd"):
		return connect.Connection{}, false, connect.ErrNotConnected
	case err != nil && !s.has("keeps any health"):
		return connect.Connection{}, false, err
	case c == nil && s.has("takes an event for any identity"):
		return connect.Connection{}, true, nil
	case c == nil:
		return connect.Connection{}, false, connect.ErrNotConnected
	}

	before, newer, older := *c, s.before(c.HealthAt, at), s.before(at, c.HealthAt)
	counts := newer || !older && c.Health == healthOK && health == needsSignIn
	switch {
	case s.has("lets every event count"):
		counts = true
	case s.has("lets the last of two events of one moment count"):
		counts = !older
	case s.has("lets the first of two events of one moment count"):
		counts = newer
	case s.has("lets the better of two events of one moment count"):
		counts = newer || !older && c.Health == needsSignIn && health == healthOK
	case s.has("compares events by the millisecond"):
		counts = c.HealthAt.Truncate(time.Millisecond).Before(at.Truncate(time.Millisecond))
	case s.has("cuts the moment that it keeps of an event, and not the event's"):
		kept := c.HealthAt.Truncate(micro)
		counts = kept.Before(at) || kept.Equal(at) && health == needsSignIn
	case s.has("rounds up the moment that it keeps of an event, and not the event's"):
		kept := c.HealthAt.Add(micro - 1).Truncate(micro)
		counts = kept.Before(at) || kept.Equal(at) && health == needsSignIn
	case s.has("keeps the moment of an event that says the same"):
		counts = counts && health != c.Health
	}
	s.gap("looks for the connection whose health it sets in a transaction of its own")
	s.gap("writes the whole connection back when it sets its health")
	if !counts {
		return before, s.has("says that every event is a change"), nil
	}

	after := before
	after.Health, after.HealthAt = health, at
	switch {
	case s.has("keeps the moment that a connection begins with"):
		after.HealthAt = before.HealthAt
	case s.has("takes an event for a sign-in"):
		after.ConnectedAt = at
	case s.has("spends the flows of who needs to sign in"):
		for _, p := range s.flows {
			p.Spent = p.Spent || s.sameUser(p.ApplicationID, p.UserID, c.ApplicationID, c.UserID)
		}
	case s.has("tags an identity whose health has changed"):
		s.queue(connect.TagIdentity, after, at)
	}
	for _, other := range s.connections {
		if s.has("sets the health of everybody") || s.has("sets the health of the user id everywhere") && other.UserID == c.UserID ||
			s.has("sets the health of all of the user's connections") && s.sameUser(other.ApplicationID, other.UserID, c.ApplicationID, c.UserID) {
			other.Health = health
		}
	}
	if s.has("writes the whole connection back when it sets its health") {
		s.store(s.withID(after.ApplicationID, after.UserID, after.ID), after)
	}
	*c = after
	switch {
	case s.has("returns the connection as it was before the event"):
		return before, before.Health != health, nil
	case s.has("says that no event is a change"):
		return after, false, nil
	}
	return after, before.Health != health || s.has("says that every event is a change"), nil
}

// connectionWith finds the connection that has an identity.
func (s *sketch) connectionWith(identityID string) *connect.Connection {
	if s.has("looks for the user of an event in the flows") {
		for _, p := range s.flows {
			if connections := s.connectionsOf(p.ApplicationID, p.UserID); p.IdentityID == identityID && len(connections) > 0 {
				return connections[0]
			}
		}
	}
	for _, c := range s.connections {
		if c.IdentityID == identityID && !(s.has("looks for the identity of an event in one application") && c.ApplicationID != app) {
			return c
		}
	}
	if t := s.task(connect.DeleteIdentity, identityID); t != nil && s.has("brings back a connection for an event") {
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
	case s.has("cuts labels at 100 characters") && len([]rune(label)) > 100:
		label = string([]rune(label)[:100])
	case s.has("has labels of 100 bytes") && len(label) > 100:
		return connect.Connection{}, errors.New("too long")
	}
	switch err := (connect.Pending{TokenHash: "x", ApplicationID: "x", UserID: "x", Label: label}).Validate(); {
	case err != nil && s.has("says that a connection is unknown when its label is odd"):
		return connect.Connection{}, connect.ErrConnectionUnknown
	case err != nil:
		return connect.Connection{}, err
	case c == nil && s.has("says nothing of a connection that is unknown"):
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
	case s.has("takes a label for a sign-in"):
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
	if !all && !s.has("ends all connections whichever is named") {
		c := s.withID(d.ApplicationID, d.UserID, d.ConnectionID)
		switch {
		case c != nil:
			ending = []*connect.Connection{c}
		case s.has("says nothing of a connection that is unknown"):
			return nil, nil
		case s.has("spends flows before it looks for the connection"):
			s.spendFlows(d, false)
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
	case err != nil, s.has("forgets when a user was disconnected"):
	case !all && !s.has("remembers when one connection was ended"):
	case len(ending) == 0 && s.has("remembers no disconnect of who has no connection"):
	case s.has("remembers a disconnect when all else is done"):
		defer func() {
			s.gap("remembers a disconnect when all else is done")
			s.remember(d.ApplicationID, d.UserID, d.At)
		}()
	default:
		s.remember(d.ApplicationID, d.UserID, d.At)
	}
	s.gap("looks for the connection to end in a transaction of its own")
	ended := make([]connect.Connection, 0, len(ending))
	for _, c := range ending {
		ended = append(ended, *c)
	}
	s.gap("reads the connection that it ends in a transaction of its own")
	s.spendFlows(d, len(ending) == 0)
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
		if !s.has("forgets to queue the deletion") {
			s.queue(connect.DeleteIdentity, *c, d.DeleteAfter)
		}
		if !s.has("leaves the tag of who disconnects") {
			s.drop(connect.TagIdentity, c.IdentityID)
		}
		if s.has("forgets the health of who disconnects") {
			ended[i].Health = healthOK
		}
	}
	switch {
	case s.has("drops all of the user's tags when a connection ends"):
		for _, c := range s.connectionsOf(d.ApplicationID, d.UserID) {
			s.drop(connect.TagIdentity, c.IdentityID)
		}
	case all && len(ending) == 0 && s.has("refuses to disconnect who has no connection"):
		return nil, connect.ErrNotConnected
	}
	return ended, nil
}

// spendFlows spends the flows that a Disconnect ends.
func (s *sketch) spendFlows(d connect.Disconnection, alone bool) {
	for _, p := range s.flows {
		all := d.ConnectionID == ""
		ends := all || s.same("ConnectionID", p.ConnectionID, d.ConnectionID) || p.ConnectionID == "" && !p.Adds
		switch {
		case s.has("spends everybody's flows"):
			p.Spent, p.IdentityID = true, ""
			continue
		case s.has("takes the actor for the user") && p.ActorID == d.UserID:
			p.Spent, p.IdentityID = true, ""
			continue
		case !s.sameUser(p.ApplicationID, p.UserID, d.ApplicationID, d.UserID):
			continue
		case s.has("leaves live flows") && !p.Spent:
		case s.has("leaves flows of who is not connected") && alone:
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
	everybody := s.has("lists the applications of everybody")
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

// list adds an application to a list.
func (s *sketch) list(ids []string, id string) []string {
	listed := slices.ContainsFunc(ids, func(other string) bool { return s.same("ApplicationID", other, id) })
	if listed && !s.has("lists an application twice") {
		return ids
	}
	return append(ids, id)
}

// lister is a sketch that is a connect.Lister, too.
type lister struct{ sketch }

func (s *lister) List(ctx context.Context, q connect.ListQuery) ([]connect.Connection, error) {
	if err := s.enter(ctx, "List"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case q.Health != "" && q.Health.Validate() != nil && s.has("lists any health"):
		return nil, nil
	case q.Health != "" && q.Health.Validate() != nil:
		return nil, q.Health.Validate()
	case q.Limit < 1 && s.has("takes no limit for any limit"):
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
	if len(page) == 0 && s.has("fails to list nothing") {
		return nil, errors.New("no rows")
	}
	return page, nil
}

// page is one page of connections.
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
		if s.has("lists connections as they were stored") {
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

func (s *sketch) Queue(ctx context.Context, t connect.Task) error {
	if err := s.enter(ctx, "Queue"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	t.ApplicationID, t.UserID, t.IdentityID = s.text(t.ApplicationID), s.text(t.UserID), s.text(t.IdentityID)
	if err := t.Validate(); err != nil && !s.has("queues any task") {
		return err
	}
	owned, owns := false, false
	for _, c := range s.connections {
		switch {
		case c.IdentityID != t.IdentityID:
		case s.has("looks for an identity to delete in its application") && t.Kind == connect.DeleteIdentity && c.ApplicationID != t.ApplicationID:
		case s.has("looks for an identity to delete with its user") && t.Kind == connect.DeleteIdentity && c.UserID != t.UserID:
		default:
			owned = true
			owns = s.sameUser(c.ApplicationID, c.UserID, t.ApplicationID, t.UserID) ||
				s.has("queues a tag for an identity of anybody") || s.has("queues a tag for the user id everywhere") && c.UserID == t.UserID
		}
	}
	switch {
	case t.Kind == connect.TagIdentity && s.has("queues a tag for nobody"):
	case t.Kind == connect.TagIdentity && s.has("queues a tag for a replaced identity") && s.task(connect.DeleteIdentity, t.IdentityID) != nil:
	case t.Kind == connect.TagIdentity && !owns:
		return connect.ErrNotConnected
	case t.Kind == connect.DeleteIdentity && owned && !s.has("queues a deletion of any identity"):
		return connect.ErrIdentityTaken
	case s.has("queues nothing"):
		return nil
	case t.Kind == connect.DeleteIdentity && s.has("queues a deletion once") && s.task(t.Kind, t.IdentityID) != nil:
		return nil
	}
	s.gap("looks for the owner of a task's identity in a transaction of its own")
	if t.Kind == connect.DeleteIdentity {
		s.byQueue = append(s.byQueue, t.IdentityID)
	}
	queued := connect.Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: t.IdentityID}
	switch old := s.task(t.Kind, t.IdentityID); {
	case old != nil && s.has("keeps whose a task was"):
		queued.ApplicationID, queued.UserID = old.ApplicationID, old.UserID
	case s.has("queues at once"):
		t.NotBefore = noon
	}
	s.queue(t.Kind, queued, t.NotBefore)
	if s.has("queues with the attempts that it is given") {
		s.task(t.Kind, t.IdentityID).Attempts = t.Attempts
	}
	return nil
}

func (s *sketch) Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]connect.Task, error) {
	if err := s.enter(ctx, "Claim"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	var due []*connect.Task
	for _, t := range s.tasks {
		switch {
		case s.before(s.moment(now), t.NotBefore), s.has("gives out a task once") && t.Attempts > 0:
		case s.has("claims tasks of any application"),
			s.has("leases the tasks of every application"),
			s.has("counts the tasks of other applications against the limit"),
			s.has("gives out deletions to any application") && t.Kind == connect.DeleteIdentity,
			s.same("ApplicationID", t.ApplicationID, s.text(applicationID)):
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *connect.Task) int {
		order := s.compare(a.NotBefore, b.NotBefore)
		if s.has("claims the newest first") {
			order = -order
		}
		return order
	})
	switch {
	case limit < 1 && s.has("takes no limit for any limit"), s.has("claims without a limit"):
		limit = len(due)
	case len(due) == 0 && s.has("fails to claim when nothing is due"):
		return nil, errors.New("no rows")
	}
	if s.has("rounds up the lease that it keeps, and not what it is compared with") {
		until = until.Add(micro - 1).Truncate(micro)
	}
	due = due[:min(len(due), max(limit, 0))]
	if s.has("counts the tasks of other applications against the limit") {
		due = slices.DeleteFunc(due, func(t *connect.Task) bool { return t.ApplicationID != applicationID })
	}
	s.gap("looks for tasks in a transaction of its own")

	claimed := make([]connect.Task, 0, len(due))
	for _, t := range due {
		if !s.has("claims without a lease") && !(s.has("leases no deletions") && t.Kind == connect.DeleteIdentity) {
			t.NotBefore = s.moment(until)
		}
		if !s.has("counts no attempts") {
			t.Attempts++
		}
		given := *t
		given.NotBefore = s.moment(until)
		if t.ApplicationID != applicationID && s.has("leases the tasks of every application") {
			continue
		}
		claimed = append(claimed, given)
	}
	return claimed, nil
}

func (s *sketch) Done(ctx context.Context, t connect.Task) error {
	if err := s.enter(ctx, "Done"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	queued := s.task(t.Kind, t.IdentityID)
	switch {
	case s.has("does not remove what is done"):
		return nil
	case queued == nil && s.has("fails to remove a task twice"):
		return errors.New("no rows")
	case queued != nil && s.has("removes claimed tasks alone") && queued.Attempts == 0:
		return nil
	case queued != nil && s.has("finds a task by all of its fields") && queued.UserID != t.UserID:
		return nil
	case s.has("finds a task by its identity alone"):
		s.drop(connect.TagIdentity, t.IdentityID)
	}
	if t.Kind == connect.DeleteIdentity {
		s.deleted = append(s.deleted, t.IdentityID)
	}
	s.drop(t.Kind, t.IdentityID)
	return nil
}

func (s *sketch) Postpone(ctx context.Context, t connect.Task, notBefore time.Time) error {
	if err := s.enter(ctx, "Postpone"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	queued := s.task(t.Kind, t.IdentityID)
	switch {
	case queued == nil && s.has("makes a task to postpone"):
		s.tasks = append(s.tasks, &t)
		queued = &t
	case queued == nil:
		return nil
	case s.has("counts attempts anew after postponing"):
		queued.Attempts = 0
	case s.has("postpones to later alone") && s.before(notBefore, queued.NotBefore):
		return nil
	}
	queued.NotBefore = s.moment(notBefore)
	return nil
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
