package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// bulkParallel is how many requests of a file stock has under way at once.
const bulkParallel = 256

// bulk measures how fast the program accepts a file of refreshes. Stock's program enqueues a task for each. Both are
// processes of their own that write a line for each card, and are measured from their start to their end.
func (b *bench) bulk(ctx context.Context) (err error) {
	if len(b.Program) == 0 || len(b.Part) == 0 {
		return errors.New("no commands are known that run the programs")
	}
	dir, err := os.MkdirTemp("", "cardworker-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var text strings.Builder
	for _, c := range cards(true, 0, b.size.backlog) {
		text.WriteString(c.token() + "\n")
	}
	file := filepath.Join(dir, "cards.txt")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return err
	}
	for run := range b.Runs {
		for _, name := range []string{nameStock, nameOurs} {
			if err := b.bulkOnce(ctx, run, name, file); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (b *bench) bulkOnce(ctx context.Context, run int, name, file string) error {
	at := setting{aof: "off"}
	server, err := b.server(ctx, at.aof)
	if err != nil {
		return err
	}
	if err := server.clear(ctx); err != nil {
		return err
	}
	command, queue := append(append([]string(nil), b.Part...), partBulk, server.addr, file), queueLow
	if name == nameOurs {
		command, queue = append(append([]string(nil), b.Program...), "refresh", "pin", "--file", file, "--output", "json"), tasks.QueueRefresh
	}
	before, err := server.cpu(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // this very program
	out, err := os.Create(file + ".out")
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // It has been read.
	var trouble bytes.Buffer
	// Nothing else of the environment: it might ask one of the two for more. The collector is this process's.
	cmd.Env = []string{"REDIS_URL=" + server.url(), fmt.Sprintf("GOGC=%d", gcPercent())}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, &trouble, dieWithParent()
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(trouble.Bytes()))
	}
	took := time.Since(start)
	after, err := server.cpu(ctx)
	if err != nil {
		return err
	}
	n := b.size.backlog
	waiting, err := server.admin.LLen(ctx, doorbell.DequeueKeys(queue)[0]).Result()
	text, err2 := os.ReadFile(out.Name())
	err = errors.Join(err, err2)
	if lines := distinctLines(text); err == nil && (waiting != int64(n) || lines != n) {
		err = fmt.Errorf("%d tasks wait and %d different lines were written for %d cards", waiting, lines, n)
	}
	if err != nil {
		return err
	}
	rate, each := float64(n)/took.Seconds(), func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	b.saying("bulk, run %d, %s: %.0f accepted/s", run+1, name, rate)
	for figure, v := range map[string]float64{
		"accepted/s": rate, "producer µs": each(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()),
		"Redis µs": each(after - before),
	} {
		b.report.add("bulk", at.String(), name, figure, v)
	}
	return nil
}

// gcPercent is how far this process lets its heap grow.
func gcPercent() int {
	percent := debug.SetGCPercent(100) // There is no other way to read it.
	debug.SetGCPercent(percent)
	return percent
}

func distinctLines(text []byte) int {
	seen := map[string]struct{}{}
	for line := range bytes.Lines(text) {
		seen[string(line)] = struct{}{}
	}
	return len(seen)
}

// cpu is the processor time of the server so far.
func (s *redisServer) cpu(ctx context.Context) (time.Duration, error) {
	about, err := s.info(ctx, "cpu")
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		v, err := strconv.ParseFloat(about[name], 64)
		if err != nil {
			return 0, fmt.Errorf("INFO cpu: %w", err)
		}
		sum += v
	}
	return time.Duration(sum * float64(time.Second)), nil
}

// enqueueFile enqueues a task of stock for each token of a file, and writes its line.
func enqueueFile(ctx context.Context, redisAddr, file string, out *bufio.Writer) error {
	text, err := os.ReadFile(file) //nolint:gosec // of the run
	if err != nil {
		return err
	}
	s := newStock(place{redisAddr: redisAddr, seen: &trips{}}, 0)
	defer s.close() //nolint:errcheck // nothing is left to be done
	next, done := make(chan card, bulkParallel), make(chan card, bulkParallel)
	var asking sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range bulkParallel {
		asking.Go(func() {
			for c := range next {
				if err := s.accept(ctx, c); err != nil {
					cancel(err)
				}
				done <- c
			}
		})
	}
	go func() {
		defer close(done)
		defer asking.Wait()
		defer close(next)
		for line := range strings.Lines(string(text)) {
			c, err := cardOf(strings.TrimSpace(line))
			if err != nil || ctx.Err() != nil {
				cancel(err)
				return
			}
			next <- c
		}
	}()
	for c := range done {
		if _, err := fmt.Fprintln(out, c.token()); err != nil {
			cancel(err)
		}
	}
	return errors.Join(context.Cause(ctx), out.Flush())
}
