// Package taskqueue puts tasks into asynq. It is the one place where a task's policy becomes asynq's
// options, and where asynq's answers to an enqueue are read.
package taskqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

// Client enqueues tasks. It is safe for concurrent use.
type Client struct {
	asynq     *asynq.Client
	prepares  *asynq.Client // as asynq's client would enqueue, without doing it
	templates sync.Map      // kindOf → template: what asynq has made so
}

// New returns a client on rdb, which stays the caller's to close. It wakes the workers for what it enqueues.
func New(rdb redis.UniversalClient) *Client {
	return &Client{
		asynq:    asynq.NewClientFromRedisClient(doorbell.Ringing(rdb)),
		prepares: asynq.NewClientFromRedisClient(capturing{rdb}),
	}
}

// Enqueue puts a task of an operation into its queue, to be run at once. id is the task's own and makes
// the call safe to repeat: a task with that id that exists already, which is what a lost reply leaves
// behind, counts as enqueued. A task that is enqueued under a span tells which in a header.
func (c *Client) Enqueue(ctx context.Context, t tasks.Type, queue, id string, p tasks.Payload) error {
	err := enqueue(ctx, c.asynq, t, queue, id, p)
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue %s: %w", t, err)
	}
	return nil
}

func enqueue(ctx context.Context, client *asynq.Client, t tasks.Type, queue, id string, p tasks.Payload) error {
	policy := t.Policy()
	var headers map[string]string
	if traceparent := spans.Traceparent(ctx); traceparent != "" {
		headers = map[string]string{spans.Header: traceparent}
	}
	_, err := client.EnqueueContext(ctx, asynq.NewTaskWithHeaders(string(t), p.Encode(), headers),
		asynq.Queue(queue),
		asynq.TaskID(id),
		// asynq counts the tries after the first. It must not give up before the operation does, whose
		// attempts are counted in its record.
		asynq.MaxRetry(policy.Attempts),
		asynq.Timeout(policy.Timeout),
	)
	return err
}

// State is where asynq has a task.
type State string

// The states that matter here. Any other string is a state that asynq has besides.
const (
	// Gone: asynq does not have the task.
	Gone State = ""
	// Pending: it waits to be run.
	Pending State = "pending"
	// Scheduled and Retry: it waits for its time.
	Scheduled State = "scheduled"
	Retry     State = "retry"
	// Active: a worker has it, or had it when it died.
	Active State = "active"
	// Archived: asynq has given up on it.
	Archived State = "archived"
	// Unknown: nobody could look.
	Unknown State = "unknown"
)

// Comes reports whether asynq will run the task by itself, sooner or later.
func (s State) Comes() bool { return s == Pending || s == Scheduled || s == Retry }

// Ref names a task.
type Ref struct{ Queue, ID string }

// lookTimeout bounds the look at one queue, as a node of a cluster that is silent must not keep the tasks of
// the other queues waiting.
const lookTimeout = time.Second

// States looks many tasks up, in order, in one round trip for each queue. It reads the field that asynq's own
// inspector reads, without the inspector's two round trips for each task. With an error the tasks of the
// queues that could not be reached are Unknown. The zero Ref is of no task, and Gone.
func States(ctx context.Context, rdb redis.UniversalClient, refs []Ref) ([]State, error) {
	out := make([]State, len(refs))
	queues := map[string][]int{}
	for i, r := range refs {
		if r != (Ref{}) {
			queues[r.Queue] = append(queues[r.Queue], i)
		}
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, some := range queues {
		wg.Go(func() {
			err := lookUp(ctx, rdb, refs, some, out)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// lookUp sets the states of some tasks of one queue, which are those at the places some of refs.
func lookUp(ctx context.Context, rdb redis.UniversalClient, refs []Ref, some []int, states []State) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	cmds := make([]*redis.StringCmd, len(some))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n, i := range some {
			cmds[n] = p.HGet(ctx, "asynq:{"+refs[i].Queue+"}:t:"+refs[i].ID, "state")
		}
		return nil
	})
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	for n, i := range some {
		s, failed := cmds[n].Result()
		if failed != nil && !errors.Is(failed, redis.Nil) {
			s, err = string(Unknown), failed
		}
		states[i] = State(s)
	}
	if err != nil {
		return fmt.Errorf("look up %d tasks of queue %s: %w", len(some), refs[some[0]].Queue, err)
	}
	return nil
}
