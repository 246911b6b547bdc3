package bench

import (
	"runtime"
	"syscall"
	"time"
)

// precise prepares the calling goroutine for pause, until it calls what precise returns: its thread is woken
// within microseconds of the time, where Linux allows itself 50 otherwise. The runtime's own timers are exact to
// a millisecond when nothing else runs.
//
// A goroutine that returns without that call takes its thread with it, and Linux the processes that this
// thread once started with dieWithParent.
func precise() (done func()) {
	runtime.LockOSThread()
	setTimerSlack(1)
	return func() {
		setTimerSlack(0) // what the thread was born with
		runtime.UnlockOSThread()
	}
}

// setTimerSlack says how late the calling thread may be woken. Should it fail, pauses are longer by the usual
// 50 µs, which the measured round trip shows.
func setTimerSlack(nanoseconds uintptr) {
	const prSetTimerSlack = 29
	_, _, _ = syscall.Syscall(syscall.SYS_PRCTL, prSetTimerSlack, nanoseconds, 0)
}

// pause lets d pass.
func pause(d time.Duration) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&ts, nil) // A signal ends it early; its user looks at the clock again.
}
