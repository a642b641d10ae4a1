// Stdlib is the demo of connect: a small app on net/http whose users sign in,
// connect an account and start an automation with it.
//
//	go run ./examples/stdlib
//
// Without configuration it starts a fake of Anchor in the same process, so that you can
// try the whole flow at once. If Chromium or Chrome is installed, it starts a sandbox
// instead, in which automations run in a real browser. Environment variables point it
// at the real service: docs/demo.md lists them.
//
// What to copy:
//
//   - main.go: the configuration of connect, Verify, Run and a clean shutdown.
//   - app.go: the routes.
//   - dashboard.go and pages/dashboard.html: connected accounts on a page of the app.
//   - automation.go: a browser session that is signed in to a user's account.
//   - members.go: accounts that the members of an organisation share.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/examples/internal/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run serves the demo until ctx ends. An error that the environment causes is one line
// that names the variable.
func run(ctx context.Context, getenv func(string) string) error {
	settings, err := demo.ReadSettings(getenv, demo.Settings{Addr: "localhost:8080", DatabaseURL: "file:connect-demo.db"})
	if err != nil {
		return err
	}
	db, store, err := openStore(ctx, settings.DatabaseURL)
	if err != nil {
		return demo.DatabaseError(err)
	}
	defer db.Close()
	listener, err := net.Listen("tcp", settings.Addr)
	if err != nil {
		return fmt.Errorf("ADDR: %w", err)
	}
	defer listener.Close()
	var local demo.Local
	if settings.APIKey == "" {
		if local, err = settings.StartLocal(ctx, store); err != nil {
			return err
		}
		defer local.Close()
		// Not PUBLIC_URL, where a proxy may not be running yet.
		here := demo.Settings{Addr: settings.Addr}.PublicAddress(listener.Addr())
		local.Fake.SetWebhook(here+webhookPath, settings.WebhookSecrets...)
	}

	app := newApp(settings, settings.PublicAddress(listener.Addr()), local)
	if err := app.addConnect(settings, store); err != nil {
		return fmt.Errorf("PUBLIC_URL: %w", err) // The other settings are checked.
	}
	if err := app.connect.Verify(ctx); err != nil {
		slog.ErrorContext(ctx, "connect is not ready", "error", err) // The other pages work.
	}
	for _, notice := range settings.Notices {
		fmt.Fprintln(os.Stderr, notice)
	}
	fmt.Printf("\nOpen %s\n\n", app.publicURL)
	return app.serve(ctx, listener)
}

// addConnect adds "Connect your account" to the app.
func (a *app) addConnect(settings demo.Settings, store connect.Store) (err error) {
	a.connect, err = connect.New(connect.Config{
		Anchor:         a.anchor,
		ApplicationID:  settings.ApplicationID,
		Applications:   settings.Applications,
		PublicURL:      a.publicURL,
		MaxConnections: maxConnections,
		Store:          store,
		User:           a.user,
		Secrets:        settings.Secrets,
		SuccessURL:     "/dashboard?connected=true",
		SignInURL:      "/",
		OnEvent:        a.audit.add,
	})
	return err
}

// serve serves the app and runs connect's background work, until ctx ends.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	// Run ends after the last request, so that OnEvent receives all events.
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
