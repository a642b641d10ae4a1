//go:build !linux

package main

import "time"

var begun = time.Now()

// threadTime is the time of day where a thread's own is not known. It is the
// same on a machine that has nothing else to do.
func threadTime() time.Duration { return time.Since(begun) }
