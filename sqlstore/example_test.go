package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

// The address of the database is one environment variable. The app imports the
// driver of the database, or several.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("DATABASE_URL", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db")))

	driver, dsn, dialect, err := sqlstore.ParseURL(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	store := sqlstore.New(db, dialect) // for connect.Config's Store
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = store.Connection(ctx, "0f2b1c1e-0000-4000-8000-00000000000a", "ada")
	fmt.Println(errors.Is(err, connect.ErrNotConnected))
	// Output:
	// true
}

func ExampleParseURL() {
	for _, address := range []string{
		"postgres://app:secret@db.internal/app",
		"mysql://app:secret@db.internal/app",
		"redis://db.internal",
	} {
		driver, dsn, dialect, err := sqlstore.ParseURL(address)
		fmt.Println(driver, dialect, dsn, err)
	}
	// Output:
	// pgx postgres postgres://app:secret@db.internal/app?default_query_exec_mode=exec <nil>
	// mysql mysql app:secret@tcp(db.internal:3306)/app?charset=utf8mb4&interpolateParams=true <nil>
	//    sqlstore: database URL: unknown scheme "redis": want file:…, postgres://…, postgresql://… or mysql://…
}

// What a migration tool of a team's own is given.
func ExampleSchema() {
	schema := sqlstore.Schema(sqlstore.PostgreSQL, sqlstore.WithTablePrefix("staging_"))
	for line := range strings.Lines(schema) {
		if strings.HasPrefix(line, "CREATE TABLE") {
			fmt.Print(line)
		}
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS staging_schema (
	// CREATE TABLE IF NOT EXISTS staging_pending (
	// CREATE TABLE IF NOT EXISTS staging_connections (
	// CREATE TABLE IF NOT EXISTS staging_tasks (
	// CREATE TABLE IF NOT EXISTS staging_disconnects (
}

// A team that made the tables of version 1 with its own migration tool adds this
// as the next migration.
func ExampleSchemaSince() {
	schema := sqlstore.SchemaSince(sqlstore.PostgreSQL, 1)
	for line := range strings.Lines(schema) {
		if strings.Contains(line, "ADD COLUMN") || strings.HasPrefix(line, "CREATE TABLE") {
			fmt.Print(line)
		}
	}
	// Output:
	// ALTER TABLE connect_pending ADD COLUMN IF NOT EXISTS begun_at BIGINT NOT NULL DEFAULT 0;
	// CREATE TABLE IF NOT EXISTS connect_disconnects (
}

// The app's other pools and tables are its own business: only the prefix tells
// the stores of two stages apart.
func ExampleWithTablePrefix() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // Each connection to :memory: is a database of its own.

	store := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTablePrefix("staging_"))
	if err := store.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	var tables int
	if err := db.QueryRow("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 'staging%'").Scan(&tables); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tables, "tables")
	// Output:
	// 5 tables
}
