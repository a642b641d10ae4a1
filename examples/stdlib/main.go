// Stdlib is the demo of connect: a small app on net/http whose users sign in,
// connect an account and start an automation with it.
//
//	go run ./examples/stdlib
//
// With nothing configured it starts a fake of Anchor in the same process, so
// that the whole flow can be tried at once. If Chromium or Chrome is installed, it
// starts a sandbox, and automations really run. README.md lists the variables that
// point it at the real service.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
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
		here := demo.Settings{Addr: settings.Addr}.PublicAddress(listener.Addr())
		local.Fake.SetWebhook(here+webhookPath, settings.WebhookSecrets...)
	}
	anchor := settings.Anchor()

	publicURL := settings.PublicAddress(listener.Addr())
	app := newApp(publicURL, settings.SessionSecret, anchor)
	app.webhookSecrets, app.sandbox = settings.WebhookSecrets, local.Sandbox
	if local.Fake != nil {
		app.controlURL = local.Fake.ControlURL()
	}
	for _, name := range slices.Sorted(maps.Keys(settings.Applications)) {
		app.accounts = append(app.accounts, newAccount(name))
	}
	app.connect, err = connect.New(connect.Config{
		Anchor:         anchor,
		ApplicationID:  settings.ApplicationID,
		Applications:   settings.Applications,
		PublicURL:      publicURL,
		MaxConnections: maxConnections,
		Store:          store,
		User:           app.user,
		Secrets:        settings.Secrets,
		SuccessURL:     "/dashboard?connected=true",
		SignInURL:      "/",
		OnEvent:        app.audit.add,
	})
	if err != nil {
		return fmt.Errorf("PUBLIC_URL: %w", err) // The rest has been checked.
	}

	server := &http.Server{
		Handler:           app.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	// It outlives the last request, so that OnEvent is told of that too.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	running := make(chan struct{})
	go func() {
		defer close(running)
		_ = app.connect.Run(background) // It only ever ends with its context.
	}()
	defer func() { cancel(); <-running }()

	if err := app.connect.Verify(ctx); err != nil {
		slog.ErrorContext(ctx, "connect is not ready", "error", err) // The other pages work.
	}
	for _, notice := range settings.Notices {
		fmt.Fprintln(os.Stderr, notice)
	}
	fmt.Printf("\nOpen %s\n\n", publicURL)

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	shutdown, cancelShutdown := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelShutdown()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
