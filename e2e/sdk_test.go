package e2e

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

//go:embed sdk/package.json sdk/package-lock.json sdk/.npmrc sdk/sdk.test.mjs
var sdkFiles embed.FS

// Anchor's own SDK for Node works against the fake, configured with nothing but
// the variables that the program prints. It brings playwright along, which is not
// used here and held at a version that runs on Debian's Node.js 18.
func TestTheOfficialNodeSDK(t *testing.T) {
	t.Parallel()
	node, nodeErr := exec.LookPath("node")
	npm, npmErr := exec.LookPath("npm")
	if nodeErr != nil || npmErr != nil {
		t.Skip("Node.js is not installed: apt-get install nodejs npm")
	}
	files, err := fs.Sub(sdkFiles, "sdk")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, files))
	runIn(t, dir, nil, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")

	output := runIn(t, dir, startFakeanchor(t), node, "--test-reporter=tap", "sdk.test.mjs")
	require.Contains(t, output, "\n# pass 6\n", "all of them have run")
	require.Contains(t, output, "\n# skipped 0\n")
}

// The lock file is for every registry, and npm puts the address of the one that
// it was made with into it unless it is told not to.
func TestTheLockFileNamesNoHost(t *testing.T) {
	t.Parallel()
	lock, err := sdkFiles.ReadFile("sdk/package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), "resolved")
	require.NotContains(t, string(lock), "://")
}

// startFakeanchor runs cmd/fakeanchor until the test ends and returns the
// variables that it prints.
func startFakeanchor(t *testing.T) (env []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fakeanchor")
	runIn(t, ".", nil, "go", "build", "-o", program, "github.com/anchorconnect/connect/cmd/fakeanchor")
	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed.
		if t.Failed() {
			t.Logf("fakeanchor: %s", log.String())
		}
	})
	lines := bufio.NewScanner(stdout)
	for len(env) < 4 && lines.Scan() {
		env = append(env, lines.Text())
	}
	require.Len(t, env, 4, "it ended early")
	return env
}

// runIn runs a program in a directory and returns what it says.
func runIn(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	// Nothing of the tester's own account at Anchor gets to the SDK.
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
