package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

//go:embed node/package.json node/package-lock.json node/.npmrc node/*.mjs
var nodeFiles embed.FS

// node returns a directory with the installed packages of node/package.json.
var node = sync.OnceValues(func() (dir string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp("", "connect-sandbox-node")
	if err != nil {
		return "", err
	}
	nodeDir = dir
	files, err := fs.Sub(nodeFiles, "node")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return "", err
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, out)
	}
	return dir, nil
})

// nodeDir is the directory of node, for TestMain to remove.
var nodeDir string

// needNode skips the test if Node.js is not installed.
func needNode(t *testing.T) (dir string) {
	t.Helper()
	_, nodeErr := exec.LookPath("node")
	_, npmErr := exec.LookPath("npm")
	if nodeErr != nil || npmErr != nil {
		t.Skip("Node.js is not installed: apt-get install nodejs npm")
	}
	dir, err := node()
	require.NoError(t, err)
	return dir
}

// Anchor's SDK for Node works against the root module's fakeanchor, with only the
// variables that it prints.
func TestNodeSDK(t *testing.T) {
	t.Parallel()
	dir := needNode(t)
	output := runIn(t, dir, startFakeanchor(t, "github.com/anchorconnect/connect/cmd/fakeanchor", 4), "node", "--test-reporter=tap", "sdk.test.mjs")
	require.Contains(t, output, "\n# pass 6\n", "all of them have run")
	require.Contains(t, output, "\n# skipped 0\n")
}

// Anchor's SDK for Node, Playwright and Puppeteer work against the sandbox's fakeanchor,
// with only the variables that it prints.
func TestNodeSDKPlaywrightAndPuppeteer(t *testing.T) {
	t.Parallel()
	start(t) // It skips.
	dir := needNode(t)
	output := runIn(t, dir, startFakeanchor(t, "./cmd/fakeanchor", 5, "-browser", "-site-addr", "127.0.0.1:0"), "node", "--test-reporter=tap", "sandbox.test.mjs")
	require.Contains(t, output, "\n# pass 4\n", "all of them have run")
	require.Contains(t, output, "\n# skipped 0\n")
}

// The lock file works with every registry. npm writes the URL of the one in use into it
// unless .npmrc says not to.
func TestNodeLockFileNamesNoHost(t *testing.T) {
	t.Parallel()
	lock, err := nodeFiles.ReadFile("node/package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), "resolved")
}

// startFakeanchor runs a command fakeanchor until the test ends and returns the variables
// that it prints.
func startFakeanchor(t *testing.T, pkg string, variables int, args ...string) (env []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fakeanchor")
	runIn(t, ".", nil, "go", "build", "-o", program, pkg)
	cmd := exec.Command(program, append(args, "-addr", "127.0.0.1:0")...)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		// At SIGTERM it ends its browsers.
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		err := cmd.Wait()
		if err != nil || t.Failed() {
			t.Logf("fakeanchor: %s", log.String())
		}
		require.NoError(t, err)
		require.NotContains(t, log.String(), "sk-fake-key")
	})
	lines := bufio.NewScanner(stdout)
	for len(env) < variables && lines.Scan() {
		env = append(env, lines.Text())
	}
	require.Len(t, env, variables, "it ended early")
	return env
}

// runIn runs a program in a directory and returns its output.
func runIn(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	// The SDK must not use the tester's own account at Anchor.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANCHOR") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", filepath.Base(name), args, output)
	return string(output)
}
