package faults

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLateness_StretchesWhatMayComeInAWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // In a bubble everything is on time.
		var l lateness
		ctx, stop := context.WithCancel(t.Context())
		go l.watch(ctx)
		every(t.Context(), time.Second)
		if n := l.stretch(300, 100*time.Millisecond); n != 300 {
			t.Errorf("%d may come, want 300: nothing was late", n)
		}
		l.worst.Store(int64(50 * time.Millisecond))
		if n := l.stretch(300, 100*time.Millisecond); n != 450 {
			t.Errorf("%d may come after the machine stood still for half a window, want 450", n)
		}
		l.forget()
		stop()
		synctest.Wait()
		if n := l.stretch(300, 100*time.Millisecond); n != 300 {
			t.Errorf("%d may come, want 300: that is forgotten", n)
		}
	})
}
