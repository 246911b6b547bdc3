package faults

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

const crowdWindow = 100 * time.Millisecond

// arrivals are so many times, spread evenly over a while from start.
func arrivals(start time.Time, n int, over time.Duration) []time.Time {
	out := make([]time.Time, n)
	for i := range out {
		out[i] = start.Add(over * time.Duration(i) / time.Duration(n))
	}
	return out
}

func TestLateness_StretchesTheWindowsThatItFallsInto(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for what, tc := range map[string]struct {
		n      int
		at     time.Duration // when the process stood still
		late   time.Duration // for how long
		wantN  int
		wantIs int // what may come
	}{
		"as many as may come":                        {n: 300},
		"one more":                                   {n: 301, wantN: 301, wantIs: 300},
		"more, and a standstill":                     {n: 390, at: 20 * time.Millisecond, late: 30 * time.Millisecond},
		"more than a standstill explains":            {n: 391, at: 20 * time.Millisecond, late: 30 * time.Millisecond, wantN: 391, wantIs: 390},
		"more, and a standstill at another time":     {n: 301, at: time.Second, late: 50 * time.Millisecond, wantN: 301, wantIs: 300},
		"a stampede, which makes the process late":   {n: 750, late: time.Second, wantN: 451, wantIs: 450},
		"what is hardly late is what a timer may be": {n: 301, late: time.Millisecond, wantN: 301, wantIs: 300},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var l lateness
			if tc.late > 0 {
				l.note(start.Add(tc.at), start.Add(tc.at+tc.late))
			}
			if n, may := l.crowded(arrivals(start, tc.n, crowdWindow), crowdWindow, 300); n != tc.wantN || may < tc.wantIs {
				t.Errorf("crowded = %d of %d, want %d of %d", n, may, tc.wantN, tc.wantIs)
			}
		})
	}
}

func TestLateness_OfAClockThatIsOnTimeIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lateness
		ctx, stop := context.WithCancel(t.Context())
		go l.watch(ctx)
		every(ctx, time.Second)
		stop()
		synctest.Wait()
		if len(l.whiles) != 0 {
			t.Errorf("late %v, want nothing", l.whiles)
		}
	})
}
