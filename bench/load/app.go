package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/bench/internal/bare"
	"github.com/anchorconnect/connect/bench/internal/usage"
)

const userHeader = "X-User"

// figures are an app's measurements of itself.
type figures struct {
	Goroutines int
	Heap       uint64        // bytes, after a collection
	Peak       uint64        // bytes of resident memory
	Processor  time.Duration // processor time
}

// serveApp serves the app until standard input ends. It prints the app's URL.
func serveApp(ctx context.Context, kind string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Anchor speaks HTTP/2, on one connection. The fake speaks HTTP/1.1, for which the
	// default transport keeps only two idle connections.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 1000, 1000
	app := &app{kind: kind, publicURL: "http://" + listener.Addr().String(), transport: transport}
	app.anchor = anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"),
		anchorhttp.WithBaseURL(os.Getenv("ANCHORBROWSER_BASE_URL")),
		anchorhttp.WithAppURL(os.Getenv("ANCHOR_APP_URL")),
		anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
	if err := app.renew(ctx); err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /figures", app.figures)
	mux.HandleFunc("POST /renew", func(w http.ResponseWriter, r *http.Request) {
		if err := app.renew(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.Handle("/", app)
	server := &http.Server{Handler: mux}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // Ends with the parent process.
		server.Close()
	}()
	fmt.Println(app.publicURL)
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

type app struct {
	kind      string
	publicURL string
	transport *http.Transport
	anchor    *anchorhttp.Client

	mu      sync.RWMutex
	handler http.Handler
	stop    func() // ends the handler's background work
}

// renew replaces the store with an empty one.
func (a *app) renew(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		a.stop()
	}
	a.stop = func() {}
	id := os.Getenv("ANCHOR_APPLICATION_ID")
	user := func(r *http.Request) string { return r.Header.Get(userHeader) }
	const successURL = "/dashboard?connected=true"
	if a.kind == "bare" {
		h := &bare.Handler{Anchor: a.anchor, ApplicationID: id, PublicURL: a.publicURL, SuccessURL: successURL, User: user}
		mux := http.NewServeMux()
		mux.HandleFunc("POST /connect", h.Start)
		mux.HandleFunc("GET /identity-callback", h.Callback)
		a.handler = mux
		return nil
	}
	h, err := connect.New(connect.Config{
		Anchor:        a.anchor,
		ApplicationID: id,
		PublicURL:     a.publicURL,
		Store:         connect.NewMemoryStore(),
		User:          func(r *http.Request) (connect.User, error) { return connect.User{ID: user(r)}, nil },
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		SuccessURL:    successURL,
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	h.Register(mux)
	a.handler = mux
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.Run(ctx)
	}()
	a.stop = func() { cancel(); <-ended }
	return nil
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.RLock()
	h := a.handler
	a.mu.RUnlock()
	h.ServeHTTP(w, r)
}

// figures measures the process while only this request is in progress.
func (a *app) figures(w http.ResponseWriter, r *http.Request) {
	used := figures{Processor: usage.Process(), Peak: usage.PeakMemory()} // Before the collections.
	a.transport.CloseIdleConnections()
	runtime.GC()
	runtime.GC() // Frees what finalizers and pools kept the first time.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	used.Goroutines, used.Heap = runtime.NumGoroutine(), m.HeapAlloc
	w.Header().Set("Connection", "close")
	_ = json.NewEncoder(w).Encode(used)
}
