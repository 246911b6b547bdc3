package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// patience bounds every wait of these tests. It is for a machine that is busy with something else.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil)
	redistest.Main(m, removeBinary)
}

// output takes what a program writes, also from several goroutines, and lets a test wait for a line.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{} // closed when more has been written
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// await returns the first whole line that holds text.
func (o *output) await(t testing.TB, text string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		written, grown := o.buf.String(), o.grown
		o.mu.Unlock()
		for line := range strings.Lines(written) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("no line with %q after %s; there is:\n%s", text, patience, written)
		}
	}
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// cli runs a command in this process.
func cli(t testing.TB, environ []string, args ...string) result {
	t.Helper()
	return cliWith(t, strings.NewReader(""), environ, args...)
}

// cliWith is cli with something on standard input.
func cliWith(t testing.TB, stdin io.Reader, environ []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout, stderr := newOutput(), newOutput()
	code := run(ctx, program{args: args, environ: environ, stdin: stdin, stdout: stdout, stderr: stderr})
	if ctx.Err() != nil {
		t.Fatalf("cardworker %s had not ended after %s", strings.Join(args, " "), patience)
	}
	return result{code, stdout.String(), stderr.String()}
}

// service is a long-running command in this process.
type service struct {
	stdout, stderr *output
	cancel         context.CancelFunc
	ended          chan int
	once           sync.Once
	code           int
}

// serve starts a long-running command. The end of the test stops it, which has to go well.
func serve(t testing.TB, environ []string, args ...string) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{stdout: newOutput(), stderr: newOutput(), cancel: cancel, ended: make(chan int, 1)}
	go func() {
		s.ended <- run(ctx, program{args: args, environ: environ, stdin: strings.NewReader(""), stdout: s.stdout, stderr: s.stderr})
	}()
	t.Cleanup(func() {
		if code := s.stop(t); code != exitOK {
			t.Errorf("cardworker %s ended with %d, want 0; it wrote:\n%s", strings.Join(args, " "), code, s.stderr)
		}
	})
	return s
}

// stop ends the command as a signal would and returns its exit code.
func (s *service) stop(t testing.TB) int {
	t.Helper()
	s.once.Do(func() {
		s.cancel()
		select {
		case s.code = <-s.ended:
		case <-time.After(patience):
			t.Fatalf("it had not stopped after %s; it wrote:\n%s", patience, s.stderr)
		}
	})
	return s.code
}

// startWorker starts a worker in this process that listens on no port.
func startWorker(t testing.TB, environ []string) *service {
	t.Helper()
	s := serve(t, append([]string{"WORKER_HTTP_ADDR=off"}, environ...), "worker")
	s.stderr.await(t, "worker started")
	return s
}

// logged returns a field of a line of the JSON log.
func logged(t testing.TB, line, field string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("a log line is no JSON: %v: %s", err, line)
	}
	v, ok := fields[field].(string)
	if !ok {
		t.Fatalf("no %s in the log line %s", field, line)
	}
	return v
}

// clean fails the test when something confidential shows.
func clean(t testing.TB, what, text string, canaries ...string) {
	t.Helper()
	for _, canary := range canaries {
		if strings.Contains(text, canary) {
			t.Errorf("%s repeats %q:\n%s", what, canary, text)
		}
	}
}

// one returns the single non-empty line of text.
func one(t testing.TB, what, text string) string {
	t.Helper()
	if text == "" || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("%s is not exactly one line:\n%q", what, text)
	}
	return strings.TrimSuffix(text, "\n")
}
