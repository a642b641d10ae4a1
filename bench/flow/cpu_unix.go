//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is how long processors have worked for this process so far.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // Asked for nothing that could be missing.
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
