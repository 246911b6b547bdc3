package worker

import (
	"sync"
	"time"
)

// distanceKept is for how long a distance counts at least, and at most twice as long.
const distanceKept = time.Minute

// distance is how long Redis takes to write something when nothing is in the way: the shortest that it took lately. It
// is safe for concurrent use; the zero value knows nothing.
type distance struct {
	mu           sync.Mutex
	since        time.Time     // when recent began
	recent, past time.Duration // the shortest since then, and of the time before; 0 if there is none
}

// observe notes how long a write took.
func (d *distance) observe(took time.Duration, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.since) >= distanceKept {
		d.since, d.past, d.recent = now, d.recent, 0
	}
	d.recent = shorter(d.recent, took)
}

// get returns the distance, zero when there was no write.
func (d *distance) get() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return shorter(d.recent, d.past)
}

// shorter returns the shorter one of those that are there.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
