package worker

import (
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/taskqueue"
)

// beginTime is how long whoever has taken a task has until the operation is begun. It takes milliseconds.
const beginTime = 300 * time.Millisecond

// unbegun remembers operations whose task somebody has taken, and that nobody has begun: the task was taken in
// this very instant, or is lost with its worker. Which of them is for a later look to tell, since an operation
// that is given a new task for no reason has to wait in its queue once more. The zero value is ready. It is safe
// for concurrent use.
type unbegun struct {
	mu    sync.Mutex
	since map[taken]time.Time
}

// taken is one delivery of an operation: the fence goes up when it is begun.
type taken struct {
	id    string
	fence int64
}

// doubt makes the states of such tasks Unknown, unless they were so beginTime before now. What is not among recs
// is forgotten.
func (u *unbegun) doubt(recs []opstore.Record, states []taskqueue.State, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	since := map[taken]time.Time{}
	for i, rec := range recs {
		if states[i] != taskqueue.Active || !rec.LeaseEnds.IsZero() {
			continue
		}
		t := taken{rec.ID, rec.Fence}
		first, seen := u.since[t]
		if !seen {
			first = now
		}
		since[t] = first
		if now.Sub(first) < beginTime {
			states[i] = taskqueue.Unknown
		}
	}
	u.since = since
}
