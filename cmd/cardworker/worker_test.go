package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

const unblockLine = "POST /thr/thredd/card-pin/" + cardBlocked + "/pin/unblock"

// enqueuer returns the library's client, as a backend has it.
func enqueuer(t testing.TB, redisURL string) *enqueue.Client {
	t.Helper()
	opt, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatalf("parse %s: %v", redisURL, err)
	}
	rdb := redis.NewClient(opt)
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), rdb.Close()); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return client
}

func unblockPIN(t testing.TB, client *enqueue.Client) string {
	t.Helper()
	acc, err := client.UnblockPIN(t.Context(), cardBlocked)
	if err != nil {
		t.Fatalf("ask for an unblock: %v", err)
	}
	return acc.ID
}

// succeeds waits for the operation and fails the test unless it has succeeded.
func succeeds(t testing.TB, client *enqueue.Client, id string) tasks.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	op, err := client.Wait(ctx, id)
	if err != nil || op.State != tasks.Succeeded {
		t.Fatalf("operation %+v, %v, want it succeeded", op, err)
	}
	return op
}

func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s had not happened after %s", what, patience)
		panic("unreachable")
	}
}

func TestWorker_SIGTERMLetsTheCallInFlightEnd(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, func(m *mini) { m.held, m.sent = make(chan struct{}), make(chan string, 1) })
	release := sync.OnceFunc(func() { close(api.held) })
	t.Cleanup(release)
	worker, health := startWorkerProcess(t, api.environ(redisURL))
	awaitReady(t, health, http.StatusOK)
	client := enqueuer(t, redisURL)
	id := unblockPIN(t, client)
	receive(t, "the unblock", api.sent)

	worker.signal(t, syscall.SIGTERM)
	if got := awaitReady(t, health, http.StatusServiceUnavailable); got != "not ready: draining" {
		t.Errorf("/readyz says %q, want that it is draining", got)
	}
	if status, _ := get(t, health+"/livez"); status != http.StatusOK {
		t.Errorf("/livez is %d while draining, want 200", status)
	}
	release()
	if status := worker.wait(t); !status.Exited() || status.ExitStatus() != exitOK {
		t.Errorf("the worker ended with %v, want exit code 0", status)
	}
	op, err := client.Get(t.Context(), id)
	if err != nil || op.UnblockAcceptedAt == nil {
		t.Errorf("operation %+v, %v, want it recorded that the API accepted the unblock", op, err)
	}

	// What was left to confirm is another worker's.
	startWorker(t, api.environ(redisURL))
	succeeds(t, client, id)
	if n := api.calls(unblockLine); n != 1 {
		t.Errorf("the API saw %d unblocks, want 1", n)
	}
}

func TestWorker_SecondSignalStopsItAtOnce(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, redisURL := redistest.Shared(t)
			api := newMini(t, func(m *mini) { m.held, m.sent = make(chan struct{}), make(chan string, 1) })
			t.Cleanup(sync.OnceFunc(func() { close(api.held) }))
			worker, health := startWorkerProcess(t, api.environ(redisURL))
			unblockPIN(t, enqueuer(t, redisURL))
			receive(t, "the unblock", api.sent)

			worker.signal(t, signal)
			awaitReady(t, health, http.StatusServiceUnavailable)
			began := time.Now()
			worker.signal(t, signal)
			status := worker.wait(t)
			// It would take WORKER_SHUTDOWN_TIMEOUT, 25 s, to give up the call.
			if took := time.Since(began); took > 5*time.Second || !status.Signaled() || status.Signal() != signal {
				t.Errorf("the worker ended after %s with %v, want at once by the signal", took, status)
			}
		})
	}
}

func TestWorker_AfterSIGKILLAnotherFinishesWithinFiveSecondsAndDoesNotUnblockAgain(t *testing.T) {
	t.Parallel()
	applied := make(chan struct{})
	once := sync.OnceFunc(func() { close(applied) })
	box, environ := startSandbox(t, sandbox.Config{Observe: func(e sandbox.Entry) {
		if e.Call == sandbox.CallUnblockPIN && e.AppliedAt != nil {
			once()
		}
	}})
	if err := box.AddFault(sandbox.Fault{Call: sandbox.CallUnblockPIN, At: sandbox.After, Do: sandbox.DoHang, Count: 1}); err != nil {
		t.Fatalf("script the fault: %v", err)
	}
	client := enqueuer(t, strings.TrimPrefix(environ[0], "REDIS_URL="))
	victim, _ := startWorkerProcess(t, environ)
	id := unblockPIN(t, client)
	receive(t, "the unblock", applied)
	startWorkerProcess(t, environ)

	killed := time.Now()
	victim.signal(t, syscall.SIGKILL)
	victim.wait(t)
	op := succeeds(t, client, id)
	if took := time.Since(killed); took > 5*time.Second {
		t.Errorf("the operation was finished %s after the kill, want within 5s", took)
	} else {
		t.Logf("finished %s after the kill", took)
	}
	if op.UnblockAcceptedAt == nil {
		t.Errorf("operation %+v, want it known that the API accepted the unblock", op)
	}
	if page := box.QueryLedger(sandbox.LedgerQuery{Call: sandbox.CallUnblockPIN}); len(page.Entries) != 1 {
		t.Errorf("the API saw %d unblocks, want 1", len(page.Entries))
	}
}

func TestWorker_TellsHowItIs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes")
	api := newMini(t, nil)
	_, health := startWorkerProcess(t, api.environ(server.URL()))
	if got := awaitReady(t, health, http.StatusOK); got != "ready" {
		t.Errorf("/readyz says %q, want ready", got)
	}
	client := enqueuer(t, server.URL())
	succeeds(t, client, unblockPIN(t, client))

	want := []string{
		`cardworker_operations_total{kind="unblock_pin",outcome="succeeded"} 1`,
		`cardworker_operations_total{kind="unblock_cvv",outcome="still_blocked"} 0`,
		`cardworker_operation_duration_seconds_count{kind="unblock_pin",outcome="succeeded"} 1`,
		`cardworker_upstream_requests_total{call="unblock_pin",status="2xx"} 1`,
		`cardworker_upstream_requests_total{call="pin_status",status="2xx"} 1`,
		`cardworker_upstream_requests_total{call="token",status="2xx"} 1`,
		`cardworker_upstream_request_duration_seconds_count{call="pin_status"} 1`,
		`cardworker_tasks_in_flight 0`,
		`go_goroutines `, `process_open_fds `,
	}
	// The waiter is woken by the write of the result, a moment before the worker counts it. And one reading does not
	// read all series in one moment.
	status, metrics := get(t, health+"/metrics")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && lacking(metrics, want) != nil; {
		status, metrics = get(t, health+"/metrics")
	}
	if lacks := lacking(metrics, want); status != http.StatusOK || lacks != nil {
		t.Errorf("/metrics is %d and lacks %q, want 200 and all of them", status, lacks)
	}
	if !regexp.MustCompile(`(?m)^# TYPE cardworker_retries_total counter$|^# TYPE cardworker_attempts_total counter$`).MatchString(metrics) {
		t.Error("/metrics has no series of attempts")
	}
	clean(t, "/metrics", metrics, cardBlocked, miniSecret, miniAccess)

	server.Kill()
	if got := awaitReady(t, health, http.StatusServiceUnavailable); !strings.HasPrefix(got, "not ready: redis: ") {
		t.Errorf("/readyz says %q without Redis, want it named", got)
	}
	if status, body := get(t, health+"/livez"); status != http.StatusOK || strings.TrimSpace(body) != "ok" {
		t.Errorf("/livez is %d %q without Redis, want 200 ok: a restart would help nobody", status, body)
	}
	server.Restart(t)
	awaitReady(t, health, http.StatusOK)
	succeeds(t, client, unblockPIN(t, client))
}

// lacking returns the series that the metrics do not have.
func lacking(metrics string, series []string) (out []string) {
	for _, s := range series {
		if !strings.Contains(metrics, "\n"+s) {
			out = append(out, s)
		}
	}
	return out
}

func TestWorker_SaysWhenRedisMayForget(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes")
	_, health := startWorkerProcess(t, newMini(t, nil).environ(server.URL()))
	awaitReady(t, health, http.StatusOK)
	for name, value := range map[string]string{"maxmemory-policy": "allkeys-lru", "appendonly": "no"} {
		if err := server.Client(t).ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatalf("set %s: %v", name, err)
		}
	}
	var got string
	for deadline := time.Now().Add(patience); !strings.Contains(got, "warning") && time.Now().Before(deadline); {
		got = awaitReady(t, health, http.StatusOK) // What it knows may be some seconds old.
	}
	for _, want := range []string{
		"ready\n", "warning: Redis setting maxmemory-policy: allkeys-lru deletes accepted operations", "set noeviction",
		"warning: Redis setting appendonly: no loses accepted operations", "set appendonly yes",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("/readyz says %q, want %q in it", got, want)
		}
	}
}

func TestWorker_IsNotReadyWhenTheTokenIsRefused(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, func(m *mini) { m.refuse = true })
	worker, health := startWorkerProcess(t, api.environ(redisURL))
	got := awaitReady(t, health, http.StatusServiceUnavailable)
	if !strings.HasPrefix(got, "not ready: access token: ") {
		t.Errorf("/readyz says %q, want the access token named", got)
	}
	clean(t, "/readyz", got, miniSecret, "AADSTS7000215: Invalid")
	clean(t, "the log", worker.stderr.String(), miniSecret)
}

func TestWorker_HealthAddressThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, nil)
	taken := strings.TrimPrefix(api.URL, "http://")
	got := cli(t, append(api.environ(redisURL), "WORKER_HTTP_ADDR="+taken), "worker")
	if got.code != exitError || !strings.HasPrefix(lastLine(got.stderr), "cardworker: WORKER_HTTP_ADDR: ") || !strings.Contains(lastLine(got.stderr), "set another address, or off") {
		t.Errorf("worker: %s", got)
	}
	if strings.Contains(got.stderr, "worker stopped") {
		t.Errorf("the log says that a worker stopped which never started: %s", got)
	}
}

func TestWorker_LogsOneLineForAnOutcome(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, nil)
	worker := startWorker(t, api.environ(redisURL))
	client := enqueuer(t, redisURL)
	id := unblockPIN(t, client)
	succeeds(t, client, id)
	worker.stop(t)

	outcomes := 0
	for line := range strings.Lines(worker.stderr.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("a log line is no JSON: %s", line)
		}
		if fields["operation"] == id && fields["outcome"] == "succeeded" {
			outcomes++
		}
	}
	if outcomes != 1 {
		t.Errorf("%d lines have the outcome of %s, want 1:\n%s", outcomes, id, worker.stderr)
	}
	clean(t, "the log", worker.stderr.String(), cardBlocked, miniSecret, miniAccess)
}

func TestWorker_KeepsToPAYBLR_RATE_LIMIT(t *testing.T) {
	t.Parallel()
	box, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, append(environ, "PAYBLR_RATE_LIMIT=20"))
	cards := []string{"200000001", "200000002", "200000003", "200000004", "200000005", "200000006", "200000007", "200000008"}
	if got := cli(t, environ, append([]string{"refresh", "pin", "--wait"}, cards...)...); got.code != exitOK {
		t.Fatalf("refresh: %s", got)
	}
	calls := box.QueryLedger(sandbox.LedgerQuery{Call: sandbox.CallPINStatus}).Entries
	if len(calls) != len(cards) {
		t.Fatalf("the API saw %d reads, want %d", len(calls), len(cards))
	}
	// Without the limit they come within a few milliseconds; with it 50 ms apart, give or take.
	if span := calls[len(calls)-1].ReceivedAt.Sub(calls[0].ReceivedAt); span < 300*time.Millisecond {
		t.Errorf("%d calls came within %s, want them spread over 350ms", len(calls), span)
	}
}
