//go:build !unix

package chromium

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// Browsers are not started on this system: see [Find].
var (
	errLocked      = errors.New("the lock is held")
	errUnsupported = errors.New("browsers are not started on this system")
)

func lock(string, bool) (*os.File, error)             { return nil, errUnsupported }
func owned(os.FileInfo) bool                          { return false }
func ownGroup(*exec.Cmd)                              {}
func killGroup(int)                                   {}
func killOwners(context.Context, string) (int, error) { return 0, errUnsupported }
func processes(context.Context) ([]process, error)    { return nil, errUnsupported }
