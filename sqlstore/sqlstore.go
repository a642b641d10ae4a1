// Package sqlstore implements [connect.Store] with database/sql, for SQLite, PostgreSQL,
// MySQL and MariaDB. It imports no driver: the app imports the one it uses.
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
// It is tested with modernc.org/sqlite, github.com/mattn/go-sqlite3,
// github.com/ncruces/go-sqlite3, github.com/jackc/pgx/v5/stdlib, github.com/lib/pq and
// github.com/go-sql-driver/mysql. Another driver works if its errors have the shape of one
// of these.
//
// # Time
//
// A [Store] has no timeouts of its own: a method waits for the pool, a lock or the server
// until its ctx ends. Give every ctx a deadline. When ctx ends, a method returns at once,
// with two exceptions. A write that has been sent gets two more seconds to finish, and
// SQLite waits for a lock until its busy_timeout ends.
//
// If the answer to a write is lost, because those two seconds or the connection ended, the
// write may have taken effect, or may do so later. Every method may then be called again.
//
// The store retries an operation a few times, after short random waits, if the database
// certainly did not do it: after a deadlock, a lock timeout, SQLite's "database is
// locked", a closed session, or a failover that made the server a replica.
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

// A Dialect is the SQL of a database.
type Dialect string

// The dialects. MariaDB uses MySQL.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
	MySQL      Dialect = "mysql"
)

// Store is a [connect.Store] and a [connect.Lister] in a SQL database. The app configures
// and closes the pool. A Store is safe for concurrent use, and any number of processes may
// use the same tables.
type Store struct {
	db      *sql.DB
	dialect Dialect
	prefix  string
	sql     statements
	hook    Hook // nil if there is none
	// tx asks servers for READ COMMITTED. A statement then sees what others committed
	// while the transaction waited for a lock, and MySQL locks rows but no gaps.
	tx *sql.TxOptions
	// turn is held by the one writer of this process on SQLite, and nil elsewhere.
	// Writers wait for it in order, until their ctx ends. Waiting in SQLite is not
	// fair: some would starve.
	turn chan struct{}
}

var (
	_ connect.Store  = (*Store)(nil)
	_ connect.Lister = (*Store)(nil)
)

// New returns a store in db, a database of dialect d. It sends nothing. To create the
// tables, call [Store.Migrate], or give [Schema] to a migration tool.
//
// New panics if db is nil, d is unknown or an option is invalid.
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

// mustKnow panics if d is not one of the dialects.
func mustKnow(d Dialect) {
	switch d {
	case SQLite, PostgreSQL, MySQL:
	default:
		panic(fmt.Sprintf("sqlstore: unknown dialect %q: want sqlstore.SQLite, sqlstore.PostgreSQL or sqlstore.MySQL", d))
	}
}

// An Option configures [New]. [Schema] and [SchemaSince] use only [WithTablePrefix].
type Option func(*settings)

type settings struct {
	prefix string
	hook   Hook
}

// defaultPrefix is the prefix in the texts of schema files and statements.
const defaultPrefix = "connect_"

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,29}$`)

// WithTablePrefix replaces the prefix "connect_" of tables and indexes, so that several
// stores can share a database. A prefix has 1 to 30 lower-case letters, digits and
// underscores, and begins with a letter. With any other prefix, [New], [Schema] and
// [SchemaSince] panic.
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
		panic(fmt.Sprintf("sqlstore: table prefix %q: want 1 to 30 of a-z, 0-9 and _, beginning with a letter", s.prefix))
	}
	return s
}

// A runner sends statements: a pool, a connection or a transaction.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// send sends a statement and returns how many rows it changed.
func send(ctx context.Context, r runner, query string, args ...any) (int64, error) {
	result, err := r.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// listBatch is how many keys one statement lists, well within each database's limit on
// parameters.
const listBatch = 500

// sendWithList sends a statement whose text ends before a list of keys, once for each
// listBatch of keys.
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

// list returns a list of n parameters. n is at least 1.
func list(n int) string { return "(?" + strings.Repeat(", ?", n-1) + ")" }

// settle is how long a write that has been sent may outlast its ctx. If it were abandoned,
// it would be unknown whether it takes effect.
const settle = 2 * time.Second

// outlive returns a context that ends settle after ctx does.
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

// onConn runs f on a connection of the pool, and discards the connection if f's error
// calls for another one. f must not wait for a second connection: the pool may have only
// one.
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

// writing runs f on a connection for writing. f's ctx outlives the given one.
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

// write sends a statement outside of a transaction, and returns how many rows it changed.
func (s *Store) write(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.writing(ctx, func(ctx context.Context, conn *sql.Conn) error {
		n, err = send(ctx, conn, query, args...)
		return err
	})
	return n, err
}

// inTx runs f in a transaction, and commits it unless f returns an error or ctx has ended.
//
// On SQLite f must write before it reads. Otherwise a transaction without
// _txlock=immediate could fail because what it has read is out of date.
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
