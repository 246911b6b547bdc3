package payblr

import (
	"context"
	"errors"
	"time"
)

type (
	startBeforeKey struct{}
	startWhileKey  struct{}
)

// StartBefore returns a context under which no HTTP request starts at or after
// t: no API request, no repeat after a 401, no token exchange. Unlike a context
// deadline it does not cut short a request that has started. A call it stops
// fails with [ReasonStartedTooLate]. Where contexts nest the earliest t counts.
// When t carries a monotonic reading (it was made from time.Now), so does the
// comparison.
func StartBefore(ctx context.Context, t time.Time) context.Context {
	if earlier, ok := startLimit(ctx); ok && earlier.Before(t) {
		return ctx
	}
	return context.WithValue(ctx, startBeforeKey{}, t)
}

// StartWhile returns a context under which no HTTP request starts once may returns
// false. Over HTTP/1.1 it is asked again in the instant before the first byte is
// written, so that a process which stood still in between does not send what it
// has no right to any more. May is called by several goroutines and must be quick.
// Where contexts nest the innermost counts.
func StartWhile(ctx context.Context, may func() bool) context.Context {
	return context.WithValue(ctx, startWhileKey{}, may)
}

func startLimit(ctx context.Context) (time.Time, bool) {
	t, ok := ctx.Value(startBeforeKey{}).(time.Time)
	return t, ok
}

// withStartLimit bounds waiting for permission to start, which is pointless
// after the limit.
func withStartLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	if t, ok := startLimit(ctx); ok {
		return context.WithDeadlineCause(ctx, t, errTooLate)
	}
	return context.WithCancel(ctx)
}

// cannotStart says why no request may start under ctx now; "" = it may.
func cannotStart(ctx context.Context) (Reason, error) {
	switch err := ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonDeadlineBeforeSending, err
	case err != nil:
		return ReasonCancelledBeforeSending, err
	}
	if t, ok := startLimit(ctx); ok && !time.Now().Before(t) {
		return ReasonStartedTooLate, nil
	}
	if may, ok := ctx.Value(startWhileKey{}).(func() bool); ok && !may() {
		return ReasonCancelledBeforeSending, nil
	}
	return "", nil
}
