package doorbell

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// The pauses after looks that Redis answered with an error: the first, and the longest when errors follow
// each other. asynq itself would look again at once, thousands of times a second. One look may be eight
// commands: when a replica refuses to write, go-redis tries again, three times and on new connections.
const (
	firstErrorPause   = 100 * time.Millisecond
	longestErrorPause = 1500 * time.Millisecond
)

// Client returns a client for one asynq server that serves the queues, in strict priority and in this
// order. The server should look again almost at once after it found nothing
// (asynq.Config.TaskCheckInterval): the waiting is done here. The client stands in front of rdb.
//
// It must be used by one server only. At least one queue is needed, and each must be one that the bell
// listens for.
func (b *Bell) Client(rdb redis.UniversalClient, queues ...string) redis.UniversalClient {
	return &client{
		UniversalClient: rdb, bell: b, first: queues[0], last: queues[len(queues)-1], rung: b.subscribe(queues),
	}
}

type client struct {
	redis.UniversalClient
	bell        *Bell
	first, last string
	rung        <-chan struct{}
	failed      int // looks that failed in a row; only the server's one looking goroutine uses it
}

func (c *client) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return c.run(keys, func() *redis.Cmd { return c.UniversalClient.EvalSha(ctx, sha1, keys, args...) })
}

func (c *client) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.run(keys, func() *redis.Cmd { return c.UniversalClient.Eval(ctx, script, keys, args...) })
}

func (c *client) run(keys []string, do func() *redis.Cmd) *redis.Cmd {
	queue := dequeues(keys)
	if queue == "" {
		cmd := do()
		if q := forwards(keys); q != "" {
			if n, err := cmd.Int(); err == nil && n > 0 {
				c.bell.hear(channel(q))
			}
		}
		return cmd
	}
	if queue == c.first {
		// A round of looks begins. What was rung until now is about to be found; what is rung from now
		// on may come too late for this round, and is kept.
		c.forget()
	}
	cmd := do()
	switch err := cmd.Err(); {
	case err == nil:
		c.failed = 0
	case errors.Is(err, redis.Nil):
		if queue == c.last {
			c.failed = 0
			c.wait()
		}
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// asynq sends the script and looks again.
	default:
		c.pause(errorPause(c.failed))
		c.failed++
	}
	return cmd
}

func (c *client) forget() {
	select {
	case <-c.rung:
	default:
	}
}

// wait returns when somebody rings.
func (c *client) wait() {
	select {
	case <-c.rung:
	case <-c.bell.released:
	}
}

func (c *client) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.bell.released:
	case <-t.C:
	}
}

// errorPause returns how long a look takes that failed after n others had.
func errorPause(n int) time.Duration {
	d := firstErrorPause
	for ; n > 0 && d < longestErrorPause; n-- {
		d *= 2
	}
	return min(d, longestErrorPause)
}
