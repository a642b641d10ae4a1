package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/anchorconnect/connect/sqlstore"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// openStore opens the database at databaseURL and migrates connect's tables.
func openStore(ctx context.Context, databaseURL string) (*sql.DB, *sqlstore.Store, error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(databaseURL)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, nil, fmt.Errorf("the database cannot be reached: %w", err)
	}
	store := sqlstore.New(db, dialect)
	if err := store.Migrate(ctx); err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, store, nil
}
