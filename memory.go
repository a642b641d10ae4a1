package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// MemoryStore is a [Store] that keeps everything in memory, for tests and for
// demos of a single process: what it holds ends with the process, and replicas
// would each have their own. Its zero value is an empty store. It may be used by
// any number of goroutines, and must not be copied after its first use.
type MemoryStore struct {
	mu          sync.RWMutex
	starts      map[string]*Pending    // by token hash
	startsOf    map[userKey][]*Pending // short: limit bounds them
	connections map[userKey]*Connection
	owned       map[string]*Connection // the same, by identity
	tasks       map[taskKey]*Task
}

var _ Store = (*MemoryStore)(nil)

// userKey is what a user is known by.
type userKey struct{ applicationID, userID string }

// taskKey is what a task is known by.
type taskKey struct {
	kind       TaskKind
	identityID string
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return new(MemoryStore) }

// makeMaps makes the zero value writable. Bind alone needs it: before a start
// is bound there is nothing that any other method could write.
func (m *MemoryStore) makeMaps() {
	if m.starts != nil {
		return
	}
	m.starts = make(map[string]*Pending)
	m.startsOf = make(map[userKey][]*Pending)
	m.connections = make(map[userKey]*Connection)
	m.owned = make(map[string]*Connection)
	m.tasks = make(map[taskKey]*Task)
}

// Bind implements [Store].
func (m *MemoryStore) Bind(ctx context.Context, p Pending, limit int) error {
	if err := cmp.Or(ctx.Err(), p.Validate()); err != nil {
		return fmt.Errorf("bind a start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeMaps()

	if _, ok := m.starts[p.TokenHash]; ok {
		return errors.New("bind a start: its token hash is bound already")
	}
	p.Spent, p.IdentityID = false, ""
	p.IssuedAt, p.ExpiresAt = p.IssuedAt.UTC(), p.ExpiresAt.UTC()
	user := userKey{p.ApplicationID, p.UserID}
	starts := m.startsOf[user]
	if len(starts) >= limit {
		m.makeRoom(starts, limit)
		starts = m.startsOf[user]
	}
	m.starts[p.TokenHash] = &p
	m.startsOf[user] = append(starts, &p)
	return nil
}

// makeRoom spends and removes the oldest of a user's starts for the sake of one
// more. The caller holds the lock.
func (m *MemoryStore) makeRoom(starts []*Pending, limit int) {
	var live, spent []*Pending
	for _, p := range starts {
		if p.Spent {
			spent = append(spent, p)
		} else {
			live = append(live, p)
		}
	}
	for _, p := range olderThanNewest(spent, limit) {
		m.remove(p)
	}
	for _, p := range olderThanNewest(live, limit-1) {
		p.Spent = true
	}
}

// olderThanNewest returns all starts but the n that expire last.
func olderThanNewest(starts []*Pending, n int) []*Pending {
	if len(starts) <= n {
		return nil
	}
	slices.SortStableFunc(starts, func(a, b *Pending) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return starts[:len(starts)-max(n, 0)]
}

// remove forgets a start. The caller holds the lock.
func (m *MemoryStore) remove(p *Pending) {
	user := userKey{p.ApplicationID, p.UserID}
	delete(m.starts, p.TokenHash)
	left := slices.DeleteFunc(m.startsOf[user], func(other *Pending) bool { return other == p })
	if len(left) == 0 {
		delete(m.startsOf, user)
		return
	}
	m.startsOf[user] = left
}

// Pending implements [Store].
func (m *MemoryStore) Pending(ctx context.Context, tokenHash string) (Pending, error) {
	if err := ctx.Err(); err != nil {
		return Pending{}, fmt.Errorf("look up a start: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	p, ok := m.starts[tokenHash]
	if !ok {
		return Pending{}, ErrStateUnknown
	}
	return *p, nil
}

// Spend implements [Store].
func (m *MemoryStore) Spend(ctx context.Context, tokenHash string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("spend a start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	if p, ok := m.starts[tokenHash]; ok {
		p.Spent = true
	}
	return nil
}

// Complete implements [Store].
func (m *MemoryStore) Complete(ctx context.Context, tokenHash string, c Connection, tagAfter time.Time) (first bool, err error) {
	if err := cmp.Or(ctx.Err(), c.Validate()); err != nil {
		return false, fmt.Errorf("complete a start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	user := userKey{c.ApplicationID, c.UserID}
	p, known := m.starts[tokenHash]
	_, retired := m.tasks[taskKey{DeleteIdentity, c.IdentityID}]
	holder, owned := m.owned[c.IdentityID]
	switch {
	case !known:
		return false, ErrStateUnknown
	case user != userKey{p.ApplicationID, p.UserID}:
		return false, ErrAnotherUser
	case p.IdentityID == c.IdentityID:
		return false, nil
	case p.Spent:
		return false, ErrStateSpent
	case !c.ConnectedAt.Before(p.ExpiresAt):
		return false, ErrStateExpired
	case retired:
		return false, ErrIdentityRetired
	case owned && user != userKey{holder.ApplicationID, holder.UserID}:
		return false, ErrIdentityTaken
	}

	c.ConnectedAt, c.HealthAt = c.ConnectedAt.UTC(), c.HealthAt.UTC()
	if old, ok := m.connections[user]; ok && old.IdentityID != c.IdentityID {
		m.retire(*old, c.ConnectedAt)
	}
	p.Spent, p.IdentityID = true, c.IdentityID
	kept := c // c itself would be on the heap in every call that is refused.
	m.connections[user], m.owned[c.IdentityID] = &kept, &kept
	m.queue(TagIdentity, c, tagAfter)
	return true, nil
}

// Connection implements [Store].
func (m *MemoryStore) Connection(ctx context.Context, applicationID, userID string) (Connection, error) {
	if err := ctx.Err(); err != nil {
		return Connection{}, fmt.Errorf("look up a connection: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	c, ok := m.connections[userKey{applicationID, userID}]
	if !ok {
		return Connection{}, ErrNotConnected
	}
	return *c, nil
}

// SetHealth implements [Store].
func (m *MemoryStore) SetHealth(ctx context.Context, identityID string, health Health, at time.Time) (c Connection, changed bool, err error) {
	if err := cmp.Or(ctx.Err(), validateKey("IdentityID", identityID), health.Validate()); err != nil {
		return Connection{}, false, fmt.Errorf("set the health of a connection: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	kept, ok := m.owned[identityID]
	if !ok {
		return Connection{}, false, ErrNotConnected
	}
	if at.After(kept.HealthAt) || at.Equal(kept.HealthAt) && health == HealthNeedsSignIn {
		changed = kept.Health != health
		kept.Health, kept.HealthAt = health, at.UTC()
	}
	return *kept, changed, nil
}

// Disconnect implements [Store].
func (m *MemoryStore) Disconnect(ctx context.Context, applicationID, userID string, deleteAfter time.Time) (Connection, error) {
	if err := ctx.Err(); err != nil {
		return Connection{}, fmt.Errorf("disconnect a user: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	user := userKey{applicationID, userID}
	for _, p := range m.startsOf[user] {
		// Without its identity a completed start is no reload any more.
		p.Spent, p.IdentityID = true, ""
	}
	c, ok := m.connections[user]
	if !ok {
		return Connection{}, ErrNotConnected
	}
	delete(m.connections, user)
	m.retire(*c, deleteAfter)
	return *c, nil
}

// Claim implements [Store]. It looks at every task.
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

// Sweep implements [Store]. It looks at starts until it has found enough.
func (m *MemoryStore) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("sweep starts: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	swept := 0
	for _, p := range m.starts {
		if swept >= limit {
			break
		}
		if !p.ExpiresAt.Before(before) {
			continue
		}
		m.remove(p)
		swept++
	}
	return swept, nil
}

// retire gives up the identity of a connection that has ended, and queues its
// deletion. The caller holds the lock.
func (m *MemoryStore) retire(c Connection, deleteAfter time.Time) {
	delete(m.owned, c.IdentityID)
	delete(m.tasks, taskKey{TagIdentity, c.IdentityID})
	m.queue(DeleteIdentity, c, deleteAfter)
}

// queue queues a task, in the place of one of the same kind for the same
// identity. The caller holds the lock.
func (m *MemoryStore) queue(kind TaskKind, c Connection, notBefore time.Time) {
	m.tasks[taskKey{kind, c.IdentityID}] = &Task{
		Kind:          kind,
		ApplicationID: c.ApplicationID,
		UserID:        c.UserID,
		IdentityID:    c.IdentityID,
		// UTC also drops the monotonic reading, which would not agree with a
		// wall clock that was set.
		NotBefore: notBefore.UTC(),
	}
}
