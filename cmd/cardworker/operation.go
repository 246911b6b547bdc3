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

func newOperation(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operation",
		Short: "Look at an operation, follow it, or retry it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is no command of operation; get, watch and retry are", safeWord(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newOperationGet(p), newOperationWatch(p), newOperationRetry(p))
	return cmd
}

func newOperationGet(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show where an operation stands", Args: oneID,
		Example: "  cardworker operation get cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB -o json",
	}
	output := outputFlag(cmd)
	cmd.RunE = withProducer(p, output, func(ctx context.Context, client *producer, pr printer, id string) error {
		ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
		defer cancel()
		op, err := client.Get(ctx, id)
		if err != nil {
			return client.explain(ctx, err)
		}
		return errors.Join(pr.operation(op, op), outcome(op))
	})
	return cmd
}

func newOperationWatch(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow an operation to its end", Args: oneID,
		Long: `Prints the operation as it is, and again each time it changes, until it is done. As text,
only what can be seen in it counts as a change.`,
	}
	output := outputFlag(cmd)
	var timeout time.Duration
	timeoutFlag(cmd, &timeout, "how long to follow it; the operation goes on after that")
	cmd.RunE = withProducer(p, output, func(ctx context.Context, client *producer, pr printer, id string) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var last tasks.Operation
		write := pr.watching()
		for op, err := range client.Watch(ctx, id) {
			switch {
			case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil && last.ID != "" && !errors.Is(err, enqueue.ErrQueueUnavailable):
				return &exit{exitWaiting, fmt.Errorf("not done after %s; %s", short(timeout), goesOn(last))}
			case err != nil:
				return client.explain(ctx, err)
			}
			last = op
			if err := write(op); err != nil {
				return &exit{exitError, err}
			}
		}
		return outcome(last)
	})
	return cmd
}

func newOperationRetry(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry ID", Short: "Give a failed operation another life", Args: oneID,
		Long: `Runs a failed operation again, under the same id. An unblock that the API had accepted
but nobody confirmed is only confirmed. Any other unblock counts towards the limit of
its card.`,
	}
	output := outputFlag(cmd)
	wait := waitFlags(cmd)
	cmd.RunE = withProducer(p, output, func(ctx context.Context, client *producer, pr printer, id string) error {
		retry, cancel := context.WithTimeout(ctx, acceptTimeout)
		defer cancel()
		op, err := client.Retry(retry, id)
		if err != nil {
			return client.explain(retry, err)
		}
		if !wait.wait {
			return pr.operation(op, op)
		}
		op, err = wait.follow(ctx, p, client, op, time.Now())
		return errors.Join(pr.operation(op, op), err)
	})
	return cmd
}

func oneID(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) != 1:
		return usagef("one operation id is needed; run %s --help", cmd.CommandPath())
	case !tasks.ValidID(args[0]):
		return usagef("this is no operation id; one looks like cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB")
	}
	return nil
}

// withProducer returns a command's run function that has a client, a printer and an operation id.
func withProducer(p program, output *string, f func(context.Context, *producer, printer, string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		pr, err := newPrinter(p, *output)
		if err != nil {
			return err
		}
		client, err := openProducer(cmd.Context(), p)
		if err != nil {
			return err
		}
		return errors.Join(f(cmd.Context(), client, pr, args[0]), client.Close())
	}
}
