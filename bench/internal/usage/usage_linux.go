// Package usage tells what a process uses of the machine. What only Linux tells
// is made up for elsewhere, as each function says.
package usage

import (
	"syscall"
	"time"
)

// Thread is how long a processor has worked for the calling thread so far, to
// which the goroutine should be locked. Unlike the time of day it leaves out the
// time that the machine gave to others. Elsewhere it is the time of day.
func Thread() time.Duration { return processorTime(syscall.RUSAGE_THREAD) }

// Process is how long processors have worked for the process so far. Elsewhere
// it is the time of day.
func Process() time.Duration { return processorTime(syscall.RUSAGE_SELF) }

// PeakMemory is the most that the process has held of the machine's memory, in
// bytes. Elsewhere it is zero.
func PeakMemory() uint64 { return uint64(usage(syscall.RUSAGE_SELF).Maxrss) * 1024 }

func processorTime(who int) time.Duration {
	used := usage(who)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func usage(who int) (used syscall.Rusage) {
	if err := syscall.Getrusage(who, &used); err != nil {
		panic(err) // It was asked of the system in the one way there is.
	}
	return used
}
