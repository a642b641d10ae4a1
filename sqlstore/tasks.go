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

// Claim implements [connect.Store]. The longest due tasks come first. On PostgreSQL it is one
// statement, elsewhere a query and, if a task is due, a transaction.
func (s *Store) Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]connect.Task, error) {
	const doing = "claim tasks"
	if limit < 1 {
		return nil, nil
	}
	if err := validKey("application id", applicationID); err != nil {
		return nil, failed(ctx, doing, err)
	}
	var tasks []connect.Task
	err := s.do(ctx, doing, func() (err error) {
		if s.sql.claimAtOnce != "" {
			return s.writing(ctx, func(ctx context.Context, conn *sql.Conn) error {
				tasks, err = queryTasks(ctx, conn, s.sql.claimAtOnce, applicationID, micros(now), micros(until), limit)
				return err
			})
		}
		// Most calls find no task. On SQLite a transaction would block other writers for
		// nothing.
		err = s.onConn(ctx, func(conn *sql.Conn) error {
			return conn.QueryRowContext(ctx, s.sql.due, applicationID, micros(now)).Scan(new(int))
		})
		if errors.Is(err, sql.ErrNoRows) {
			tasks = nil
			return nil
		}
		if err != nil {
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			tasks, err = queryTasks(ctx, tx, s.sql.pick, applicationID, micros(now), limit)
			if err != nil {
				return err
			}
			ids := make([]string, len(tasks))
			for i, t := range tasks {
				ids[i] = t.IdentityID
			}
			return sendWithList(ctx, tx, s.sql.lease, ids, micros(until))
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tasks, func(a, b connect.Task) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.IdentityID, b.IdentityID))
	})
	for i := range tasks {
		tasks[i].NotBefore = fromMicros(micros(until))
	}
	return tasks, nil
}

// queryTasks returns tasks with their old NotBefore.
func queryTasks(ctx context.Context, r runner, query string, args ...any) ([]connect.Task, error) {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tasks []connect.Task
	for rows.Next() {
		var t connect.Task
		var notBefore int64
		if err := rows.Scan(&t.IdentityID, &t.Kind, &t.ApplicationID, &t.UserID, &notBefore, &t.Attempts); err != nil {
			return nil, err
		}
		t.NotBefore = fromMicros(notBefore)
		tasks = append(tasks, t)
	}
	return tasks, rows.Err()
}

func validTask(t connect.Task) error {
	return cmp.Or(validKey("kind", string(t.Kind)), validKey("identity id", t.IdentityID))
}

// Done implements [connect.Store].
func (s *Store) Done(ctx context.Context, t connect.Task) error {
	const doing = "remove a task"
	if err := validTask(t); err != nil {
		return failed(ctx, doing, err)
	}
	return s.do(ctx, doing, func() error {
		_, err := s.write(ctx, s.sql.done, t.IdentityID, string(t.Kind))
		return err
	})
}

// Postpone implements [connect.Store].
func (s *Store) Postpone(ctx context.Context, t connect.Task, notBefore time.Time) error {
	const doing = "postpone a task"
	if err := validTask(t); err != nil {
		return failed(ctx, doing, err)
	}
	return s.do(ctx, doing, func() error {
		_, err := s.write(ctx, s.sql.postpone, micros(notBefore), t.IdentityID, string(t.Kind))
		return err
	})
}
