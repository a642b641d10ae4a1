package chromium

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processes lists the processes of this machine, except those that end meanwhile.
func processes(context.Context) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		// A zombie has no command line and need not be killed.
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 {
			continue
		}
		group, err := syscall.Getpgid(pid)
		if err != nil {
			continue
		}
		all = append(all, process{
			pid: pid, group: group, uid: int(info.Sys().(*syscall.Stat_t).Uid),
			args: splitArgs(line),
		})
	}
	return all, nil
}

// splitArgs splits a command line. Chromium's children rewrite theirs with spaces between
// the arguments.
func splitArgs(line []byte) []string {
	line = bytes.TrimRight(line, "\x00")
	if bytes.IndexByte(line, 0) < 0 {
		return strings.Fields(string(line))
	}
	return strings.Split(string(line), "\x00")
}
