package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// longestPause is the longest wait for the next attempt that a run waits out itself. It holds a
	// place among the tasks in flight meanwhile, but is on time, which asynq is not.
	longestPause = time.Second
	// writeTimeout bounds a write to Redis that has to be done even while the worker stops.
	writeTimeout = 3 * time.Second
	// redisTrouble is when to come back after Redis could not be used.
	redisTrouble = time.Second
)

var (
	errNoRecord   = errors.New("the operation's record is gone; enqueue it anew")
	errMismatch   = errors.New("the task is of a type that its operation does not wait for")
	errUndecided  = errors.New("an attempt ended without a verdict")
	errStopping   = errors.New("the worker stops; another goes on")
	errComesEarly = errors.New("waiting for the next attempt")
)

// run does what a task of type t, the seq-th of its operation, is there for. It returns nil when the task
// is done with, a *retryLater when asynq shall run it again, or a *quarantine.
//
// Safe to run twice, also at the same time: one run gets the lease, and the others do nothing.
func (w *Worker) run(ctx context.Context, t tasks.Type, id string, seq int64) error {
	if h, ok := w.handovers.take(t, opstore.TaskID(id, seq)); ok {
		if held, release, ok := w.leases.pickUp(ctx, h.begun.Lease); ok {
			defer release()
			h = h.asOf(time.Now())
			return w.attempts(held, t, h.run, h.begun, h.sent)
		}
		// It is a task like any other now, unless the lease still lasts in Redis: then it would find itself in its way.
		if err := w.giveBack(ctx, h, errLeaseLapsed); err != nil && !errors.Is(err, opstore.ErrStale) {
			// Should the lease last longer than that, recovery has it run again.
			return &retryLater{delay: redisTrouble, cause: err}
		}
	}
	name := w.newRun()
	b, sent, ok, err := w.begin(ctx, t, name, opstore.Lease{ID: id, Seq: seq})
	if !ok {
		return err
	}
	ctx, release := w.leases.hold(ctx, b.Lease, sent)
	defer release()
	return w.attempts(ctx, t, name, b, sent)
}

// begin takes the lease of a task for a run, or keeps it for the run's next attempt: held has no fence in the
// first case. It reports false when the run has nothing to do; the error is what the run comes to then. sent is when
// the request was sent.
func (w *Worker) begin(
	ctx context.Context, t tasks.Type, name string, held opstore.Lease,
) (b opstore.Begun, sent time.Time, ok bool, err error) {
	sent = time.Now()
	b, err = w.store.Begin(ctx, t, held.ID, held.Seq, name, held)
	if err != nil {
		return b, sent, false, &retryLater{delay: redisTrouble, cause: err}
	}
	switch b.Outcome {
	case opstore.Go, opstore.Early, opstore.Expired:
		return b, sent, true, nil
	case opstore.Done, opstore.Held, opstore.Stale:
		return b, sent, false, nil
	case opstore.Missing:
		return b, sent, false, &quarantine{reason: errNoRecord}
	case opstore.Mismatch:
		return b, sent, false, &quarantine{reason: errMismatch}
	default:
		return b, sent, false, &retryLater{delay: redisTrouble, cause: fmt.Errorf("begin %s: unknown outcome %q", held.ID, b.Outcome)}
	}
}

// attempts makes the attempts of a run that has begun by a request sent then, until one is the last.
func (w *Worker) attempts(ctx context.Context, t tasks.Type, name string, b opstore.Begun, sent time.Time) error {
	ctx, span := w.startSpan(ctx, t, b, sent)
	defer span.End()
	var looked time.Time
	for ok := true; ok; {
		if b.Outcome == opstore.Early {
			wait := b.Record.Next.Sub(b.Now)
			if wait > longestPause || !w.pause(ctx, wait) {
				return w.handBack(ctx, t, b, wait-time.Since(sent))
			}
		} else if more, err := w.step(ctx, t, b, sent, &looked); !more {
			return err
		}
		var err error
		if b, sent, ok, err = w.begin(ctx, t, name, b.Lease); !ok {
			return err
		}
	}
	return nil
}

// newRun returns a name for a run that no other has.
func (w *Worker) newRun() string { return w.name + "/" + strconv.FormatUint(w.runs.Add(1), 36) }

// step makes one attempt and writes its verdict. It returns true when the next attempt is due at once.
// looked is the run's, for its attempts.
func (w *Worker) step(ctx context.Context, t tasks.Type, b opstore.Begun, sent time.Time, looked *time.Time) (more bool, err error) {
	deadline := startLimit(b, sent)
	failpoint.Hit(failpoint.AfterBegin)
	var v verdict
	if b.Outcome == opstore.Expired {
		v = expired(t, b.Record)
	} else {
		v = w.attempt(payblr.StartBefore(ctx, deadline), t, b.Record, looked)
		v = schedule(t, b.Record, v, time.Until(deadline), w.cfg.Random())
	}
	took := time.Since(sent)
	if v.end != chain { // Whoever waits for the confirmation does not wait for a line in the log.
		w.observe(t, b, v, took)
	}
	traceAttempt(trace.SpanFromContext(ctx), b, v)

	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	switch v.end {
	case succeed, fail:
		return false, w.finish(write, t, b, v, took)
	case chain:
		err := w.chain(write, b)
		w.observe(t, b, v, took)
		return false, err
	default:
		return w.again(ctx, write, t, b, v)
	}
}

// startLimit returns until when a call may start that follows a begin whose request was sent then. The time of
// Redis at the begin came after that, so it errs on the early side, whatever the two clocks say.
func startLimit(b opstore.Begun, sent time.Time) time.Time {
	return sent.Add(b.Record.Expires.Sub(b.Now))
}

// attempt makes the attempt and turns a panic into a verdict.
func (w *Worker) attempt(ctx context.Context, t tasks.Type, rec opstore.Record, looked *time.Time) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked(rec.ID, p)
			// The panic's value may hold anything, so it is not repeated.
			v = verdict{
				end: again, code: tasks.CodeInternal, message: "a defect of cardworker; its log has the details",
				unknown: t.Kind().Unblocks() && !t.Confirms(), cause: errPanic,
			}
		}
	}()
	ctx = gate.WaitUntil(ctx, w.draining) // Another worker takes the next turn as well.
	if !t.Kind().Unblocks() {
		ctx = gate.Bulk(ctx) // A million refreshes must not be felt by a cardholder.
	}
	v = attempt{api: w.cfg.API, rec: rec, pause: w.pause, looked: looked}.do(ctx, t)
	if v.end == undecided {
		v = verdict{end: again, code: tasks.CodeInternal, message: errUndecided.Error(), unknown: true, cause: errUndecided}
	}
	return v
}

// finish writes the result. A write that fails for good leaves the operation to recovery, which has it
// run again: what was read is read again, and what was sent is not sent again.
func (w *Worker) finish(ctx context.Context, t tasks.Type, b opstore.Begun, v verdict, took time.Duration) error {
	res := opstore.Result{Status: v.status, Accepted: v.accepted, Unknown: v.unknown, Task: w.active(ctx)}
	if v.end == fail {
		res.Error = failure(v.code, v.message)
	}
	failpoint.Hit(failpoint.BeforeFinish)
	w.leases.giveUp(b.Lease)
	sent := time.Now()
	rec, err := w.store.Finish(ctx, b.Lease, b.Record, res)
	if err != nil {
		return w.unwritten(err)
	}
	now := time.Now()
	w.near.observe(now.Sub(sent), now)
	w.endedWith(res.Task)
	failpoint.Hit(failpoint.AfterFinish)
	w.finished(t, rec, v, took)
	return nil
}

// chain passes the accepted unblock on to its confirming task.
func (w *Worker) chain(ctx context.Context, b opstore.Begun) error {
	failpoint.Hit(failpoint.BeforeChain)
	w.leases.giveUp(b.Lease)
	switch handed, err := w.handOver(ctx, b); {
	case err != nil:
		return w.unwritten(err)
	case handed:
		failpoint.Hit(failpoint.AfterChained)
		return nil
	}
	next, err := w.store.Chain(ctx, b.Lease, b.Record.Kind)
	if err != nil {
		return w.unwritten(err)
	}
	failpoint.Hit(failpoint.AfterChain)
	if err := w.enqueue(ctx, b.Record.ID, next); err != nil {
		// The operation is confirming in its record; recovery will notice that its task is missing.
		w.log.WithField("operation", b.Record.ID).Warnf("left to recovery: %v", err)
	}
	failpoint.Hit(failpoint.AfterChained)
	return nil
}

func (w *Worker) enqueue(ctx context.Context, id string, n opstore.Next) error {
	return w.queue.Enqueue(ctx, n.Type, n.Queue, n.ID, tasks.ByReference(id, n.Seq))
}

// again writes down what was learned and waits for the next attempt, here or in asynq.
func (w *Worker) again(ctx, write context.Context, t tasks.Type, b opstore.Begun, v verdict) (more bool, err error) {
	keep := v.delay <= longestPause && !v.interrupted && ctx.Err() == nil && !w.stopping()
	p := opstore.Progress{
		Delay: v.delay, Keep: keep, Unknown: v.unknown, Blocked: v.blocked, Status: v.status,
		Code: v.code, Unburned: v.unburned,
	}
	failpoint.Hit(failpoint.BeforeYield)
	if !keep {
		w.leases.giveUp(b.Lease)
	}
	if err := w.store.Yield(write, b.Lease, t, p); err != nil {
		return false, w.unwritten(err)
	}
	failpoint.Hit(failpoint.AfterYield)
	if !keep {
		return false, &retryLater{delay: v.delay, cause: orElse(v.cause, errComesEarly), free: v.unburned || v.cause == nil}
	}
	failpoint.Hit(failpoint.WhilePausing)
	since := time.Now()
	if w.pause(ctx, v.delay) {
		return true, nil
	}
	b.Record.Call = opstore.CallNone
	if v.unknown {
		b.Record.Call = opstore.CallWas
	}
	return false, w.handBack(ctx, t, b, v.delay-time.Since(since))
}

// handBack gives up the lease while the next attempt is not due yet.
func (w *Worker) handBack(ctx context.Context, t tasks.Type, b opstore.Begun, left time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	left = max(0, left)
	p := opstore.Progress{Delay: left, Unknown: b.Record.Call != opstore.CallNone}
	failpoint.Hit(failpoint.BeforeHandBack)
	w.leases.giveUp(b.Lease)
	if err := w.store.Yield(ctx, b.Lease, t, p); err != nil {
		return w.unwritten(err)
	}
	failpoint.Hit(failpoint.AfterHandBack)
	if w.stopping() {
		return &retryLater{delay: left, cause: errStopping, free: true}
	}
	return &retryLater{delay: left, cause: errComesEarly, free: true}
}

// unwritten is the outcome of a run that could not write what it came to.
func (w *Worker) unwritten(err error) error {
	if errors.Is(err, opstore.ErrStale) {
		w.log.Warn(err) // Whoever superseded this run goes on with the operation.
		return nil
	}
	return &retryLater{delay: redisTrouble, cause: err}
}

// pause waits for d. It returns false when the worker stops or ctx ends before that.
func (w *Worker) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil && !w.stopping()
	}
	away(ctx)
	defer back(ctx)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
	case <-w.draining:
	}
	return false
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
