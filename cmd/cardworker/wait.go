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
	timeoutFlag(cmd, &w.timeout, "how long to wait, from acceptance on; the operation goes on after that")
	return w
}

func timeoutFlag(cmd *cobra.Command, d *time.Duration, usage string) {
	cmd.Flags().DurationVar(d, "timeout", 30*time.Second, usage)
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

// over reports whether the time of an operation is over that was accepted then.
func (w waiting) over(accepted time.Time) bool { return time.Since(accepted) >= w.timeout }

// follow waits for the end of an operation, until its time is over, and shows on a terminal where it stands. It
// returns the newest snapshot, and an error with the exit code that it calls for. The snapshot is there to be shown
// whatever the error: the operation was accepted, and its id is needed to go on. One whose time is over already is
// read all the same.
func (w waiting) follow(ctx context.Context, p program, client *producer, op tasks.Operation, accepted time.Time) (tasks.Operation, error) {
	within, cancel := context.WithDeadline(ctx, accepted.Add(w.timeout))
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
	read := false
	for now, err := range client.Watch(within, op.ID) {
		switch {
		case err != nil && !read && within.Err() != nil && ctx.Err() == nil:
			return w.look(ctx, client, op)
		case errors.Is(err, context.DeadlineExceeded) && within.Err() != nil && !errors.Is(err, enqueue.ErrQueueUnavailable):
			return op, w.notDone(op)
		case errors.Is(err, context.Canceled):
			return op, &exit{exitError, fmt.Errorf("interrupted; the operation goes on; follow it with: cardworker operation watch %s", op.ID)}
		case err != nil:
			// It was accepted, and whoever asked should know as what.
			return op, fmt.Errorf("wait for %s: %w", op.ID, client.explain(ctx, err))
		}
		op, read = now, true
		show(op)
	}
	return op, outcome(op)
}

// lookTimeout bounds the one read of an operation whose time was over before.
const lookTimeout = 5 * time.Second

// look reads an operation whose time was over before it was read: it may have ended in the meantime.
func (w waiting) look(ctx context.Context, client *producer, op tasks.Operation) (tasks.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	now, err := client.Get(ctx, op.ID)
	switch {
	case err != nil:
		return op, fmt.Errorf("wait for %s: %w", op.ID, client.explain(ctx, err))
	case now.Done:
		return now, outcome(now)
	}
	return now, w.notDone(now)
}

func (w waiting) notDone(op tasks.Operation) error {
	return &exit{exitWaiting, fmt.Errorf("not done after %s; %s; follow it with: cardworker operation watch %s", short(w.timeout), goesOn(op), op.ID)}
}
