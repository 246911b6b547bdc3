package bench

import (
	"context"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Linux takes the end of the thread that started a child for the end of the parent, and a goroutine that is
// still locked to its thread ends the thread with itself. A relay that is closed must not take with it
// whatever its thread once started.
func TestRelay_LeavesTheChildrenOfItsThreadAlive(t *testing.T) {
	t.Parallel()
	closed, cancel := context.WithCancel(t.Context())
	cancel()

	// Two at a time, for the thread that a process begins with never ends before it.
	var children [2]*exec.Cmd
	var locked, ended sync.WaitGroup
	locked.Add(len(children))
	for i := range children {
		child := exec.Command("sleep", "600")
		child.SysProcAttr = dieWithParent()
		children[i] = child
		ended.Go(func() {
			runtime.LockOSThread() // so that the child and the relay have the same thread
			defer runtime.UnlockOSThread()
			locked.Done()
			locked.Wait()
			if err := child.Start(); err != nil {
				t.Errorf("start %s: %v", child, err)
				return
			}
			(&relay{ctx: closed}).deliver()
		})
	}
	ended.Wait()

	for _, child := range children {
		if child.Process == nil {
			continue
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = child.Wait() // How it ended is in ProcessState.
		}()
		select {
		case <-gone:
			t.Errorf("%s ended with the relay: %s", child, child.ProcessState)
		case <-time.After(200 * time.Millisecond): // One that dies with the thread is gone within a millisecond.
			_ = child.Process.Kill()
			<-gone
		}
	}
}
