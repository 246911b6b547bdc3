package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

// built is the program as it is shipped, without the race detector; it is built by the first test that
// asks for it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "cardworker-test-"); built.err != nil { //nolint:usetesting // It outlives the test that builds.
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "cardworker"), "-ldflags", "-X main.version=v0.0.0-test", ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("build cardworker: %v", built.err)
	}
	return filepath.Join(built.dir, "cardworker")
}

func removeBinary() {
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // It is in the system's folder for such things.
	}
}

// process is a cardworker with a process of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{} // closed once it has been reaped
}

// startProcess runs the binary with this environment and no other. It does not outlive the test.
func startProcess(t testing.TB, environ []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary(t), args...), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = environ, t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.SysProcAttr = redistest.DieWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.cmd, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // What it says is in ProcessState.
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // It has ended, in most tests.
		<-p.ended
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.cmd, p.stderr)
		}
	})
	return p
}

// startWorkerProcess runs a worker and returns it with the address of its health server.
func startWorkerProcess(t testing.TB, environ []string) (p *process, health string) {
	t.Helper()
	p = startProcess(t, append([]string{"WORKER_HTTP_ADDR=127.0.0.1:0"}, environ...), "worker")
	health = "http://" + logged(t, p.stderr.await(t, "health and metrics are served"), "addr")
	p.stderr.await(t, "worker started")
	return p, health
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %s: %v", s, err)
	}
}

// wait returns how the process ended.
func (p *process) wait(t testing.TB) syscall.WaitStatus {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s had not ended after %s", p.cmd, patience)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("no wait status of %s", p.cmd)
	}
	return status
}

// get asks a health server.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	resp, err := noKeepAlive.Get(url)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	return resp.StatusCode, string(text)
}

// noKeepAlive leaves no connection behind, and no goroutine with it.
var noKeepAlive = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// awaitReady asks /readyz until it answers status, and returns what it says. There is nothing to be woken
// by, so it asks again and again.
func awaitReady(t testing.TB, health string, status int) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, body := get(t, health+"/readyz")
		if got == status {
			return strings.TrimSpace(body)
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz is %d after %s, want %d: %s", got, patience, status, body)
		}
	}
}
