package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/anchorconnect/connect"
)

// micros and fromMicros are how a moment is kept, in every dialect: as an
// integer of microseconds since 1970 in UTC. The databases' own types differ in
// range, in rounding and in how a session's time zone or a driver's setting
// shifts them; an integer does nothing of it, and compares as instants do.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// Bind implements [connect.Store].
func (s *Store) Bind(ctx context.Context, p connect.Pending) error {
	const doing = "bind a start"
	if err := p.Validate(); err != nil {
		return failed(ctx, doing, err)
	}
	return s.do(ctx, doing, func() error {
		n, err := s.write(ctx, s.sql.bind,
			p.TokenHash, p.ApplicationID, p.UserID, p.ReturnTo, micros(p.IssuedAt), micros(p.ExpiresAt))
		if err == nil && n == 0 {
			err = errors.New("its token hash is bound already")
		}
		return err
	})
}

// Pending implements [connect.Store].
func (s *Store) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	const doing = "look up a start"
	if err := validKey("token hash", tokenHash); err != nil {
		return connect.Pending{}, failed(ctx, doing, err)
	}
	p := connect.Pending{TokenHash: tokenHash}
	var issuedAt, expiresAt int64
	err := s.do(ctx, doing, func() error {
		err := s.db.QueryRowContext(ctx, s.sql.pending, tokenHash).Scan(
			&p.ApplicationID, &p.UserID, &p.ReturnTo, &issuedAt, &expiresAt, &p.Spent, &p.IdentityID)
		if errors.Is(err, sql.ErrNoRows) {
			return connect.ErrStateUnknown
		}
		return err
	})
	if err != nil {
		return connect.Pending{}, err
	}
	p.IssuedAt, p.ExpiresAt = fromMicros(issuedAt), fromMicros(expiresAt)
	return p, nil
}

// Spend implements [connect.Store].
func (s *Store) Spend(ctx context.Context, tokenHash string) error {
	const doing = "spend a start"
	if err := validKey("token hash", tokenHash); err != nil {
		return failed(ctx, doing, err)
	}
	return s.do(ctx, doing, func() error {
		_, err := s.write(ctx, s.sql.spend, tokenHash)
		return err
	})
}

// Sweep implements [connect.Store], in one statement. It never waits for a
// start that somebody is completing, except on SQLite and, briefly, on MySQL.
func (s *Store) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	const doing = "sweep starts"
	if limit < 1 {
		return 0, nil
	}
	var n int64
	err := s.do(ctx, doing, func() (err error) {
		n, err = s.write(ctx, s.sql.sweep, micros(before), limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
