package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/anchorconnect/connect"
)

// Complete implements [connect.Store]. On PostgreSQL without a hook it is one statement,
// otherwise a transaction. The README of the module lists the number of statements.
func (s *Store) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	const doing = "complete a flow"
	if err := cmp.Or(validKey("token hash", tokenHash), c.Validate()); err != nil {
		return connect.Completed{}, failed(ctx, doing, err)
	}
	c.ConnectedAt, c.HealthAt = fromMicros(micros(c.ConnectedAt)), fromMicros(micros(c.HealthAt)) // as stored
	how.MaxConnections = max(how.MaxConnections, 1)

	var done connect.Completed
	err := s.doOver(ctx, doing, func() (err error) {
		if s.sql.completeAtOnce != "" && s.hook == nil {
			done, err = s.completeAtOnce(ctx, tokenHash, c, how)
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			done, err = s.completeInSteps(ctx, tx, tokenHash, c, how)
			return err
		})
	})
	if err != nil {
		return connect.Completed{}, err
	}
	return done, nil
}

// completeAtOnce is Complete in one statement. If that stores nothing, two more statements
// read the reason.
func (s *Store) completeAtOnce(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	done := connect.Completed{First: true, Connection: c}
	var accepted connect.Connection
	if how.Accepted != nil {
		accepted = *how.Accepted
	}
	err := s.writing(ctx, func(ctx context.Context, conn *sql.Conn) error {
		var createdAt int64
		err := conn.QueryRowContext(ctx, s.sql.completeAtOnce,
			tokenHash, c.ApplicationID, c.UserID, c.IdentityID, micros(c.ConnectedAt), micros(how.TagAfter),
			string(c.Health), micros(c.HealthAt), how.SameIdentity, c.ActorID, c.ID, c.Label, how.MaxConnections,
			how.Accepted != nil, accepted.ID, accepted.IdentityID,
		).Scan(&done.Connection.ID, &done.Connection.Label, &createdAt, &done.Replaced)
		done.Connection.CreatedAt = fromMicros(createdAt)
		return err
	})
	switch {
	case isDuplicate(err):
		return connect.Completed{}, errOvertaken
	case err == nil:
		return done, nil
	case !errors.Is(err, sql.ErrNoRows):
		return connect.Completed{}, err
	}

	var f facts
	err = s.onConn(ctx, func(conn *sql.Conn) error {
		mine, err := queryConnections(ctx, conn, s.sql.connections, c.ApplicationID, c.UserID)
		if err != nil {
			return err
		}
		f, err = s.facts(ctx, conn, tokenHash, c)
		f.mine = mine
		return err
	})
	if err != nil {
		return connect.Completed{}, err
	}
	if to, err := f.place(c, how); err != nil || to.reload {
		return connect.Completed{}, err
	}
	return connect.Completed{}, errOvertaken // The reason is gone by now.
}

// completeInSteps is Complete in a transaction. The caller commits it if the error is nil.
//
// In READ COMMITTED each statement sees what others have committed by then. A lock or a
// unique key guards every fact that must not change after it was read:
//
//   - The flow is locked first. A Disconnect commits its moment before it looks for
//     flows. If facts does not see that moment yet, the Disconnect finds this flow,
//     waits for it, and then ends the connection.
//   - The user's connections are locked before the facts are read. One that is added
//     meanwhile takes the same slot, the smallest free one.
//   - An identity is a unique key of the connections.
//   - An identity is the key of the tasks, so a deletion that is queued meanwhile
//     conflicts with the tag.
//
// A duplicate key is errOvertaken: the caller begins again.
func (s *Store) completeInSteps(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	spent, err := send(ctx, tx, s.sql.completeFlow, c.IdentityID, tokenHash)
	if err != nil {
		return connect.Completed{}, err
	}
	to, err := s.decide(ctx, tx, tokenHash, c, how, spent > 0)
	if err != nil || to.reload {
		return connect.Completed{}, err
	}
	if spent == 0 {
		return connect.Completed{}, errOvertaken // It was swept, and then bound again.
	}
	done, change, err := s.put(ctx, tx, c, to)
	if err != nil {
		return connect.Completed{}, err
	}
	if done.Replaced != "" {
		if _, err := send(ctx, tx, s.sql.queueDeletion, done.Replaced, c.ApplicationID, c.UserID, micros(c.ConnectedAt)); err != nil {
			return connect.Completed{}, err
		}
	}
	if _, err := send(ctx, tx, s.sql.dropTag, c.IdentityID); err != nil {
		return connect.Completed{}, err
	}
	if _, err := sendUnique(ctx, tx, s.sql.queueTag, c.IdentityID, c.ApplicationID, c.UserID, micros(how.TagAfter)); err != nil {
		return connect.Completed{}, err
	}
	return done, s.callHook(ctx, tx, change)
}

// decide reads the facts inside the transaction and returns the place for c, or the
// reason to refuse it. locked reports whether the transaction has just spent the flow.
func (s *Store) decide(ctx context.Context, tx *sql.Tx, tokenHash string, c connect.Connection, how connect.Completion, locked bool) (place, error) {
	var mine []stored
	if locked { // Otherwise the flow alone is reason enough to refuse it.
		var err error
		if mine, err = queryConnections(ctx, tx, s.sql.lockConnections, c.ApplicationID, c.UserID); err != nil {
			return place{}, err
		}
	}
	f, err := s.facts(ctx, tx, tokenHash, c)
	if err != nil {
		return place{}, err
	}
	f.mine = mine
	if locked {
		f.flow.Spent, f.flow.IdentityID = false, "" // as it was
	}
	to, err := f.place(c, how)
	if err == nil || !locked || s.dialect != PostgreSQL {
		return to, err
	}
	// On PostgreSQL the lock does not return a connection that was added while it was
	// waited for.
	if f.mine, err = queryConnections(ctx, tx, s.sql.connections, c.ApplicationID, c.UserID); err != nil {
		return place{}, err
	}
	if _, err = f.place(c, how); err == nil {
		err = errOvertaken
	}
	return place{}, err
}

// put stores c, and returns what it stored and the change to call the hook with.
func (s *Store) put(ctx context.Context, tx *sql.Tx, c connect.Connection, to place) (connect.Completed, Change, error) {
	if to.renewed == nil {
		if to.beside && s.sql.dropIndexOne != "" {
			if _, err := tx.ExecContext(ctx, s.sql.dropIndexOne); err != nil {
				return connect.Completed{}, Change{}, err
			}
		}
		c.CreatedAt = c.ConnectedAt
		_, err := sendUnique(ctx, tx, s.sql.addConnection,
			c.ID, c.ApplicationID, c.UserID, c.ActorID, c.IdentityID, c.Label, micros(c.CreatedAt), micros(c.ConnectedAt),
			string(c.Health), micros(c.HealthAt), to.slot)
		return connect.Completed{First: true, Connection: c}, Change{Kind: ConnectionBegan, After: c}, err
	}

	old := to.renewed.Connection
	c.ID, c.CreatedAt, c.Label = old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	done := connect.Completed{First: true, Connection: c}
	if old.IdentityID != c.IdentityID {
		done.Replaced = old.IdentityID
	}
	_, err := sendUnique(ctx, tx, s.sql.renewConnection,
		c.ActorID, c.IdentityID, c.Label, micros(c.CreatedAt), micros(c.ConnectedAt), string(c.Health), micros(c.HealthAt),
		c.ApplicationID, c.UserID, to.slot)
	return done, Change{Kind: ConnectionRenewed, Before: old, After: c}, err
}

// sendUnique is send for a row that others may store at the same time.
func sendUnique(ctx context.Context, r runner, query string, args ...any) (int64, error) {
	n, err := send(ctx, r, query, args...)
	if isDuplicate(err) {
		err = errOvertaken
	}
	return n, err
}

// facts are the rows that decide a Complete.
type facts struct {
	known bool
	flow  connect.Pending // without TokenHash, Label, ReturnTo, BegunAt and IssuedAt
	// disconnected reports whether the flow began before a Disconnect of all connections.
	disconnected bool
	// retired reports whether the deletion of the identity is queued. taken reports
	// whether another user has it.
	retired, taken bool
	// mine are the user's connections in the application.
	mine []stored
}

// facts reads the facts, except for mine.
func (s *Store) facts(ctx context.Context, r runner, tokenHash string, c connect.Connection) (f facts, err error) {
	var expiresAt int64
	err = r.QueryRowContext(ctx, s.sql.facts, c.IdentityID, c.IdentityID, c.ApplicationID, c.UserID, tokenHash).Scan(
		&f.flow.ApplicationID, &f.flow.UserID, &f.flow.ActorID, &f.flow.ConnectionID, &f.flow.Adds,
		&expiresAt, &f.flow.Spent, &f.flow.IdentityID, &f.disconnected, &f.retired, &f.taken)
	if errors.Is(err, sql.ErrNoRows) {
		return facts{}, nil
	}
	f.known = true
	f.flow.ExpiresAt = fromMicros(expiresAt)
	return f, err
}

// A place is where a connection is stored.
type place struct {
	// reload reports whether the flow was completed with this identity before. The
	// other fields are zero then.
	reload bool
	// renewed is the connection to renew, or nil to add one.
	renewed *stored
	// beside reports whether the user has other connections than the added one.
	beside bool
	slot   int
}

// place returns where to store c, or the first reason to refuse it. The statement
// completeAtOnce has the same rules.
func (f facts) place(c connect.Connection, how connect.Completion) (place, error) {
	to, err := f.free(c, how)
	if err != nil || to.reload || how.Accepted == nil {
		return to, err
	}
	var renewed connect.Connection
	if to.renewed != nil {
		renewed = to.renewed.Connection
	}
	if how.Accepted.ID != renewed.ID || how.Accepted.IdentityID != renewed.IdentityID {
		return place{}, connect.ErrConnectionChanged
	}
	return to, nil
}

// free is place without how.Accepted.
func (f facts) free(c connect.Connection, how connect.Completion) (place, error) {
	p := f.flow
	same := f.find(func(m stored) bool { return m.IdentityID == c.IdentityID })
	switch {
	case !f.known:
		return place{}, connect.ErrStateUnknown
	case p.ApplicationID != c.ApplicationID || p.UserID != c.UserID || p.ActorID != c.ActorID:
		return place{}, connect.ErrAnotherUser
	case p.IdentityID == c.IdentityID:
		return place{reload: true}, nil
	case p.Spent, f.disconnected:
		return place{}, connect.ErrStateSpent
	case micros(c.ConnectedAt) >= micros(p.ExpiresAt):
		return place{}, connect.ErrStateExpired
	case f.retired:
		return place{}, connect.ErrIdentityRetired
	case f.taken:
		return place{}, connect.ErrIdentityTaken
	case how.SameIdentity && same == nil:
		return place{}, connect.ErrIdentityTooOld
	}

	n := len(f.mine)
	named := f.find(func(m stored) bool { return m.ID == p.ConnectionID })
	switch {
	case p.ConnectionID != "" && named == nil:
		return place{}, connect.ErrConnectionUnknown
	case p.ConnectionID != "" && same != nil && same != named:
		return place{}, connect.ErrIdentityConnected
	case p.ConnectionID != "":
		return place{renewed: named, slot: named.slot}, nil
	case same != nil:
		return place{renewed: same, slot: same.slot}, nil
	case !p.Adds && n == 1:
		return place{renewed: &f.mine[0], slot: f.mine[0].slot}, nil
	case !p.Adds && n > 1, n >= max(how.MaxConnections, 1):
		return place{}, connect.ErrConnectionLimit
	}
	return place{beside: n > 0, slot: f.freeSlot()}, nil
}

// find returns the first of the user's connections for which is returns true, or nil.
func (f facts) find(is func(stored) bool) *stored {
	i := slices.IndexFunc(f.mine, is)
	if i < 0 {
		return nil
	}
	return &f.mine[i]
}

// freeSlot returns the smallest free slot of the user. Calls that race to add a connection
// choose the same slot, and the primary key lets one of them succeed.
func (f facts) freeSlot() int {
	slot := 0
	for f.find(func(m stored) bool { return m.slot == slot }) != nil {
		slot++
	}
	return slot
}
