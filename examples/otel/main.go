// Otel is an example of an app that exports its requests, calls to Anchor and events as
// OpenTelemetry traces and metrics.
//
//	go run ./examples/otel
//
// Open the URL that it prints. A fake of Anchor runs in the same process. The example
// prints spans as they end, and metrics every ten seconds.
//
// Copy telemetry.go. Your app uses other exporters, such as otlptracehttp and
// otlpmetrichttp. ADDR defaults to localhost:8082.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("ADDR"), "localhost:8082"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "otel:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr string, out io.Writer) (err error) {
	fake, err := anchortest.Start()
	if err != nil {
		return err
	}
	defer fake.Close()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("ADDR: %w", err)
	}
	defer listener.Close()

	spans, err := stdouttrace.New(stdouttrace.WithWriter(out))
	if err != nil {
		return err
	}
	measurements, err := stdoutmetric.New(stdoutmetric.WithWriter(out))
	if err != nil {
		return err
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(withoutURLs{spans}))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(
		sdkmetric.NewPeriodicReader(measurements, sdkmetric.WithInterval(10*time.Second))))
	// Deferred first, so that it flushes last: after Run, which waits for its events.
	defer func() {
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, traces.Shutdown(flushing), metrics.Shutdown(flushing))
	}()

	t := telemetry{traces, metrics}
	a, err := newApp(t, appConfig{
		publicURL:     "http://" + listener.Addr().String(),
		anchor:        fake.Client(anchorhttp.WithHTTPClient(t.httpClient())),
		applicationID: fake.ApplicationID(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nOpen http://%s\n\n", listener.Addr())
	return a.serve(ctx, listener)
}

type appConfig struct {
	publicURL     string
	anchor        *anchorhttp.Client
	applicationID string
}

type app struct {
	connect *connect.Handler
	handler http.Handler
}

// userID is the app's only user, who is always signed in.
const userID = "user-1"

// newApp returns an app that opens a browser session at POST /reports.
func newApp(t telemetry, cfg appConfig) (*app, error) {
	public, err := url.Parse(cfg.publicURL)
	if err != nil {
		return nil, err
	}
	onEvent, err := t.countEvents()
	if err != nil {
		return nil, err
	}
	h, err := connect.New(connect.Config{
		Anchor:        cfg.anchor,
		ApplicationID: cfg.applicationID,
		PublicURL:     cfg.publicURL,
		Store:         connect.NewMemoryStore(),
		User:          func(*http.Request) (connect.User, error) { return connect.User{ID: userID, Name: "Ada"}, nil },
		Secrets:       [][]byte{[]byte(rand.Text() + rand.Text())},
		OnEvent:       onEvent,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	h.Register(mux)
	mux.Handle("GET /{$}", http.RedirectHandler("/connect", http.StatusSeeOther))
	mux.HandleFunc("POST /reports", func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.NewSession(r.Context(), userID); err != nil {
			h.Error(w, r, err)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	return &app{h, t.handler(mux, public.Host)}, nil
}

// serve serves the app, with connect's background work, until ctx ends.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = a.connect.Run(background) // It returns only when its context ends.
	}()
	defer func() { stop(); <-stopped }() // After the last request.

	server := &http.Server{Handler: a.handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(shutdown)
}
