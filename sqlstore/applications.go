package sqlstore

import (
	"context"
	"database/sql"
)

// ApplicationsOf implements [connect.Store].
func (s *Store) ApplicationsOf(ctx context.Context, userID string) ([]string, error) {
	const doing = "list a user's applications"
	if err := validKey("user id", userID); err != nil {
		return nil, failed(ctx, doing, err)
	}
	var ids []string
	err := s.read(ctx, doing, func(conn *sql.Conn) (err error) {
		ids, err = queryStrings(ctx, conn, s.sql.applicationsOf, userID, userID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func queryStrings(ctx context.Context, r runner, query string, args ...any) ([]string, error) {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// Applications implements [connect.Store]. It sends a statement for each application and
// one more, because DISTINCT would read a whole index.
func (s *Store) Applications(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.read(ctx, "list the applications", func(conn *sql.Conn) error {
		ids = nil
		var next sql.NullString
		for {
			err := conn.QueryRowContext(ctx, s.sql.nextApplication, next.String, next.String).Scan(&next)
			if err != nil || !next.Valid {
				return err
			}
			ids = append(ids, next.String)
		}
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}
