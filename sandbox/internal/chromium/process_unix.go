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

// errLocked is returned when another process holds a lock.
var errLocked = errors.New("the lock is held")

// lock opens a file and locks it until the file is closed or the process ends. If another
// process holds the lock, it waits, or returns errLocked if wait is false. Browsers do not
// inherit the lock.
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

// owned reports whether this user owns a file.
func owned(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// ownGroup makes a command start in its own process group. All of its processes can then
// be killed together, and an interrupt at the terminal does not reach them.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the process group of a leader that was not waited for yet.
func killGroup(pid int) {
	if pid > 1 { // -0 is this process's own group, and -1 every process.
		_ = syscall.Kill(-pid, syscall.SIGKILL) // It fails only if the group has ended.
	}
}

// killOwners kills the processes of this user that [owns] matches, with their process
// groups. It returns the number of matching processes that it killed.
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

// mentions reports whether a command line contains a path in a directory.
func mentions(args []string, dir string) bool {
	return len(dir) > 1 && slices.ContainsFunc(args, func(arg string) bool {
		return strings.Contains(arg, dir+string(os.PathSeparator))
	})
}

// kill kills a process if it still belongs to dir.
func kill(ctx context.Context, pid int, dir string) bool {
	// Where the system has process handles, the number cannot be reused meanwhile: the
	// process that is checked below is the one that is killed.
	handle, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = handle.Release() }()
	running, err := processes(ctx)
	if err != nil {
		return false
	}
	i := slices.IndexFunc(running, func(p process) bool { return p.pid == pid })
	// mentions is true of every owner. It is a second check, so that a mistake in owns
	// cannot kill an unrelated process.
	if i < 0 || !owns(running[i].args, dir) || !mentions(running[i].args, dir) {
		return false
	}
	if running[i].group == pid {
		killGroup(pid)
	}
	return handle.Kill() == nil
}
