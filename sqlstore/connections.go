package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/anchorconnect/connect"
)

// Complete implements [connect.Store]. It is one statement on PostgreSQL and a
// transaction of three elsewhere, of four or five on MySQL when the connection
// gets the identity that it has already. A call that stores nothing, refused or
// a reload, is two statements everywhere.
func (s *Store) Complete(ctx context.Context, tokenHash string, c connect.Connection, tagAfter time.Time) (first bool, err error) {
	const doing = "complete a start"
	if err := cmp.Or(validKey("token hash", tokenHash), c.Validate()); err != nil {
		return false, failed(ctx, doing, err)
	}
	err = s.do(ctx, doing, func() error {
		if s.sql.completeAtOnce != "" {
			first, err = s.completeAtOnce(ctx, tokenHash, c, tagAfter)
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			first, err = s.complete(ctx, tx, tokenHash, c, tagAfter)
			return err
		})
	})
	if err != nil {
		return false, err
	}
	return first, nil
}

// completeAtOnce is Complete in one statement, and a second one to tell why it
// has stored nothing.
func (s *Store) completeAtOnce(ctx context.Context, tokenHash string, c connect.Connection, tagAfter time.Time) (first bool, err error) {
	n, err := s.write(ctx, s.sql.completeAtOnce,
		tokenHash, c.ApplicationID, c.UserID, c.IdentityID, micros(c.ConnectedAt), micros(tagAfter))
	if isDuplicate(err) {
		return false, errOvertaken
	}
	if err != nil || n > 0 {
		return n > 0, err
	}
	return false, s.whyNot(ctx, s.db, tokenHash, c)
}

// complete is Complete in steps. It returns true when all of them are taken; any
// other outcome is rolled back or has changed nothing.
func (s *Store) complete(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection, tagAfter time.Time) (first bool, err error) {
	connectedAt := micros(c.ConnectedAt)
	n, err := send(ctx, tx, s.sql.spendStart, c.IdentityID,
		tokenHash, c.ApplicationID, c.UserID, connectedAt,
		c.IdentityID,
		c.IdentityID, c.ApplicationID, c.UserID)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, s.whyNot(ctx, tx, tokenHash, c)
	}

	queued, err := send(ctx, tx, s.sql.queueTasks,
		micros(tagAfter), tokenHash,
		connectedAt, c.ApplicationID, c.UserID, c.IdentityID)
	if err != nil {
		return false, err
	}

	if s.sql.putConnection != "" {
		_, err = send(ctx, tx, s.sql.putConnection, c.ApplicationID, c.UserID, c.IdentityID, connectedAt)
	} else {
		// More than one row queued means, most likely, that an old identity is to
		// be deleted, and so that there is a connection to change.
		err = s.addOrChange(ctx, tx, tokenHash, c, queued > 1)
	}
	return err == nil, err
}

// addOrChange stores c on MySQL, which has no statement that does either without
// touching another user's row. It begins with the one that will do.
func (s *Store) addOrChange(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection, changeFirst bool) error {
	connectedAt := micros(c.ConnectedAt)
	add := func() (int64, error) {
		return send(ctx, tx, s.sql.addConnection, connectedAt, tokenHash)
	}
	change := func() (int64, error) {
		return send(ctx, tx, s.sql.changeConnection, c.IdentityID, connectedAt,
			c.ApplicationID, c.UserID, c.IdentityID, c.IdentityID)
	}
	steps := []func() (int64, error){add, change}
	if changeFirst {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		n, err := step()
		if isDuplicate(err) {
			return errOvertaken
		}
		if err != nil || n > 0 {
			return err
		}
	}

	// MySQL also counts no row when the connection is just that already, to the
	// microsecond.
	var stored connect.Connection
	err := scanConnection(tx.QueryRowContext(ctx, s.sql.connection, c.ApplicationID, c.UserID), &stored)
	if err != nil && !errors.Is(err, connect.ErrNotConnected) {
		return err
	}
	if stored.IdentityID != c.IdentityID || micros(stored.ConnectedAt) != connectedAt {
		return errOvertaken
	}
	return nil
}

// whyNot tells why a start could not be completed, or returns nil for a reload.
func (s *Store) whyNot(ctx context.Context, r runner, tokenHash string, c connect.Connection) error {
	var f reasons
	var expiresAt int64
	err := r.QueryRowContext(ctx, s.sql.reasons,
		c.IdentityID, c.IdentityID, c.ApplicationID, c.UserID, tokenHash,
	).Scan(&f.start.ApplicationID, &f.start.UserID, &expiresAt, &f.start.Spent, &f.start.IdentityID, &f.retired, &f.taken)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	f.known = err == nil
	f.start.ExpiresAt = fromMicros(expiresAt)
	return f.judge(c)
}

// reasons are what a Complete that has stored nothing is judged by.
type reasons struct {
	known bool
	start connect.Pending // without TokenHash, ReturnTo and IssuedAt
	// retired and taken tell of the identity: its deletion is queued, it is
	// another user's.
	retired, taken bool
}

// judge returns the first reason to refuse c that holds, or nil for a reload.
// When there is no reason any more the moment to complete has been missed, and
// it returns errOvertaken.
func (r reasons) judge(c connect.Connection) error {
	p := r.start
	switch {
	case !r.known:
		return connect.ErrStateUnknown
	case p.ApplicationID != c.ApplicationID || p.UserID != c.UserID:
		return connect.ErrAnotherUser
	case p.Spent && p.IdentityID == c.IdentityID:
		return nil
	case p.Spent:
		return connect.ErrStateSpent
	case micros(c.ConnectedAt) >= micros(p.ExpiresAt):
		return connect.ErrStateExpired
	case r.retired:
		return connect.ErrIdentityRetired
	case r.taken:
		return connect.ErrIdentityTaken
	}
	return errOvertaken
}

// Connection implements [connect.Store].
func (s *Store) Connection(ctx context.Context, applicationID, userID string) (connect.Connection, error) {
	const doing = "look up a connection"
	if err := validUser(applicationID, userID); err != nil {
		return connect.Connection{}, failed(ctx, doing, err)
	}
	c := connect.Connection{ApplicationID: applicationID, UserID: userID}
	err := s.do(ctx, doing, func() error {
		return scanConnection(s.db.QueryRowContext(ctx, s.sql.connection, applicationID, userID), &c)
	})
	if err != nil {
		return connect.Connection{}, err
	}
	return c, nil
}

// scanConnection reads what a connection's own columns hold.
func scanConnection(row *sql.Row, c *connect.Connection) error {
	var connectedAt int64
	err := row.Scan(&c.IdentityID, &connectedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return connect.ErrNotConnected
	}
	c.ConnectedAt = fromMicros(connectedAt)
	return err
}

// Disconnect implements [connect.Store], in a transaction of three statements,
// four on MySQL.
func (s *Store) Disconnect(ctx context.Context, applicationID, userID string, deleteAfter time.Time) (connect.Connection, error) {
	const doing = "disconnect a user"
	if err := validUser(applicationID, userID); err != nil {
		return connect.Connection{}, failed(ctx, doing, err)
	}
	c := connect.Connection{ApplicationID: applicationID, UserID: userID}
	var connected bool
	err := s.do(ctx, doing, func() error {
		return s.inTx(ctx, func(tx *sql.Tx) error {
			// First the starts: who is completing one of them holds its row, and
			// has stored the connection by the time that this goes on.
			if _, err := send(ctx, tx, s.sql.spendStarts, applicationID, userID); err != nil {
				return err
			}
			err := scanConnection(tx.QueryRowContext(ctx, s.sql.takeConnection, applicationID, userID), &c)
			connected = err == nil
			if errors.Is(err, connect.ErrNotConnected) {
				return nil // Commit what was spent.
			}
			if err != nil {
				return err
			}
			if s.sql.dropConnection != "" {
				if _, err := send(ctx, tx, s.sql.dropConnection, applicationID, userID); err != nil {
					return err
				}
			}
			_, err = send(ctx, tx, s.sql.queueDeletion, c.IdentityID, applicationID, userID, micros(deleteAfter))
			return err
		})
	})
	switch {
	case err != nil:
		return connect.Connection{}, err
	case !connected:
		return connect.Connection{}, connect.ErrNotConnected
	}
	return c, nil
}
