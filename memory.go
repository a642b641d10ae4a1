package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// MemoryStore is a [Store] and [Lister] in memory, for tests and demos. Its content is
// lost when the process ends, and replicas cannot share it. The zero value is an empty
// store. It is safe for concurrent use, and must not be copied after its first use.
type MemoryStore struct {
	mu     sync.RWMutex
	users  map[string]map[string]*memoryUser // by application id and user id
	flows  map[string]*memoryFlow            // of all users, by token hash
	owners map[string]*memoryConnection      // of all users, by identity
	tasks  map[taskKey]*Task
}

var (
	_ Store  = (*MemoryStore)(nil)
	_ Lister = (*MemoryStore)(nil)
)

// memoryUser is what a user has in an application.
type memoryUser struct {
	flows       []*memoryFlow       // few: Bind limits those of each actor
	connections []*memoryConnection // in the order of Connections
	endedAt     time.Time           // of the latest Disconnect of all; zero if none, or after Sweep
}

// memoryFlow is a pending flow and its user.
type memoryFlow struct {
	Pending
	user *memoryUser
}

// memoryConnection is a connection and its user.
type memoryConnection struct {
	Connection
	user *memoryUser
}

// taskKey identifies a task.
type taskKey struct {
	kind       TaskKind
	identityID string
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return new(MemoryStore) }

// makeMaps makes the maps of the zero value. The caller holds the lock.
func (m *MemoryStore) makeMaps() {
	if m.flows != nil {
		return
	}
	m.users = make(map[string]map[string]*memoryUser)
	m.flows = make(map[string]*memoryFlow)
	m.owners = make(map[string]*memoryConnection)
	m.tasks = make(map[taskKey]*Task)
}

// Bind implements [Store].
func (m *MemoryStore) Bind(ctx context.Context, p Pending, limit int) error {
	if err := cmp.Or(ctx.Err(), p.Validate()); err != nil {
		return fmt.Errorf("bind a flow: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeMaps()

	if _, ok := m.flows[p.TokenHash]; ok {
		return errors.New("bind a flow: its token hash is bound already")
	}
	p.Spent, p.IdentityID = false, ""
	p.BegunAt, p.IssuedAt, p.ExpiresAt = p.BegunAt.UTC(), p.IssuedAt.UTC(), p.ExpiresAt.UTC()
	user := m.user(p.ApplicationID, p.UserID)
	m.makeRoom(user, p.ActorID, limit)
	flow := &memoryFlow{Pending: p, user: user}
	m.flows[p.TokenHash] = flow
	user.flows = append(user.flows, flow)
	return nil
}

// user returns a user, adding it if needed. The caller holds the lock.
func (m *MemoryStore) user(applicationID, userID string) *memoryUser {
	users := m.users[applicationID]
	if users == nil {
		users = make(map[string]*memoryUser)
		m.users[applicationID] = users
	}
	user := users[userID]
	if user == nil {
		user = new(memoryUser)
		users[userID] = user
	}
	return user
}

// makeRoom spends and removes the oldest flows of a user and actor, so that one more
// keeps to the limit. The caller holds the lock.
func (m *MemoryStore) makeRoom(user *memoryUser, actorID string, limit int) {
	var live, spent []*memoryFlow
	for _, f := range user.flows {
		switch {
		case f.ActorID != actorID:
		case f.Spent:
			spent = append(spent, f)
		default:
			live = append(live, f)
		}
	}
	for _, f := range olderThanNewest(spent, limit) {
		m.remove(f)
	}
	for _, f := range olderThanNewest(live, limit-1) {
		f.Spent = true
	}
}

// olderThanNewest returns all flows but the n that expire last. It sorts flows.
func olderThanNewest(flows []*memoryFlow, n int) []*memoryFlow {
	if len(flows) <= n {
		return nil
	}
	slices.SortStableFunc(flows, func(a, b *memoryFlow) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return flows[:len(flows)-max(n, 0)]
}

// remove removes a flow. The caller holds the lock.
func (m *MemoryStore) remove(f *memoryFlow) {
	delete(m.flows, f.TokenHash)
	f.user.flows = slices.DeleteFunc(f.user.flows, func(other *memoryFlow) bool { return other == f })
}

// tidy removes a user who has nothing left. The caller holds the lock.
func (m *MemoryStore) tidy(applicationID, userID string) {
	users := m.users[applicationID]
	if user := users[userID]; len(user.flows) == 0 && len(user.connections) == 0 && user.endedAt.IsZero() {
		delete(users, userID)
	}
}

// Pending implements [Store].
func (m *MemoryStore) Pending(ctx context.Context, tokenHash string) (Pending, error) {
	if err := ctx.Err(); err != nil {
		return Pending{}, fmt.Errorf("look up a flow: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	flow, ok := m.flows[tokenHash]
	if !ok {
		return Pending{}, ErrStateUnknown
	}
	return flow.Pending, nil
}

// Spend implements [Store].
func (m *MemoryStore) Spend(ctx context.Context, tokenHash string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("spend a flow: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	if flow, ok := m.flows[tokenHash]; ok {
		flow.Spent = true
	}
	return nil
}

// Complete implements [Store].
func (m *MemoryStore) Complete(ctx context.Context, tokenHash string, c Connection, how Completion) (Completed, error) {
	if err := cmp.Or(ctx.Err(), c.Validate()); err != nil {
		return Completed{}, fmt.Errorf("complete a flow: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	flow, reload, err := m.completable(tokenHash, c, how)
	if err != nil || reload {
		return Completed{}, err
	}
	connections := flow.user.values()
	at, err := flow.place(connections, c.IdentityID, how.MaxConnections)
	if err == nil && !how.agrees(connections, at) {
		err = ErrConnectionChanged
	}
	if err != nil {
		return Completed{}, err
	}

	done := Completed{First: true}
	c.ConnectedAt, c.HealthAt = c.ConnectedAt.UTC(), c.HealthAt.UTC()
	if at < 0 {
		done.Connection = m.add(flow.user, c)
	} else {
		done.Connection, done.Replaced = m.renew(flow.user.connections[at], c)
	}
	flow.Spent, flow.IdentityID = true, c.IdentityID
	m.queue(TagIdentity, done.Connection, how.TagAfter)
	return done, nil
}

// completable returns the flow that c completes, or reports that it was completed with c
// before. Its errors are those of [Store].Complete that do not depend on which connection
// the flow is for, in their order. The caller holds the lock.
func (m *MemoryStore) completable(tokenHash string, c Connection, how Completion) (flow *memoryFlow, reload bool, err error) {
	user := m.users[c.ApplicationID][c.UserID]
	flow, known := m.flows[tokenHash]
	_, retired := m.tasks[taskKey{DeleteIdentity, c.IdentityID}]
	owner, owned := m.owners[c.IdentityID]
	switch {
	case !known:
		return nil, false, ErrStateUnknown
	case flow.user != user || flow.ActorID != c.ActorID:
		return nil, false, ErrAnotherUser
	case flow.IdentityID == c.IdentityID:
		return flow, true, nil
	case flow.Spent, !flow.BegunAt.IsZero() && flow.BegunAt.Before(user.endedAt):
		return nil, false, ErrStateSpent
	case !c.ConnectedAt.Before(flow.ExpiresAt):
		return nil, false, ErrStateExpired
	case retired:
		return nil, false, ErrIdentityRetired
	case owned && owner.user != user:
		return nil, false, ErrIdentityTaken
	case how.SameIdentity && !owned:
		return nil, false, ErrIdentityTooOld
	}
	return flow, false, nil
}

// add stores c as one more connection of a user, and returns it. The caller holds the
// lock.
func (m *MemoryStore) add(user *memoryUser, c Connection) Connection {
	c.CreatedAt = c.ConnectedAt
	added := &memoryConnection{Connection: c, user: user}
	user.connections = append(user.connections, added)
	slices.SortFunc(user.connections, olderFirst)
	m.owners[c.IdentityID] = added
	return c
}

// renew stores c in the place of old, and returns it and the identity that it replaces,
// if any. The caller holds the lock.
func (m *MemoryStore) renew(old *memoryConnection, c Connection) (renewed Connection, replaced string) {
	c.ID, c.CreatedAt, c.Label = old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	if old.IdentityID != c.IdentityID {
		replaced = old.IdentityID
		m.retire(old.Connection, c.ConnectedAt)
	}
	old.Connection = c
	m.owners[c.IdentityID] = old
	return c, replaced
}

// olderFirst orders connections as [Store].Connections does.
func olderFirst(a, b *memoryConnection) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}

// values returns copies of the user's connections.
func (u *memoryUser) values() []Connection {
	if u == nil || len(u.connections) == 0 {
		return nil
	}
	all := make([]Connection, len(u.connections))
	for i, c := range u.connections {
		all[i] = c.Connection
	}
	return all
}

// withID returns the connection with an ID, or nil.
func (u *memoryUser) withID(id string) *memoryConnection {
	if u == nil {
		return nil
	}
	i := slices.IndexFunc(u.connections, func(c *memoryConnection) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return u.connections[i]
}

// Connections implements [Store].
func (m *MemoryStore) Connections(ctx context.Context, applicationID, userID string) ([]Connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look up connections: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	return m.users[applicationID][userID].values(), nil
}

// SetHealth implements [Store].
func (m *MemoryStore) SetHealth(ctx context.Context, identityID string, health Health, at time.Time) (c Connection, changed bool, err error) {
	if err := cmp.Or(ctx.Err(), validateKey("IdentityID", identityID), health.Validate()); err != nil {
		return Connection{}, false, fmt.Errorf("set the health of a connection: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	kept, ok := m.owners[identityID]
	if !ok {
		return Connection{}, false, ErrNotConnected
	}
	if at.After(kept.HealthAt) || at.Equal(kept.HealthAt) && health == HealthNeedsSignIn {
		changed = kept.Health != health
		kept.Health, kept.HealthAt = health, at.UTC()
	}
	return kept.Connection, changed, nil
}

// SetLabel implements [Store].
func (m *MemoryStore) SetLabel(ctx context.Context, applicationID, userID, connectionID, label string) (Connection, error) {
	if err := cmp.Or(ctx.Err(), validateLabel(label)); err != nil {
		return Connection{}, fmt.Errorf("set the label of a connection: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	c := m.users[applicationID][userID].withID(connectionID)
	if c == nil {
		return Connection{}, ErrConnectionUnknown
	}
	c.Label = label
	return c.Connection, nil
}

// Disconnect implements [Store].
func (m *MemoryStore) Disconnect(ctx context.Context, d Disconnection) ([]Connection, error) {
	if err := cmp.Or(ctx.Err(), validateKey("ApplicationID", d.ApplicationID), validateKey("UserID", d.UserID)); err != nil {
		return nil, fmt.Errorf("disconnect a user: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeMaps()

	all := d.ConnectionID == ""
	ending := m.users[d.ApplicationID][d.UserID].withID(d.ConnectionID)
	if !all && ending == nil {
		return nil, ErrConnectionUnknown
	}
	user := m.user(d.ApplicationID, d.UserID)
	if all && d.At.After(user.endedAt) {
		user.endedAt = d.At.UTC()
	}
	for _, f := range user.flows {
		if all || f.ConnectionID == d.ConnectionID || f.ConnectionID == "" && !f.Adds || f.IdentityID == ending.IdentityID {
			// Without its identity a completed flow cannot be reloaded.
			f.Spent, f.IdentityID = true, ""
		}
	}
	var ended []Connection
	user.connections = slices.DeleteFunc(user.connections, func(c *memoryConnection) bool {
		if !all && c.ID != d.ConnectionID {
			return false
		}
		ended = append(ended, c.Connection)
		m.retire(c.Connection, d.DeleteAfter)
		return true
	})
	return ended, nil
}

// ApplicationsOf implements [Store].
func (m *MemoryStore) ApplicationsOf(ctx context.Context, userID string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list a user's applications: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	var ids []string
	for id, users := range m.users {
		user := users[userID]
		if user != nil && (len(user.connections) > 0 || slices.ContainsFunc(user.flows, func(f *memoryFlow) bool { return !f.Spent })) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Applications implements [Store]. It reads every connection and task.
func (m *MemoryStore) Applications(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list the applications: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	ids := make(map[string]bool)
	for _, c := range m.owners {
		ids[c.ApplicationID] = true
	}
	for _, t := range m.tasks {
		ids[t.ApplicationID] = true
	}
	return slices.Collect(maps.Keys(ids)), nil
}

// List implements [Lister]. It reads every connection.
func (m *MemoryStore) List(ctx context.Context, q ListQuery) ([]Connection, error) {
	err := ctx.Err()
	if q.Health != "" {
		err = cmp.Or(err, q.Health.Validate())
	}
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	var page []Connection // sorted, and never more than q.Limit
	for _, c := range m.owners {
		if c.ApplicationID != q.ApplicationID || c.ID <= q.After || q.Health != "" && c.Health != q.Health {
			continue
		}
		i, _ := slices.BinarySearchFunc(page, c.ID, func(c Connection, id string) int { return strings.Compare(c.ID, id) })
		if i < q.Limit {
			page = slices.Insert(page, i, c.Connection)
			page = page[:min(len(page), q.Limit)]
		}
	}
	return page, nil
}

// WithIdentities implements [Lister].
func (m *MemoryStore) WithIdentities(ctx context.Context, identityIDs []string) ([]Connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look up connections by identity: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	var found []Connection
	for _, id := range identityIDs {
		if c, ok := m.owners[id]; ok {
			found = append(found, c.Connection)
		}
	}
	return found, nil
}

// Queue implements [Store].
func (m *MemoryStore) Queue(ctx context.Context, t Task) error {
	if err := cmp.Or(ctx.Err(), t.Validate()); err != nil {
		return fmt.Errorf("queue a task: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeMaps()

	owner, owned := m.owners[t.IdentityID]
	switch {
	case t.Kind == DeleteIdentity && owned:
		return ErrIdentityTaken
	case t.Kind == TagIdentity && (!owned || owner.ApplicationID != t.ApplicationID || owner.UserID != t.UserID):
		return ErrNotConnected
	}
	m.queue(t.Kind, Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: t.IdentityID}, t.NotBefore)
	return nil
}

// Claim implements [Store]. It reads every task.
func (m *MemoryStore) Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]Task, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("claim tasks: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	var due []*Task // sorted, and never more than limit
	for _, t := range m.tasks {
		if t.ApplicationID != applicationID || t.NotBefore.After(now) {
			continue
		}
		if i, _ := slices.BinarySearchFunc(due, t, longestDue); i < limit {
			due = slices.Insert(due, i, t)
			due = due[:min(len(due), limit)]
		}
	}

	claimed := make([]Task, len(due))
	for i, t := range due {
		t.NotBefore = until.UTC()
		t.Attempts++
		claimed[i] = *t
	}
	return claimed, nil
}

// longestDue orders tasks, the longest due first.
func longestDue(a, b *Task) int {
	return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.IdentityID, b.IdentityID))
}

// Done implements [Store].
func (m *MemoryStore) Done(ctx context.Context, t Task) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("remove a task: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.tasks, taskKey{t.Kind, t.IdentityID})
	return nil
}

// Postpone implements [Store].
func (m *MemoryStore) Postpone(ctx context.Context, t Task, notBefore time.Time) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("postpone a task: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	if queued, ok := m.tasks[taskKey{t.Kind, t.IdentityID}]; ok {
		queued.NotBefore = notBefore.UTC()
	}
	return nil
}

// Sweep implements [Store]. It reads flows until it has removed limit of them, and then
// users.
func (m *MemoryStore) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("sweep flows: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	swept := 0
	for _, f := range m.flows {
		if swept >= limit {
			break
		}
		if !f.ExpiresAt.Before(before) {
			continue
		}
		m.remove(f)
		m.tidy(f.ApplicationID, f.UserID)
		swept++
	}
	m.removeTimes(before, limit)
	return swept, nil
}

// removeTimes removes the times of Disconnect. The caller holds the lock.
func (m *MemoryStore) removeTimes(before time.Time, limit int) {
	for id, users := range m.users {
		for userID, user := range users {
			if limit < 1 {
				return
			}
			if !user.endedAt.IsZero() && user.endedAt.Before(before) {
				user.endedAt = time.Time{}
				m.tidy(id, userID)
				limit--
			}
		}
	}
}

// retire removes the identity of a connection, and queues its deletion. The caller holds
// the lock.
func (m *MemoryStore) retire(c Connection, deleteAfter time.Time) {
	delete(m.owners, c.IdentityID)
	delete(m.tasks, taskKey{TagIdentity, c.IdentityID})
	m.queue(DeleteIdentity, c, deleteAfter)
}

// queue queues a task, which replaces one of the same kind for the same identity. The
// caller holds the lock.
func (m *MemoryStore) queue(kind TaskKind, c Connection, notBefore time.Time) {
	m.tasks[taskKey{kind, c.IdentityID}] = &Task{
		Kind:          kind,
		ApplicationID: c.ApplicationID,
		UserID:        c.UserID,
		IdentityID:    c.IdentityID,
		// UTC also strips the monotonic clock reading, which ignores a wall clock
		// that was set.
		NotBefore: notBefore.UTC(),
	}
}
