package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/tasks"
)

// waiting says whether and how long a command waits for the end of an operation.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func waitFlags(cmd *cobra.Command) *waiting {
	w := &waiting{}
	cmd.Flags().BoolVarP(&w.wait, "wait", "w", false, "wait for the end")
	timeoutFlag(cmd, &w.timeout)
	return w
}

func timeoutFlag(cmd *cobra.Command, d *time.Duration) {
	cmd.Flags().DurationVar(d, "timeout", 30*time.Second, "how long to wait; the operation goes on after that")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *d < 0 {
			return usagef("--timeout must not be negative")
		}
		return nil
	}
}

// goesOn says what to expect of an operation that is not done when the waiting ends.
func goesOn(op tasks.Operation) string {
	if op.State == tasks.Accepted {
		return "no worker has begun it yet (is cardworker worker running, with this REDIS_URL?), and it goes on when one does"
	}
	return "the operation goes on"
}

// follow waits for the end of an operation and shows on a terminal where it stands. It returns the newest
// snapshot, and an error with the exit code that it calls for. The snapshot is there to be shown whatever
// the error: the operation was accepted, and its id is needed to go on.
func (w waiting) follow(ctx context.Context, p program, client *producer, op tasks.Operation) (tasks.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	live := isTerminal(p.stderr)
	show := func(op tasks.Operation) {
		if live && !op.Done {
			// To the beginning of the line, and what was there before is deleted.
			_, _ = fmt.Fprintf(p.stderr, "\r\x1b[K%s…", op.State)
		}
	}
	defer func() {
		if live {
			_, _ = fmt.Fprint(p.stderr, "\r\x1b[K")
		}
	}()
	show(op)
	for now, err := range client.Watch(ctx, op.ID) {
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil && !errors.Is(err, enqueue.ErrQueueUnavailable):
			return op, &exit{exitWaiting, fmt.Errorf("not done after %s; %s; follow it with: cardworker operation watch %s", short(w.timeout), goesOn(op), op.ID)}
		case errors.Is(err, context.Canceled):
			return op, &exit{exitError, fmt.Errorf("interrupted; the operation goes on; follow it with: cardworker operation watch %s", op.ID)}
		case err != nil:
			// It was accepted, and whoever asked should know as what.
			return op, fmt.Errorf("wait for %s: %w", op.ID, client.explain(ctx, err))
		}
		op = now
		show(op)
	}
	return op, outcome(op)
}
