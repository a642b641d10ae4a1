// Package sqlstore keeps what connect must not forget in a SQL database, by
// database/sql: SQLite, PostgreSQL, and MySQL or MariaDB. It imports no driver,
// so an app brings the one it uses anyway.
//
//	driver, dsn, dialect, err := sqlstore.ParseURL(os.Getenv("DATABASE_URL"))
//	…
//	db, err := sql.Open(driver, dsn)
//	…
//	store := sqlstore.New(db, dialect)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//
// The drivers it is tested with are modernc.org/sqlite, github.com/mattn/go-sqlite3,
// github.com/ncruces/go-sqlite3, github.com/jackc/pgx/v5 (its stdlib package),
// github.com/lib/pq and github.com/go-sql-driver/mysql. Others work if their errors
// have the shape of one of these.
//
// # Time
//
// A [Store] sets no time limits of its own: a method takes as long as its ctx
// allows, be it that the pool is exhausted, a lock is held or the server is
// gone. Give every ctx a deadline. When it ends a method returns at once, except
// that a write which the database is working on is given two seconds more to end
// in one way or the other, and that SQLite waits for a lock until its
// busy_timeout is over. When the answer to a write is lost, because those two
// seconds or the connection have come to an end, it may have taken place, or do
// so later. Every method may then be called again.
//
// The store retries a few times, after short random waits, what the database has
// certainly not done: it broke the statement off for another transaction (a deadlock,
// a lock timeout, SQLite's "database is locked"), closed the session, or is a replica
// since a failover.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

// A Dialect is the SQL that a database understands.
type Dialect string

// The dialects. MySQL serves MariaDB too.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
	MySQL      Dialect = "mysql"
)

// Store is a [connect.Store] in a SQL database. The pool stays the app's to
// configure and to close. A Store may be used by any number of goroutines, and
// any number of processes may use the same tables.
type Store struct {
	db      *sql.DB
	dialect Dialect
	prefix  string
	sql     statements
	hook    Hook // nil if there is none
	// tx asks for READ COMMITTED where a server has more than one isolation
	// level: a statement then sees what was committed while it, or the one
	// before it, waited for a lock, and MySQL locks rows but no gaps.
	tx *sql.TxOptions
	// turn holds what a writer takes on SQLite, which has one writer at a time.
	// Writers of one process wait here in order, and as long as their ctx
	// allows; SQLite lets them try, and the unlucky starve. It is nil elsewhere.
	turn chan struct{}
}

var (
	_ connect.Store  = (*Store)(nil)
	_ connect.Lister = (*Store)(nil)
)

// New returns a store in db, which speaks d. It sends nothing: [Store.Migrate]
// makes the tables, or a team's own migration tool does, with [Schema].
//
// It panics if db is nil, d is unknown or an option is not valid.
func New(db *sql.DB, d Dialect, options ...Option) *Store {
	if db == nil {
		panic("sqlstore: the *sql.DB is nil")
	}
	mustKnow(d)
	set := settingsFrom(options)
	s := &Store{
		db:      db,
		dialect: d,
		prefix:  set.prefix,
		sql:     statementsFor(d, set.prefix),
		hook:    set.hook,
	}
	if d == SQLite {
		s.turn = make(chan struct{}, 1)
	} else {
		s.tx = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return s
}

// mustKnow panics if d is none of the dialects.
func mustKnow(d Dialect) {
	switch d {
	case SQLite, PostgreSQL, MySQL:
	default:
		panic(fmt.Sprintf("sqlstore: unknown dialect %q: want sqlstore.SQLite, sqlstore.PostgreSQL or sqlstore.MySQL", d))
	}
}

// An Option is for [New]. [Schema] and [SchemaSince] follow [WithTablePrefix] alone.
type Option func(*settings)

type settings struct {
	prefix string
	hook   Hook
}

// defaultPrefix is what the schema files and the statements are written with.
const defaultPrefix = "connect_"

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,29}$`)

// WithTablePrefix names tables and indexes with another prefix than "connect_",
// so that several stores share a database. It is 1 to 30 letters, digits and
// underscores, lower case, a letter first; all three panic at anything else.
func WithTablePrefix(prefix string) Option {
	return func(s *settings) { s.prefix = prefix }
}

func tablePrefix(options []Option) string { return settingsFrom(options).prefix }

func settingsFrom(options []Option) settings {
	s := settings{prefix: defaultPrefix}
	for _, set := range options {
		set(&s)
	}
	if !validPrefix.MatchString(s.prefix) {
		panic(fmt.Sprintf("sqlstore: table prefix %q: want 1 to 30 of a-z, 0-9 and _, a letter first", s.prefix))
	}
	return s
}

// A runner sends statements: a pool, a connection or a transaction.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// send sends a statement and returns how many rows it has changed.
func send(ctx context.Context, r runner, query string, args ...any) (int64, error) {
	result, err := r.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// listBatch is how many keys one statement lists, well within the number of
// parameters that any database takes.
const listBatch = 500

// sendWithList sends a statement whose text ends before a list of keys: once, or
// more often for more keys than one list takes, or never for none.
func sendWithList(ctx context.Context, r runner, query string, keys []string, args ...any) error {
	for batch := range slices.Chunk(keys, listBatch) {
		args := slices.Clone(args)
		for _, key := range batch {
			args = append(args, key)
		}
		if _, err := send(ctx, r, query+list(len(batch)), args...); err != nil {
			return err
		}
	}
	return nil
}

// list returns a list of n parameters, of which there is at least one.
func list(n int) string { return "(?" + strings.Repeat(", ?", n-1) + ")" }

// settle is how much longer than its ctx a write may take that the server has
// been sent. To leave then would leave open whether it takes place after all.
const settle = 2 * time.Second

// outlive returns a context that ends when ctx has ended for as long as settle.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(settle, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// onConn runs f on a connection of the pool. It discards the connection if f returns
// an error after which another one must be used. f must not wait for a second
// connection: the pool may have only one.
func (s *Store) onConn(ctx context.Context, f func(conn *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = f(conn)
	if reactionTo(err) == tryElsewhere {
		// The pool closes a connection that this error is returned for.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}

// read is do for an operation that only reads, on one connection.
func (s *Store) read(ctx context.Context, doing string, op func(conn *sql.Conn) error) error {
	return s.do(ctx, doing, func() error { return s.onConn(ctx, op) })
}

// writing runs f on a connection for writing. The ctx that f is given outlives
// the one that the connection was awaited with.
func (s *Store) writing(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	if s.turn != nil {
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.onConn(ctx, func(conn *sql.Conn) error {
		longer, cancel := outlive(ctx)
		defer cancel()
		return f(longer, conn)
	})
}

// write sends a statement that commits itself, and returns how many rows it has
// changed.
func (s *Store) write(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.writing(ctx, func(ctx context.Context, conn *sql.Conn) error {
		n, err = send(ctx, conn, query, args...)
		return err
	})
	return n, err
}

// inTx runs f in a transaction, and commits it unless f returns an error. When
// ctx ends before the commit is sent, nothing is committed.
//
// On SQLite f must write before it reads, else a transaction that was opened
// without _txlock=immediate could find that what it has read is out of date.
func (s *Store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return s.writing(ctx, func(longer context.Context, conn *sql.Conn) error {
		tx, err := conn.BeginTx(longer, s.tx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := cmp.Or(f(tx), ctx.Err()); err != nil {
			return err
		}
		return tx.Commit()
	})
}
