package opstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// Request asks for an operation.
type Request struct {
	Kind tasks.Kind
	Card tasks.PublicToken
	// Key is the idempotency key, or "".
	Key string
	// Lifetime counts from acceptance, unless Expires is set.
	Lifetime time.Duration
	Expires  time.Time
	// Reason and UpdatedBy go to the API with an unblock.
	Reason, UpdatedBy string

	// Traceparent is the context of the trace that the operation shall belong to, or "".
	Traceparent string

	// ID, TaskQueue and TaskID are set when the task exists already (a self-contained one). Otherwise a
	// fresh id is made and the task is the caller's to enqueue.
	ID, TaskQueue, TaskID string

	// Task returns the first task of the operation that has the id, for an operation whose ID is not set. It is
	// enqueued in the same step as the operation is recorded then, and so before that is as safe as a Durability may
	// ask for. Without it, after an error, and when the store is [Store.Apart], the task is the caller's to enqueue.
	Task func(ctx context.Context, id string) (doorbell.Task, error)

	// bound is what Key was bound to.
	bound string
	// fresh: the store has made the ID for it.
	fresh bool
}

// Accepted is what became of a request.
type Accepted struct {
	Record
	// Joined: the operation was another request's; it is of the same kind for the same card, and open unless an
	// idempotency key has joined it before.
	Joined bool
	// Created: the operation is new.
	Created bool
	// Enqueued: so is its task, which is enqueued.
	Enqueued bool
	// Ended is the operation that was open for the card until this request found that its time was over, or nil.
	Ended *Record
}

// ErrKeyReused says that an idempotency key, or the id of a self-contained task, names an operation of
// another kind or card.
var ErrKeyReused = errors.New("the idempotency key was used for another kind or card")

// LimitError says that the card has had its unblocks.
type LimitError struct {
	// Limit is how many are allowed in [LimitWindow].
	Limit int
	// RetryAfter is how long until the next would be accepted.
	RetryAfter time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the card has had %d unblocks of this kind in 24 hours; the next is possible in %s", e.Limit, e.RetryAfter.Round(time.Second))
}

// Accept records an operation or finds the one that the request belongs to. Once it has returned without
// an error the operation is recovery's to see through, whatever happens to the caller.
//
// An open operation of the card and kind is joined unless it can only expire: its time is over, nobody has its lease
// and no unblock of it may have been applied. Then it ends, as a worker would have ended it.
//
// Besides errors of Redis it returns [ErrKeyReused], *[LimitError] and [ErrNotDurable]. It is safe to repeat
// after an error: with a key it finds the same operation, and without one it joins what the first try left.
func (s *Store) Accept(ctx context.Context, req Request) (Accepted, error) {
	if req.ID == "" {
		req.ID, req.fresh = NewID(req.Card), true
	}
	if err := s.able(ctx, req.ID, req.Key); err != nil {
		return Accepted{}, err
	}
	accept, joined := s.accept, ""
	if req.Key != "" {
		accept = s.acceptKeyed
	}
	acc, err := accept(ctx, &req)
	if err != nil {
		return Accepted{}, err
	}
	if acc.Joined && req.Key != "" {
		joined = joinedKey(req.ID)
	}
	if err := s.settle(ctx, acc.Record, joined, req.Key, req.bound); err != nil {
		return Accepted{}, err
	}
	return acc, nil
}

// accept accepts a request under its id, by itself or together with others.
func (s *Store) accept(ctx context.Context, req *Request) (Accepted, error) {
	var task *doorbell.Task
	if req.Task != nil && !s.Apart() {
		if t, err := req.Task(ctx, req.ID); err == nil {
			task = &t
		}
	}
	// Others may go along when the id has never been anybody's, and all that is to be done is done in the same step.
	if task != nil && req.fresh && req.Key == "" && req.Expires.IsZero() {
		a := &accepting{req: req, task: task}
		if err := s.accepts.Do(ctx, a); err != nil {
			return Accepted{}, fmt.Errorf("accept %s: %w", req.Kind, err)
		}
		if !a.alone {
			return a.acc, a.err
		}
	}
	return s.acceptAlone(ctx, req, task)
}

// acceptAlone accepts one request, and enqueues its task, if there is one.
func (s *Store) acceptAlone(ctx context.Context, req *Request, task *doorbell.Task) (Accepted, error) {
	req.setFirstTask()
	if s.Apart() {
		task = nil
	}
	limit := s.limitOf(req.Kind)
	var expires, keep int64
	if !req.Expires.IsZero() {
		expires = max(1, req.Expires.UnixMilli()) // 0 is for the script: no expiry was given.
	}
	if req.Key != "" {
		keep = IdempotencyWindow.Milliseconds()
	}
	shard := req.Card.Shard()
	args := []any{
		req.ID, string(req.Kind), req.Card.Reveal(), req.Lifetime.Milliseconds(), expires,
		limit, LimitWindow.Milliseconds(), string(req.Kind.FirstType()), req.TaskQueue, req.TaskID,
		s.cfg.Grace.Milliseconds(), opPrefix(shard), keep, s.auditKeep(), s.cfg.ResultTTL.Milliseconds(),
	}
	var (
		enqueued      []string
		message, bell string
		since         int64
	)
	if task != nil {
		key, pending, channel := task.Waiting()
		enqueued, message, since, bell = []string{key, pending}, task.Message, task.Since, channel
	}
	args = append(args, message, since, bell)
	args = withField(args, fieldReason, req.Reason)
	args = withField(args, fieldUpdatedBy, req.UpdatedBy)
	args = withField(args, fieldTraceparent, req.Traceparent)
	keys := []string{
		opKey(req.ID), lockKey(req.Card, req.Kind), limitKey(req.Card, req.Kind), waitingKey(shard, req.Kind),
		auditKey(shard), joinedKey(req.ID), leasedKey(shard),
	}
	rep, err := runScript(ctx, s.rdb, acceptScript, append(keys, enqueued...), args...)
	if task != nil && s.isApart(err) {
		return s.acceptAlone(ctx, req, task)
	}
	if err != nil {
		return Accepted{}, fmt.Errorf("accept %s: %w", req.Kind, err)
	}
	return s.outcome(req, rep)
}

// outcome reads what became of a request.
func (s *Store) outcome(req *Request, rep reply) (Accepted, error) {
	if rep.outcome == "limit" {
		wait, err := rep.int(0)
		return Accepted{}, errors.Join(&LimitError{Limit: s.limitOf(req.Kind), RetryAfter: time.Duration(wait) * time.Millisecond}, err)
	}
	if rep.outcome == "created" {
		expires, err := rep.int(0)
		n, err2 := rep.int(2)
		err = errors.Join(err, err2)
		acc := Accepted{Record: created(*req, rep.now, fromMillis(expires)), Created: true, Enqueued: n == 1}
		if ended, unreadable := rep.record(1); unreadable == nil && ended.ID != "" {
			acc.Ended = &ended // What cannot be read of it is no reason to refuse the new one.
		}
		return acc, err
	}
	rec, err := rep.record(0)
	if err == nil && (rec.Kind != req.Kind || rec.Token != req.Card) {
		return Accepted{}, ErrKeyReused // By a task: an id that a backend did not choose is never found again.
	}
	return Accepted{Record: rec, Joined: rep.outcome == "joined"}, err
}

// setFirstTask names the first task, unless it exists already.
func (r *Request) setFirstTask() {
	if r.TaskID == "" {
		r.TaskID, r.TaskQueue = TaskID(r.ID, 1), r.Kind.FirstType().Policy().Queue
	}
}

// withField adds a field of a record with its value to arguments of a script, unless it is empty.
func withField(args []any, field int, value string) []any {
	if value == "" {
		return args
	}
	return append(args, fieldNames[field], value)
}

// limitOf returns how many unblocks a card may have, 0 for any number.
func (s *Store) limitOf(k tasks.Kind) int {
	if !k.Unblocks() {
		return 0
	}
	return max(0, s.cfg.UnblockLimit)
}

// created returns the record that a request has become at now.
func created(req Request, now, expires time.Time) Record {
	return Record{
		ID: req.ID, Kind: req.Kind, Token: req.Card, State: tasks.Accepted,
		Created: now, Updated: now, Expires: expires, Reason: req.Reason, UpdatedBy: req.UpdatedBy,
		Version: 1, Seq: 1, TaskType: req.Kind.FirstType(), TaskQueue: req.TaskQueue, TaskID: req.TaskID,
		Traceparent: req.Traceparent,
	}
}
