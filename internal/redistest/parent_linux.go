package redistest

import "syscall"

// DieWithParent makes the kernel kill a child process when the test process ends in any way, a panic,
// a timeout of go test and SIGKILL included: no cleanup runs then. It is for the SysProcAttr of an
// exec.Cmd; on other systems than Linux it is nil, and an aborted run leaves its processes behind.
//
// What the kernel watches is the thread that started the child. The Go runtime keeps its threads, except that
// of a goroutine that ends while it is locked to one (runtime.LockOSThread): no test process may have such a
// goroutine.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
