package enqueue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

var errClosed = fmt.Errorf("%w: the client was closed", ErrQueueUnavailable)

// Wait returns the operation once it is done, whether it succeeded or failed: look at its State. It is
// woken by Redis, which tells it the result as well, and does not poll, but for a look every 15 seconds in case its
// connection is dead without anybody having noticed. All waits of a client share that connection. A restart or failover of Redis is
// sat out, for up to half a minute.
//
// When ctx ends first, Wait returns the newest snapshot (which may miss the last tenth of a second if ctx was
// cancelled), together with an error that wraps ctx's, and [ErrQueueUnavailable] too when Redis cannot be asked
// then. The operation goes on. Other errors are [ErrNotFound] and [ErrQueueUnavailable].
func (c *Client) Wait(ctx context.Context, id string) (tasks.Operation, error) {
	var last tasks.Operation
	for op, err := range c.follow(ctx, id, true) {
		if err != nil {
			return last, err
		}
		last = op
	}
	return last, nil
}

// Watch yields the operation as it is now, then each time it has changed, and ends after it is done. Changes that
// follow each other closely may come as one, and at a deadline there is a last look. An error is the last thing it
// yields: ctx's, wrapped, [ErrNotFound] or [ErrQueueUnavailable].
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[tasks.Operation, error] {
	return c.follow(ctx, id, false)
}

// follow is Watch. For somebody who waits for the end it may look at what comes before that a little later, so that
// there is less to do for Redis while the operation is under way.
func (c *Client) follow(ctx context.Context, id string, forEnd bool) iter.Seq2[tasks.Operation, error] {
	return func(yield func(tasks.Operation, error) bool) {
		fail := func(err error) {
			switch {
			case ctx.Err() != nil && (errors.Is(err, ErrQueueUnavailable) || errors.Is(err, ErrNotFound)):
				err = fmt.Errorf("stopped waiting for %s: %w: %w", id, context.Cause(ctx), err)
			case ctx.Err() != nil:
				err = fmt.Errorf("stopped waiting for %s: %w", id, context.Cause(ctx))
			}
			yield(tasks.Operation{}, err)
		}
		if ctx.Err() != nil {
			fail(ctx.Err())
			return
		}
		if !tasks.ValidID(id) {
			fail(ErrNotFound)
			return
		}
		watch, err := c.watcher.Watch(id)
		if err != nil {
			fail(errClosed)
			return
		}
		defer watch.Close()
		rec, err := c.first(ctx, watch, id)
		if err != nil {
			if rec.State == "" || yield(rec.Operation(), nil) {
				fail(err)
			}
			return
		}
		shown := rec.Operation()
		if !yield(shown, nil) || shown.Done {
			return
		}
		for {
			changed, err := c.next(ctx, watch, rec, forEnd)
			if err != nil {
				if last := changed.Operation(); reflect.DeepEqual(last, shown) || yield(last, nil) {
					fail(err)
				}
				return
			}
			rec = changed
			op := rec.Operation()
			if reflect.DeepEqual(op, shown) {
				continue // What changed within a millisecond is not to be seen.
			}
			shown = op
			if !yield(op, nil) || op.Done {
				return
			}
		}
	}
}

// first reads the operation when the watch has become effective, so that one read is enough: nothing that changes later
// is missed. When Redis does not answer that at once, it has to say why to the read.
func (c *Client) first(ctx context.Context, watch *opstore.Watch, id string) (opstore.Record, error) {
	timer := time.NewTimer(onTheWay)
	defer timer.Stop()
	select {
	case <-watch.C:
		select {
		case <-watch.Ended: // As of now.
		default:
		}
	case <-timer.C:
	case <-watch.Closed:
		return opstore.Record{}, errClosed
	case <-ctx.Done():
		return c.lastLook(ctx, opstore.Record{ID: id})
	}
	rec, err := c.store.Get(ctx, id)
	switch {
	case err == nil:
		return rec, nil
	case ctx.Err() != nil:
		return c.lastLook(ctx, opstore.Record{ID: id})
	default:
		return opstore.Record{}, admissionError(err) // What could be read of it is no answer.
	}
}

// lastLookTimeout bounds the read after a deadline.
const lastLookTimeout = time.Second

// lastLook is what a waiter does whose time is over: nobody may have been there to wake it. It tells an
// operation that goes on from a Redis that cannot be asked.
func (c *Client) lastLook(ctx context.Context, rec opstore.Record) (opstore.Record, error) {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return rec, ctx.Err()
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLookTimeout)
	defer cancel()
	now, err := c.store.Get(look, rec.ID)
	switch {
	case err != nil:
		return rec, errors.Join(ctx.Err(), admissionError(err))
	case now.State.Done():
		return now, nil
	default:
		return now, ctx.Err()
	}
}

const (
	// reread is when a waiter looks although nobody woke it: a connection that swallows everything
	// without breaking is noticed by nothing else.
	reread = 15 * time.Second
	// rereadTrouble is the same after Redis could not be read, and maxTrouble how long that may last.
	rereadTrouble = time.Second
	maxTrouble    = 30 * time.Second
	// onTheWay is how late a change may be seen by somebody who waits for the end.
	onTheWay = 100 * time.Millisecond
)

// next returns the operation as soon as it differs from rec, or when it waits for the end, a moment later. It sits out
// a restart or a failover of Redis.
func (c *Client) next(ctx context.Context, watch *opstore.Watch, rec opstore.Record, forEnd bool) (opstore.Record, error) {
	changed, ended := watch.C, watch.Ended
	if !forEnd {
		ended = nil // It comes with every change.
	}
	timer := time.NewTimer(reread)
	defer timer.Stop()
	var trouble time.Time // since when Redis cannot be read
	for {
		select {
		case <-ctx.Done():
			return c.lastLook(ctx, rec)
		case <-watch.Closed:
			return rec, errClosed
		case end := <-ended:
			if now, ok := end.Of(rec); ok {
				return now, nil
			}
		case <-changed:
			if forEnd {
				changed = nil // The look that is to come sees what else changes until then.
				timer.Reset(onTheWay)
				continue
			}
		case <-timer.C:
		}
		changed = watch.C
		now, err := c.store.Get(ctx, rec.ID)
		switch {
		case err == nil && now.Version != rec.Version:
			return now, nil
		case err == nil:
			trouble = time.Time{}
			timer.Reset(reread)
			continue
		case trouble.IsZero():
			trouble = time.Now()
		}
		err = admissionError(err)
		if !errors.Is(err, ErrQueueUnavailable) || time.Since(trouble) > maxTrouble {
			return rec, err
		}
		timer.Reset(rereadTrouble)
	}
}
