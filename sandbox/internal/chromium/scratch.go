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

// A scratch is the directory of one browser: its profile, and a lock that this
// process holds for as long as it lives. The system lets go of the lock with the
// process, however that ends, so a directory whose lock is free is a leftover.
type scratch struct {
	dir  string
	lock *os.File
}

// userDataDir is the argument by which a browser is told its profile.
const userDataDir = "--user-data-dir="

const (
	lockName    = "lock"
	profileName = "profile"
	crashesName = "crashes"
	prefix      = "browser-"
)

// home is the directory that has the scratch directories of this user.
func home() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("connect-sandbox-%d", os.Getuid()))
}

// openHome makes the directory. Others may write where it lies, so what is there
// already has to be a directory of this user's that nobody else can use.
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

// newScratch makes a directory and takes its lock. While it does, no other process
// sweeps.
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

// owns reports whether the command line is that of a process of the browser whose
// directory dir is: the browser's own or its crash reporter's. The others end with
// the browser.
func owns(args []string, dir string) bool {
	return slices.Contains(args, userDataDir+filepath.Join(dir, profileName)) ||
		slices.Contains(args, "--database="+filepath.Join(dir, crashesName))
}

// remove deletes the directory, and lets go of the lock when that is done.
func (s *scratch) remove() error {
	defer s.lock.Close()
	return removeAll(s.dir)
}

// removeAll is [os.RemoveAll] for a directory into which processes that are dying
// may still write.
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

// Sweep ends the browsers that a process has left behind which was killed, and
// removes their profiles. It touches a process only if its command line names such
// a profile, whose directory has a random name and a lock that nobody holds. What
// cannot be removed is logged, and tried again by the next one.
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
			// Its owner lives, or has just removed it.
		case err != nil:
			log.WarnContext(ctx, "a browser that was left behind stays", "dir", dir, "error", err)
		default:
			log.InfoContext(ctx, "a browser that was left behind is removed", "processes_ended", killed)
		}
	}
	return nil
}

// sweepDir ends the processes of a directory whose owner has ended, and removes it.
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

// A process is one that runs.
type process struct {
	pid, group, uid int
	args            []string
}
