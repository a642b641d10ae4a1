package sqlstore_test

import (
	"context"
	"database/sql"
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

// docs: sqlstore/README.md

// openStore opens the database that DATABASE_URL names, and creates connect's tables.
func openStore(ctx context.Context) (*sqlstore.Store, error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(os.Getenv("DATABASE_URL")) // file:…, postgres://… or mysql://…
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, dsn) // Import the driver.
	if err != nil {
		return nil, err
	}
	store := sqlstore.New(db, dialect)
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	return store, nil
}

// docs: end

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("DATABASE_URL", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db")))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	store, err := openStore(ctx) // for connect.Config's Store
	if err != nil {
		log.Fatal(err)
	}
	connections, err := store.Connections(ctx, "0f2b1c1e-0000-4000-8000-00000000000a", "ada")
	fmt.Println(len(connections), err)
	// Output:
	// 0 <nil>
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

// A migration tool runs this SQL.
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

// The next migration of a team whose migration tool created the tables of version 1.
func ExampleSchemaSince() {
	schema := sqlstore.SchemaSince(sqlstore.PostgreSQL, 1)
	for line := range strings.Lines(schema) {
		if strings.HasPrefix(line, "CREATE") || strings.HasPrefix(line, "INSERT") {
			fmt.Print(line)
		}
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS connect_disconnects (
	// CREATE INDEX IF NOT EXISTS connect_disconnects_ended ON connect_disconnects (ended_at);
	// CREATE INDEX IF NOT EXISTS connect_connections_application ON connect_connections (application_id);
	// INSERT INTO connect_schema (version) VALUES (2) ON CONFLICT DO NOTHING;
	// CREATE INDEX connect_pending_user ON connect_pending (user_id, application_id, actor_id, expires_at);
	// CREATE INDEX connect_connections_list ON connect_connections (application_id, id);
	// INSERT INTO connect_schema (version) VALUES (3) ON CONFLICT DO NOTHING;
}

// The stores of two stages share a database.
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

// docs: sqlstore/README.md

// follow keeps the app's own table users in step with the connections.
func follow(ctx context.Context, tx *sql.Tx, change sqlstore.Change) error {
	if change.Kind == sqlstore.ConnectionEnded {
		c := change.Before
		_, err := tx.ExecContext(ctx,
			"UPDATE users SET reports_connection = NULL, reports_ok = FALSE WHERE id = $1 AND reports_connection = $2",
			c.UserID, c.ID)
		return err
	}
	c := change.After
	_, err := tx.ExecContext(ctx,
		"UPDATE users SET reports_connection = $1, reports_ok = $2 WHERE id = $3",
		c.ID, c.Health == connect.HealthOK, c.UserID)
	return err
}

// docs: end

// The app's own table changes in the same transactions as the connections.
func ExampleWithHook() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db"))+"?_txlock=immediate")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := db.ExecContext(ctx, "CREATE TABLE users (id TEXT PRIMARY KEY, reports_connection TEXT, reports_ok BOOLEAN); INSERT INTO users VALUES ('ada', NULL, FALSE)"); err != nil {
		log.Fatal(err)
	}

	store := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithHook(follow))
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	// What a handler does with the store.
	now := time.Now()
	p := connect.Pending{TokenHash: "hash", ApplicationID: "app", UserID: "ada", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
	c := connect.Connection{
		ID: "c1", ApplicationID: "app", UserID: "ada", IdentityID: "7d5f1a9e-0000-4000-8000-00000000000a",
		ConnectedAt: now, Health: connect.HealthOK, HealthAt: now,
	}
	show := func(err error) {
		var connection sql.NullString
		var ok bool
		if err := db.QueryRowContext(ctx, "SELECT reports_connection, reports_ok FROM users").Scan(&connection, &ok); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q %t %v\n", connection.String, ok, err)
	}
	show(store.Bind(ctx, p, 5))
	_, err = store.Complete(ctx, p.TokenHash, c, connect.Completion{TagAfter: now})
	show(err)
	_, _, err = store.SetHealth(ctx, c.IdentityID, connect.HealthNeedsSignIn, now.Add(time.Second))
	show(err)
	_, err = store.Disconnect(ctx, connect.Disconnection{ApplicationID: "app", UserID: "ada", At: now, DeleteAfter: now})
	show(err)
	// Output:
	// "" false <nil>
	// "c1" true <nil>
	// "c1" false <nil>
	// "" false <nil>
}
