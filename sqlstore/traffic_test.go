package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// traffic records the round trips between a pool and its database: "begin", "commit",
// "rollback", or a statement.
type traffic struct {
	mu   sync.Mutex
	sent []string
	// opened is the number of connections that were opened.
	opened int
	// before, if set, is called before each round trip. Its error replaces the result.
	before func(sending string) error
}

func (w *traffic) send(sending string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, sending)
	if w.before != nil {
		return w.before(sending)
	}
	return nil
}

// unsend removes the last entry, which a driver has refused to send.
func (w *traffic) unsend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = w.sent[:len(w.sent)-1]
}

// during returns the round trips while f runs.
func (w *traffic) during(f func()) []string {
	w.mu.Lock()
	w.sent = nil
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// openedDuring returns how many connections are opened while f runs.
func (w *traffic) openedDuring(f func()) int {
	opened := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.opened
	}
	before := opened()
	f()
	return opened() - before
}

func (w *traffic) setBefore(before func(sending string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

// watched opens a pool of one connection, and records its traffic.
func watched(t *testing.T, d *database) (*sql.DB, *traffic) {
	t.Helper()
	return watchedAt(t, d.url(t))
}

// watchedAt is watched with a URL.
func watchedAt(t *testing.T, databaseURL string) (*sql.DB, *traffic) {
	t.Helper()
	name, dsn, _, err := ParseURL(databaseURL)
	require.NoError(t, err)
	plain, err := sql.Open(name, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { plain.Close() })
	w := new(traffic)
	db := sql.OpenDB(watchedConnector{plain.Driver(), dsn, w})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db, w
}

type watchedConnector struct {
	driver driver.Driver
	dsn    string
	w      *traffic
}

func (c watchedConnector) Driver() driver.Driver { return c.driver }

func (c watchedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.opened++
	return &watchedConn{conn, c.w}, nil
}

// watchedConn wraps a connection. All three drivers implement the interfaces that it uses.
type watchedConn struct {
	driver.Conn
	w *traffic
}

func (c *watchedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if err := c.w.send("begin"); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return watchedTx{tx, c.w}, nil
}

func (c *watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.w.send(query); err != nil {
		return nil, err
	}
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	if errors.Is(err, driver.ErrSkip) {
		c.w.unsend()
	}
	return result, err
}

func (c *watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.w.send(query); err != nil {
		return nil, err
	}
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if errors.Is(err, driver.ErrSkip) {
		c.w.unsend()
	}
	return rows, err
}

func (c *watchedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.w.send("prepare"); err != nil {
		return nil, err
	}
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt, c.w.send(query) // It is prepared to be sent once.
}

func (c *watchedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type watchedTx struct {
	driver.Tx
	w *traffic
}

func (tx watchedTx) Commit() error {
	if err := tx.w.send("commit"); err != nil {
		tx.Tx.Rollback()
		return err
	}
	return tx.Tx.Commit()
}

func (tx watchedTx) Rollback() error {
	if err := tx.w.send("rollback"); err != nil {
		return err
	}
	return tx.Tx.Rollback()
}
