package faults

import (
	"context"
	"sync/atomic"
	"time"
)

// lateTick is how often the machine is asked.
const lateTick = 5 * time.Millisecond

// lateness is by how much this process was woken too late, at most. The API is in it: what was to come to the API over
// that time came to it at once. The zero value is none.
type lateness struct{ worst atomic.Int64 }

// watch measures until ctx ends.
func (l *lateness) watch(ctx context.Context) {
	for {
		due := time.Now().Add(lateTick)
		if !every(ctx, lateTick) {
			return
		}
		if late := int64(time.Since(due)); late > l.worst.Load() {
			l.worst.Store(late)
		}
	}
}

// forget begins anew.
func (l *lateness) forget() { l.worst.Store(0) }

// stretch returns how many may come in a window of which so many may come when the machine is on time.
func (l *lateness) stretch(count int, window time.Duration) int {
	return int(int64(count) * (int64(window) + l.worst.Load()) / int64(window))
}
