package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cardworker/cardworker/worker"
)

// system is one of those that are compared, on one Redis, for one run.
type system interface {
	// accept has a card unblocked, or refreshed. It returns when whoever asked could go away.
	accept(ctx context.Context, c card) error
	// follow has a card unblocked and returns when the result could be read.
	follow(ctx context.Context, c card) (time.Time, error)
	// start begins to work, and stop ends that.
	start(ctx context.Context) error
	stop(ctx context.Context) error
	// ended is how many unblocks and refreshes have a result that can be read.
	ended() (unblocks, refreshes int)
	// verify makes sure that each card has a result, which says that it worked.
	verify(ctx context.Context, cards []card) error
	// asked counts what was asked of Redis.
	asked() *trips
	// close releases everything.
	close() error
}

// The systems' names, in the order in which they are shown.
const (
	nameStock = "stock"
	nameWide  = "stock, 256 places"
	nameOurs  = "here"
)

// place is where a system works.
type place struct {
	redisAddr string
	api       worker.API
	// urgency makes stock look at a queue of refreshes as well.
	urgency bool
	// quiet leaves out what ours does from time to time, so that what one operation costs can be counted.
	quiet bool
	seen  *trips
}

// open returns a system that has not started.
func open(name string, at place) (system, error) {
	if at.seen == nil {
		at.seen = &trips{}
	}
	switch name {
	case nameStock:
		return newStock(at, 0), nil
	case nameWide:
		return newStock(at, worker.DefaultConcurrency), nil
	default:
		return newOurs(at)
	}
}

// producers is how many requests are under way at once where the rate of accepting is measured.
const producers = 64

// acceptAll has all cards accepted and returns how long that took.
func acceptAll(ctx context.Context, s system, all []card) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan card, producers)
	var done sync.WaitGroup
	start := time.Now()
	for range producers {
		done.Go(func() {
			for c := range next {
				if err := s.accept(ctx, c); err != nil {
					cancel(fmt.Errorf("accept %s: %w", c.token(), err))
				}
			}
		})
	}
	for _, c := range all {
		select {
		case next <- c:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	done.Wait()
	return time.Since(start), context.Cause(ctx)
}

const (
	// endPoll is how often the end of a drain is looked for.
	endPoll = time.Millisecond
	// stalled is when a drain that makes no progress is given up. A lost operation would be taken up again
	// within 5 seconds.
	stalled = 90 * time.Second
)

// errStalled is what a system gets that does not finish.
var errStalled = errors.New("it makes no progress")

// awaitEnd waits until so many unblocks and refreshes have ended.
func awaitEnd(ctx context.Context, s system, unblocks, refreshes int) error {
	tick := time.NewTicker(endPoll)
	defer tick.Stop()
	last, since := -1, time.Now()
	for {
		u, r := s.ended()
		switch {
		case u >= unblocks && r >= refreshes:
			return nil
		case u+r != last:
			last, since = u+r, time.Now()
		case time.Since(since) > stalled:
			return fmt.Errorf("%d of %d unblocks and %d of %d refreshes have ended: %w", u, unblocks, r, refreshes, errStalled)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
