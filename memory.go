package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// MemoryStore is a [Store] that keeps everything in memory, for tests and for
// demos of a single process: what it holds ends with the process, and replicas
// would each have their own. Its zero value is an empty store. It may be used by
// any number of goroutines, and must not be copied after its first use.
type MemoryStore struct {
	mu     sync.RWMutex
	users  map[string]map[string]*memoryUser // by application and user
	starts map[string]*memoryStart           // those of all users, by token hash
	owners map[string]*memoryUser            // those who are connected, by identity
	tasks  map[taskKey]*Task
}

var _ Store = (*MemoryStore)(nil)

// memoryUser is what a user has in an application.
type memoryUser struct {
	starts     *memoryStart // the first of a short list: limit bounds it
	connection *Connection  // nil for none
	endedAt    time.Time    // the latest Disconnect, until it is swept; zero for none
}

// memoryStart is a start, whose it is, and what that user began next.
type memoryStart struct {
	Pending
	user *memoryUser
	next *memoryStart
}

// taskKey is what a task is known by.
type taskKey struct {
	kind       TaskKind
	identityID string
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return new(MemoryStore) }

// makeMaps makes the zero value writable. Bind and Disconnect need it: before
// them there is nothing that any other method could write.
func (m *MemoryStore) makeMaps() {
	if m.starts != nil {
		return
	}
	m.users = make(map[string]map[string]*memoryUser)
	m.starts = make(map[string]*memoryStart)
	m.owners = make(map[string]*memoryUser)
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
	p.BegunAt, p.IssuedAt, p.ExpiresAt = p.BegunAt.UTC(), p.IssuedAt.UTC(), p.ExpiresAt.UTC()
	user := m.user(p.ApplicationID, p.UserID)
	m.makeRoom(user, limit)
	start := &memoryStart{Pending: p, user: user}
	m.starts[p.TokenHash] = start
	*user.end() = start
	return nil
}

// user returns what a user has, adding the user. The caller holds the lock.
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

// end is where a further start goes.
func (u *memoryUser) end() **memoryStart {
	at := &u.starts
	for *at != nil {
		at = &(*at).next
	}
	return at
}

// makeRoom spends and removes the oldest of a user's starts for the sake of one
// more. The caller holds the lock.
func (m *MemoryStore) makeRoom(user *memoryUser, limit int) {
	var live, spent []*memoryStart
	for s := user.starts; s != nil; s = s.next {
		if s.Spent {
			spent = append(spent, s)
		} else {
			live = append(live, s)
		}
	}
	for _, s := range olderThanNewest(spent, limit) {
		m.remove(s)
	}
	for _, s := range olderThanNewest(live, limit-1) {
		s.Spent = true
	}
}

// olderThanNewest returns all starts but the n that expire last.
func olderThanNewest(starts []*memoryStart, n int) []*memoryStart {
	if len(starts) <= n {
		return nil
	}
	slices.SortStableFunc(starts, func(a, b *memoryStart) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return starts[:len(starts)-max(n, 0)]
}

// remove forgets a start. The caller holds the lock.
func (m *MemoryStore) remove(s *memoryStart) {
	delete(m.starts, s.TokenHash)
	at := &s.user.starts
	for *at != s {
		at = &(*at).next
	}
	*at = s.next
}

// tidy forgets a user who has nothing any more. The caller holds the lock.
func (m *MemoryStore) tidy(applicationID, userID string) {
	users := m.users[applicationID]
	if user := users[userID]; user.starts == nil && user.connection == nil && user.endedAt.IsZero() {
		delete(users, userID)
	}
}

// Pending implements [Store].
func (m *MemoryStore) Pending(ctx context.Context, tokenHash string) (Pending, error) {
	if err := ctx.Err(); err != nil {
		return Pending{}, fmt.Errorf("look up a start: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	start, ok := m.starts[tokenHash]
	if !ok {
		return Pending{}, ErrStateUnknown
	}
	return start.Pending, nil
}

// Spend implements [Store].
func (m *MemoryStore) Spend(ctx context.Context, tokenHash string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("spend a start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	if start, ok := m.starts[tokenHash]; ok {
		start.Spent = true
	}
	return nil
}

// Complete implements [Store].
func (m *MemoryStore) Complete(ctx context.Context, tokenHash string, c Connection, how Completion) (first bool, err error) {
	if err := cmp.Or(ctx.Err(), c.Validate()); err != nil {
		return false, fmt.Errorf("complete a start: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	user := m.users[c.ApplicationID][c.UserID]
	start, known := m.starts[tokenHash]
	_, retired := m.tasks[taskKey{DeleteIdentity, c.IdentityID}]
	owner, owned := m.owners[c.IdentityID]
	switch {
	case !known:
		return false, ErrStateUnknown
	case start.user != user:
		return false, ErrAnotherUser
	case start.IdentityID == c.IdentityID:
		return false, nil
	case start.Spent, !start.BegunAt.IsZero() && start.BegunAt.Before(user.endedAt):
		return false, ErrStateSpent
	case !c.ConnectedAt.Before(start.ExpiresAt):
		return false, ErrStateExpired
	case retired:
		return false, ErrIdentityRetired
	case owned && owner != user:
		return false, ErrIdentityTaken
	case how.SameIdentity && !owned:
		return false, ErrIdentityTooOld
	}

	c.ConnectedAt, c.HealthAt = c.ConnectedAt.UTC(), c.HealthAt.UTC()
	if old := user.connection; old != nil && old.IdentityID != c.IdentityID {
		m.retire(*old, c.ConnectedAt)
	}
	start.Spent, start.IdentityID = true, c.IdentityID
	kept := c // c itself would be on the heap in every call that is refused.
	user.connection, m.owners[c.IdentityID] = &kept, user
	m.queue(TagIdentity, c, how.TagAfter)
	return true, nil
}

// Connection implements [Store].
func (m *MemoryStore) Connection(ctx context.Context, applicationID, userID string) (Connection, error) {
	if err := ctx.Err(); err != nil {
		return Connection{}, fmt.Errorf("look up a connection: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	user := m.users[applicationID][userID]
	if user == nil || user.connection == nil {
		return Connection{}, ErrNotConnected
	}
	return *user.connection, nil
}

// SetHealth implements [Store].
func (m *MemoryStore) SetHealth(ctx context.Context, identityID string, health Health, at time.Time) (c Connection, changed bool, err error) {
	if err := cmp.Or(ctx.Err(), validateKey("IdentityID", identityID), health.Validate()); err != nil {
		return Connection{}, false, fmt.Errorf("set the health of a connection: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	owner, ok := m.owners[identityID]
	if !ok {
		return Connection{}, false, ErrNotConnected
	}
	kept := owner.connection
	if at.After(kept.HealthAt) || at.Equal(kept.HealthAt) && health == HealthNeedsSignIn {
		changed = kept.Health != health
		kept.Health, kept.HealthAt = health, at.UTC()
	}
	return *kept, changed, nil
}

// Disconnect implements [Store].
func (m *MemoryStore) Disconnect(ctx context.Context, applicationID, userID string, at, deleteAfter time.Time) (Connection, error) {
	if err := cmp.Or(ctx.Err(), validateKey("ApplicationID", applicationID), validateKey("UserID", userID)); err != nil {
		return Connection{}, fmt.Errorf("disconnect a user: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeMaps()

	user := m.user(applicationID, userID)
	if at.After(user.endedAt) {
		user.endedAt = at.UTC()
	}
	for s := user.starts; s != nil; s = s.next {
		// Without its identity a completed start is no reload any more.
		s.Spent, s.IdentityID = true, ""
	}
	if user.connection == nil {
		return Connection{}, ErrNotConnected
	}
	c := *user.connection
	user.connection = nil
	m.retire(c, deleteAfter)
	return c, nil
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
		if user := users[userID]; user != nil && (user.connection != nil || user.hasLive()) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// hasLive reports whether a start is not spent.
func (u *memoryUser) hasLive() bool {
	for s := u.starts; s != nil; s = s.next {
		if !s.Spent {
			return true
		}
	}
	return false
}

// Applications implements [Store]. It looks at every connection and task.
func (m *MemoryStore) Applications(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list the applications: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	ids := make(map[string]bool)
	for _, user := range m.owners {
		ids[user.connection.ApplicationID] = true
	}
	for _, t := range m.tasks {
		ids[t.ApplicationID] = true
	}
	return slices.Collect(maps.Keys(ids)), nil
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

// Sweep implements [Store]. It looks at starts until it has found enough, and at
// every user.
func (m *MemoryStore) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("sweep starts: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()

	swept := 0
	for _, s := range m.starts {
		if swept >= limit {
			break
		}
		if !s.ExpiresAt.Before(before) {
			continue
		}
		m.remove(s)
		m.tidy(s.ApplicationID, s.UserID)
		swept++
	}
	m.forget(before, limit)
	return swept, nil
}

// forget forgets moments of Disconnect. The caller holds the lock.
func (m *MemoryStore) forget(before time.Time, limit int) {
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

// retire gives up the identity of a connection that has ended, and queues its
// deletion. The caller holds the lock.
func (m *MemoryStore) retire(c Connection, deleteAfter time.Time) {
	delete(m.owners, c.IdentityID)
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
