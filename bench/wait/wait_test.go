package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// TestMain is also the servers in Go: they run this program.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		if err := serveApp(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

//go:embed express/package.json express/package-lock.json express/.npmrc express/server.mjs
var expressFiles embed.FS

// installExpress installs the Express example into a temporary directory.
func installExpress(t *testing.T) (dir string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("Node.js is not installed: apt-get install nodejs npm")
		}
	}
	files, err := fs.Sub(expressFiles, "express")
	require.NoError(t, err)
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, files))
	output, err := exec.CommandContext(t.Context(), "npm", "ci", "--prefix", dir, "--no-audit", "--no-fund", "--prefer-offline").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return dir
}

// start starts a server until the test ends.
func start(t *testing.T, kind, express string, fake *anchortest.Server) (address string) {
	t.Helper()
	address, end, err := startServer(t.Context(), kind, express, fake)
	require.NoError(t, err)
	t.Cleanup(func() { _ = end() }) // The context ends first and kills it.
	return address
}

func TestServersConnectAndTag(t *testing.T) {
	t.Parallel()
	for kind, reads := range map[string]int{connectKind: 1, bareKind: 0, expressKind: 0} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			express := ""
			if kind == expressKind {
				express = installExpress(t)
				require.Empty(t, expressMissing(express))
			}
			fake, err := anchortest.Start()
			require.NoError(t, err)
			defer fake.Close()
			fake.SetCallbackStyle(anchortest.OlderCallback)
			b := newBrowser(start(t, kind, express, fake), fake)

			w, err := b.flow(t.Context(), "ann")
			require.NoError(t, err)
			require.Positive(t, w.start)
			require.Positive(t, w.callback)
			require.Greater(t, w.page, w.callback)

			require.Len(t, fake.Identities(), 1)
			require.Eventually(t, func() bool { // The tag may follow the response.
				return fake.Identities()[0].Metadata["externalUserId"] == "ann"
			}, 10*time.Second, time.Millisecond)
			require.Equal(t, 1, fake.CountCalls("POST", "/v1/applications/*/tokens"))
			require.Equal(t, reads, fake.CountCalls("GET", "/v1/identities/"))
			require.Equal(t, 1, fake.CountCalls("PUT", "/v1/identities/"))
		})
	}
}

func TestServersTakeTurns(t *testing.T) {
	t.Parallel()
	var notes bytes.Buffer
	delays := []time.Duration{0, 30 * time.Millisecond}
	results, err := measure(t.Context(), settings{
		delays: delays, browsers: 4, rounds: 2, turn: 200 * time.Millisecond, express: t.TempDir(),
	}, &notes)
	require.NoError(t, err)
	require.Contains(t, notes.String(), "Express is left out: ")
	require.Len(t, results, 6)
	for i, r := range results {
		require.Equal(t, delays[i/3], r.delay)
		require.Equal(t, []string{"Anchor alone", connectKind, bareKind}[i%3], r.server)
		require.NotEmpty(t, r.waits)
		for _, w := range r.waits {
			require.Greater(t, w.start, r.delay)
			require.Greater(t, w.callback, r.delay)
		}
	}
}

func TestServersTurnEndsWhenAFlowFails(t *testing.T) {
	t.Parallel()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	defer fake.Close()
	began := time.Now()
	_, err = turn(t.Context(), visits("nobody", "http://127.0.0.1:1", fake), 4, time.Minute, 0)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.Less(t, time.Since(began), time.Minute)
}

func TestTable(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	got := table([]result{
		{0, "Anchor alone", []waits{{start: ms, callback: 2 * ms}}},
		{50 * ms, "connect", []waits{{52 * ms, 54 * ms, 55 * ms}, {53 * ms, 103 * ms, 104 * ms}}},
	})
	require.Contains(t, got, "| 0s | Anchor alone | 1.0 ms | 1.0 ms | | 2.0 ms | 2.0 ms | | | | 1 |\n")
	require.Contains(t, got, "| 50ms | connect | 52.0 ms | 53.0 ms | 1.04 | 54.0 ms | 103.0 ms | 1.08 | 55.0 ms | 104.0 ms | 2 |\n")
}

func TestDelays(t *testing.T) {
	t.Parallel()
	delays, err := parseDelays("0, 50ms,1s")
	require.NoError(t, err)
	require.Equal(t, []time.Duration{0, 50 * time.Millisecond, time.Second}, delays)
	for _, wrong := range []string{"", "50", "-1s", "1s,,2s"} {
		_, err := parseDelays(wrong)
		require.ErrorContains(t, err, "-delays", wrong)
	}
}

// The lock file works with every registry.
func TestLockFileNamesNoRegistry(t *testing.T) {
	t.Parallel()
	lock, err := expressFiles.ReadFile("express/package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), "resolved")
	require.NotContains(t, string(lock), "registry")
}
