// Package usage tells what a process uses of the machine, on Linux.
package usage

import (
	"time"

	"golang.org/x/sys/unix"
)

// Process is how long processors have worked for the process so far. Unlike the
// time of day it leaves out the time that the machine gave to others. Elsewhere it
// is the time of day.
func Process() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// PeakMemory is the most that the process has held of the machine's memory, in
// bytes. Elsewhere it is zero.
func PeakMemory() uint64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		panic(err) // It was asked for in the one way there is.
	}
	return uint64(used.Maxrss) * 1024
}

// clock reads one of the clocks that Linux has had since long.
func clock(id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		panic(err) // As above.
	}
	return time.Duration(now.Nano())
}
