package connect

import (
	"fmt"
	"runtime/debug"
)

// recovered calls f and returns a panic as an error. Code of the app (its transport, its
// store, its hooks) that runs outside of a request is called through it: net/http recovers
// panics only of a request's goroutine, and a panic elsewhere ends the process.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
