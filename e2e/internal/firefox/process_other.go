//go:build !linux

package firefox

import "syscall"

var endWithTests *syscall.SysProcAttr
