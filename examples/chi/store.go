package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/anchorconnect/connect"
)

// Store is a connect.Store in the app's own database, beside its users: what to
// write for an app that wants a foreign key, its own names or its own tooling.
// The tables are in schema.sql. Its methods may be called concurrently.
//
// Its transactions look first and write then. Three things keep what was seen
// true until the commit:
//
//   - Bind, Complete, SetHealth and Disconnect lock the row of the user, so that
//     of one user's calls one runs at a time.
//   - Complete locks the row of the start after that. Spend waits for it, Sweep
//     passes it over.
//   - tasks and accounts have a unique key by identity. Of two users who want one
//     identity the second waits at the key, fails, and is run again (see inTx) to
//     find out why.
type Store struct{ db *database }

var _ connect.Store = (*Store)(nil)

// Bind implements connect.Store. A user who does not exist is an error, by the
// foreign key.
func (s *Store) Bind(ctx context.Context, p connect.Pending, limit int) error {
	const doing = "bind a start"
	// The databases shorten, alter or refuse odd texts each in its own way.
	if err := p.Validate(); err != nil {
		return failed(ctx, doing, err)
	}
	_, err := inTx(ctx, s.db, func(tx conn) (none struct{}, err error) {
		if err := lockUser(ctx, tx, p.UserID); err != nil {
			return none, err
		}
		// Before room is made: it may be one of those that would go.
		switch _, err := readStart(ctx, tx, p.TokenHash); {
		case err == nil:
			return none, errors.New("its token hash is bound already")
		case !errors.Is(err, connect.ErrStateUnknown):
			return none, err
		}
		if err := makeRoom(ctx, tx, p.ApplicationID, p.UserID, limit); err != nil {
			return none, err
		}
		return none, tx.exec(ctx, `
			INSERT INTO starts (token_hash, user_id, application_id, return_to, begun_at, issued_at, expires_at, spent, identity_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, FALSE, '')`,
			p.TokenHash, p.UserID, p.ApplicationID, p.ReturnTo, p.BegunAt.UnixMicro(), p.IssuedAt.UnixMicro(), p.ExpiresAt.UnixMicro())
	})
	return failed(ctx, doing, err)
}

// makeRoom spends and removes a user's oldest starts for the sake of one more.
// Usually there are none to go.
func makeRoom(ctx context.Context, tx conn, applicationID, userID string, limit int) error {
	starts, err := readAll(ctx, tx, func(p *connect.Pending) []any { return []any{&p.TokenHash, &p.Spent} },
		`SELECT token_hash, spent FROM starts WHERE user_id = ? AND application_id = ? ORDER BY expires_at DESC`,
		userID, applicationID)
	if err != nil {
		return err
	}
	live, spent := 0, 0
	for _, p := range starts {
		if p.Spent {
			if spent++; spent > limit {
				err = tx.exec(ctx, `DELETE FROM starts WHERE token_hash = ?`, p.TokenHash)
			}
		} else if live++; live > limit-1 {
			err = tx.exec(ctx, `UPDATE starts SET spent = TRUE WHERE token_hash = ?`, p.TokenHash)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Pending implements connect.Store.
func (s *Store) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	p, err := readStart(ctx, s.db.conn, tokenHash)
	return p, failed(ctx, "look up a start", err)
}

func readStart(ctx context.Context, c conn, tokenHash string) (connect.Pending, error) {
	p := connect.Pending{TokenHash: tokenHash}
	var begunAt, issuedAt, expiresAt int64
	err := c.queryRow(ctx, `
		SELECT user_id, application_id, return_to, begun_at, issued_at, expires_at, spent, identity_id
		FROM starts WHERE token_hash = ?`, tokenHash).
		Scan(&p.UserID, &p.ApplicationID, &p.ReturnTo, &begunAt, &issuedAt, &expiresAt, &p.Spent, &p.IdentityID)
	if errors.Is(err, sql.ErrNoRows) {
		err = connect.ErrStateUnknown
	}
	if err != nil {
		return connect.Pending{}, err
	}
	p.BegunAt = time.UnixMicro(begunAt).UTC() // The zero time comes back as such.
	p.IssuedAt, p.ExpiresAt = time.UnixMicro(issuedAt).UTC(), time.UnixMicro(expiresAt).UTC()
	return p, nil
}

// Spend implements connect.Store.
func (s *Store) Spend(ctx context.Context, tokenHash string) error {
	err := s.db.exec(ctx, `UPDATE starts SET spent = TRUE WHERE token_hash = ?`, tokenHash)
	return failed(ctx, "spend a start", err)
}

// Complete implements connect.Store.
func (s *Store) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (first bool, err error) {
	const doing = "complete a start"
	if err := c.Validate(); err != nil {
		return false, failed(ctx, doing, err)
	}
	first, err = inTx(ctx, s.db, func(tx conn) (bool, error) {
		// Of two tabs that return together the second finds the account of the
		// first, to replace it. Else both would replace the one before, and one
		// identity would be forgotten.
		if err := lockUser(ctx, tx, c.UserID); err != nil {
			return false, err
		}
		// Of equal returns all but one now read a start that is completed: they
		// are reloads. One that is live stays so: a Spend waits until this is
		// over, and has nothing to say any more.
		if err := lock(ctx, tx, `SELECT 1 FROM starts WHERE token_hash = ? FOR UPDATE`, tokenHash); err != nil {
			return false, err
		}
		p, err := readStart(ctx, tx, tokenHash)
		if err != nil {
			return false, err
		}
		ended, err := wasDisconnected(ctx, tx, p)
		switch {
		case err != nil:
			return false, err
		case p.UserID != c.UserID || p.ApplicationID != c.ApplicationID:
			return false, connect.ErrAnotherUser
		case p.IdentityID == c.IdentityID:
			return false, nil // The same return again.
		case p.Spent, ended:
			return false, connect.ErrStateSpent
		case !c.ConnectedAt.Before(p.ExpiresAt):
			return false, connect.ErrStateExpired
		}
		if err := checkIdentity(ctx, tx, c); err != nil {
			return false, err
		}
		if err := replaceAccount(ctx, tx, c, how); err != nil {
			return false, err
		}
		return true, tx.exec(ctx, `UPDATE starts SET spent = TRUE, identity_id = ? WHERE token_hash = ?`, c.IdentityID, tokenHash)
	})
	return first, failed(ctx, doing, err)
}

// wasDisconnected reports whether a start began before a Disconnect of its user.
func wasDisconnected(ctx context.Context, tx conn, p connect.Pending) (ended bool, err error) {
	if p.BegunAt.IsZero() {
		return false, nil
	}
	err = tx.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM disconnects WHERE user_id = ? AND application_id = ? AND ended_at > ?)`,
		p.UserID, p.ApplicationID, p.BegunAt.UnixMicro()).Scan(&ended)
	return ended, err
}

// replaceAccount stores c in the place of the account that its user may have.
func replaceAccount(ctx context.Context, tx conn, c connect.Connection, how connect.Completion) error {
	old, err := readAccount(ctx, tx, c.ApplicationID, c.UserID)
	switch {
	case err != nil && !errors.Is(err, connect.ErrNotConnected):
		return err
	case how.SameIdentity && old.IdentityID != c.IdentityID: // or there is no old one
		return connect.ErrIdentityTooOld
	case err != nil:
	default:
		if err := deleteAccount(ctx, tx, old); err != nil {
			return err
		}
		if old.IdentityID != c.IdentityID {
			if err := queue(ctx, tx, connect.DeleteIdentity, old, c.ConnectedAt); err != nil {
				return err
			}
		}
	}
	if err := queue(ctx, tx, connect.TagIdentity, c, how.TagAfter); err != nil {
		return err
	}
	return tx.exec(ctx, `
		INSERT INTO accounts (user_id, application_id, identity_id, connected_at, health, health_at) VALUES (?, ?, ?, ?, ?, ?)`,
		c.UserID, c.ApplicationID, c.IdentityID, c.ConnectedAt.UnixMicro(), string(c.Health), c.HealthAt.UnixMicro())
}

// lockUser makes the caller the only one to change what belongs to a user, until
// its transaction ends.
func lockUser(ctx context.Context, tx conn, userID string) error {
	return lock(ctx, tx, `SELECT 1 FROM users WHERE id = ? FOR UPDATE`, userID)
}

// lock locks a row, if it is there.
func lock(ctx context.Context, tx conn, query, key string) error {
	var one int
	err := tx.queryRow(ctx, query, key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// checkIdentity tells whether an identity is free for c's user. Another user may
// take it, or give it up, right after this look. That is no harm: then a row of
// that user's stands at one of the two unique keys, and this one does not commit.
func checkIdentity(ctx context.Context, tx conn, c connect.Connection) error {
	var retired, taken bool
	err := tx.queryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM tasks WHERE identity_id = ? AND kind = 'delete'),
			EXISTS (SELECT 1 FROM accounts WHERE identity_id = ? AND NOT (user_id = ? AND application_id = ?))`,
		c.IdentityID, c.IdentityID, c.UserID, c.ApplicationID).
		Scan(&retired, &taken)
	switch {
	case err != nil:
		return err
	case retired:
		return connect.ErrIdentityRetired
	case taken:
		return connect.ErrIdentityTaken
	}
	return nil
}

// queue queues a task in the place of the identity's tag, if it has one: a newer
// tag replaces it, and an identity that is to be deleted needs none. A deletion
// is never replaced. Where one stands, put there since checkIdentity looked, the
// INSERT fails at the key.
func queue(ctx context.Context, tx conn, kind connect.TaskKind, c connect.Connection, notBefore time.Time) error {
	if err := tx.exec(ctx, `DELETE FROM tasks WHERE identity_id = ? AND kind = 'tag'`, c.IdentityID); err != nil {
		return err
	}
	return tx.exec(ctx, `INSERT INTO tasks (identity_id, kind, user_id, application_id, not_before, attempts) VALUES (?, ?, ?, ?, ?, 0)`,
		c.IdentityID, string(kind), c.UserID, c.ApplicationID, notBefore.UnixMicro())
}

// Connection implements connect.Store.
func (s *Store) Connection(ctx context.Context, applicationID, userID string) (connect.Connection, error) {
	c, err := readAccount(ctx, s.db.conn, applicationID, userID)
	return c, failed(ctx, "look up a connection", err)
}

func readAccount(ctx context.Context, tx conn, applicationID, userID string) (connect.Connection, error) {
	return scanAccount(tx.queryRow(ctx, selectAccount+`WHERE user_id = ? AND application_id = ?`, userID, applicationID))
}

const selectAccount = `SELECT user_id, application_id, identity_id, connected_at, health, health_at FROM accounts `

func scanAccount(row *sql.Row) (c connect.Connection, err error) {
	var connectedAt, healthAt int64
	err = row.Scan(&c.UserID, &c.ApplicationID, &c.IdentityID, &connectedAt, &c.Health, &healthAt)
	if errors.Is(err, sql.ErrNoRows) {
		err = connect.ErrNotConnected
	}
	if err != nil {
		return connect.Connection{}, err
	}
	c.ConnectedAt, c.HealthAt = time.UnixMicro(connectedAt).UTC(), time.UnixMicro(healthAt).UTC()
	return c, nil
}

// SetHealth implements connect.Store.
func (s *Store) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (connect.Connection, bool, error) {
	const doing = "set the health of a connection"
	if err := health.Validate(); err != nil {
		return connect.Connection{}, false, failed(ctx, doing, err)
	}
	at = time.UnixMicro(at.UnixMicro()).UTC() // As it is kept, and compared with the next.
	var changed bool
	c, err := inTx(ctx, s.db, func(tx conn) (none connect.Connection, err error) {
		// The first look tells whose it is, the second what it is now that nobody
		// else changes it.
		c, err := scanAccount(tx.queryRow(ctx, selectAccount+`WHERE identity_id = ?`, identityID))
		if err != nil {
			return none, err
		}
		if err := lockUser(ctx, tx, c.UserID); err != nil {
			return none, err
		}
		c, err = scanAccount(tx.queryRow(ctx, selectAccount+`WHERE identity_id = ? AND user_id = ?`, identityID, c.UserID))
		if err != nil {
			return none, err
		}
		changed = false
		// Of two events of one moment the bad news counts, whichever comes first.
		if !at.After(c.HealthAt) && !(at.Equal(c.HealthAt) && health == connect.HealthNeedsSignIn) {
			return c, nil
		}
		changed = c.Health != health
		c.Health, c.HealthAt = health, at
		return c, tx.exec(ctx, `UPDATE accounts SET health = ?, health_at = ? WHERE user_id = ? AND application_id = ?`,
			string(health), at.UnixMicro(), c.UserID, c.ApplicationID)
	})
	return c, changed && err == nil, failed(ctx, doing, err)
}

func deleteAccount(ctx context.Context, tx conn, c connect.Connection) error {
	return tx.exec(ctx, `DELETE FROM accounts WHERE user_id = ? AND application_id = ?`, c.UserID, c.ApplicationID)
}

// Disconnect implements connect.Store.
func (s *Store) Disconnect(ctx context.Context, applicationID, userID string, at, deleteAfter time.Time) (connect.Connection, error) {
	c, err := inTx(ctx, s.db, func(tx conn) (none connect.Connection, err error) {
		// A Complete of this user has committed by the time that this goes on,
		// and its account is found below, or it comes after this and finds its
		// start spent.
		if err := lockUser(ctx, tx, userID); err != nil {
			return none, err
		}
		if err := recordDisconnect(ctx, tx, applicationID, userID, at); err != nil {
			return none, err
		}
		// Without its identity a completed start is no reload any more.
		err = tx.exec(ctx, `UPDATE starts SET spent = TRUE, identity_id = '' WHERE user_id = ? AND application_id = ?`, userID, applicationID)
		if err != nil {
			return none, err
		}
		c, err := readAccount(ctx, tx, applicationID, userID)
		if errors.Is(err, connect.ErrNotConnected) {
			return none, nil // Commit: the starts are spent all the same.
		}
		if err != nil {
			return none, err
		}
		if err := deleteAccount(ctx, tx, c); err != nil {
			return none, err
		}
		return c, queue(ctx, tx, connect.DeleteIdentity, c, deleteAfter)
	})
	if err == nil && c.IdentityID == "" {
		err = connect.ErrNotConnected
	}
	return c, failed(ctx, "disconnect a user", err)
}

// recordDisconnect records when a user was disconnected, in the place of earlier
// moments.
func recordDisconnect(ctx context.Context, tx conn, applicationID, userID string, at time.Time) error {
	err := tx.exec(ctx, `DELETE FROM disconnects WHERE user_id = ? AND application_id = ? AND ended_at <= ?`, userID, applicationID, at.UnixMicro())
	if err != nil {
		return err
	}
	return tx.exec(ctx, `INSERT INTO disconnects (user_id, application_id, ended_at) VALUES (?, ?, ?)`, userID, applicationID, at.UnixMicro())
}

// ApplicationsOf implements connect.Store.
func (s *Store) ApplicationsOf(ctx context.Context, userID string) ([]string, error) {
	ids, err := readAll(ctx, s.db.conn, func(id *string) []any { return []any{id} }, `
		SELECT application_id FROM accounts WHERE user_id = ?
		UNION SELECT application_id FROM starts WHERE user_id = ? AND NOT spent`, userID, userID)
	return ids, failed(ctx, "list a user's applications", err)
}

// Applications implements connect.Store. It reads all accounts and tasks.
func (s *Store) Applications(ctx context.Context) ([]string, error) {
	ids, err := readAll(ctx, s.db.conn, func(id *string) []any { return []any{id} },
		`SELECT application_id FROM accounts UNION SELECT application_id FROM tasks`)
	return ids, failed(ctx, "list the applications", err)
}

// Claim implements connect.Store. Tasks that another replica is claiming at this
// moment are skipped, not waited for.
func (s *Store) Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]connect.Task, error) {
	if limit < 1 {
		return nil, nil
	}
	tasks, err := inTx(ctx, s.db, func(tx conn) ([]connect.Task, error) {
		tasks, err := readAll(ctx, tx, func(t *connect.Task) []any {
			return []any{&t.IdentityID, &t.Kind, &t.UserID, &t.ApplicationID, &t.Attempts}
		}, `
			SELECT identity_id, kind, user_id, application_id, attempts FROM tasks
			WHERE application_id = ? AND not_before <= ? ORDER BY not_before LIMIT ? FOR UPDATE SKIP LOCKED`,
			applicationID, now.UnixMicro(), limit)
		if err != nil {
			return nil, err
		}
		for i := range tasks {
			t := &tasks[i]
			t.NotBefore = time.UnixMicro(until.UnixMicro()).UTC()
			t.Attempts++
			err := tx.exec(ctx, `UPDATE tasks SET not_before = ?, attempts = ? WHERE identity_id = ?`, until.UnixMicro(), t.Attempts, t.IdentityID)
			if err != nil {
				return nil, err
			}
		}
		return tasks, nil
	})
	return tasks, failed(ctx, "claim tasks", err)
}

// Done implements connect.Store.
func (s *Store) Done(ctx context.Context, t connect.Task) error {
	err := s.db.exec(ctx, `DELETE FROM tasks WHERE identity_id = ? AND kind = ?`, t.IdentityID, string(t.Kind))
	return failed(ctx, "remove a task", err)
}

// Postpone implements connect.Store.
func (s *Store) Postpone(ctx context.Context, t connect.Task, notBefore time.Time) error {
	err := s.db.exec(ctx, `UPDATE tasks SET not_before = ? WHERE identity_id = ? AND kind = ?`, notBefore.UnixMicro(), t.IdentityID, string(t.Kind))
	return failed(ctx, "postpone a task", err)
}

// Sweep implements connect.Store. Starts that somebody is completing, or another
// replica is sweeping, are left for the next time.
func (s *Store) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit < 1 {
		return 0, nil
	}
	swept, err := inTx(ctx, s.db, func(tx conn) (int, error) {
		hashes, err := readAll(ctx, tx, func(hash *string) []any { return []any{hash} },
			`SELECT token_hash FROM starts WHERE expires_at < ? LIMIT ? FOR UPDATE SKIP LOCKED`,
			before.UnixMicro(), limit)
		if err != nil {
			return 0, err
		}
		for _, hash := range hashes {
			if err := tx.exec(ctx, `DELETE FROM starts WHERE token_hash = ?`, hash); err != nil {
				return 0, err
			}
		}
		return len(hashes), forgetDisconnects(ctx, tx, before, limit)
	})
	return swept, failed(ctx, "sweep starts", err)
}

func forgetDisconnects(ctx context.Context, tx conn, before time.Time, limit int) error {
	type moment struct {
		user, application string
		at                int64
	}
	moments, err := readAll(ctx, tx, func(m *moment) []any { return []any{&m.user, &m.application, &m.at} },
		`SELECT user_id, application_id, ended_at FROM disconnects WHERE ended_at < ? LIMIT ? FOR UPDATE SKIP LOCKED`,
		before.UnixMicro(), limit)
	if err != nil {
		return err
	}
	for _, m := range moments {
		err := tx.exec(ctx, `DELETE FROM disconnects WHERE user_id = ? AND application_id = ? AND ended_at = ?`, m.user, m.application, m.at)
		if err != nil {
			return err
		}
	}
	return nil
}

// failed says what could not be done. When ctx has ended that is the cause,
// whatever the driver makes of it.
func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%s: %w: %w", doing, ended, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
