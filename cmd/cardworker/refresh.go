package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// refreshParallel is how many requests are under way at once. They reach Redis in few round trips.
	refreshParallel = 256
	// maxBadLines is how many bad lines of a file an error lists.
	maxBadLines = 10
)

func newRefresh(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refresh pin|cvv TOKEN…",
		Short: "Have the PIN or CVV status of one or many cards read",
		Long: `Asks for the status of the PIN or CVV of each card to be read. Tokens are given as
arguments, or one per line in a file or on standard input; blank lines and lines that
begin with # are passed over. Nothing is asked for unless all tokens are well formed.

Refreshes have a queue of their own and never delay an unblock.`,
		Example: `  cardworker refresh pin 103169946 --wait
  cardworker refresh cvv --file cards.txt -o json
  some-query | cardworker refresh pin --file - --wait`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("pin or cvv is needed; run %s --help", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeCredential,
	}
	f := cmd.Flags()
	output := outputFlag(cmd)
	wait := waitFlags(cmd)
	file := f.String("file", "", "read the tokens from this file, or from standard input with -")
	key := f.String("idempotency-key", "", "for one card: the same key is the same operation for 24 hours")
	expires := f.Duration("expires-in", 0, "no call to the API starts later than this (default REFRESH_EXPIRY, 2m)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := tasks.RefreshKind(tasks.Credential(args[0]))
		if err != nil {
			return usagef("%q is neither pin nor cvv", safeWord(args[0]))
		}
		pr, err := newPrinter(p, *output)
		if err != nil {
			return err
		}
		tokens, err := gatherTokens(p, args[1:], *file)
		if err != nil {
			return err
		}
		var opts []enqueue.Option
		if f.Changed("idempotency-key") {
			if len(tokens) > 1 {
				return usagef("--idempotency-key is for one card, and there are %d", len(tokens))
			}
			opts = append(opts, enqueue.IdempotencyKey(*key))
		}
		if f.Changed("expires-in") {
			opts = append(opts, enqueue.ExpiresIn(*expires))
		}
		client, err := openProducer(cmd.Context(), p)
		if err != nil {
			return err
		}
		if len(tokens) == 1 {
			err = askOne(cmd.Context(), p, client, pr, *wait, kind, tokens[0], opts)
		} else {
			err = askMany(cmd.Context(), p, client, pr, *wait, kind, tokens, opts)
		}
		return errors.Join(err, client.Close())
	}
	return cmd
}

// gatherTokens returns the tokens of the arguments and of the file, all of them well formed.
func gatherTokens(p program, args []string, file string) ([]string, error) {
	var bad []string
	tokens := make([]string, 0, len(args))
	add := func(where, s string) {
		if _, err := tasks.ParsePublicToken(s); err != nil {
			bad = append(bad, where+": "+err.Error())
			return
		}
		tokens = append(tokens, s)
	}
	for i, s := range args {
		add(fmt.Sprintf("token %d", i+1), s)
	}
	if file != "" {
		in, name, err := openTokens(p, file)
		if err != nil {
			return nil, &exit{exitRefused, err}
		}
		lines := bufio.NewScanner(in)
		n := 0
		for lines.Scan() {
			n++
			if s := strings.TrimSpace(lines.Text()); s != "" && !strings.HasPrefix(s, "#") {
				add(fmt.Sprintf("%s line %d", name, n), s)
			}
		}
		if errors.Is(lines.Err(), bufio.ErrTooLong) {
			bad = append(bad, fmt.Sprintf("%s line %d: it is too long to be a public token, and ends the reading", name, n+1))
		} else if err := lines.Err(); err != nil {
			return nil, &exit{exitRefused, fmt.Errorf("read the tokens: %w", err)}
		}
		if err := in.Close(); err != nil {
			return nil, &exit{exitRefused, fmt.Errorf("read the tokens: %w", err)}
		}
	}
	switch {
	case len(bad) > maxBadLines:
		bad = append(bad[:maxBadLines], fmt.Sprintf("and %d more", len(bad)-maxBadLines))
		fallthrough
	case len(bad) > 0:
		return nil, usagef("nothing was asked for:\n  %s", strings.Join(bad, "\n  "))
	case len(tokens) == 0:
		return nil, usagef("no public token was given")
	}
	return tokens, nil
}

func openTokens(p program, file string) (io.ReadCloser, string, error) {
	if file == "-" {
		return io.NopCloser(p.stdin), "standard input", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("read the tokens: %w", err)
	}
	return f, file, nil
}

// answer is what became of one of many requests.
type answer struct {
	acc enqueue.Accepted
	err error
}

// askMany asks for many operations, a bounded number at a time, and prints them in the order of their
// tokens. One that cannot be had does not stop the others, except when Redis cannot be used.
func askMany(ctx context.Context, p program, client *producer, pr printer, w waiting, kind tasks.Kind, tokens []string, opts []enqueue.Option) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	bar := progress(p, len(tokens))
	queue := make(chan chan answer, refreshParallel)
	go func() {
		defer close(queue)
		for _, token := range tokens {
			slot := make(chan answer, 1)
			select {
			case <-ctx.Done():
				return
			case queue <- slot:
			}
			go func() { slot <- ask(ctx, p, client, w, kind, token, opts) }()
		}
	}()
	code, done := exitOK, 0
	var first, lost error // what ended it all, and why an operation could not be followed to its end
	for slot := range queue {
		a := <-slot
		if first != nil {
			continue // Only the goroutines that are under way are still waited for.
		}
		if err := a.err; err != nil {
			code = worse(code, exitCode(err))
			if a.acc.ID == "" {
				// Redis cannot be used: the rest would fail in the same way.
				first = err
				stop()
				continue
			}
			if lost == nil && exitCode(err) == exitError {
				lost = err
			}
		}
		if err := pr.operation(a.acc.Operation, a.acc); err != nil {
			first = &exit{exitError, err}
			stop()
		}
		done++
		_ = bar.Add(1) // A progress bar that cannot be drawn is no reason to stop.
	}
	_ = bar.Finish()
	switch {
	case first != nil:
		return fmt.Errorf("stopped after %d of %d cards: %w", done, len(tokens), first)
	case lost != nil:
		return lost
	case code == exitWaiting:
		return &exit{code, fmt.Errorf("not all were done after %s each; they go on", short(w.timeout))}
	case code != exitOK:
		return &exit{code: code}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return nil
}

func ask(ctx context.Context, p program, client *producer, w waiting, kind tasks.Kind, token string, opts []enqueue.Option) answer {
	accept, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	acc, err := client.Accept(accept, kind, token, opts...)
	if err != nil {
		return answer{err: client.explain(accept, err)}
	}
	if w.wait {
		quiet := p
		quiet.stderr = io.Discard
		acc.Operation, err = w.follow(ctx, quiet, client, acc.Operation)
	}
	return answer{acc, err}
}

// progress returns a progress bar, which shows on a terminal only.
func progress(p program, n int) *progressbar.ProgressBar {
	return progressbar.NewOptions(n,
		progressbar.OptionSetWriter(p.stderr),
		progressbar.OptionSetVisibility(isTerminal(p.stderr)),
		progressbar.OptionSetDescription("cards"),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("cards"),
		progressbar.OptionClearOnFinish(),
	)
}
