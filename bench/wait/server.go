package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// The servers.
const (
	connectKind = "connect"
	bareKind    = "bare Go"
	expressKind = "Express"
)

// successURL is the page to which every server's callback redirects.
const successURL = "/dashboard?connected=true"

// expressMissing returns what the Express example lacks, or "".
func expressMissing(dir string) string {
	if _, err := exec.LookPath("node"); err != nil {
		return "Node.js is not installed"
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express")); err != nil {
		return "its packages are not installed: npm ci --prefix " + dir
	}
	return ""
}

// nodeVersion returns the version of Node.js, or "none".
func nodeVersion(ctx context.Context) string {
	version, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return "none"
	}
	return strings.TrimSpace(string(version))
}

// startServer starts a process. It returns its URL and a function that ends it.
func startServer(ctx context.Context, kind, express string, fake *anchortest.Server) (address string, end func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", kind)
	if kind == expressKind {
		cmd = exec.CommandContext(ctx, "node", "server.mjs")
		cmd.Dir = express
	}
	cmd.Env = append(os.Environ(), "NODE_ENV=production",
		"ANCHORBROWSER_BASE_URL="+fake.URL(), "ANCHOR_APP_URL="+fake.URL(),
		"ANCHORBROWSER_API_KEY="+fake.APIKey(), "ANCHOR_APPLICATION_ID="+fake.ApplicationID())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the server printed no address: %w", err), end())
	}
	return strings.TrimSpace(address), end, nil
}

// serveApp serves one of the servers in Go until standard input ends. It prints its URL.
func serveApp(kind string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	publicURL, id := "http://"+listener.Addr().String(), os.Getenv("ANCHOR_APPLICATION_ID")
	anchor := anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"),
		anchorhttp.WithBaseURL(os.Getenv("ANCHORBROWSER_BASE_URL")),
		anchorhttp.WithAppURL(os.Getenv("ANCHOR_APP_URL")))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dashboard", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "Connected.\n") })
	switch kind {
	case connectKind:
		h, err := connect.New(connect.Config{
			Anchor:        anchor,
			ApplicationID: id,
			PublicURL:     publicURL,
			Store:         connect.NewMemoryStore(),
			User:          func(r *http.Request) (connect.User, error) { return connect.User{ID: r.Header.Get(userHeader)}, nil },
			Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
			SuccessURL:    successURL,
			Logger:        slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		h.Register(mux)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go h.Run(ctx)
	case bareKind:
		(&bare{anchor: anchor, applicationID: id, publicURL: publicURL}).register(mux)
	default:
		return fmt.Errorf("there is no server %q", kind)
	}
	server := &http.Server{Handler: mux}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	fmt.Println(publicURL)
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// bare is the least code that does what the Express example does. It trusts all parameters
// of the callback. Do not use it.
type bare struct {
	anchor                   *anchorhttp.Client
	applicationID, publicURL string
	identities               sync.Map // by user
}

func (b *bare) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /connect", b.start)
	mux.HandleFunc("GET /identity-callback", b.callback)
}

func (b *bare) start(w http.ResponseWriter, r *http.Request) {
	token, err := b.anchor.CreateIdentityToken(r.Context(), b.applicationID, b.publicURL+"/identity-callback")
	if err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, b.anchor.HostedPageURL(token.Token, ""), http.StatusSeeOther)
}

func (b *bare) callback(w http.ResponseWriter, r *http.Request) {
	user, identity := r.Header.Get(userHeader), r.URL.Query().Get("identityId")
	b.identities.Store(user, identity)
	metadata := map[string]any{"externalUserId": user, "connectedAt": time.Now().UTC().Format(time.RFC3339)}
	if err := b.anchor.UpdateIdentity(r.Context(), identity, anchorhttp.IdentityUpdate{Metadata: metadata}); err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, successURL, http.StatusSeeOther)
}
