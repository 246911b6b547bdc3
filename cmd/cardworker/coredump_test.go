//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
)

// The worker holds the client secret, the access token and full public tokens.
func TestCoreDump_ADyingWorkerLeavesNone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		signal  syscall.Signal
		environ []string
	}{
		"abort":                        {syscall.SIGABRT, nil},
		"quit":                         {syscall.SIGQUIT, nil},
		"abort, asked for a dump":      {syscall.SIGABRT, []string{"GOTRACEBACK=crash"}},
		"quit, asked for a dump":       {syscall.SIGQUIT, []string{"GOTRACEBACK=crash"}},
		"bad memory, asked for a dump": {syscall.SIGSEGV, []string{"GOTRACEBACK=crash"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, redisURL := redistest.Shared(t)
			api := newMini(t, nil)
			worker, health := startWorkerProcess(t, append(api.environ(redisURL), tc.environ...))
			awaitReady(t, health, http.StatusOK)
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", worker.cmd.Process.Pid))
			if err != nil {
				t.Fatalf("read the limits of the worker: %v", err)
			}
			if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
				t.Errorf("the worker has the limits\n%s\nwant no core file, and no way to ask for one again", limits)
			}
			// Its own measurements read /proc, which is closed to others.
			if _, metrics := get(t, health+"/metrics"); !strings.Contains(metrics, "\nprocess_open_fds ") || !strings.Contains(metrics, "\nprocess_resident_memory_bytes ") {
				t.Error("/metrics has no figures of the process")
			}

			worker.signal(t, tc.signal)
			status := worker.wait(t)
			if status.CoreDump() || status.Exited() && status.ExitStatus() == exitOK {
				t.Errorf("the worker ended with %v (core dumped: %t), want a crash without a dump", status, status.CoreDump())
			}
			nothingHolds(t, worker.cmd.Dir, miniSecret)
			clean(t, "what it wrote", worker.stderr.String(), cardBlocked, miniSecret, miniAccess)
		})
	}
}

// nothingHolds fails the test when a file below dir is a core dump, or holds the secret.
func nothingHolds(t testing.TB, dir, secret string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		if strings.HasPrefix(path, "core") || bytes.Contains(text, []byte(secret)) {
			t.Errorf("the crash left the file %s of %d bytes", path, len(text))
		}
		return err
	})
	if err != nil {
		t.Errorf("look into the folder of the worker: %v", err)
	}
}

// Neither a debugger nor /proc/PID/mem gives the memory to another process of the same user, and a pipe in
// core_pattern is not handed it.
func TestCoreDump_ProcessIsNotDumpable(t *testing.T) {
	t.Parallel()
	if err := os.Chmod(filepath.Dir(binary(t)), 0o755); err != nil { // for the other user
		t.Fatal(err)
	}
	as := os.Getuid()
	if as == 0 {
		as = 65532 // as in the image; of root's processes, /proc does not tell
	}
	box := exec.Command(binary(t), "sandbox", "--addr", "127.0.0.1:0")
	log := newOutput()
	box.Stderr, box.Env, box.Dir = log, []string{}, "/"
	box.SysProcAttr = redistest.DieWithParent()
	if as != os.Getuid() {
		box.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(as), Gid: uint32(as)}
	}
	if err := box.Start(); err != nil {
		t.Fatalf("start the sandbox as user %d: %v", as, err)
	}
	defer func() {
		_ = box.Process.Kill()
		_ = box.Wait()
	}()
	log.await(t, "PAYBLR_SCOPE")
	info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", box.Process.Pid))
	if err != nil {
		t.Fatalf("look at the process: %v", err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("the memory of the process belongs to user %d, want root", owner)
	}
}
