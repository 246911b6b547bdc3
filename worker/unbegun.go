package worker

import (
	"strings"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
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
	// active are the tasks that were active in the last round, and whether their operations are known to have been
	// begun: then a lease says when somebody has to look.
	active map[string]bool
}

// taken is one delivery of an operation: the fence goes up when it is begun.
type taken struct {
	id    string
	fence int64
}

// suspects takes the tasks that are active and returns the operations, besides those that are due, whose task was so in
// the last round as well, and of which it is not known that they have been begun. A task that waits in a long queue
// is not looked for all the time, so the worker that takes it may die long before its operation is due. There are no
// more of them than a round takes.
func (u *unbegun) suspects(active []taskqueue.Ref, due []string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	known := map[string]bool{}
	for _, id := range due {
		known[id] = true
	}
	now := map[string]bool{}
	var out []string
	for _, task := range active {
		begun, before := u.active[task.ID]
		now[task.ID] = begun
		id, _, ours := strings.Cut(task.ID, ":")
		if before && !begun && ours && tasks.ValidID(id) && !known[id] && len(out) < recoveryPage {
			out = append(out, id)
		}
	}
	u.active = now
	return out
}

// doubt makes the states of such tasks Unknown, unless they were so beginTime before now. What is not among recs
// is forgotten.
func (u *unbegun) doubt(recs []opstore.Record, states []taskqueue.State, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	since := map[taken]time.Time{}
	for i, rec := range recs {
		if _, active := u.active[rec.TaskID]; active && !rec.LeaseEnds.IsZero() {
			u.active[rec.TaskID] = true
		}
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
