package worker

import (
	"context"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/opstore"
)

// taker begins operations with the looks that take their tasks, for a worker's servers. What a task needs that is not
// plainly waiting to be run, its run finds out.
type taker struct{ *Worker }

// Look implements doorbell.Beginner.
func (t taker) Look(queue string, lease any) (args []any, read func(any) (doorbell.Took, error)) {
	run, sent := t.newRun(), time.Now()
	return t.store.TakeArgs(queue, lease, run), func(answer any) (doorbell.Took, error) {
		task, begun, err := t.store.ParseTaken(answer)
		switch {
		case task.Message == "":
			return task, err
		case err != nil:
			t.log.Warn(err) // If it was begun all the same its lease lapses, and recovery has it run again.
		case task.Begun != "":
			t.expect(handover{run: run, begun: begun, sent: sent})
		}
		return task, nil
	}
}

// Text implements doorbell.Beginner.
func (t taker) Text() string { return opstore.TakeText() }

// GiveUp implements doorbell.Beginner.
func (t taker) GiveUp(ctx context.Context, taskIDs []string) { t.giveUp(ctx, taskIDs) }
