//go:build unix

package chromium

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errLocked says that another holds a lock.
var errLocked = errors.New("the lock is held")

// lock opens a file and locks it until it is closed or the process ends. With wait
// it waits for another who holds the lock. The browser does not inherit it.
func lock(path string, wait bool) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// owned reports whether a file is this user's.
func owned(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// ownGroup has a command start in a process group of its own, so that all of its
// processes can be ended together, and an interrupt at the terminal is not theirs.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends all processes of the group that a process leads, which must not
// have been waited for.
func killGroup(pid int) {
	if pid > 1 { // 0 would be this process's own group, and 1 everything.
		_ = syscall.Kill(-pid, syscall.SIGKILL) // An error is that it has ended.
	}
}

// killOwners ends the processes that [owns] finds, with those of their groups, and
// returns how many it found.
func killOwners(ctx context.Context, dir string) (killed int, err error) {
	for deadline := time.Now().Add(5 * time.Second); ; {
		running, err := processes(ctx)
		if err != nil {
			return killed, err
		}
		found := false
		for _, p := range running {
			if p.uid == os.Getuid() && owns(p.args, dir) {
				found = true
				if kill(ctx, p.pid, dir) {
					killed++
				}
			}
		}
		if !found {
			return killed, nil
		}
		if time.Now().After(deadline) {
			return killed, fmt.Errorf("the processes of %s do not end", dir)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// mentions reports whether a command line has the path of something in a directory.
func mentions(args []string, dir string) bool {
	return len(dir) > 1 && slices.ContainsFunc(args, func(arg string) bool {
		return strings.Contains(arg, dir+string(os.PathSeparator))
	})
}

// kill ends a process if it is still one of dir's.
func kill(ctx context.Context, pid int, dir string) bool {
	// Where the system has handles, this one is never another process's: what is
	// looked at below is what is ended.
	handle, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer handle.Release()
	running, err := processes(ctx)
	if err != nil {
		return false
	}
	i := slices.IndexFunc(running, func(p process) bool { return p.pid == pid })
	// The last of these is true of every owner. It stands for itself, so that no
	// mistake in the others ends a process that has nothing to do with dir.
	if i < 0 || !owns(running[i].args, dir) || !mentions(running[i].args, dir) {
		return false
	}
	if running[i].group == pid {
		killGroup(pid)
	}
	return handle.Kill() == nil
}
