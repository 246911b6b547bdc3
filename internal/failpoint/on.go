//go:build faultpoints

package failpoint

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// armed is read once: what is wrong with it ends the process at its start.
var armed = mustParse(os.Getenv(Env))

// Hit says that the process is at a point, and may not return.
func Hit(p Point) {
	for i := range armed {
		if a := &armed[i]; a.point == p && a.due(a.hits.Add(1)) {
			a.act()
		}
	}
}

// act does what the arm is there for, and says so first.
func (a *arm) act() {
	fmt.Fprintf(os.Stderr, "failpoint %s: %s\n", a.point, a.action)
	switch a.action {
	case "panic":
		panic("failpoint " + string(a.point))
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // It cannot fail for oneself.
		select {}
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// The signal may reach another thread first. By the time it has stopped them all this one must
		// not have gone on.
		<-time.After(settle)
	}
}

const settle = 50 * time.Millisecond

// arm is one point at which something happens.
type arm struct {
	trigger
	hits atomic.Int64
}

func mustParse(text string) []arm {
	triggers, err := parse(text)
	if err != nil {
		panic(err)
	}
	arms := make([]arm, len(triggers))
	for i, t := range triggers {
		arms[i].trigger = t
	}
	return arms
}
