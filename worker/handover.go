package worker

import (
	"context"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// giver takes the tasks that a worker makes for itself: its server.
type giver interface {
	// give hands over a task that is active already. It reports false when the server takes no more: then putBack has to
	// be called.
	give(queue, message string) bool
	// putBack returns tasks that were given, and that asynq was not handed, to their queue, when their leases are given up.
	putBack(ctx context.Context) error
}

// handovers are the tasks that this worker has begun, with the look that took them or with the last write of the unblock
// that they confirm, and that are on their way through asynq to a goroutine. Their leases are kept meanwhile. The zero
// value is ready. It is safe for concurrent use.
type handovers struct {
	mu     sync.Mutex
	byTask map[string]handover // by the id of the task
}

// handover is what the run of a task begins with.
type handover struct {
	run   string
	begun opstore.Begun
	sent  time.Time // when it was begun
}

func (hs *handovers) put(h handover) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byTask == nil {
		hs.byTask = map[string]handover{}
	}
	hs.byTask[h.begun.Record.TaskID] = h
}

// take returns the handover of a task, which is the caller's alone from then on. A task that has its id and is of another
// type was made by somebody else, and has none.
func (hs *handovers) take(t tasks.Type, taskID string) (handover, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h, ok := hs.byTask[taskID]
	if !ok || h.begun.Record.TaskType != t {
		return handover{}, false
	}
	delete(hs.byTask, taskID)
	return h, true
}

// takeAll returns those of the tasks that no run has taken.
func (hs *handovers) takeAll(taskIDs []string) (all []handover) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, id := range taskIDs {
		if h, ok := hs.byTask[id]; ok {
			all = append(all, h)
			delete(hs.byTask, id)
		}
	}
	return all
}

// asOf returns the handover as if it had been begun now: what has passed since has passed for Redis as well.
func (h handover) asOf(now time.Time) handover {
	h.begun.Now = h.begun.Now.Add(now.Sub(h.sent))
	h.sent = now
	return h
}

// handOver passes an accepted unblock on to a confirming task that this worker has begun already, and hands it to its
// own server. That is two scripts and three round trips fewer than by way of the queue, and no other worker has to be
// woken. It reports false when that cannot be, and nothing was written.
//
// Nothing hangs on this process: whatever it does not come to is an operation whose worker has died.
func (w *Worker) handOver(ctx context.Context, b opstore.Begun) (done bool, err error) {
	if w.own == nil || w.stopping() {
		return false, nil
	}
	confirm := b.Record.Kind.ConfirmType()
	task, err := w.queue.Prepare(ctx, confirm, confirm.Policy().Queue, opstore.TaskID(b.Lease.ID, b.Lease.Seq+1), tasks.ByReference(b.Lease.ID, b.Lease.Seq+1))
	if err != nil {
		w.log.WithField("operation", b.Lease.ID).Warnf("goes by way of the queue: %v", err)
		return false, nil
	}
	h := handover{run: w.newRun(), sent: time.Now()}
	unblock := w.active(ctx)
	h.begun, done, err = w.store.Handover(ctx, b.Lease, b.Record, h.run, task, unblock)
	if err != nil || !done {
		return false, err
	}
	w.endedWith(unblock)
	failpoint.Hit(failpoint.AfterChain)
	w.expect(h)
	if !w.own.give(task.Queue, task.Message) {
		if err := w.own.putBack(ctx); err != nil {
			w.log.WithField("operation", b.Lease.ID).Warnf("left to recovery: %v", err)
		}
	}
	return true, nil
}

// expect keeps what was begun for the run that asynq is about to make.
func (w *Worker) expect(h handover) {
	w.leases.park(h.begun.Lease, h.sent)
	w.handovers.put(h)
}

// giveUp gives up the leases of tasks that this worker has begun and will not run, so that another goes on at once.
func (w *Worker) giveUp(ctx context.Context, taskIDs []string) {
	handed := w.handovers.takeAll(taskIDs)
	if len(handed) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, h := range handed {
		all.Go(func() {
			if err := w.giveBack(ctx, h, context.Canceled); err != nil {
				w.log.WithField("operation", h.begun.Lease.ID).Warnf("left to recovery: %v", err)
			}
		})
	}
	all.Wait()
}

// giveBack gives up the lease of what was begun and has not run, and leaves the operation as if it had not been begun.
func (w *Worker) giveBack(ctx context.Context, h handover, why error) error {
	w.leases.drop(h.begun.Lease, why)
	// What this begin marked was not sent; what an earlier one marked may have been.
	return w.store.Yield(ctx, h.begun.Lease, h.begun.Record.TaskType, opstore.Progress{
		Unburned: true, Unknown: h.begun.Record.Call == opstore.CallWas,
	})
}
