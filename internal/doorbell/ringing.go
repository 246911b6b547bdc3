package doorbell

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
)

// Ringing returns a client for asynq that rings for each task it enqueues, in the same round trip. It
// stands in front of rdb, which stays as it is.
func Ringing(rdb redis.UniversalClient) redis.UniversalClient { return ringing{rdb} }

type ringing struct{ redis.UniversalClient }

func (r ringing) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return r.ring(ctx, keys, func(s redis.Scripter) *redis.Cmd { return s.EvalSha(ctx, sha1, keys, args...) })
}

func (r ringing) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return r.ring(ctx, keys, func(s redis.Scripter) *redis.Cmd { return s.Eval(ctx, script, keys, args...) })
}

// ring runs a script and, when it enqueues a task, rings behind it. Redis does the two in this order, so
// whoever hears the ring finds the task. The script's own error is in its command; a ring that failed is
// one that was lost.
func (r ringing) ring(ctx context.Context, keys []string, run func(redis.Scripter) *redis.Cmd) *redis.Cmd {
	queue := Enqueues(keys)
	if queue == "" {
		return run(r.UniversalClient)
	}
	if _, cluster := coalesce.Cluster(r.UniversalClient); cluster {
		// A ring has no key and is sent to any node, where it may overtake the task. A transaction stays
		// on the task's node.
		tx := r.TxPipeline()
		cmd := run(tx)
		tx.Publish(ctx, channel(queue), "")
		_, _ = tx.Exec(ctx)
		return cmd
	}
	pipe := r.Pipeline()
	cmd := run(pipe)
	ring := pipe.Publish(ctx, channel(queue), "")
	pipe.Discard() // It has made the commands.
	if err := coalesce.Send(ctx, r.UniversalClient, keys[0], cmd, ring); err != nil {
		cmd = redis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// Ring tells those who wait for the queue that there may be something in it. An error means that the
// ring is lost.
func Ring(ctx context.Context, rdb redis.UniversalClient, queue string) error {
	return rdb.Publish(ctx, channel(queue), "").Err()
}
