package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// Not parallel: the collector is the process's.
func TestSetCollector_LeavesWhatTheOperatorHasSet(t *testing.T) {
	gc, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(gc)
		debug.SetMemoryLimit(limit)
	})
	for _, tc := range []struct {
		environ []string
		gc      int
		limit   int64
	}{
		{nil, gcPercent, memoryLimit(256)},
		{[]string{"GOGC=", "GOMEMLIMIT="}, gcPercent, memoryLimit(256)},
		{[]string{"GOGC=50"}, 100, memoryLimit(256)},
		{[]string{"GOMEMLIMIT=1GiB"}, gcPercent, math.MaxInt64},
	} {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		setCollector(tc.environ, 256)
		if got := debug.SetGCPercent(100); got != tc.gc {
			t.Errorf("with %q the percentage is %d, want %d", tc.environ, got, tc.gc)
		}
		if got := debug.SetMemoryLimit(-1); got != tc.limit {
			t.Errorf("with %q the limit is %d, want %d", tc.environ, got, tc.limit)
		}
	}
}
