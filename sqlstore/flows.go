package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/anchorconnect/connect"
)

// micros and fromMicros convert a time to and from its column: an integer of microseconds
// since 1970 in UTC. The databases' own types differ in range and rounding, and in how time
// zones and drivers shift them.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// beginning and fromBeginning do the same for BegunAt. 0 is unknown, as in the rows of
// releases that do not have the column.
func beginning(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

func fromBeginning(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return fromMicros(us)
}

// Bind implements [connect.Store]. On PostgreSQL it is one statement. Elsewhere it is two,
// the second one a transaction if older flows must make room.
func (s *Store) Bind(ctx context.Context, p connect.Pending, limit int) error {
	const doing = "bind a flow"
	if err := p.Validate(); err != nil {
		return failed(ctx, doing, err)
	}
	if limit < 1 {
		return failed(ctx, doing, fmt.Errorf("the limit of flows is %d, and must be at least 1", limit))
	}
	args := []any{
		p.TokenHash, p.ApplicationID, p.UserID, p.ActorID, p.ConnectionID, p.Adds, p.Label, p.ReturnTo,
		beginning(p.BegunAt), micros(p.IssuedAt), micros(p.ExpiresAt),
	}
	return s.do(ctx, doing, func() error {
		if s.sql.bindAtOnce != "" {
			_, err := s.write(ctx, s.sql.bindAtOnce, append(args, limit)...)
			if isDuplicate(err) {
				return errBound
			}
			return err
		}

		var flows []boundFlow
		err := s.onConn(ctx, func(conn *sql.Conn) (err error) {
			flows, err = queryFlows(ctx, conn, s.sql.flowsOf, p.ApplicationID, p.UserID, p.ActorID)
			return err
		})
		if err != nil {
			return err
		}
		live, spent := surplus(flows, limit)
		if len(live)+len(spent) == 0 {
			return isAdded(s.write(ctx, s.sql.bind, args...))
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			// This comes first, because the token hash may be one of those to remove.
			if err := isAdded(send(ctx, tx, s.sql.bind, args...)); err != nil {
				return err
			}
			if err := sendWithList(ctx, tx, s.sql.removeSome, spent, p.ApplicationID, p.UserID); err != nil {
				return err
			}
			return sendWithList(ctx, tx, s.sql.spendSome, live, p.ApplicationID, p.UserID)
		})
	})
}

var errBound = errors.New("its token hash is bound already")

// isAdded returns errBound if a flow was not added.
func isAdded(n int64, err error) error {
	if err == nil && n == 0 {
		return errBound
	}
	return err
}

// boundFlow is a flow that may have to make room.
type boundFlow struct {
	tokenHash string
	spent     bool
}

// queryFlows reads flows in the order of the database.
func queryFlows(ctx context.Context, r runner, query string, args ...any) ([]boundFlow, error) {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var flows []boundFlow
	for rows.Next() {
		var p boundFlow
		if err := rows.Scan(&p.tokenHash, &p.spent); err != nil {
			return nil, err
		}
		flows = append(flows, p)
	}
	return flows, rows.Err()
}

// surplus returns the token hashes of the flows that must make room for one more: live ones
// to spend and spent ones to remove. The flow that expires last must come first in flows.
func surplus(flows []boundFlow, limit int) (live, spent []string) {
	liveRoom, spentRoom := limit-1, limit
	for _, p := range flows {
		surplus, room := &live, &liveRoom
		if p.spent {
			surplus, room = &spent, &spentRoom
		}
		if *room--; *room < 0 {
			*surplus = append(*surplus, p.tokenHash)
		}
	}
	return live, spent
}

// Pending implements [connect.Store].
func (s *Store) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	const doing = "look up a flow"
	if err := validKey("token hash", tokenHash); err != nil {
		return connect.Pending{}, failed(ctx, doing, err)
	}
	p := connect.Pending{TokenHash: tokenHash}
	var begunAt, issuedAt, expiresAt int64
	err := s.read(ctx, doing, func(conn *sql.Conn) error {
		err := conn.QueryRowContext(ctx, s.sql.pending, tokenHash).Scan(
			&p.ApplicationID, &p.UserID, &p.ActorID, &p.ConnectionID, &p.Adds, &p.Label, &p.ReturnTo, &begunAt, &issuedAt, &expiresAt, &p.Spent, &p.IdentityID)
		if errors.Is(err, sql.ErrNoRows) {
			return connect.ErrStateUnknown
		}
		return err
	})
	if err != nil {
		return connect.Pending{}, err
	}
	p.BegunAt, p.IssuedAt, p.ExpiresAt = fromBeginning(begunAt), fromMicros(issuedAt), fromMicros(expiresAt)
	return p, nil
}

// Spend implements [connect.Store].
func (s *Store) Spend(ctx context.Context, tokenHash string) error {
	const doing = "spend a flow"
	if err := validKey("token hash", tokenHash); err != nil {
		return failed(ctx, doing, err)
	}
	return s.do(ctx, doing, func() error {
		_, err := s.write(ctx, s.sql.spend, tokenHash)
		return err
	})
}

// Sweep implements [connect.Store]. On PostgreSQL it skips rows that others have locked. On
// SQLite and, briefly, on MySQL it may wait for a flow that is being completed.
func (s *Store) Sweep(ctx context.Context, before time.Time, limit int) (int, error) {
	const doing = "sweep flows"
	if limit < 1 {
		return 0, nil
	}
	var n int64
	err := s.do(ctx, doing, func() error {
		return s.inTx(ctx, func(tx *sql.Tx) (err error) {
			if n, err = send(ctx, tx, s.sql.sweep, micros(before), limit); err != nil {
				return err
			}
			_, err = send(ctx, tx, s.sql.forgetDisconnects, micros(before), limit)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
