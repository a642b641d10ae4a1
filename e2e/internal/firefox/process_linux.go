package firefox

import "syscall"

// endWithTests ends Firefox when the tests are killed.
var endWithTests = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
