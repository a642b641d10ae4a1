package connect

import (
	"fmt"
	"runtime/debug"
)

// recovered calls f and returns a panic as an error. Everything that may run code
// of the app's (its transport, its store, its hooks) outside of a request goes
// through here: net/http recovers panics of a request, and nobody recovers those
// of other goroutines, which end the process.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
