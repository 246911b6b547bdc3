package gate

import (
	"context"
	"fmt"
)

// errWaitsEnded ends a wait whose caller stops. To callers it is as if they had been cancelled.
var errWaitsEnded = fmt.Errorf("the caller stops: %w", context.Canceled)

type waitsKey struct{}

// WaitUntil returns a context under which nobody waits for a turn any more once over is closed: [Gate.Wait] returns
// an error that is context.Canceled then. A call that has had its turn is not touched. Where contexts nest the
// innermost counts.
func WaitUntil(ctx context.Context, over <-chan struct{}) context.Context {
	return context.WithValue(ctx, waitsKey{}, over)
}

// waitsEnd returns what WaitUntil was given, or nil, which is never closed.
func waitsEnd(ctx context.Context) <-chan struct{} {
	over, _ := ctx.Value(waitsKey{}).(<-chan struct{})
	return over
}
