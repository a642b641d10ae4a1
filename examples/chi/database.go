package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/anchorconnect/connect/sqlstore"
)

// database is the app's database, with connect's store in it. It supports three
// dialects; an app that uses only one needs little of this file.
type database struct {
	conn
	pool  *sql.DB
	store *sqlstore.Store
}

// A conn executes statements on the pool or in a transaction.
type conn struct {
	to interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
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

// translate rewrites a statement for the dialect. In the app's statements, ? is always a
// parameter, and FOR UPDATE is at the end.
func (c conn) translate(query string) string {
	switch c.dialect {
	case sqlstore.SQLite:
		// SQLite has no row locks: a transaction that writes locks the file.
		query, _, _ = strings.Cut(query, "FOR UPDATE")
	case sqlstore.PostgreSQL:
		for n := 1; strings.Contains(query, "?"); n++ {
			query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
		}
	}
	return query
}

// insertNew returns a statement that inserts a row unless its key exists.
func (c conn) insertNew(row string) string {
	if c.dialect == sqlstore.MySQL {
		return `INSERT IGNORE INTO ` + row
	}
	return `INSERT INTO ` + row + ` ON CONFLICT DO NOTHING`
}

//go:embed schema.sql
var schema string

// openDatabase opens the database at databaseURL and creates missing tables, both the
// app's and connect's.
func openDatabase(ctx context.Context, databaseURL string) (*database, error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db := &database{conn: conn{pool, dialect}, pool: pool}
	db.store = sqlstore.New(pool, dialect, sqlstore.WithHook(db.follow))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := db.migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cannot create the tables: %w", err)
	}
	return db, nil
}

// migrate creates connect's tables and then the app's. The store's Migrate makes
// replicas wait for each other.
func (db *database) migrate(ctx context.Context) error {
	if err := db.store.Migrate(ctx); err != nil {
		return err
	}
	textType := strings.NewReplacer() // Compares strings byte by byte.
	switch db.dialect {
	case sqlstore.PostgreSQL:
		textType = strings.NewReplacer("TEXT(255)", `TEXT COLLATE "C"`)
	case sqlstore.MySQL:
		textType = strings.NewReplacer("TEXT(", "VARBINARY(") // Collations ignore trailing spaces.
	}
	err := db.exec(ctx, textType.Replace(schema))
	if err != nil {
		// On PostgreSQL, IF NOT EXISTS fails while another replica creates the table.
		err = db.exec(ctx, textType.Replace(schema))
	}
	return err
}

func (db *database) close() error { return db.pool.Close() }
