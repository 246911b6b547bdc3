package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// refreshParallel is how many requests are under way at once. They reach Redis in few round trips.
	refreshParallel = 512
	// shortList is up to how many tokens, some 40 bytes each, the heap may grow to several times their size.
	shortList = 500_000
	// outputBuffer is how much of the output is held back at most until there is nothing more to write, in bytes.
	outputBuffer = 64 << 10
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

With --wait, the time of each operation runs from its own acceptance: the command ends
about one --timeout after the last was accepted.

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
		if err := tasks.CheckPublicToken(s); err != nil {
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
		err = lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			bad = append(bad, fmt.Sprintf("%s line %d: it is too long to be a public token, and ends the reading", name, n+1))
			err = nil
		}
		if err := cmp.Or(err, in.Close()); err != nil {
			return nil, &exit{exitRefused, fmt.Errorf("read the tokens: %w", withoutPath(err))}
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

// openTokens opens a list of tokens. The error does not name the file: where its name should be, somebody may have put
// what confidential lists hold.
func openTokens(p program, file string) (io.ReadCloser, string, error) {
	if file == "-" {
		return io.NopCloser(p.stdin), "standard input", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("--file names a file that cannot be used: %w", withoutPath(err))
	}
	return f, file, nil
}

// answer is what became of one of many requests.
type answer struct {
	acc enqueue.Accepted
	at  time.Time // when it was accepted, by this machine's clock
	err error
}

// askMany asks for many operations, a bounded number at a time, and prints them in the order of their
// tokens. One that cannot be had does not stop the others, except when Redis cannot be used.
//
// It asks for the next ones while it waits for those before, so that it ends about one timeout after the last was
// accepted. It keeps a few hundred bytes for each that was accepted and is not printed; how many it reads or
// watches at a time is bounded.
func askMany(ctx context.Context, p program, client *producer, pr printer, w waiting, kind tasks.Kind, tokens []string, opts []enqueue.Option) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	bar := progress(p, len(tokens))
	var refused atomic.Bool // The rest would fail in the same way.
	ask := func(token string) *answer {
		a := ask(ctx, client, kind, token, opts)
		if a.err != nil {
			refused.Store(true)
		}
		return a
	}
	unasked := func(yield func(string) bool) {
		for _, token := range tokens {
			if ctx.Err() != nil || refused.Load() || !yield(token) {
				return
			}
		}
	}
	var answers <-chan *answer
	if w.wait {
		asked := inOrder(unasked, len(tokens), ask)
		answers = inOrder(all(asked), 0, followEach(ctx, p, client, w))
	} else {
		if len(tokens) <= shortList {
			setGCPercent(p.environ) // Nothing is kept but the tokens, and all else is garbage at once.
		}
		answers = inOrder(unasked, refreshParallel, ask)
	}
	code := exitOK
	var first, lost error // what ended it all, and why an operation could not be followed to its end
	out := newLines(pr, bar, stop)
	for a := range whenever(answers, out.flush) {
		if err := a.err; err != nil {
			code = worse(code, exitCode(err))
			if a.acc.ID == "" {
				// Redis cannot be used: the rest would fail in the same way. Those behind that are under way may
				// have been accepted all the same, and are shown.
				if first == nil {
					first = err
				}
				stop()
				continue
			}
			if lost == nil && exitCode(err) == exitError {
				lost = err
			}
		}
		out.write(a.acc)
	}
	_ = bar.Finish()
	if out.err != nil {
		first = &exit{exitError, out.err}
	}
	switch {
	case first != nil:
		return fmt.Errorf("stopped after %d of %d cards: %w", out.done, len(tokens), first)
	case lost != nil:
		return lost
	case code == exitWaiting:
		return &exit{code, fmt.Errorf("not all were done after %s, each from its acceptance on; they go on", short(w.timeout))}
	case code != exitOK:
		return &exit{code: code}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return nil
}

// lines writes many operations. Those that are there at the same time it writes at once: to write each by itself takes
// a twelfth of all.
type lines struct {
	pr     printer
	buf    *bufio.Writer
	bar    *progressbar.ProgressBar
	failed func()

	held int   // operations that are not written yet
	done int   // those that are
	err  error // why nothing can be written any more
}

// newLines returns what writes with pr and tells the bar, and calls failed when nothing can be written any more.
func newLines(pr printer, bar *progressbar.ProgressBar, failed func()) *lines {
	l := &lines{pr: pr, buf: bufio.NewWriterSize(pr.out, outputBuffer), bar: bar, failed: failed}
	l.pr.out = l.buf
	return l
}

// write writes an operation, at the latest with the next flush.
func (l *lines) write(acc enqueue.Accepted) {
	if l.err != nil {
		return
	}
	l.held++
	l.note(l.pr.operation(acc.Operation, acc))
}

// flush writes what is held back.
func (l *lines) flush() {
	if l.err != nil || l.held == 0 {
		return
	}
	if l.note(l.buf.Flush()); l.err == nil {
		_ = l.bar.Add(l.held) // A progress bar that cannot be drawn is no reason to stop.
		l.done, l.held = l.done+l.held, 0
	}
}

func (l *lines) note(err error) {
	if err != nil {
		l.err = err
		l.failed()
	}
}

func ask(ctx context.Context, client *producer, kind tasks.Kind, token string, opts []enqueue.Option) *answer {
	accept, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	acc, err := client.Accept(accept, kind, token, opts...)
	if err != nil {
		return &answer{err: client.explain(accept, err)}
	}
	return &answer{acc: acc, at: time.Now()}
}

// followEach returns what follows each of many operations that were accepted.
func followEach(ctx context.Context, p program, client *producer, w waiting) func(*answer) *answer {
	p.stderr = io.Discard
	var lost atomic.Bool // Redis could not be asked for one whose time was over: it is not asked for the others.
	return func(a *answer) *answer {
		switch {
		case a.err != nil:
		case lost.Load() && w.over(a.at):
			a.err = fmt.Errorf("wait for %s: %w", a.acc.ID, enqueue.ErrQueueUnavailable)
		default:
			a.acc.Operation, a.err = w.follow(ctx, p, client, a.acc.Operation, a.at)
			if errors.Is(a.err, enqueue.ErrQueueUnavailable) && w.over(a.at) {
				lost.Store(true)
			}
		}
		return a
	}
}

// inOrder does something with each of in, a bounded number at a time, and returns what came of them in their order.
// It runs ahead of its reader by so many results; the reader has to read them all.
func inOrder[A, B any](in iter.Seq[A], ahead int, do func(A) B) <-chan B {
	type job struct {
		a    A
		slot chan<- B
	}
	jobs, running, out := make(chan job), make(chan chan B, refreshParallel), make(chan B, ahead)
	// A goroutine that stays has grown its stack; a new one for each would spend a tenth of all on that.
	work := func(j job) {
		j.slot <- do(j.a)
		for j := range jobs {
			j.slot <- do(j.a)
		}
	}
	go func() {
		defer close(running)
		defer close(jobs)
		for a := range in {
			slot := make(chan B, 1)
			running <- slot
			j := job{a, slot}
			select {
			case jobs <- j:
			default: // There are about as many as were ever running at once.
				go work(j)
			}
		}
	}()
	go func() {
		defer close(out)
		for slot := range running {
			out <- <-slot
		}
	}()
	return out
}

// all returns what a channel gives until it is closed.
func all[A any](c <-chan A) iter.Seq[A] {
	return func(yield func(A) bool) {
		for a := range c {
			if !yield(a) {
				return
			}
		}
	}
}

// whenever returns what a channel gives until it is closed, and calls idle before it waits for more, and at the end.
func whenever[A any](c <-chan A, idle func()) iter.Seq[A] {
	return func(yield func(A) bool) {
		defer idle()
		for {
			var a A
			ok := false
			select {
			case a, ok = <-c:
			default:
				idle()
				a, ok = <-c
			}
			if !ok || !yield(a) {
				return
			}
		}
	}
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
