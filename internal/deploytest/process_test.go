package deploytest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/cardworker/cardworker/internal/redistest"
)

// build makes the binary of the image.
func build(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "cardworker")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/cardworker")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the binary: %v\n%s", err, out)
	}
	return binary
}

// host runs services of the compose file as processes of this machine.
type host struct {
	binary string
	// local replaces the names and paths that exist between containers only.
	local *strings.Replacer
}

// command is one command line with the environment of a service and nothing else.
func (h host) command(t testing.TB, s types.ServiceConfig, args ...string) *exec.Cmd {
	t.Helper()
	local := make([]string, len(args))
	for i, arg := range args {
		local[i] = h.local.Replace(arg)
	}
	cmd := exec.CommandContext(t.Context(), h.binary, local...)
	cmd.Env = []string{}
	for name, value := range s.Environment {
		if value != nil {
			cmd.Env = append(cmd.Env, name+"="+h.local.Replace(*value))
		}
	}
	cmd.SysProcAttr = redistest.DieWithParent()
	return cmd
}

// running is a service that has been started.
type running struct {
	service types.ServiceConfig
	cmd     *exec.Cmd
	output  *output
	done    chan struct{} // closed when the process is gone
}

// start runs the command of a service and returns when its health check passes.
func (h host) start(t testing.TB, s types.ServiceConfig) *running {
	t.Helper()
	r := &running{service: s, cmd: h.command(t, s, s.Command...), output: &output{}, done: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", s.Name, err)
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait() // ProcessState tells how it went
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // gone already, unless the test failed
		<-r.done
	})
	h.awaitHealthy(t, r)
	return r
}

// awaitHealthy repeats the health check of the compose file.
func (h host) awaitHealthy(t testing.TB, r *running) {
	t.Helper()
	check := r.service.HealthCheck.Test
	if len(check) < 3 || check[0] != "CMD" || check[1] != "/cardworker" {
		t.Fatalf("%s: health check %v, want one that works in an image without a shell", r.service.Name, check)
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := h.command(t, r.service, check[2:]...).CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.done:
			t.Fatalf("%s ended: %v\n%s", r.service.Name, r.cmd.ProcessState, r.output)
		case <-deadline:
			t.Fatalf("%s is not healthy after 30s: %v: %s\n%s", r.service.Name, err, out, r.output)
		}
	}
}

// stop does what docker compose stop does, and wants the process to end well before it is killed.
func (r *running) stop(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop %s: %v", r.service.Name, err)
	}
	grace := time.Duration(*r.service.StopGracePeriod)
	select {
	case <-r.done:
	case <-time.After(grace):
		t.Fatalf("%s still runs %v after SIGTERM\n%s", r.service.Name, grace, r.output)
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %v after SIGTERM, want exit code 0\n%s", r.service.Name, r.cmd.ProcessState, r.output)
	}
}

// output collects what a process writes while others read it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// secretIn returns the name of a secret file below dir whose content is in text.
func secretIn(t testing.TB, dir, text string) string {
	t.Helper()
	for _, name := range secretFiles {
		secret, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, strings.TrimSpace(string(secret))) {
			return name
		}
	}
	return ""
}
