package main

import (
	"syscall"
	"time"
)

// threadTime is how long a processor has worked for this thread so far. Beside
// the time of day it leaves out the time that the machine gave to others, and
// the collector's on the other processors.
func threadTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &used); err != nil {
		panic(err) // Asked for nothing that could be missing.
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
