package worker

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
)

// taker begins operations with the looks that take their tasks, for a worker's servers. What a task needs that is not
// plainly waiting to be run, its run finds out.
type taker struct{ *Worker }

// Look implements doorbell.Beginner.
func (t taker) Look(queue string, lease any) (args []any, read func(any) (doorbell.Took, error)) {
	run, sent := t.newRun(), time.Now()
	return t.store.TakeArgs(queue, lease, run), func(answer any) (doorbell.Took, error) {
		task, begun, err := t.store.ParseTaken(answer)
		if err == nil && task.Begun != "" {
			t.expect(handover{run: run, begun: begun, sent: sent})
		}
		return task, err
	}
}

// Load implements doorbell.Beginner.
func (t taker) Load(ctx context.Context, rdb redis.Scripter) error { return t.store.LoadTake(ctx, rdb) }

// GiveUp implements doorbell.Beginner.
func (t taker) GiveUp(ctx context.Context, taskIDs []string) { t.giveUp(ctx, taskIDs) }
