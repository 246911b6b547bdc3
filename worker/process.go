package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

// unknownDelay is when a task that this release does not understand is tried again. During a rolling
// deploy a newer worker may take it.
const unknownDelay = 5 * time.Second

// clockSlack is how far this worker's clock may be off where a time of somebody else's is looked at. It is
// for refusing nonsense alone: whether an operation has expired is for the clock of Redis to say.
const clockSlack = 10 * time.Minute

var (
	errPanic       = errors.New("panic")
	errCardNumber  = fmt.Errorf("%w: it holds what looks like a card number", tasks.ErrMalformed)
	errUnknownType = errors.New("unknown task type: a newer worker may know it")
)

// ProcessTask runs one task of asynq. It is the boundary: whatever happens inside, asynq gets an error it
// understands, with a text that is safe to store and to show.
//
// Safe to run twice, also at the same time: see run.
func (w *Worker) ProcessTask(ctx context.Context, task *asynq.Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked("", p)
			err = &quarantine{reason: errPanic}
		}
		if id, ok := asynq.GetTaskID(ctx); ok {
			w.giveUp(ctx, []string{id}) // What was handed over with it and has no run: somebody else has to go on.
		}
		if q := (*quarantine)(nil); errors.As(err, &q) {
			// A card number must not lie in an archive for months.
			q.drop = tasks.HasCardNumber(string(task.Payload()))
			w.cfg.Metrics.quarantined.Inc()
			w.log.WithField("task_type", printableType(task.Type())).Warnf("task %s: %v", q.fate(), q)
		}
		w.remind(ctx, err)
		err = forAsynq(err)
		failpoint.Hit(failpoint.BeforeDone)
	}()
	w.tasks.Add(1)
	defer w.tasks.Done()
	w.cfg.Metrics.inFlight.Inc()
	defer w.cfg.Metrics.inFlight.Dec()

	ctx = spans.WithRemote(ctx, task.Headers()[spans.Header])
	failpoint.Hit(failpoint.AfterDequeue)
	// Routing is by exact match: asynq's own ServeMux matches prefixes.
	t := tasks.Type(task.Type())
	if !t.Valid() {
		return &retryLater{delay: unknownDelay, cause: errUnknownType, free: true}
	}
	p, err := tasks.DecodePayload(t, task.Payload())
	switch {
	case errors.Is(err, tasks.ErrNewerVersion):
		return &retryLater{delay: unknownDelay, cause: err, free: true}
	case err != nil:
		if id, ok := asynq.GetTaskID(ctx); ok {
			w.giveUp(ctx, []string{id}) // The look may have begun its operation.
		}
		w.failUnreadable(ctx, tasks.FindOperationID(task.Payload()))
		return &quarantine{reason: err}
	case p.SelfContained():
		return w.adopt(ctx, t, task, p)
	default:
		return w.run(w.withActive(ctx), t, p.OperationID, p.Seq)
	}
}

// remind sets the alarm for a task that goes back to asynq until its time has come.
func (w *Worker) remind(ctx context.Context, err error) {
	var r *retryLater
	if !errors.As(err, &r) {
		return
	}
	id, ok := asynq.GetTaskID(ctx)
	queue, ok2 := asynq.GetQueueName(ctx)
	if ok && ok2 {
		// asynq writes the retry after this returns.
		w.alarms.at(queue, id, max(r.delay, soonest))
	}
}

// soonest is when a task that goes back to asynq can be brought back.
const soonest = 100 * time.Millisecond

// adopt makes the operation that a self-contained task asks for, and runs it.
func (w *Worker) adopt(ctx context.Context, t tasks.Type, task *asynq.Task, p tasks.Payload) error {
	card, err := tasks.ParsePublicToken(p.PublicToken)
	if err != nil {
		return &quarantine{reason: err}
	}
	if hasCardNumber(task.Payload(), p) {
		return &quarantine{reason: errCardNumber}
	}
	taskID, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	kind := t.Kind()
	req := opstore.Request{
		Kind: kind, Card: card, Key: p.IdempotencyKey, Lifetime: w.cfg.expiry(kind),
		Reason: p.Reason, UpdatedBy: p.UpdatedBy,
		ID: opstore.DerivedID(card, queue, taskID), TaskQueue: queue, TaskID: taskID,
		Traceparent: spans.Traceparent(ctx),
	}
	if p.ExpiresAt != nil {
		if req.Expires = *p.ExpiresAt; time.Until(req.Expires) > tasks.MaxExpiry+clockSlack {
			return &quarantine{reason: fmt.Errorf("%w: expires_at is more than %s away", tasks.ErrMalformed, tasks.MaxExpiry)}
		}
	}
	acc, err := w.store.Accept(ctx, req)
	var limit *opstore.LimitError
	switch {
	case errors.As(err, &limit), errors.Is(err, opstore.ErrKeyReused):
		return &quarantine{reason: err}
	case err != nil:
		return &retryLater{delay: redisTrouble, cause: err}
	}
	if acc.Ended != nil {
		w.finished(t, *acc.Ended, verdict{end: fail, code: acc.Ended.Error.Code}, 0)
	}
	w.tellOperation(task, acc.ID)
	if acc.TaskID != taskID || acc.TaskQueue != queue {
		w.traceJoined(ctx, acc)
		return nil // It joined another operation, or was superseded.
	}
	return w.run(ctx, t, acc.ID, acc.Seq)
}

// hasCardNumber reports whether a payload that can be read holds a card number all the same, in a member that we do
// not know. An idempotency key may look like one: it is the producer's, and one number in ten passes the check.
func hasCardNumber(payload []byte, p tasks.Payload) bool {
	return tasks.HasCardNumber(strings.Replace(string(payload), p.IdempotencyKey, "", 1))
}

// tellOperation writes the operation's id as the task's result, so that a producer without our library
// can find the operation.
func (w *Worker) tellOperation(task *asynq.Task, id string) {
	rw := task.ResultWriter()
	if rw == nil {
		return
	}
	b, err := json.Marshal(map[string]string{"operation_id": id})
	if err == nil {
		_, err = rw.Write(b)
	}
	if err != nil {
		w.log.WithField("operation", id).Warnf("could not write the task's result: %v", err)
	}
}

// failUnreadable fails the operation that an unreadable task was for, so that nobody waits for it until
// it expires. If a run has the operation, it goes its own way.
func (w *Worker) failUnreadable(ctx context.Context, id string) {
	if id == "" {
		return
	}
	rec, err := w.store.Get(ctx, id)
	if err != nil {
		w.log.WithField("operation", id).Warnf("unreadable task: %v", err)
		return
	}
	b, err := w.store.Begin(ctx, rec.TaskType, id, rec.Seq, w.newRun(), opstore.Lease{})
	if err != nil || (b.Outcome != opstore.Go && b.Outcome != opstore.Early && b.Outcome != opstore.Expired) {
		return
	}
	v := verdict{end: fail, code: tasks.CodeInternal, message: "the operation's task could not be read"}
	// A mark of one that was begun just now is its own, and nothing was sent. Of one that has expired it is an earlier one's.
	v.unknown = b.Record.Call == opstore.CallWas || b.Outcome == opstore.Expired && b.Record.Call != opstore.CallNone
	if v.unknown {
		v = giveUp(rec.TaskType, rec, v, "")
	}
	if err := w.finish(ctx, rec.TaskType, b, v, 0); err != nil {
		w.log.WithField("operation", id).Warnf("unreadable task: %v", err)
	}
}

func (w *Worker) panicked(id string, p any) {
	w.cfg.Metrics.panics.Inc()
	// The value's type tells enough together with the stack; the value itself may hold anything.
	w.log.WithField("operation", id).Errorf("panic (%T): %s", p, debug.Stack())
}

// printableType returns the name of a known task type, and nothing of a stranger's.
func printableType(name string) string {
	if tasks.Type(name).Valid() {
		return name
	}
	return fmt.Sprintf("unknown (%d characters)", len(name))
}
