package chromium

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A scratch is the directory of one browser: its profile, and a lock that this process
// holds. The system releases the lock when the process ends, for whatever reason, so a
// directory whose lock is free is a leftover.
type scratch struct {
	dir  string
	lock *os.File
}

// userDataDir is the argument that sets a browser's profile.
const userDataDir = "--user-data-dir="

const (
	lockName    = "lock"
	profileName = "profile"
	crashesName = "crashes"
	prefix      = "browser-"
)

// home returns the directory of this user's scratch directories.
func home() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("connect-sandbox-%d", os.Getuid()))
}

// openHome creates the directory. Other users can write to its parent, so an existing
// entry must be a directory that belongs to this user and that only this user can use.
func openHome(home string) error {
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(home)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !owned(info) {
		return fmt.Errorf("%s is not a directory that only this user can use: remove it", home)
	}
	return nil
}

// newScratch creates a directory and takes its lock. It holds home's lock meanwhile, so
// that no other process sweeps the new directory.
func newScratch(home string) (*scratch, error) {
	if err := openHome(home); err != nil {
		return nil, err
	}
	all, err := lock(filepath.Join(home, lockName), true)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	dir, err := os.MkdirTemp(home, prefix)
	if err != nil {
		return nil, err
	}
	own, err := lock(filepath.Join(dir, lockName), true)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &scratch{dir, own}, nil
}

func (s *scratch) profile() string { return filepath.Join(s.dir, profileName) }
func (s *scratch) crashes() string { return filepath.Join(s.dir, crashesName) }

// owns reports whether a command line is that of the browser with directory dir or of its
// crash reporter. The browser's other processes end with it.
func owns(args []string, dir string) bool {
	return slices.Contains(args, userDataDir+filepath.Join(dir, profileName)) ||
		slices.Contains(args, "--database="+filepath.Join(dir, crashesName))
}

// remove deletes the directory and then releases the lock.
func (s *scratch) remove() error {
	defer s.lock.Close()
	return removeAll(s.dir)
}

// removeAll is [os.RemoveAll] with retries, for a directory to which dying processes may
// still write.
func removeAll(dir string) error {
	var err error
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// Sweep kills the browsers of processes that were killed, and removes their profiles. It
// kills a process only if its command line names such a profile, whose directory has a
// random name and a lock that nobody holds. Sweep logs what it cannot remove; the next one
// retries it.
func Sweep(ctx context.Context, log *slog.Logger) error { return sweep(ctx, home(), log) }

func sweep(ctx context.Context, home string, log *slog.Logger) error {
	if err := openHome(home); err != nil {
		return err
	}
	all, err := lock(filepath.Join(home, lockName), true)
	if err != nil {
		return err
	}
	defer all.Close()
	dirs, err := filepath.Glob(filepath.Join(home, prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		killed, err := sweepDir(ctx, dir)
		switch {
		case errors.Is(err, errLocked), errors.Is(err, os.ErrNotExist):
			// Its owner is alive, or has just removed it.
		case err != nil:
			log.WarnContext(ctx, "cannot remove a leftover browser", "dir", dir, "error", err)
		default:
			log.InfoContext(ctx, "removed a leftover browser", "processes_ended", killed)
		}
	}
	return nil
}

// sweepDir removes a directory whose owner has ended, and kills its processes.
func sweepDir(ctx context.Context, dir string) (killed int, err error) {
	own, err := lock(filepath.Join(dir, lockName), false)
	if err != nil {
		return 0, err
	}
	defer own.Close()
	if killed, err = killOwners(ctx, dir); err != nil {
		return killed, err
	}
	return killed, removeAll(dir)
}

// A process is a running process of this machine.
type process struct {
	pid, group, uid int
	args            []string
}
