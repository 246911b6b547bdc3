package faults

import (
	"context"
	"sync"
	"time"
)

const (
	// lateTick is how often the machine is asked.
	lateTick = 5 * time.Millisecond
	// lateFrom is how late it has to be to count.
	lateFrom = 2 * time.Millisecond
)

// lateness is when this process was woken too late. The API is in it: what was to come to the API over such a while came
// to it at once. The zero value is ready.
type lateness struct {
	mu     sync.Mutex
	whiles []while
}

type while struct{ from, to time.Time }

// watch measures until ctx ends.
func (l *lateness) watch(ctx context.Context) {
	for {
		due := time.Now().Add(lateTick)
		if !every(ctx, lateTick) {
			return
		}
		l.note(due, time.Now())
	}
}

// note takes note of a tick that was due and has come.
func (l *lateness) note(due, came time.Time) {
	if came.Sub(due) < lateFrom {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whiles = append(l.whiles, while{due, came})
}

// within returns how long the process stood still in whiles that end or begin within a window.
func (l *lateness) within(from, to time.Time) (sum time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.whiles {
		if w.to.After(from) && w.from.Before(to) {
			sum += w.to.Sub(w.from)
		}
	}
	return sum
}

// mostStretch bounds how many more may come in a window because the machine was late: half as many. Beyond that nothing
// can be told from it.
const mostStretch = 1.5

// crowded returns the number of the times, which are in order, in the first window that holds too many, and how many it
// may hold: count, and more by as much as the process stood still in it. It returns 0 when there is no such window.
func (l *lateness) crowded(times []time.Time, window time.Duration, count int) (n, may int) {
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= window {
			first++
		}
		if n = i - first + 1; n <= count {
			continue
		}
		late := l.within(at.Add(-window), at)
		if may = int(float64(count) * min(mostStretch, 1+late.Seconds()/window.Seconds())); n > may {
			return n, may
		}
	}
	return 0, 0
}
