package coalesce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flights is how many round trips of a lane may be under way at once. With one, a call that just missed it would
	// wait for all of it; with many, the batches get small.
	flights = 2
	// most is how many calls go in one round trip. It bounds what a lost connection takes with it.
	most = 128
	// flightTimeout bounds a round trip of calls whose callers set no deadline. The timeouts of the
	// connection are shorter, but go-redis may repeat it.
	flightTimeout = 10 * time.Second
)

// Lane is where callers wait for each other who want things done that go well together. Who comes while few are under way
// goes alone and at once; those that come meanwhile go together. Make it with [NewLane]; it is safe for concurrent use.
type Lane[T any] struct {
	alone    func(ctx context.Context, what T)
	together func(ctx context.Context, calls []*Call[T])

	mu      sync.Mutex
	waiting []*Call[T]
	flying  int
}

// Call is what one of several callers wants. It belongs to whoever does it until that has returned.
type Call[T any] struct {
	What T
	ctx  context.Context
	done chan struct{}
	left atomic.Bool // its caller had left before it was done
}

// Left reports whether the caller waits no more. Whoever does the call asks as late as possible, and does not do it then;
// the caller is told so. It is safe for concurrent use.
func (c *Call[T]) Left() bool {
	if c.ctx.Err() != nil {
		c.left.Store(true)
	}
	return c.left.Load()
}

// NewCall returns a call of somebody who waits until ctx ends. It is for tests of what is done together.
func NewCall[T any](ctx context.Context, what T) *Call[T] {
	return &Call[T]{What: what, ctx: ctx, done: make(chan struct{})}
}

// NewLane returns a lane. alone does what one caller wants, on its goroutine and with its context; together does what
// several want, and its context has the values of none of them. Both leave in What what came of it.
func NewLane[T any](alone func(ctx context.Context, what T), together func(ctx context.Context, calls []*Call[T])) *Lane[T] {
	return &Lane[T]{alone: alone, together: together}
}

// Do has it done, and returns when it is. An error is ctx's, which has ended before: it may or may not have been done, or
// be done yet, and what must not be touched any more.
func (l *Lane[T]) Do(ctx context.Context, what T) error {
	l.mu.Lock()
	if l.flying < flights {
		l.flying++
		l.mu.Unlock()
		defer l.land()
		l.alone(ctx, what)
		return nil
	}
	call := NewCall(ctx, what)
	l.waiting = append(l.waiting, call)
	l.mu.Unlock()

	select {
	case <-call.done:
		if call.left.Load() {
			return ctx.Err()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Waiting returns how many callers wait for others to come back.
func (l *Lane[T]) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// land is what ends a flight: the next one takes off with those who wait, if there are any.
func (l *Lane[T]) land() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.flying--
		return
	}
	batch := l.waiting
	if len(batch) > most {
		batch, l.waiting = batch[:most:most], append([]*Call[T](nil), batch[most:]...)
	} else {
		l.waiting = nil
	}
	go l.fly(batch)
}

// fly does what those want who have not left, and tells them.
func (l *Lane[T]) fly(batch []*Call[T]) {
	defer l.land()
	ctx, cancel := context.WithTimeout(context.Background(), flightTimeout)
	defer cancel()
	here := make([]*Call[T], 0, len(batch))
	for _, call := range batch {
		if !call.Left() {
			here = append(here, call)
		}
	}
	if len(here) > 0 {
		l.together(ctx, here)
	}
	for _, call := range batch {
		close(call.done)
	}
}
