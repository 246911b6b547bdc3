package taskqueue

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

// Taken lists the tasks of our queues that a worker has, or had when it died, in no order, in one round trip. With an
// error those of the queues that could not be reached are missing.
func Taken(ctx context.Context, rdb redis.UniversalClient) ([]Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	lists := map[string]*redis.StringSliceCmd{}
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range tasks.Queues() {
			lists[name] = p.LRange(ctx, "asynq:{"+name+"}:active", 0, -1)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("list the active tasks: %w", err)
	}
	var out []Ref
	for name, list := range lists {
		for _, id := range list.Val() {
			out = append(out, Ref{name, id})
		}
	}
	return out, err
}

// Queue is what asynq has in one of our queues.
type Queue struct {
	Name string
	// Waiting is how many tasks wait to be taken, and Archived how many nothing works on any more.
	Waiting, Archived int64
	// Paused: nothing is taken from it.
	Paused bool
}

// Queues looks at our queues, in their order, in one round trip.
func Queues(ctx context.Context, rdb redis.UniversalClient) ([]Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	names := tasks.Queues()
	found := make([]struct{ waiting, archived, paused *redis.IntCmd }, len(names))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			prefix := "asynq:{" + name + "}:"
			found[i].waiting, found[i].archived, found[i].paused = p.LLen(ctx, prefix+"pending"), p.ZCard(ctx, prefix+"archived"), p.Exists(ctx, prefix+"paused")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the queues: %w", err)
	}
	out := make([]Queue, len(names))
	for i, f := range found {
		out[i] = Queue{Name: names[i], Waiting: f.waiting.Val(), Archived: f.archived.Val(), Paused: f.paused.Val() > 0}
	}
	return out, nil
}
