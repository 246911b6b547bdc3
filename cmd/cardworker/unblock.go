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

// acceptTimeout bounds how long a request tries to reach Redis.
const acceptTimeout = 10 * time.Second

func newUnblock(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unblock pin|cvv TOKEN",
		Short: "Have the PIN or CVV of a card unblocked and confirmed",
		Long: `Asks for the PIN or CVV of the card with the public token TOKEN to be unblocked. A
worker does it and reads the status back; only then the operation has succeeded.

Asking again while an operation is open joins it. With --idempotency-key the same
request is the same operation for 24 hours.`,
		Example: `  cardworker unblock pin 103169946 --wait
  cardworker unblock cvv 103169946 --idempotency-key tap-4711 -o json`,
		Args:              credentialAndToken,
		ValidArgsFunction: completeCredential,
	}
	f := cmd.Flags()
	output := outputFlag(cmd)
	wait := waitFlags(cmd)
	key := f.String("idempotency-key", "", "the same key is the same operation for 24 hours")
	expires := f.Duration("expires-in", 0, "no call to the API starts later than this (default UNBLOCK_EXPIRY, 5m)")
	reason := f.String("reason", "", "why, for the API's records")
	by := f.String("updated-by", "", "on whose behalf, for the API's records")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := tasks.UnblockKind(tasks.Credential(args[0]))
		if err != nil {
			return usagef("%q is neither pin nor cvv", safeWord(args[0]))
		}
		pr, err := newPrinter(p, *output)
		if err != nil {
			return err
		}
		opts := []enqueue.Option{enqueue.Reason(*reason), enqueue.UpdatedBy(*by)}
		if f.Changed("idempotency-key") {
			opts = append(opts, enqueue.IdempotencyKey(*key))
		}
		if f.Changed("expires-in") {
			opts = append(opts, enqueue.ExpiresIn(*expires))
		}
		client, err := openProducer(cmd.Context(), p)
		if err != nil {
			return err
		}
		return errors.Join(askOne(cmd.Context(), p, client, pr, *wait, kind, args[1], opts), client.Close())
	}
	return cmd
}

// askOne asks for one operation and, if wanted, waits for its end.
func askOne(ctx context.Context, p program, client *producer, pr printer, w waiting, kind tasks.Kind, token string, opts []enqueue.Option) error {
	accept, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	acc, err := client.Accept(accept, kind, token, opts...)
	if err != nil {
		return client.explain(accept, err)
	}
	if acc.Joined {
		_, _ = fmt.Fprintln(p.stderr, "joined an operation that is under way for this card")
	}
	if !w.wait {
		return errors.Join(pr.operation(acc.Operation, acc), replayed(acc.Operation))
	}
	acc.Operation, err = w.follow(ctx, p, client, acc.Operation, time.Now())
	return errors.Join(pr.operation(acc.Operation, acc), err)
}

// replayed returns the exit code of an operation that had ended before it was asked for again.
func replayed(op tasks.Operation) error {
	if op.Done {
		return outcome(op)
	}
	return nil
}

func credentialAndToken(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usagef("pin or cvv and one public token are needed; run %s --help", cmd.CommandPath())
	}
	return nil
}

func completeCredential(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"pin", "cvv"}, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
