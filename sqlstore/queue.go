package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/anchorconnect/connect"
)

// Queue implements [connect.Store].
func (s *Store) Queue(ctx context.Context, t connect.Task) error {
	const doing = "queue a task"
	if err := t.Validate(); err != nil {
		return failed(ctx, doing, err)
	}
	queue := s.queueTag
	if t.Kind == connect.DeleteIdentity {
		queue = s.queueDeletion
	}
	return s.do(ctx, doing, func() error {
		return s.inTx(ctx, func(tx *sql.Tx) error { return queue(ctx, tx, t) })
	})
}

// queueTag locks the connection first, as Complete and Disconnect do.
func (s *Store) queueTag(ctx context.Context, tx *sql.Tx, t connect.Task) error {
	if s.sql.beginWriting != "" {
		if _, err := send(ctx, tx, s.sql.beginWriting); err != nil {
			return err
		}
	}
	c, err := scanConnection(tx.QueryRowContext(ctx, s.sql.lockConnectionWith, t.IdentityID))
	if errors.Is(err, sql.ErrNoRows) || err == nil && (c.ApplicationID != t.ApplicationID || c.UserID != t.UserID) {
		return connect.ErrNotConnected
	}
	if err != nil {
		return err
	}
	_, err = send(ctx, tx, s.sql.replaceTag, t.IdentityID, t.ApplicationID, t.UserID, micros(t.NotBefore))
	return err
}

// queueDeletion queues the task before it looks for a connection. The task stops a Complete
// that has not queued its tag yet. It waits for one that has, and then sees its connection.
func (s *Store) queueDeletion(ctx context.Context, tx *sql.Tx, t connect.Task) error {
	if _, err := send(ctx, tx, s.sql.queueDeletion, t.IdentityID, t.ApplicationID, t.UserID, micros(t.NotBefore)); err != nil {
		return err
	}
	var connected bool
	if err := tx.QueryRowContext(ctx, s.sql.isConnected, t.IdentityID).Scan(&connected); err != nil {
		return err
	}
	if connected {
		return connect.ErrIdentityTaken
	}
	return nil
}
