package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anchorconnect/connect"
)

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
	case queued != nil && s.has("queues no task again"):
		return
	case queued != nil && s.has("keeps the attempts of a task that is queued again"):
		queued.NotBefore = notBefore
		return
	case s.has("queues a task twice"):
	case s.has("queues one deletion for a user at most"):
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
				s.has("queues a tag for an identity of anybody") || s.has("queues a tag for the user id in any application") && c.UserID == t.UserID
		}
	}
	switch {
	case t.Kind == connect.TagIdentity && s.has("queues a tag without a connection"):
	case t.Kind == connect.TagIdentity && s.has("queues a tag for a replaced identity") && s.task(connect.DeleteIdentity, t.IdentityID) != nil:
	case t.Kind == connect.TagIdentity && !owns:
		return connect.ErrNotConnected
	case t.Kind == connect.DeleteIdentity && owned && !s.has("queues a deletion of any identity"):
		return connect.ErrIdentityTaken
	case s.has("queues nothing"):
		return nil
	case t.Kind == connect.DeleteIdentity && s.has("queues no deletion again") && s.task(t.Kind, t.IdentityID) != nil:
		return nil
	}
	s.gap("looks for the owner of a task's identity in a separate transaction")
	if t.Kind == connect.DeleteIdentity {
		s.byQueue = append(s.byQueue, t.IdentityID)
	}
	queued := connect.Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: t.IdentityID}
	switch old := s.task(t.Kind, t.IdentityID); {
	case old != nil && s.has("keeps the user of a task that is queued again"):
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
		case s.before(s.moment(now), t.NotBefore), s.has("returns a task only once") && t.Attempts > 0:
		case s.has("claims tasks of any application"),
			s.has("leases the tasks of every application"),
			s.has("counts the tasks of other applications against the limit"),
			s.has("returns the deletions of all applications") && t.Kind == connect.DeleteIdentity,
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
	case limit < 1 && s.has("treats a limit below one as no limit"), s.has("claims without a limit"):
		limit = len(due)
	case len(due) == 0 && s.has("returns an error when no task is due"):
		return nil, errors.New("no rows")
	}
	if s.has("rounds up NotBefore, but not what it compares it with") {
		until = until.Add(micro - 1).Truncate(micro)
	}
	due = due[:min(len(due), max(limit, 0))]
	if s.has("counts the tasks of other applications against the limit") {
		due = slices.DeleteFunc(due, func(t *connect.Task) bool { return t.ApplicationID != applicationID })
	}
	s.gap("looks for tasks in a separate transaction")

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
	case queued == nil && s.has("returns an error for a task that is done"):
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
	case s.has("resets the attempts when it postpones"):
		queued.Attempts = 0
	case s.has("postpones to later alone") && s.before(notBefore, queued.NotBefore):
		return nil
	}
	queued.NotBefore = s.moment(notBefore)
	return nil
}
