// Chi is an example of connect in an app that exists already: a chi router, a
// users table in the app's own database, gorilla sessions, an account page and
// an API route that needs a connected account.
//
//	go run ./examples/chi
//
// Open the address that it prints. With nothing configured a fake of Anchor
// runs in the same process and the data is kept in chi-example.db. It reads the
// same variables as the demo (README.md, "The demo's settings"); here ADDR
// defaults to localhost:8081, and DATABASE_URL, which may be file:…,
// postgres://… or mysql://…, to file:chi-example.db.
//
// What to copy:
//
//   - app.go: all that an app needs to mount connect under a prefix, to say who is
//     signed in, and to delete a user who has an account connected.
//   - users.go: a column of the app's own users table that follows what connect
//     stores, in the same transaction.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/anchorconnect/connect/examples/internal/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chi:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and says on out where. An error that the
// environment is to blame for is one line that names the variable.
func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	settings, err := demo.ReadSettings(getenv, demo.Settings{Addr: "localhost:8081", DatabaseURL: "file:chi-example.db"})
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, settings.DatabaseURL)
	if err != nil {
		return demo.DatabaseError(err)
	}
	defer db.close()

	if settings.APIKey == "" {
		fake, err := settings.StartFake(ctx, db.store)
		if err != nil {
			return err
		}
		defer fake.Close()
	}

	listener, err := net.Listen("tcp", settings.Addr)
	if err != nil {
		return fmt.Errorf("ADDR: %w", err)
	}
	defer listener.Close()
	a, err := newApp(config{
		db:            db,
		anchor:        settings.Anchor(),
		applicationID: settings.ApplicationID,
		publicURL:     settings.PublicAddress(listener.Addr()),
		secrets:       settings.Secrets,
		sessionSecret: settings.SessionSecret,
	})
	if err != nil {
		return fmt.Errorf("PUBLIC_URL: %w", err) // The rest has been checked.
	}
	if err := a.connect.Verify(ctx); err != nil {
		slog.ErrorContext(ctx, "connect is not ready", "error", err) // The app's other pages work.
	}
	for _, notice := range settings.Notices {
		fmt.Fprintln(os.Stderr, notice)
	}
	fmt.Fprintf(out, "\nOpen %s\n\n", a.publicURL)
	return serve(ctx, listener, a)
}

// serve serves the app, and makes the calls that it owes to Anchor, until ctx
// ends.
func serve(ctx context.Context, listener net.Listener, a *app) error {
	ctx, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = a.connect.Run(ctx) // It only ever ends with ctx.
	}()
	defer func() { stop(); <-stopped }()

	server := &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Whoever is being answered has ten seconds; ctx itself has none left.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
