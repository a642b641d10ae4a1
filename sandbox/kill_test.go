package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

// TestMain lets a test run this program as a sandbox in its own process. The process
// prints the directory of a session's browser and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("SANDBOX_TEST_KILL") == "" {
		code := m.Run()
		if nodeDir != "" {
			_ = os.RemoveAll(nodeDir) // It is in the system's temporary directory.
		}
		os.Exit(code)
	}
	ctx := context.Background()
	s, err := Start(ctx)
	if err == nil {
		var session anchorhttp.Session
		if session, err = s.Client().CreateSession(ctx, anchorhttp.SessionRequest{}); err == nil {
			fmt.Println(s.session(session.ID).browser.Dir())
			time.Sleep(time.Minute)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// launch starts such a process, with its temporary files in dir.
func launch(t *testing.T, dir string) (cmd *exec.Cmd, browserDir string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST_KILL=1", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed.
		ends(t, browserDir)
	})
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "it ended early")
	return cmd, lines.Text()
}

// ends waits until all processes of a browser have ended, whose sandbox was killed.
func ends(t *testing.T, browserDir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		n, err := chromium.Running(context.Background(), browserDir)
		return err == nil && n == 0
	}, 20*time.Second, 20*time.Millisecond)
}

func TestStartRemovesWhatAKillLeftBehind(t *testing.T) {
	t.Parallel()
	start(t) // It skips.
	dir := t.TempDir()
	killed, leftover := launch(t, dir)
	_, used := launch(t, dir)
	require.DirExists(t, leftover, "another sandbox that starts touches nothing of one that lives")
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait() // It was killed.

	// The browser ends by itself, since its pipe is closed. The profile remains.
	ends(t, leftover)
	require.DirExists(t, leftover)

	_, third := launch(t, dir)
	require.NoDirExists(t, leftover)
	for _, lives := range []string{used, third} {
		require.DirExists(t, lives)
		n, err := chromium.Running(t.Context(), lives)
		require.NoError(t, err)
		require.Positive(t, n)
	}
}
