package worker

import (
	"context"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
)

// activeKey is that of the asynq task which a run may end, in its context: one that a worker or a producer of ours has
// made, which nobody wants to keep and which holds no lock.
type activeKey struct{}

// withActive returns a context of a run that may end the task which asynq has handed over.
func (w *Worker) withActive(ctx context.Context) context.Context {
	id, ok := asynq.GetTaskID(ctx)
	queue, ok2 := asynq.GetQueueName(ctx)
	if !ok || !ok2 {
		return ctx
	}
	task := doorbell.Active{Queue: queue, ID: id}
	w.ended.forget(task) // asynq has given up on an earlier run of it, and this one's end is for it to write.
	return context.WithValue(ctx, activeKey{}, task)
}

// active returns the task that a run ends with its last write, or none when that is for asynq to do.
func (w *Worker) active(ctx context.Context) doorbell.Active {
	if w.store.Apart() {
		return doorbell.Active{}
	}
	task, _ := ctx.Value(activeKey{}).(doorbell.Active)
	return task
}

// endedWith notes that a task has ended with the write that it was given to.
func (w *Worker) endedWith(task doorbell.Active) {
	if !w.store.Apart() { // Or it has found out by that write.
		w.ended.add(task)
	}
}

// endedFor is how long asynq has to ask for the end of a task that has ended. It does so at once, or never.
const endedFor = time.Minute

// ended are the tasks that ended with the last write of their run. asynq asks for that once more, for each by itself, and
// is answered here. The zero value is ready. It is safe for concurrent use.
type ended struct {
	mu    sync.Mutex
	at    map[string]time.Time // by the key of the task
	swept time.Time
}

// add notes that a task has ended, if it is one.
func (e *ended) add(task doorbell.Active) {
	if task == (doorbell.Active{}) {
		return
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = map[string]time.Time{}
	}
	e.at[task.Key()] = now
	if now.Sub(e.swept) < endedFor {
		return
	}
	e.swept = now
	for key, at := range e.at {
		if now.Sub(at) > endedFor {
			delete(e.at, key)
		}
	}
}

// forget forgets that a task has ended: it is there again.
func (e *ended) forget(task doorbell.Active) { e.take(task.Key()) }

// take reports whether the task with the key has ended, once.
func (e *ended) take(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.at[key]
	delete(e.at, key)
	return ok
}

// endsOnce is a client for an asynq server that does not end again what has ended.
type endsOnce struct {
	redis.UniversalClient
	ended *ended
}

// EvalSha implements redis.Scripter.
func (c endsOnce) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if key := doorbell.Ends(keys); key != "" && c.ended.take(key) {
		cmd := redis.NewCmd(ctx, "evalsha", sha1)
		cmd.SetVal("OK")
		return cmd
	}
	return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}
