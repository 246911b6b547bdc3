package opstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// TakeArgs returns the arguments of the command that takes a task from a queue, with a lease of asynq's that ends
// then, and begins its operation for a run, in one step. Its script has to be known to Redis ([Store.LoadTake]), and
// its answer is for ParseTaken. Sent twice it takes two tasks. A store that is [Store.Apart] has no use for it.
func (s *Store) TakeArgs(queue string, until any, run string) []any {
	t := stepOf[queue]
	args := []any{"evalsha", takeScript.Hash(), len(doorbell.DequeueKeys(queue))}
	for _, k := range doorbell.DequeueKeys(queue) {
		args = append(args, k)
	}
	return append(args, until, doorbell.TaskPrefix(queue), queue, run, s.cfg.Lease.Milliseconds(),
		sends(t), counts(t), prefix, waitingIndex(t.Kind()))
}

// LoadTake has Redis learn the script.
func (s *Store) LoadTake(ctx context.Context, rdb redis.Scripter) error {
	return takeScript.Load(ctx, rdb).Err()
}

// ParseTaken reads the answer of that command. Begun has no Outcome when the task was taken only: then its run has to
// [Store.Begin].
func (s *Store) ParseTaken(answer any) (task doorbell.Took, b Begun, err error) {
	list, ok := answer.([]any)
	const onlyTaken, begun = 2, 6
	if !ok || len(list) != onlyTaken && len(list) != begun {
		return task, b, fmt.Errorf("%w: %T of a look", errReply, answer)
	}
	var last string
	if task.Message, ok = list[0].(string); ok {
		last, ok = list[1].(string)
	}
	if !ok {
		return task, b, fmt.Errorf("%w: %T, %T of a look", errReply, list[0], list[1])
	}
	task.Last = last != ""
	if len(list) == onlyTaken {
		return task, b, nil
	}
	id, ok := list[2].(string)
	seq, ok2 := list[3].(string)
	now, ok3 := list[4].(int64)
	fields, ok4 := list[5].([]any)
	if !ok || !ok2 || !ok3 || !ok4 {
		return task, b, fmt.Errorf("%w: %T, %T, %T, %T of a look", errReply, list[2], list[3], list[4], list[5])
	}
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil {
		return task, b, fmt.Errorf("%w: task %s:%s", errReply, id, seq)
	}
	rec, err := parseRecord(fields)
	if err != nil {
		return task, b, nil //nolint:nilerr // The task is taken, whatever its record is like; its run finds out.
	}
	task.Begun = TaskID(id, n)
	return task, Begun{Outcome: Go, Lease: Lease{ID: id, Seq: n, Fence: rec.Fence}, Record: rec, Now: time.UnixMilli(now).UTC()}, nil
}

// stepOf has a type of the tasks in each queue of ours. What a step does is the same for all types of a queue.
var stepOf = func() map[string]tasks.Type {
	steps := map[string]tasks.Type{}
	for _, t := range tasks.Types() {
		steps[t.Policy().Queue] = t
	}
	return steps
}()

// sends tells a script whether a step of the type sends an unblock, and counts whether it counts as an attempt.
func sends(t tasks.Type) string  { return flag(t.Kind().Unblocks() && !t.Confirms()) }
func counts(t tasks.Type) string { return flag(!t.Confirms()) }
