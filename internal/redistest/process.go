package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the wait for the first PONG. A start takes 20 ms on an idle machine;
	// the rest is for a machine that compiles at the same time.
	startTimeout = 20 * time.Second

	// stopTimeout bounds the wait for an orderly exit, after which the process is killed.
	stopTimeout = 10 * time.Second
)

// errPortTaken: another process got the port first.
var errPortTaken = errors.New("the port is taken")

// process is a running redis-server, whatever its mode.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once the process has been reaped
}

func startProcess(log string, env, args []string) (*process, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed: run `make deps`, or install the redis-server package of your system")
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the child has its own copy

	cmd := exec.Command(path, args...)
	cmd.Dir = filepath.Dir(log)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = DieWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the exit status of a killed server says nothing
	}()
	return p, nil
}

// await calls ready until it returns nil, the process exits or startTimeout passes.
func (p *process) await(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	err := poll(ctx, func(ctx context.Context) error {
		select {
		case <-p.done:
			return permanent{p.exitReason()}
		default:
			return ready(ctx)
		}
	})
	if err != nil && !errors.Is(err, errPortTaken) {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	return err
}

// exitReason reads from the log why the process went away by itself.
func (p *process) exitReason() error {
	if tail := p.tail(); bytes.Contains(tail, []byte("already in use")) || bytes.Contains(tail, []byte("Failed listening")) {
		return errPortTaken
	}
	return errors.New("redis-server exited at once")
}

func (p *process) tail() []byte {
	const size = 2 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-size):]
}

// end signals the process and waits until it is reaped; one that ignores the signal is killed.
func (p *process) end(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may be gone already, which is what is wanted
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// permanent marks an error that polling again will not change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// poll calls f every few milliseconds until it returns nil or a permanent error, or ctx ends; then
// the last error of f is returned.
func poll(ctx context.Context, f func(context.Context) error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		var stop permanent
		if err == nil || errors.As(err, &stop) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		case <-tick.C:
		}
	}
}
