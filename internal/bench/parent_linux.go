package bench

import "syscall"

// dieWithParent makes the kernel kill a child process when this process ends in any way: no cleanup runs
// when it is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
