package chromium

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets a test run this program as a process in place of a browser. It only
// waits.
func TestMain(m *testing.M) {
	if os.Getenv("CHROMIUM_TEST_WAIT") != "" {
		time.Sleep(time.Minute)
		return
	}
	os.Exit(m.Run())
}

// program returns the path of the installed browser.
func program(t *testing.T) string {
	t.Helper()
	found, err := Find()
	if errors.Is(err, ErrNotFound) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return found
}

// pretend starts a process with an argument. The channel that it returns is closed when
// the process has ended.
func pretend(t *testing.T, argument string) (ended <-chan struct{}) {
	t.Helper()
	cmd := exec.Command(os.Args[0], argument)
	cmd.Env = append(os.Environ(), "CHROMIUM_TEST_WAIT=1")
	ownGroup(cmd)
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // It is killed.
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return done
}

// newHome returns a directory for scratch directories.
func newHome(t *testing.T) string {
	t.Helper()
	if _, err := lock(filepath.Join(t.TempDir(), lockName), false); err != nil {
		t.Skip(err)
	}
	return filepath.Join(t.TempDir(), "home")
}

var quiet = slog.New(slog.DiscardHandler)

func TestSweepRemovesLeftoversOnly(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	dead, err := newScratch(home)
	require.NoError(t, err)
	living, err := newScratch(home)
	require.NoError(t, err)
	defer living.remove()
	require.NoError(t, os.MkdirAll(filepath.Join(dead.profile(), "Default"), 0o700))
	require.NoError(t, dead.lock.Close(), "as the system does when the process ends")

	leftover := pretend(t, userDataDir+dead.profile())
	reporter := pretend(t, "--database="+dead.crashes())
	used := pretend(t, userDataDir+living.profile())
	similar := pretend(t, userDataDir+dead.profile()+"2")
	reader := pretend(t, dead.profile())

	require.NoError(t, sweep(t.Context(), home, quiet))
	for _, ended := range []<-chan struct{}{leftover, reporter} {
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatal("it goes on")
		}
	}
	require.NoDirExists(t, dead.dir)
	require.DirExists(t, living.dir)
	for _, ended := range []<-chan struct{}{used, similar, reader} {
		select {
		case <-ended:
			t.Fatal("it is not ours to end")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestSweepWhileOwnersCleanUp(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	var owners sync.WaitGroup
	for range 4 {
		owners.Go(func() {
			for range 25 {
				s, err := newScratch(home)
				if err == nil {
					err = s.remove()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 25 {
		require.NoError(t, sweep(t.Context(), home, quiet))
	}
	owners.Wait()
	left, err := filepath.Glob(filepath.Join(home, prefix+"*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSweepRefusesADirectoryThatOthersCanUse(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	require.NoError(t, os.Mkdir(home, 0o700))
	require.NoError(t, os.Chmod(home, 0o755))
	_, err := newScratch(home)
	require.ErrorContains(t, err, "only this user can use")
	require.Error(t, sweep(t.Context(), home, quiet))

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Chmod(home, 0o700))
	require.NoError(t, os.Symlink(home, link))
	_, err = newScratch(link)
	require.ErrorContains(t, err, "only this user can use")
}

func TestBrowserLeavesNothingWhenClosed(t *testing.T) {
	t.Parallel()
	b, err := Start(t.Context(), program(t), 800, 600)
	require.NoError(t, err)
	require.Positive(t, running(t, b))
	require.DirExists(t, b.scratch.profile())
	b.Close()
	b.Close()
	require.Zero(t, running(t, b))
	require.NoDirExists(t, b.scratch.dir)
	select {
	case <-b.Done():
	default:
		t.Fatal("it is not done")
	}
}

func TestBrowserLeavesNothingWhenItEndsByItself(t *testing.T) {
	t.Parallel()
	b, err := Start(t.Context(), program(t), 800, 600)
	require.NoError(t, err)
	require.NoError(t, b.cmd.Process.Kill())
	select {
	case <-b.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it is not noticed")
	}
	require.Zero(t, running(t, b))
	require.NoDirExists(t, b.scratch.dir)
}

func TestBrowserThatDoesNotStartReportsWhy(t *testing.T) {
	t.Parallel()
	newHome(t)
	dir := t.TempDir()
	broken := filepath.Join(dir, "chromium")
	require.NoError(t, os.WriteFile(broken, []byte("#!/bin/sh\necho no libraries >&2\nexit 1\n"), 0o700))
	_, err := Start(t.Context(), broken, 800, 600)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorContains(t, err, "no libraries")

	_, err = Start(t.Context(), filepath.Join(dir, "none"), 800, 600)
	require.ErrorIs(t, err, os.ErrNotExist)

	silent := filepath.Join(dir, "silent")
	require.NoError(t, os.WriteFile(silent, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Start(ctx, silent, 800, 600)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// running counts the processes that name the browser's directory, or are of its group.
func running(t *testing.T, b *Browser) (n int) {
	t.Helper()
	all, err := processes(t.Context())
	require.NoError(t, err)
	for _, p := range all {
		if p.group == b.cmd.Process.Pid || owns(p.args, b.scratch.dir) {
			n++
		}
	}
	return n
}

func TestBrowserGetsNoSecretsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	kept := []string{"HOME=/root", "PATH=/bin", "LC_ALL=C.UTF-8", "XDG_RUNTIME_DIR=/run"}
	got := environment(append([]string{"ANCHORBROWSER_API_KEY=sk-1", "DATABASE_URL=x", "HTTP_PROXY=x", "LC=x", "HOMES=x"}, kept...))
	require.Equal(t, kept, got)
}
