//go:build !linux

// Package usage tells what a process uses of the machine. What only Linux tells
// is made up for elsewhere.
package usage

import "time"

var begun = time.Now()

// Process is the time of day: it is known on Linux only.
func Process() time.Duration { return time.Since(begun) }

// PeakMemory is zero: it is known on Linux only.
func PeakMemory() uint64 { return 0 }
