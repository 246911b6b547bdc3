package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// uncancelTimeout is how long a repeated write has, and how long all that are left at the end have together.
const uncancelTimeout = 3 * time.Second

// uncancelled repairs a defect of asynq: when the write that ends a task fails once, asynq repeats it under
// a context that it has cancelled itself, so the repeat cannot succeed and the task runs again a minute
// later. It stands in front of clients that only asynq uses; all such writes are scripts.
//
// asynq makes the repeats one after the other, and its stop waits for them. Without Redis that would take as long as
// all of them, so that from the first one on for which last returns true they share one deadline. What was not
// written by then is recovery's, as when the process dies.
type uncancelled struct {
	redis.UniversalClient
	last func() bool

	mu    sync.Mutex
	until time.Time // the shared deadline; zero: none yet
}

// EvalSha implements redis.Scripter.
func (u *uncancelled) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := u.uncancel(ctx)
	defer cancel()
	return u.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

// Eval implements redis.Scripter.
func (u *uncancelled) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := u.uncancel(ctx)
	defer cancel()
	return u.UniversalClient.Eval(ctx, script, keys, args...)
}

// uncancel gives a context that was cancelled some more time.
func (u *uncancelled) uncancel(ctx context.Context) (context.Context, context.CancelFunc) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		return ctx, func() {}
	}
	until := time.Now().Add(uncancelTimeout)
	if u.last() {
		u.mu.Lock()
		if u.until.IsZero() {
			u.until = until
		}
		until = u.until
		u.mu.Unlock()
	}
	return context.WithDeadline(context.WithoutCancel(ctx), until)
}
