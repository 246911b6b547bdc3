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

// fresh is how old a look may be when it goes to Redis, which is a little less than when it brings a task. asynq
// makes the lease of what it gets when it begins to look, of half a minute, and first extends it five seconds
// later.
const fresh = 2 * time.Second

// Client returns a client for one asynq server that serves the queues, in strict priority and in this
// order. The server should look again almost at once after it found nothing
// (asynq.Config.TaskCheckInterval): the waiting is done here. The client stands in front of rdb.
//
// It must be used by one server only. At least one queue is needed, and each must be one that the bell
// listens for.
func (b *Bell) Client(rdb redis.UniversalClient, queues ...string) redis.UniversalClient {
	c := &client{UniversalClient: rdb, bell: b, queues: queues, rung: b.subscribe(queues)}
	if h, ok := rdb.(*Handful); ok {
		c.handful, c.handed = h, h.handed
	}
	return c
}

// client is a [Bell.Client]. What is not a look at a queue may be called by anyone; all looks come from the server's
// one looking goroutine.
type client struct {
	redis.UniversalClient
	bell   *Bell
	queues []string
	rung   <-chan struct{}

	handful *Handful        // what it stands on, if that is one
	handed  <-chan struct{} // says that the handful was given something

	failed   int  // looks that failed in a row
	renewing bool // there was nothing when Redis was last asked, and what came since has rung and is still in rung
	unlooked bool // something has rung that was taken out of rung, and Redis was not asked since
}

// EvalSha is how asynq looks. When a round of looks has found nothing it takes until somebody rings, and looks at all
// queues again. A round that gets too old finds nothing, and the next one waits without asking Redis; so does one that
// comes after the last task of queues that were empty then.
func (c *client) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	queue := dequeues(keys)
	if queue == "" || len(args) != 2 {
		return c.heard(keys, c.UniversalClient.EvalSha(ctx, sha1, keys, args...))
	}
	began := time.Now()
	last := queue == c.queues[len(c.queues)-1]
	cmd := redis.NewCmd(ctx, "evalsha", sha1)
	cmd.SetErr(redis.Nil)
	if !c.renewing {
		if queue == c.queues[0] {
			// A round of looks begins. What was rung until now is about to be found; what is rung from now
			// on may come too late for this round, and is kept.
			c.forget()
		}
		cmd = c.look(ctx, sha1, keys, args, last)
	}
	if !last || !errors.Is(cmd.Err(), redis.Nil) {
		return cmd
	}
	if !c.renewing && time.Since(began) >= fresh {
		return cmd // It has waited for a place. There may be something, for a look that is not so old.
	}
	c.renewing = false
	old := time.NewTimer(fresh - time.Since(began))
	defer old.Stop()
	for errors.Is(cmd.Err(), redis.Nil) {
		select {
		case <-c.rung:
			c.unlooked = true
		case <-c.handed:
			if !c.handful.hasGiven() {
				continue // It was handed out already.
			}
		case <-old.C:
			c.renewing = true
			return cmd
		case <-c.bell.released:
			return cmd
		}
		if time.Since(began) >= fresh {
			return cmd // asynq looks again at once.
		}
		cmd = c.round(ctx, sha1, args[0], began)
		if time.Since(began) >= fresh {
			return cmd // As above.
		}
	}
	return cmd
}

// look looks at a queue. When that brings the last task there was, the next round waits without asking Redis.
func (c *client) look(ctx context.Context, sha1 string, keys []string, args []any, last bool) *redis.Cmd {
	if c.handful == nil {
		return c.looked(c.UniversalClient.EvalSha(ctx, sha1, keys, args...), last)
	}
	before := c.handful.looks
	cmd := c.looked(c.handful.EvalSha(ctx, sha1, keys, args...), last)
	if c.handful.looks != before {
		c.unlooked = false // What rings from now on is still to be heard.
	}
	c.renewing = cmd.Err() == nil && !c.unlooked && c.handful.emptied()
	return cmd
}

// Eval is how asynq looks when Redis does not know the script. It does not wait: asynq looks again.
func (c *client) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	cmd := c.UniversalClient.Eval(ctx, script, keys, args...)
	if queue := dequeues(keys); queue != "" {
		return c.looked(cmd, queue == c.queues[len(c.queues)-1])
	}
	return c.heard(keys, cmd)
}

// round looks at all queues, as asynq does, until one has something or the look that began then gets too old.
func (c *client) round(ctx context.Context, sha1 string, lease any, began time.Time) (cmd *redis.Cmd) {
	for i, q := range c.queues {
		cmd = c.look(ctx, sha1, DequeueKeys(q), []any{lease, TaskPrefix(q)}, i == len(c.queues)-1)
		if !errors.Is(cmd.Err(), redis.Nil) || time.Since(began) >= fresh {
			return cmd
		}
	}
	return cmd
}

// looked takes note of what a look came to, and pauses after one that failed. last says that the round ends with it.
func (c *client) looked(cmd *redis.Cmd, last bool) *redis.Cmd {
	switch err := cmd.Err(); {
	case err == nil, last && errors.Is(err, redis.Nil):
		c.failed = 0
	case errors.Is(err, redis.Nil):
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// asynq sends the script and looks again.
	default:
		c.pause(errorPause(c.failed))
		c.failed++
	}
	return cmd
}

// heard rings for delayed tasks that a script has made pending.
func (c *client) heard(keys []string, cmd *redis.Cmd) *redis.Cmd {
	if q := forwards(keys); q != "" {
		if n, err := cmd.Int(); err == nil && n > 0 {
			c.bell.hear(channel(q))
		}
	}
	return cmd
}

func (c *client) forget() {
	select {
	case <-c.rung:
		c.unlooked = true
	default:
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
