//go:build !linux

package bench

import "time"

func precise() (done func()) { return func() {} }

// pause lets d pass, as exactly as the system's timers are.
func pause(d time.Duration) { time.Sleep(d) }
