//go:build !linux

// Package usage reports the processor time and the memory of this process, on Linux.
package usage

import "time"

var begun = time.Now()

// Process returns the elapsed time: processor time is known only on Linux.
func Process() time.Duration { return time.Since(begun) }

// PeakMemory returns zero: it is known only on Linux.
func PeakMemory() uint64 { return 0 }
