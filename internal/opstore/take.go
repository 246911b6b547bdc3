package opstore

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// TakeArgs returns the arguments of the command that takes a task from a queue, with a lease of asynq's that ends
// then, and begins its operation for a run, in one step. Redis has to know its script: [TakeText]. The answer is for
// ParseTaken. Sent twice it takes two tasks: whoever learned nothing of the first leaves it to recovery. When the store
// is [Store.Apart] it begins nothing.
func (s *Store) TakeArgs(queue string, until any, run string) []any {
	types := typesOf[queue]
	t := types[0] // What a step does is the same for all types of a queue.
	keys := doorbell.DequeueKeys(queue)
	args := []any{"evalsha", takeScript.Hash(), len(keys)}
	for _, k := range keys {
		args = append(args, k)
	}
	args = append(args, until, doorbell.TaskPrefix(queue), queue, run, s.cfg.Lease.Milliseconds(),
		sends(t), counts(t), prefix, waitingIndex(t.Kind()))
	if s.Apart() {
		return args
	}
	for _, t := range types {
		args = append(args, string(t))
	}
	return args
}

// TakeText returns the script of that command.
func TakeText() string { return takeText }

var takeText = textOf("take")

// ParseTaken reads the answer of that command. Begun has no Outcome when the task was taken only: then its run has to
// [Store.Begin]. With an error the answer is none, unless there is a message: then the task was taken, and the error is
// why its operation could not be begun.
func (s *Store) ParseTaken(answer any) (task doorbell.Took, b Begun, err error) {
	list, ok := answer.([]any)
	const onlyTaken, failed, begun = 2, 3, 6
	if !ok || len(list) != onlyTaken && len(list) != failed && len(list) != begun {
		return task, b, fmt.Errorf("%w: %T of a look", errReply, answer)
	}
	var last string
	if task.Message, ok = list[0].(string); ok {
		last, ok = list[1].(string)
	}
	if !ok {
		return doorbell.Took{}, b, fmt.Errorf("%w: %T, %T of a look", errReply, list[0], list[1])
	}
	task.Last = last != ""
	switch len(list) {
	case onlyTaken:
		return task, b, nil
	case failed:
		return task, b, fmt.Errorf("begin what a look has taken: %v", list[2])
	}
	id, ok := list[2].(string)
	seq, ok2 := list[3].(string)
	now, ok3 := list[4].(int64)
	fields, ok4 := list[5].([]any)
	if !ok || !ok2 || !ok3 || !ok4 {
		return doorbell.Took{}, b, fmt.Errorf("%w: %T, %T, %T, %T of a look", errReply, list[2], list[3], list[4], list[5])
	}
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil {
		return doorbell.Took{}, b, fmt.Errorf("%w: the number of a task", errReply)
	}
	rec, err := parseRecord(fields)
	if err != nil {
		return task, b, fmt.Errorf("begin what a look has taken: %w", err)
	}
	task.Begun = TaskID(id, n)
	return task, Begun{Outcome: Go, Lease: Lease{ID: id, Seq: n, Fence: rec.Fence}, Record: rec, Now: time.UnixMilli(now).UTC()}, nil
}

// typesOf has the types of the tasks in each queue of ours.
var typesOf = func() map[string][]tasks.Type {
	types := map[string][]tasks.Type{}
	for _, t := range tasks.Types() {
		queue := t.Policy().Queue
		types[queue] = append(types[queue], t)
	}
	return types
}()

// sends tells a script whether a step of the type sends an unblock, and counts whether it counts as an attempt.
func sends(t tasks.Type) string  { return flag(t.Kind().Unblocks() && !t.Confirms()) }
func counts(t tasks.Type) string { return flag(!t.Confirms()) }
