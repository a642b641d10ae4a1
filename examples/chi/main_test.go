package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// environment returns a getenv with these variables and a database for the test.
func environment(t *testing.T, variables map[string]string) func(string) string {
	databaseURL := "file:" + filepath.Join(t.TempDir(), "chi.db")
	return func(name string) string {
		if value, ok := variables[name]; ok {
			return value
		}
		return map[string]string{"ADDR": "127.0.0.1:0", "DATABASE_URL": databaseURL}[name]
	}
}

func TestRunRefusesAnUnusableEnvironment(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() }) // After the parallel rows.
	const (
		key         = "sk-of-the-test"
		application = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"
		secret      = "0123456789abcdef0123456789abcdef"
	)
	// with returns a valid environment for the real service, with changes.
	with := func(changes ...string) map[string]string {
		variables := map[string]string{"ANCHORBROWSER_API_KEY": key, "ANCHOR_APPLICATION_ID": application}
		for i := 0; i < len(changes); i += 2 {
			variables[changes[i]] = changes[i+1]
		}
		return variables
	}
	for _, row := range []struct {
		name      string
		variables map[string]string
		variable  string // the prefix of the error
		says      string
	}{
		{"an address without a port", map[string]string{"ADDR": "localhost"}, "ADDR", "such as localhost:8081"},
		{"an address that is a URL", map[string]string{"ADDR": "http://localhost:8081"}, "ADDR", "a host and a port"},
		{"a port that is taken", map[string]string{"ADDR": taken.Addr().String()}, "ADDR", "in use"},
		{"a port that is none", map[string]string{"ADDR": "127.0.0.1:99999"}, "ADDR", "99999"},

		{"a public address without a scheme", map[string]string{"PUBLIC_URL": "your-app.com"}, "PUBLIC_URL", "a scheme and a host"},
		{"a public address of plain http", map[string]string{"PUBLIC_URL": "http://your-app.com"}, "PUBLIC_URL", "https"},
		{"a public address with a query", map[string]string{"PUBLIC_URL": "https://your-app.com?a=b"}, "PUBLIC_URL", "query"},

		{"a key without an application", with("ANCHOR_APPLICATION_ID", ""), "ANCHOR_APPLICATION_ID", "not set"},
		{"an application that is no UUID", with("ANCHOR_APPLICATION_ID", "mail"), "ANCHOR_APPLICATION_ID", "not a UUID"},
		{"an application without a key", with("ANCHORBROWSER_API_KEY", ""), "ANCHOR_APPLICATION_ID", "ANCHORBROWSER_API_KEY is not"},
		{"an API without a key", map[string]string{"ANCHORBROWSER_BASE_URL": "https://api.example"}, "ANCHORBROWSER_BASE_URL", "ANCHORBROWSER_API_KEY is not"},
		{"a hosted page without a key", map[string]string{"ANCHOR_APP_URL": "https://app.example"}, "ANCHOR_APP_URL", "ANCHORBROWSER_API_KEY is not"},
		{"a key with a line break", with("ANCHORBROWSER_API_KEY", key+"\n"), "ANCHORBROWSER_API_KEY", "visible"},
		{"an API without a scheme", with("ANCHORBROWSER_BASE_URL", "api.example"), "ANCHORBROWSER_BASE_URL", "absolute"},
		{"an API of plain http", with("ANCHORBROWSER_BASE_URL", "http://api.example"), "ANCHORBROWSER_BASE_URL", "not https"},
		{"a hosted page of plain http", with("ANCHOR_APP_URL", "http://app.example"), "ANCHOR_APP_URL", "not https"},

		{"a database of an unknown kind", map[string]string{"DATABASE_URL": "oracle://u:hunter2@db.example/x"}, "DATABASE_URL", `unknown scheme "oracle"`},
		{"a database that is no URL", map[string]string{"DATABASE_URL": "chi.db"}, "DATABASE_URL", "want file:"},
		{"a file in no folder", map[string]string{"DATABASE_URL": "file:" + filepath.Join(t.TempDir(), "none", "chi.db")}, "DATABASE_URL", "unable to open"},
		{"a PostgreSQL that does not answer", map[string]string{"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/x"}, "DATABASE_URL", "refused"},
		{"a MySQL that does not answer", map[string]string{"DATABASE_URL": "mysql://u:hunter2@127.0.0.1:1/x"}, "DATABASE_URL", "refused"},

		{"a MySQL in which texts break out of their quotes", map[string]string{"DATABASE_URL": "mysql://u:hunter2@127.0.0.1:1/x?charset=gbk"}, "DATABASE_URL", "charset is not UTF-8"},

		{"a short secret", map[string]string{"CONNECT_SECRET": "hunter2"}, "CONNECT_SECRET", "7 characters"},
		{"a short secret behind a good one", map[string]string{"CONNECT_SECRET": secret + ",hunter2"}, "CONNECT_SECRET", "7 characters"},
		{"a comma too many", map[string]string{"CONNECT_SECRET": secret + ","}, "CONNECT_SECRET", "0 characters"},
		{"a short session secret", map[string]string{"SESSION_SECRET": "hunter2"}, "SESSION_SECRET", "7 characters"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := run(ctx, environment(t, row.variables), new(bytes.Buffer))
			require.Error(t, err)
			require.Regexp(t, "^"+row.variable+"( |: )", err.Error())
			require.ErrorContains(t, err, row.says)
			require.NotContains(t, err.Error(), "\n", "the error is one line")
			require.NotContains(t, err.Error(), "hunter2", "the error holds no secret")
			require.NotContains(t, err.Error(), key, "the error holds no key")
		})
	}
}

// output is a buffer that is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// address returns the URL that run has printed, or "".
func (o *output) address() string {
	_, rest, _ := strings.Cut(o.String(), "Open ")
	address, _, _ := strings.Cut(rest, "\n")
	return address
}

func TestRunServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	getenv := environment(t, nil)
	for range 2 { // The second run uses the data of the first.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		out := new(output)
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, getenv, out) }()
		require.Eventually(t, func() bool { return out.address() != "" }, 20*time.Second, 10*time.Millisecond)
		res, err := http.Get(out.address())
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		stop()
		require.NoError(t, <-ended)
	}
}
