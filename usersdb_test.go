package connect_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// usersTable is a database with one answer: an app's own table of users and identities.
type usersTable [][2]string

func (t usersTable) Connect(context.Context) (driver.Conn, error) { return usersConn{t}, nil }
func (t usersTable) Driver() driver.Driver                        { return nil }

type usersConn struct{ table usersTable }

func (c usersConn) Prepare(string) (driver.Stmt, error) { return usersQuery(c), nil }
func (c usersConn) Close() error                        { return nil }
func (c usersConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }

type usersQuery struct{ table usersTable }

func (usersQuery) Close() error                               { return nil }
func (usersQuery) NumInput() int                              { return 0 }
func (usersQuery) Exec([]driver.Value) (driver.Result, error) { return nil, errors.ErrUnsupported }
func (q usersQuery) Query([]driver.Value) (driver.Rows, error) {
	return &usersRows{q.table}, nil
}

type usersRows struct{ left usersTable }

func (r *usersRows) Columns() []string { return []string{"id", "anchor_identity_id"} }
func (r *usersRows) Close() error      { return nil }
func (r *usersRows) Next(dest []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	dest[0], dest[1] = r.left[0][0], r.left[0][1]
	r.left = r.left[1:]
	return nil
}
