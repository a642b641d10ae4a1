// Package usage reports the processor time and the memory of this process.
package usage

import (
	"time"

	"golang.org/x/sys/unix"
)

// Process returns the processor time of the process. On other systems than Linux it
// returns the elapsed time.
func Process() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// PeakMemory returns the peak resident memory of the process, in bytes. On other systems
// than Linux it returns zero.
func PeakMemory() uint64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		panic(err) // The arguments are valid.
	}
	return uint64(used.Maxrss) * 1024
}

// clock reads a clock.
func clock(id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		panic(err) // As above.
	}
	return time.Duration(now.Nano())
}
