// Chi is an example of connect in an existing app with a chi router, a users table in
// the app's own database, gorilla sessions, an account page and an API route that needs
// a connected account.
//
//	go run ./examples/chi
//
// Open the URL that it prints. Without configuration it starts a fake of Anchor in the
// same process and keeps its data in chi-example.db. It reads the same environment
// variables as the demo (docs/demo.md), with other defaults: ADDR is localhost:8081, and
// DATABASE_URL is file:chi-example.db. DATABASE_URL may be file:…, postgres://… or
// mysql://….
//
// What to copy:
//
//   - app.go: mounting connect under a prefix, returning the signed-in user, and
//     deleting a user who has a connected account.
//   - users.go: a column of the app's users table that is updated in connect's
//     transactions.
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

// run serves until ctx ends, and prints the app's URL to out. An error that the
// environment causes is one line that names the variable.
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
		return fmt.Errorf("PUBLIC_URL: %w", err) // The other settings are checked.
	}
	if err := a.connect.Verify(ctx); err != nil {
		slog.ErrorContext(ctx, "connect is not ready", "error", err) // The other pages work.
	}
	for _, notice := range settings.Notices {
		fmt.Fprintln(os.Stderr, notice)
	}
	fmt.Fprintf(out, "\nOpen %s\n\n", a.publicURL)
	return serve(ctx, listener, a)
}

// serve serves the app and runs connect's background work, until ctx ends.
func serve(ctx context.Context, listener net.Listener, a *app) error {
	// Run ends after the last request, and before the database is closed.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = a.connect.Run(background) // It returns only when its context ends.
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
	// Requests that are in progress get ten seconds to finish.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
