package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

// stopGrace is more than WORKER_SHUTDOWN_TIMEOUT: a worker that is still there then does not stop.
const stopGrace = 40 * time.Second

// fleet is the worker processes. Its methods are called by one goroutine.
type fleet struct {
	binaries []string // by the number of the worker, less one
	env      []string
	slots    []*process // likewise; nil when it does not run
	all      []*process // also those that have gone
}

// process is one worker process.
type process struct {
	cmd    *exec.Cmd
	output *output
	gone   chan struct{} // closed once it has been reaped
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

// start starts worker n. It does not wait until the worker is ready.
func (f *fleet) start(t testing.TB, n int) {
	t.Helper()
	f.launch(t, n, f.binaries[n-1])
}

// launch starts a binary as worker n, with more in its environment.
func (f *fleet) launch(t testing.TB, n int, binary string, env ...string) {
	t.Helper()
	if f.slots[n-1] != nil {
		return
	}
	p := &process{output: &output{}, gone: make(chan struct{})}
	p.cmd = exec.Command(binary, "worker") //nolint:noctx // It ends in killAll at the latest.
	p.cmd.Env = slices.Concat(f.env, env)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = redistest.DieWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Errorf("start worker %d: %v", n, err)
		return
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // ProcessState tells how it went.
	}()
	f.slots[n-1], f.all = p, append(f.all, p)
}

// kill ends worker n with SIGKILL and returns it once it has gone, or nil when it did not run.
func (f *fleet) kill(n int) *process {
	p := f.slots[n-1]
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Kill() // It may have gone by itself, which end finds.
	<-p.gone
	f.slots[n-1] = nil
	return p
}

// stop ends worker n with SIGTERM and waits for it.
func (f *fleet) stop(t testing.TB, n int) {
	t.Helper()
	p := f.slots[n-1]
	if p == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop worker %d: %v", n, err)
	}
	f.awaitStop(t, n)
}

// awaitStop waits for the end of worker n, which was told to stop.
func (f *fleet) awaitStop(t testing.TB, n int) {
	t.Helper()
	p := f.slots[n-1]
	if p == nil {
		return
	}
	f.slots[n-1] = nil
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.gone:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("worker %d ended with %d after SIGTERM, want 0\n%s", n, code, p.tail())
		}
	case <-timer.C:
		t.Errorf("worker %d still runs %s after SIGTERM\n%s", n, stopGrace, p.tail())
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// signal sends a signal to worker n.
func (f *fleet) signal(t testing.TB, n int, s syscall.Signal) {
	t.Helper()
	if p := f.slots[n-1]; p != nil {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Errorf("send %s to worker %d: %v", s, n, err)
		}
	}
}

// end makes sure that nothing is left, and says which workers have gone by themselves.
func (f *fleet) end(t testing.TB) {
	for n, p := range f.slots {
		if p == nil {
			continue
		}
		select {
		case <-p.gone:
			t.Errorf("worker %d ended by itself: %s\n%s", n+1, p.cmd.ProcessState, p.tail())
		default:
		}
		f.signal(t, n+1, syscall.SIGCONT)
		f.stop(t, n+1)
	}
}

// killAll is for the cleanup of a test that may have failed anywhere.
func (f *fleet) killAll() {
	for n := range f.slots {
		f.kill(n + 1)
	}
}

func (p *process) tail() []byte {
	const size = 3 << 10
	b := p.output.bytes()
	return b[max(0, len(b)-size):]
}

// addr returns where the process answers about its health, or "" while its log does not say so.
func (p *process) addr() string {
	for line := range bytes.Lines(p.output.bytes()) {
		var entry struct{ Addr, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Addr != "" {
			return entry.Addr
		}
	}
	return ""
}

// get asks the process's HTTP server.
func (p *process) get(ctx context.Context, path string) (status int, body []byte, err error) {
	addr := p.addr()
	if addr == "" {
		return 0, nil, fmt.Errorf("it has not said where it listens")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// awaitReady waits until worker n says that it is ready, or that it is not.
func (f *fleet) awaitReady(t testing.TB, n int, want bool, within time.Duration) {
	t.Helper()
	p := f.slots[n-1]
	if p == nil {
		t.Errorf("worker %d does not run", n)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	last := "nothing"
	for every(ctx, 50*time.Millisecond) {
		status, body, err := p.get(ctx, "/readyz")
		if err == nil && (status == http.StatusOK) == want {
			return
		}
		if err == nil {
			last = fmt.Sprintf("%d %s", status, body)
		}
	}
	t.Errorf("worker %d: ready did not become %t within %s; it said %s\n%s", n, want, within, last, p.tail())
}

// awaitOutput waits until the process has written something, and returns false when it does not in time, or
// ends before.
func (p *process) awaitOutput(ctx context.Context, text []byte, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for every(ctx, 10*time.Millisecond) {
		gone := false
		select {
		case <-p.gone:
			gone = true
		default:
		}
		if bytes.Contains(p.output.bytes(), text) {
			return true
		}
		if gone {
			return false
		}
	}
	return false
}

// every waits for the interval. It returns false when ctx ended before.
func every(ctx context.Context, interval time.Duration) bool {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// environment returns the environment of every worker.
func environment(sc *Scenario, redisURL string, api *api) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"REDIS_URL=" + redisURL,
		"PAYBLR_BASE_URL=" + api.url,
		"PAYBLR_TOKEN_URL=" + api.url + "/oauth2/v2.0/token",
		"PAYBLR_CLIENT_ID=" + clientID,
		"PAYBLR_CLIENT_SECRET=" + api.secret,
		"PAYBLR_SCOPE=" + scope,
		"PAYBLR_TIMEOUT=5s",
		"WORKER_HTTP_ADDR=127.0.0.1:0",
		"LOG_LEVEL=debug",
		"LOG_FORMAT=json",
	}, sc.WorkerEnv...)
}
