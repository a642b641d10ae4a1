//go:build !unix

package main

import "time"

var begun = time.Now()

// cpuTime is the time of day where the system does not tell a process's own in
// the way that Unix does. It is right on a machine with nothing else to do.
func cpuTime() time.Duration { return time.Since(begun) }
