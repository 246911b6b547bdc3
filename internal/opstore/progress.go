package opstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// Progress is what an attempt learned that did not end the operation.
type Progress struct {
	// Delay is how long until the next attempt is due, at least 0.
	Delay time.Duration
	// Keep keeps the lease: the caller waits for the next attempt itself.
	Keep bool
	// Unknown: an unblock may have been applied without our knowing.
	Unknown bool
	// Blocked: a confirming read said blocked.
	Blocked bool
	// Status is what was read, or nil.
	Status *tasks.Status
	// Code is the code that the failure would have if it were the last, or "".
	Code tasks.Code
	// Unburned gives the attempt back: nothing was asked of the API.
	Unburned bool
}

// Yield ends an attempt and schedules the next. It returns [ErrStale] when the lease was superseded.
func (s *Store) Yield(ctx context.Context, l Lease, t tasks.Type, p Progress) error {
	shard, kind := tasks.ShardOf(l.ID), t.Kind()
	call, event := CallNone, "retry"
	if p.Unknown {
		call = CallWas
	}
	if p.Blocked {
		event = "read_blocked"
	}
	rep, err := runScript(ctx, s.rdb, yieldScript,
		[]string{opKey(l.ID), leasedKey(shard), waitingKey(shard, kind), auditKey(shard)},
		l.ID, l.Fence, flag(p.Keep), p.Delay.Milliseconds(), s.cfg.Grace.Milliseconds(),
		string(call), flag(p.Blocked), encodeStatus(p.Status), string(p.Code), event, flag(p.Unburned), counts(t), s.callNumber())
	return writeError("record the attempt of", l, rep, err)
}

// TaskID returns the id of the seq-th task of an operation.
func TaskID(id string, seq int64) string { return id + ":" + strconv.FormatInt(seq, 10) }

// Next names the task that an operation needs now.
type Next struct {
	Type  tasks.Type
	Queue string
	ID    string
	Seq   int64
}

// Chain records that the API accepted the unblock, makes the confirmation the operation's task, and
// gives up the lease. The task is the caller's to enqueue; should it die before, recovery does it. It
// returns [ErrStale] when the lease was superseded.
func (s *Store) Chain(ctx context.Context, l Lease, kind tasks.Kind) (Next, error) {
	shard := tasks.ShardOf(l.ID)
	confirm := kind.ConfirmType()
	queue := confirm.Policy().Queue
	rep, err := runScript(ctx, s.rdb, chainScript,
		[]string{opKey(l.ID), leasedKey(shard), waitingKey(shard, kind), auditKey(shard)},
		l.ID, l.Fence, string(confirm), queue, s.cfg.Grace.Milliseconds(), s.callNumber())
	if err := writeError("record the accepted unblock of", l, rep, err); err != nil {
		return Next{}, err
	}
	return rep.next(confirm, queue)
}

// Handover is [Store.Chain] for a caller who confirms what it has unblocked: it enqueues the task, takes it and
// begins it at once, under the lease that it returns. rec is the record of the begin, run the name of the run that
// goes on, and done the active task of asynq that is done with it, or none. It reports false, and nothing was
// written, when that cannot be: then it is for Chain to do. It returns [ErrStale] when the lease was superseded.
//
// The task is the next one of the lease's operation ([TaskID]). A store that is [Store.Apart] always reports false.
func (s *Store) Handover(ctx context.Context, l Lease, rec Record, run string, task doorbell.Task, done doorbell.Active) (Begun, bool, error) {
	if s.Apart() {
		return Begun{}, false, nil
	}
	shard := tasks.ShardOf(l.ID)
	confirm := rec.Kind.ConfirmType()
	key, paused, active, leases, until := task.Taken()
	keys := []string{opKey(l.ID), leasedKey(shard), waitingKey(shard, rec.Kind), auditKey(shard), key, paused, active, leases}
	keys, args := s.end(keys, []any{
		l.ID, l.Fence, string(confirm), confirm.Policy().Queue, task.ID, task.Message, until,
		run, s.cfg.Lease.Milliseconds(), s.callNumber(),
	}, done)
	rep, err := runScript(ctx, s.rdb, handoverScript, keys, args...)
	const what = "hand over the accepted unblock of"
	switch {
	case s.isApart(err):
		return Begun{}, false, nil
	case err != nil:
		return Begun{}, false, fmt.Errorf("%s %s: %w", what, l.ID, err)
	case rep.outcome == "elsewhere":
		return Begun{}, false, nil
	case Outcome(rep.outcome) != Go:
		return Begun{}, false, fmt.Errorf("%s %s: %w (fence %d)", what, l.ID, ErrStale, l.Fence)
	}
	fence, err := rep.int(0)
	accepted, err2 := rep.int(1)
	if err := errors.Join(err, err2); err != nil {
		return Begun{}, false, err
	}
	rec.State, rec.Accepted, rec.Call, rec.LastCode = tasks.Confirming, fromMillis(accepted), CallNone, ""
	rec.Tries, rec.Reads, rec.Seq, rec.Fence = 1, 0, l.Seq+1, fence
	rec.TaskType, rec.TaskQueue, rec.TaskID = confirm, confirm.Policy().Queue, task.ID
	rec.Version, rec.Updated = rec.Version+1, rec.Accepted
	rec.Next, rec.LeaseEnds = time.Time{}, rec.Accepted.Add(s.cfg.Lease)
	return Begun{Outcome: Go, Lease: Lease{ID: l.ID, Seq: rec.Seq, Fence: fence}, Record: rec, Now: rep.now}, true, nil
}

// Result ends an operation.
type Result struct {
	// Status is what was read, or nil. It is required for a success.
	Status *tasks.Status
	// Error is why it failed; nil means that it succeeded.
	Error *tasks.Error
	// Accepted: the API is now known to have accepted the unblock.
	Accepted bool
	// Unknown: an unblock may have been applied without our knowing.
	Unknown bool
	// Task is the active task of asynq that is done with it, in the same step, or none. When the store is [Store.Apart]
	// it is left to asynq.
	Task doorbell.Active
}

// Finish writes the result, releases the card and wakes the waiters. It returns what rec, the record of the
// begin, has become, or [ErrStale] when the lease was superseded. A status that an earlier attempt has read
// stays in Redis and is not in it.
func (s *Store) Finish(ctx context.Context, l Lease, rec Record, res Result) (Record, error) {
	state, errJSON, code, call := tasks.Succeeded, "", "", CallNone
	if res.Error != nil {
		state, errJSON, code = tasks.Failed, encodeJSON(res.Error), string(res.Error.Code)
	}
	if res.Unknown {
		call = CallWas
	}
	shard := tasks.ShardOf(l.ID)
	keys := []string{opKey(l.ID), lockKey(rec.Token, rec.Kind), leasedKey(shard), waitingKey(shard, rec.Kind), auditKey(shard)}
	args := []any{
		l.ID, l.Fence, string(state), encodeStatus(res.Status), errJSON, flag(res.Accepted),
		s.cfg.ResultTTL.Milliseconds(), s.auditKeep(), code, string(call), s.callNumber(),
	}
	ours := len(keys)
	keys, args = s.end(keys, args, res.Task)
	rep, err := runScript(ctx, s.rdb, finishScript, keys, args...)
	if len(keys) > ours && s.isApart(err) {
		return s.Finish(ctx, l, rec, res)
	}
	if err := writeError("finish", l, rep, err); err != nil {
		return Record{}, err
	}
	return ended(rec, state, res, call, rep.now), nil
}

// end adds what a script needs that ends a task of asynq as well, if there is one.
func (s *Store) end(keys []string, args []any, task doorbell.Active) ([]string, []any) {
	if task == (doorbell.Active{}) || s.Apart() {
		return keys, args
	}
	more, until := task.Done(time.Now())
	return append(keys, more[:]...), append(args, task.ID, until)
}

// ended returns what a record has become by its end at now.
func ended(rec Record, state tasks.State, res Result, call Call, now time.Time) Record {
	rec.State, rec.Error, rec.Call = state, res.Error, call
	rec.Version, rec.Updated = rec.Version+1, now
	rec.LeaseEnds, rec.Next = time.Time{}, time.Time{}
	if res.Status != nil {
		st := *res.Status
		st.ObservedAt = now
		rec.Status = &st
	}
	if res.Accepted && rec.Accepted.IsZero() {
		rec.Accepted = now
	}
	return rec
}

// writeError turns the reply to a fenced write into an error.
func writeError(what string, l Lease, rep reply, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, l.ID, err)
	}
	if rep.outcome != "ok" {
		return fmt.Errorf("%s %s: %w (fence %d)", what, l.ID, ErrStale, l.Fence)
	}
	return nil
}

func (r reply) next(t tasks.Type, queue string) (Next, error) {
	seq, err := r.int(0)
	if err != nil {
		return Next{}, err
	}
	if len(r.rest) > 1 {
		if id, ok := r.rest[1].(string); ok {
			return Next{Type: t, Queue: queue, ID: id, Seq: seq}, nil
		}
	}
	return Next{}, fmt.Errorf("%w: no task id", errReply)
}
