package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/anchorconnect/connect"
)

// Complete implements [connect.Store]. It is one statement on PostgreSQL and a
// transaction of three elsewhere, of four on MySQL with SameIdentity. A call that
// stores nothing, refused or a reload, is two statements everywhere.
func (s *Store) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (first bool, err error) {
	const doing = "complete a start"
	if err := cmp.Or(validKey("token hash", tokenHash), c.Validate()); err != nil {
		return false, failed(ctx, doing, err)
	}
	err = s.do(ctx, doing, func() error {
		if s.sql.completeAtOnce != "" {
			first, err = s.completeAtOnce(ctx, tokenHash, c, how)
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			first, err = s.complete(ctx, tx, tokenHash, c, how)
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
func (s *Store) completeAtOnce(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (first bool, err error) {
	n, err := s.write(ctx, s.sql.completeAtOnce,
		tokenHash, c.ApplicationID, c.UserID, c.IdentityID, micros(c.ConnectedAt), micros(how.TagAfter),
		string(c.Health), micros(c.HealthAt), how.SameIdentity)
	if isDuplicate(err) {
		return false, errOvertaken
	}
	if err != nil || n > 0 {
		return n > 0, err
	}
	return false, s.whyNot(ctx, s.db, tokenHash, c, how)
}

// complete is Complete in steps. It returns true when all of them are taken; any
// other outcome is rolled back or has changed nothing.
func (s *Store) complete(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection, how connect.Completion) (first bool, err error) {
	connectedAt := micros(c.ConnectedAt)
	n, err := send(ctx, tx, s.sql.spendStart, c.IdentityID,
		tokenHash, c.ApplicationID, c.UserID, connectedAt,
		c.IdentityID,
		c.IdentityID, c.ApplicationID, c.UserID,
		!how.SameIdentity, c.IdentityID)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, s.whyNot(ctx, tx, tokenHash, c, how)
	}

	_, err = send(ctx, tx, s.sql.queueTasks,
		micros(how.TagAfter), tokenHash,
		connectedAt, c.ApplicationID, c.UserID, c.IdentityID)
	if err != nil {
		return false, err
	}

	if how.SameIdentity && s.sql.lockConnection != "" {
		err := tx.QueryRowContext(ctx, s.sql.lockConnection, c.ApplicationID, c.UserID, c.IdentityID).Scan(new(int))
		if errors.Is(err, sql.ErrNoRows) {
			return false, errOvertaken
		}
		if err != nil {
			return false, err
		}
	}

	if s.sql.putConnection != "" {
		_, err = send(ctx, tx, s.sql.putConnection,
			c.ApplicationID, c.UserID, c.IdentityID, connectedAt, string(c.Health), micros(c.HealthAt))
	} else {
		err = s.addOrReplace(ctx, tx, tokenHash, c)
	}
	return err == nil, err
}

// replaced is what addOrReplace tells by LAST_INSERT_ID when it has replaced a
// connection. When it has added one it tells nothing, which is 0.
const replaced = 2

// addOrReplace stores c on MySQL.
func (s *Store) addOrReplace(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection) error {
	connectedAt := micros(c.ConnectedAt)
	result, err := tx.ExecContext(ctx, s.sql.addOrReplace, connectedAt, string(c.Health), micros(c.HealthAt), tokenHash, connectedAt)
	if isDuplicate(err) {
		return errOvertaken
	}
	if err != nil {
		return err
	}
	added, err := result.RowsAffected()
	if err != nil {
		return err
	}
	told, err := result.LastInsertId()
	if err != nil {
		return err
	}
	if told == replaced || told == 0 && added == 1 {
		return nil
	}
	return errOvertaken
}

// whyNot tells why a start could not be completed, or returns nil for a reload.
func (s *Store) whyNot(ctx context.Context, r runner, tokenHash string, c connect.Connection, how connect.Completion) error {
	var f reasons
	var expiresAt int64
	err := r.QueryRowContext(ctx, s.sql.reasons,
		c.IdentityID, c.IdentityID, c.ApplicationID, c.UserID, c.IdentityID, tokenHash,
	).Scan(&f.start.ApplicationID, &f.start.UserID, &expiresAt, &f.start.Spent, &f.start.IdentityID,
		&f.disconnected, &f.retired, &f.taken, &f.connected)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	f.known = err == nil
	f.start.ExpiresAt = fromMicros(expiresAt)
	return f.judge(c, how)
}

// reasons are what a Complete that has stored nothing is judged by.
type reasons struct {
	known bool
	start connect.Pending // without TokenHash, ReturnTo, BegunAt and IssuedAt
	// disconnected reports whether the start began before a Disconnect.
	disconnected bool
	// The others concern the identity: its deletion is queued, it is another
	// user's, it is anybody's.
	retired, taken, connected bool
}

// judge returns the first reason to refuse c that holds, or nil for a reload.
// When there is no reason any more the moment to complete has been missed, and
// it returns errOvertaken.
func (r reasons) judge(c connect.Connection, how connect.Completion) error {
	p := r.start
	switch {
	case !r.known:
		return connect.ErrStateUnknown
	case p.ApplicationID != c.ApplicationID || p.UserID != c.UserID:
		return connect.ErrAnotherUser
	case p.Spent && p.IdentityID == c.IdentityID:
		return nil
	case p.Spent, r.disconnected:
		return connect.ErrStateSpent
	case micros(c.ConnectedAt) >= micros(p.ExpiresAt):
		return connect.ErrStateExpired
	case r.retired:
		return connect.ErrIdentityRetired
	case r.taken:
		return connect.ErrIdentityTaken
	case how.SameIdentity && !r.connected:
		return connect.ErrIdentityTooOld
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

// scanConnection reads what a user's connection is, without whose it is.
func scanConnection(row *sql.Row, c *connect.Connection) error {
	return scanConnectionAfter(row, c, &c.IdentityID)
}

// scanConnectionAfter reads the columns that are given, and the three that come
// after them in every answer: since when and how it is connected.
func scanConnectionAfter(row *sql.Row, c *connect.Connection, columns ...any) error {
	var connectedAt, healthAt int64
	err := row.Scan(append(columns, &connectedAt, &c.Health, &healthAt)...)
	if errors.Is(err, sql.ErrNoRows) {
		return connect.ErrNotConnected
	}
	c.ConnectedAt, c.HealthAt = fromMicros(connectedAt), fromMicros(healthAt)
	return err
}

// SetHealth implements [connect.Store]. It is one look, and, when the event
// counts, one statement more, which changes the connection that was seen or
// nothing: then it looks again.
func (s *Store) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (c connect.Connection, changed bool, err error) {
	const doing = "set the health of a connection"
	if err := cmp.Or(validKey("identity id", identityID), health.Validate()); err != nil {
		return connect.Connection{}, false, failed(ctx, doing, err)
	}
	err = s.do(ctx, doing, func() error {
		seen := connect.Connection{IdentityID: identityID}
		row := s.db.QueryRowContext(ctx, s.sql.connectionWith, identityID)
		if err := scanConnectionAfter(row, &seen, &seen.ApplicationID, &seen.UserID); err != nil {
			return err
		}
		var counts bool
		c, counts = afterEvent(seen, health, at)
		changed = c.Health != seen.Health
		if !counts {
			return nil
		}
		n, err := s.write(ctx, s.sql.setHealth, string(c.Health), micros(c.HealthAt),
			seen.ApplicationID, seen.UserID, seen.IdentityID, micros(seen.ConnectedAt), string(seen.Health), micros(seen.HealthAt))
		if err == nil && n == 0 {
			err = errOvertaken
		}
		return err
	})
	if err != nil {
		return connect.Connection{}, false, err
	}
	return c, changed, nil
}

// afterEvent returns c as an event leaves it, and whether the event counts: that
// is, changes c.
func afterEvent(c connect.Connection, health connect.Health, at time.Time) (after connect.Connection, counts bool) {
	at = fromMicros(micros(at)) // As it would be kept, and compared with the next.
	worse := health == connect.HealthNeedsSignIn && c.Health == connect.HealthOK
	if at.After(c.HealthAt) || at.Equal(c.HealthAt) && worse {
		c.Health, c.HealthAt = health, at
		return c, true
	}
	return c, false
}

// Disconnect implements [connect.Store], in one statement and a transaction of
// three, four on MySQL.
func (s *Store) Disconnect(ctx context.Context, applicationID, userID string, at, deleteAfter time.Time) (connect.Connection, error) {
	const doing = "disconnect a user"
	if err := validNewUser(applicationID, userID); err != nil {
		return connect.Connection{}, failed(ctx, doing, err)
	}
	c := connect.Connection{ApplicationID: applicationID, UserID: userID}
	var connected bool
	err := s.do(ctx, doing, func() error {
		// This is committed first. A Complete that cannot see it yet has a start
		// that was bound before it, which the transaction below finds and spends.
		if _, err := s.write(ctx, s.sql.recordDisconnect, applicationID, userID, micros(at)); err != nil {
			return err
		}
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
