package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/anchorconnect/connect/sqlstore"
)

// database is the app's database. It runs on three of them, and all that they
// do not have in common is in this file: an app with one needs little of it.
type database struct {
	conn
	pool *sql.DB
}

// A conn sends statements, to the pool or inside a transaction.
type conn struct {
	to interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	dialect sqlstore.Dialect
}

func (c conn) exec(ctx context.Context, query string, args ...any) error {
	_, err := c.to.ExecContext(ctx, c.translate(query), args...)
	return err
}

func (c conn) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return c.to.QueryRowContext(ctx, c.translate(query), args...)
}

// readAll reads all rows of a query. columns says where those of a row go.
func readAll[T any](ctx context.Context, c conn, columns func(*T) []any, query string, args ...any) ([]T, error) {
	rows, err := c.to.QueryContext(ctx, c.translate(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var row T
		if err := rows.Scan(columns(&row)...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// translate puts a statement into the database's own words. The app writes ? for
// a parameter, never for anything else, and FOR UPDATE at the end.
func (c conn) translate(query string) string {
	switch c.dialect {
	case sqlstore.SQLite:
		// It locks no rows: a transaction begins by locking all of the file.
		query, _, _ = strings.Cut(query, "FOR UPDATE")
	case sqlstore.PostgreSQL:
		for n := 1; strings.Contains(query, "?"); n++ {
			query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
		}
	}
	return query
}

// inTx runs f in a transaction, and commits it unless f returns an error. When
// another transaction was in the way, f runs again from its beginning, and so
// finds what the other one has left.
func inTx[T any](ctx context.Context, db *database, f func(tx conn) (T, error)) (T, error) {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		result, err := inTxOnce(ctx, db, f)
		if attempt == attempts || !wasInTheWay(err) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(rand.N(time.Duration(attempt) * 10 * time.Millisecond)):
		}
	}
}

// inTxOnce returns the zero T beside an error.
func inTxOnce[T any](ctx context.Context, db *database, f func(tx conn) (T, error)) (T, error) {
	var none T
	// READ COMMITTED: what is read after a wait for a lock is what the one who
	// held it has left. MySQL's default shows what there was before, and locks
	// the gaps between rows too, so that strangers wait for each other.
	pooled, err := db.pool.Conn(ctx)
	if err != nil {
		return none, err
	}
	defer pooled.Close()
	// A commit that is cut off may happen all the same, after it was said to have
	// failed. So it has two seconds more than ctx.
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(2*time.Second, cancel) })()
	tx, err := pooled.BeginTx(longer, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return none, err
	}
	defer tx.Rollback() // Does nothing after Commit.
	result, err := f(conn{tx, db.dialect})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return none, err
	}
	if err := tx.Commit(); err != nil {
		return none, err
	}
	return result, nil
}

// wasInTheWay tells the errors that are another transaction's doing: it took a
// unique key that had been free when this one looked, or the two locked rows in
// an order that left one of them to give up, or SQLite's one lock was not to be
// had for long.
func wasInTheWay(err error) bool {
	var postgres *pgconn.PgError
	var maria *mysql.MySQLError
	var lite *sqlite.Error
	switch {
	case errors.As(err, &postgres): // unique_violation, serialization_failure, deadlock_detected
		return postgres.Code == "23505" || postgres.Code == "40001" || postgres.Code == "40P01"
	case errors.As(err, &maria): // ER_DUP_ENTRY, ER_LOCK_DEADLOCK
		return maria.Number == 1062 || maria.Number == 1213
	case errors.As(err, &lite): // SQLITE_BUSY
		return lite.Code()&0xff == 5
	}
	return false
}

//go:embed schema.sql
var schema string

// openDatabase opens the database that DATABASE_URL names and makes the tables
// that are missing.
func openDatabase(ctx context.Context, databaseURL string) (*database, error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	textType := strings.NewReplacer() // Texts are compared byte by byte.
	switch dialect {
	case sqlstore.SQLite:
		dsn += "&_pragma=foreign_keys(1)" // Off by default, on every connection.
	case sqlstore.PostgreSQL:
		textType = strings.NewReplacer("TEXT(255)", `TEXT COLLATE "C"`, "TEXT(1024)", `TEXT COLLATE "C"`)
	case sqlstore.MySQL:
		textType = strings.NewReplacer("TEXT(", "VARBINARY(") // Collations ignore spaces at the end.
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db := &database{conn{pool, dialect}, pool}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = inTx(ctx, db, func(tx conn) (none struct{}, err error) {
		if dialect == sqlstore.PostgreSQL {
			// Of replicas that start at once it has those fail that make a table
			// which another one is making. This lock, of a number that nobody else
			// takes, lets them wait until the transaction is over.
			if err := tx.exec(ctx, `SELECT pg_advisory_xact_lock(7231905544)`); err != nil {
				return none, err
			}
		}
		for statement := range strings.SplitSeq(strings.TrimSpace(schema), ";\n") {
			if err := tx.exec(ctx, textType.Replace(statement)); err != nil {
				return none, err
			}
		}
		if dialect == sqlstore.PostgreSQL {
			// A platform may publish the tables to roles of its own. The owner goes on.
			for _, table := range []string{"users", "accounts", "starts", "tasks", "disconnects"} {
				if err := tx.exec(ctx, `ALTER TABLE `+table+` ENABLE ROW LEVEL SECURITY`); err != nil {
					return none, err
				}
			}
		}
		return none, nil
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("the tables could not be made: %w", err)
	}
	return db, nil
}

func (db *database) close() error { return db.pool.Close() }
