package taskqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

// errOtherEnqueue says that asynq does not enqueue as it did when this was written. A test would have shown it: asynq
// is pinned.
var errOtherEnqueue = errors.New("asynq enqueues in another way")

// Prepare returns what [Client.Enqueue] would write, for who writes it together with something else. It does no more
// than to tell asynq of the queue, once. asynq makes the first message of each type; those that follow are the same but
// for the payload and the id, unless there is a trace to go with them.
func (c *Client) Prepare(ctx context.Context, t tasks.Type, queue, id string, p tasks.Payload) (doorbell.Task, error) {
	kind, payload := kindOf{t, queue}, p.Encode()
	traced := spans.Traceparent(ctx) != ""
	if known, ok := c.templates.Load(kind); ok && !traced {
		return doorbell.Task{Queue: queue, ID: id, Message: known.(template).message(payload, id), Since: time.Now().UnixNano()}, nil
	}
	task, err := c.prepare(ctx, t, queue, id, p)
	if err == nil && !traced {
		if tpl, ok := templateOf(task.Message, payload, id); ok {
			c.templates.Store(kind, tpl)
		}
	}
	return task, err
}

// kindOf tells apart the tasks whose messages differ in more than the payload and the id.
type kindOf struct {
	t     tasks.Type
	queue string
}

func (c *Client) prepare(ctx context.Context, t tasks.Type, queue, id string, p tasks.Payload) (doorbell.Task, error) {
	task := doorbell.Task{Queue: queue, ID: id}
	err := enqueue(context.WithValue(ctx, capturedKey{}, &task), c.prepares, t, queue, id, p)
	if err == nil && task.Since == 0 {
		err = errOtherEnqueue
	}
	if err != nil {
		return doorbell.Task{}, fmt.Errorf("prepare %s: %w", t, err)
	}
	return task, nil
}

// capturedKey is that of the task which an enqueue is for, in its context.
type capturedKey struct{}

// capturing is a client for asynq that keeps what it is to enqueue, and says that it was done.
type capturing struct{ redis.UniversalClient }

// EvalSha is how asynq enqueues. The arguments are the message, the id and the time.
func (capturing) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	task, ok := ctx.Value(capturedKey{}).(*doorbell.Task)
	if !ok || len(args) != 3 || doorbell.Enqueues(keys) != task.Queue {
		cmd.SetErr(errOtherEnqueue)
		return cmd
	}
	message, ok := args[0].([]byte)
	since, ok2 := args[2].(int64)
	if !ok || !ok2 || args[1] != task.ID {
		cmd.SetErr(errOtherEnqueue)
		return cmd
	}
	task.Message, task.Since = string(message), since
	cmd.SetVal(int64(1))
	return cmd
}
