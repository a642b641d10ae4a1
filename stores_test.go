package connect_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
)

// countingStore counts calls, and fails in the methods that set names.
type countingStore struct {
	connect.Store
	mu     sync.Mutex
	counts map[string]int
	fail   map[string]error
}

func (s *countingStore) did(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[method]++
	return s.fail[method]
}

func newCountingStore() *countingStore {
	return &countingStore{Store: connect.NewMemoryStore(), counts: map[string]int{}, fail: map[string]error{}}
}

func (s *countingStore) set(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *countingStore) counted(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func (s *countingStore) count() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.counts)
}

func (s *countingStore) Bind(ctx context.Context, p connect.Pending, limit int) error {
	if err := s.did("Bind"); err != nil {
		return err
	}
	return s.Store.Bind(ctx, p, limit)
}

func (s *countingStore) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	if err := s.did("Pending"); err != nil {
		return connect.Pending{}, err
	}
	return s.Store.Pending(ctx, tokenHash)
}

func (s *countingStore) Spend(ctx context.Context, tokenHash string) error {
	if err := s.did("Spend"); err != nil {
		return err
	}
	return s.Store.Spend(ctx, tokenHash)
}

func (s *countingStore) Queue(ctx context.Context, t connect.Task) error {
	if err := s.did("Queue"); err != nil {
		return err
	}
	return s.Store.Queue(ctx, t)
}

func (s *countingStore) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	if err := s.did("Complete"); err != nil {
		return connect.Completed{}, err
	}
	return s.Store.Complete(ctx, tokenHash, c, how)
}

func (s *countingStore) Connections(ctx context.Context, applicationID, userID string) ([]connect.Connection, error) {
	if err := s.did("Connections"); err != nil {
		return nil, err
	}
	return s.Store.Connections(ctx, applicationID, userID)
}

func (s *countingStore) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (connect.Connection, bool, error) {
	if err := s.did("SetHealth"); err != nil {
		return connect.Connection{}, false, err
	}
	return s.Store.SetHealth(ctx, identityID, health, at)
}

func (s *countingStore) SetLabel(ctx context.Context, applicationID, userID, connectionID, label string) (connect.Connection, error) {
	if err := s.did("SetLabel"); err != nil {
		return connect.Connection{}, err
	}
	return s.Store.SetLabel(ctx, applicationID, userID, connectionID, label)
}

func (s *countingStore) Disconnect(ctx context.Context, d connect.Disconnection) ([]connect.Connection, error) {
	if err := s.did("Disconnect"); err != nil {
		return nil, err
	}
	return s.Store.Disconnect(ctx, d)
}

func (s *countingStore) Done(ctx context.Context, t connect.Task) error {
	if err := s.did("Done"); err != nil {
		return err
	}
	return s.Store.Done(ctx, t)
}

// pausedComplete calls pause before a connection is stored.
type pausedComplete struct {
	connect.Store
	pause func(c connect.Connection)
}

func (s *pausedComplete) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	if s.pause != nil {
		s.pause(c)
	}
	return s.Store.Complete(ctx, tokenHash, c, how)
}

// panicky is a store one of whose methods panics.
type panicky struct {
	connect.Store
	method string
}

func (s panicky) maybe(method string) {
	if s.method == method {
		panic("broken " + method)
	}
}

func (s panicky) Claim(ctx context.Context, id string, now, until time.Time, limit int) ([]connect.Task, error) {
	s.maybe("Claim")
	return s.Store.Claim(ctx, id, now, until, limit)
}

func (s panicky) Postpone(ctx context.Context, t connect.Task, at time.Time) error {
	s.maybe("Postpone")
	return s.Store.Postpone(ctx, t, at)
}

func (s panicky) Done(ctx context.Context, t connect.Task) error {
	s.maybe("Done")
	return s.Store.Done(ctx, t)
}

func (s panicky) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	s.maybe("Sweep")
	return s.Store.Sweep(ctx, before, limit)
}

func (s panicky) Applications(ctx context.Context) ([]string, error) {
	s.maybe("Applications")
	return s.Store.Applications(ctx)
}
