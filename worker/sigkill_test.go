package worker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// The environment of a worker process. The test binary starts itself again with it.
const (
	childEnv      = "CARDWORKER_TEST_CHILD"
	childRedisEnv = "CARDWORKER_TEST_REDIS_URL"
	childAPIEnv   = "CARDWORKER_TEST_API_URL"
	childTokenEnv = "CARDWORKER_TEST_TOKEN_URL"
)

// childMain is a worker process with the default configuration. It says when it is ready and runs until
// its standard input ends, which it does at the latest with the test.
func childMain() int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	conn, err := redisconn.Open(os.Getenv(childRedisEnv), redisconn.Options{})
	if err != nil {
		return fail(err)
	}
	api, err := payblr.New(payblr.Config{
		BaseURL: os.Getenv(childAPIEnv), TokenURL: os.Getenv(childTokenEnv),
		ClientID: sandbox.DefaultClientID, ClientSecret: payblr.NewSecret(sandbox.DefaultClientSecret), Scope: sandbox.DefaultScope,
	})
	if err != nil {
		return fail(err)
	}
	w, err := New(Config{Connect: conn.New, API: api})
	if err != nil {
		return fail(err)
	}
	if err := w.Start(context.Background()); err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// process is a worker in a process of its own.
type process struct {
	cmd *exec.Cmd
}

func startProcess(t *testing.T, redisURL string, api *sandbox.Sandbox) process {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(),
		childEnv+"=1", childRedisEnv+"="+redisURL, childAPIEnv+"="+api.URL(), childTokenEnv+"="+api.TokenURL())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("stdin of a worker process: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("stdout of a worker process: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a worker process: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill() // It may be gone already.
		_ = cmd.Wait()
	})
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- line
	}()
	if line := receive(t, "the worker process is ready", ready); line != "ready\n" {
		t.Fatalf("the worker process said %q, want ready", line)
	}
	return process{cmd}
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p process) kill(t testing.TB) time.Time {
	t.Helper()
	at := time.Now()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill the worker process: %v", err)
	}
	_ = p.cmd.Wait() // It reports the signal.
	return at
}

func TestSIGKILL_AnotherProcessFinishesWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	const bound = 5 * time.Second
	const read, unblock = sandbox.CallPINStatus, sandbox.CallUnblockPIN
	for _, tc := range []struct {
		name  string
		kind  tasks.Kind
		fault sandbox.Fault
		want  []sandbox.Call
	}{
		{
			"before the unblock is applied", tasks.UnblockPIN,
			sandbox.Fault{Call: unblock, At: sandbox.Before},
			[]sandbox.Call{unblock, read, read, unblock, read},
		},
		{
			"after the unblock is applied", tasks.UnblockPIN,
			sandbox.Fault{Call: unblock, At: sandbox.After},
			[]sandbox.Call{unblock, read},
		},
		{
			"while it confirms", tasks.UnblockPIN,
			sandbox.Fault{Call: read, At: sandbox.Before},
			[]sandbox.Call{unblock, read, read},
		},
		{
			"while it refreshes", tasks.RefreshPINStatus,
			sandbox.Fault{Call: read, At: sandbox.Before},
			[]sandbox.Call{read, read},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			hanging := make(chan struct{}, 16)
			api := startSandbox(t, sandbox.Config{Observe: func(e sandbox.Entry) {
				if e.Call == tc.fault.Call && e.EndedAt == nil && (tc.fault.At == sandbox.Before || e.AppliedAt != nil) {
					hanging <- struct{}{}
				}
			}})
			tc.fault.Do, tc.fault.Count = sandbox.DoHang, 1
			if err := api.AddFault(tc.fault); err != nil {
				t.Fatalf("AddFault: %v", err)
			}

			victim := startProcess(t, r.url, api)
			acc := r.accept(tc.kind, testCard)
			receive(t, "the call is under way", hanging)
			startProcess(t, r.url, api)
			killed := victim.kill(t)
			op := r.wait(acc.ID)
			wantEnd(t, op, "")

			again := time.Time{}
			events, err := r.store.EventsOf(t.Context(), op.ID)
			if err != nil {
				t.Fatalf("EventsOf: %v", err)
			}
			for _, e := range events {
				if e.Name == "begun" && e.At.After(killed) && again.IsZero() {
					again = e.At
				}
			}
			t.Logf("runs again after %s, finished after %s", again.Sub(killed).Round(time.Millisecond), op.UpdatedAt.Sub(killed).Round(time.Millisecond))
			if took := op.UpdatedAt.Sub(killed); took > bound {
				t.Errorf("finished %s after the kill, want at most %s\n%s", took, bound, r.history(op.ID))
			}
			calls := callsFor(api, testCard)
			if got := namesOf(calls); !slices.Equal(got, tc.want) {
				t.Errorf("the API saw %v, want %v", got, tc.want)
			}
			applied := 0
			for _, c := range calls {
				if c.AppliedAt != nil {
					applied++
				}
			}
			if want := map[bool]int{true: 1}[tc.kind.Unblocks()]; applied != want {
				t.Errorf("the unblock was applied %d times, want %d", applied, want)
			}
		})
	}
}
