package main

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/otlptest"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/internal/telemetry"
	"github.com/cardworker/cardworker/tasks"
)

const (
	unblockSpan = "POST /thr/thredd/card-pin/{publicToken}/pin/unblock"
	statusSpan  = "GET /thr/thredd/card-pin/{publicToken}/pin/status"
)

// askByProcess asks for an unblock as a user does, and waits for its end.
func askByProcess(t testing.TB, environ []string, args ...string) (op tasks.Operation, p *process) {
	t.Helper()
	p = startProcess(t, environ, append([]string{"unblock", "pin", cardBlocked, "--wait", "-o", "json"}, args...)...)
	if status := p.wait(t); status.ExitStatus() != exitOK {
		t.Fatalf("unblock ended with %d, want 0: %s%s", status.ExitStatus(), p.stdout, p.stderr)
	}
	return operation(t, one(t, "stdout", p.stdout.String())), p
}

func TestTracing_OneTraceFromTheRequestToTheConfirmation(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *otlptest.Collector{
		"over HTTP": otlptest.Start, "over gRPC": otlptest.StartGRPC,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, redisURL := redistest.Shared(t)
			api := newMini(t, func(m *mini) { m.key, m.stale = miniKey, true })
			c := start(t)
			const credential = "canary-otlp"
			environ := append(slices.Concat(api.environ(redisURL), c.Environ()),
				"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+credential)
			worker, health := startWorkerProcess(t, environ)
			awaitReady(t, health, http.StatusOK) // It has got a token then, for nobody's trace.
			op, asked := askByProcess(t, environ, "--reason", "canary-reason", "--updated-by", "canary-name")

			spans := c.Await(t, func(s []otlptest.Span) bool { return len(s) >= 7 })
			want := []string{
				statusSpan, unblockSpan, unblockSpan, "POST token", "accept unblock", "process confirm", "process unblock",
			}
			if got := otlptest.Names(spans); !cmp.Equal(got, want) {
				t.Fatalf("the spans are %q, want %q", got, want)
			}
			span := func(name string) otlptest.Span {
				all := otlptest.Named(spans, name)
				return all[len(all)-1]
			}
			refused := otlptest.Named(spans, unblockSpan)[0]
			if a := refused.Attributes; refused.Parent != span("process unblock").ID || refused.Status != "error" ||
				a["http.response.status_code"] != "401" || a["error.type"] != "access_token_refused" {
				t.Errorf("the call that was refused is %s", otlptest.List([]otlptest.Span{refused}))
			}
			accept := span("accept unblock")
			for child, parent := range map[string]string{
				"accept unblock": "", "process unblock": accept.ID, "process confirm": accept.ID,
				"POST token": span("process unblock").ID, unblockSpan: span("process unblock").ID,
				statusSpan: span("process confirm").ID,
			} {
				if s := span(child); s.Trace != accept.Trace || s.Parent != parent || s.Service != "cardworker" {
					t.Errorf("%s of %s is in trace %s under %q, want %s and %q",
						s.Name, s.Service, s.Trace, s.Parent, accept.Trace, parent)
				}
			}
			host, port, err := net.SplitHostPort(strings.TrimPrefix(api.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			for name, attributes := range map[string]map[string]string{
				"accept unblock": {
					"cardworker.operation.id": op.ID, "cardworker.operation.kind": "unblock_pin", "messaging.system": "asynq",
					"messaging.operation.name": "accept", "messaging.operation.type": "send",
					"messaging.destination.name": "unblock", "messaging.message.id": op.ID + ":1",
				},
				"process unblock": {
					"cardworker.operation.id": op.ID, "cardworker.operation.kind": "unblock_pin", "messaging.system": "asynq",
					"messaging.operation.name": "process", "messaging.operation.type": "process",
					"messaging.destination.name": "unblock", "messaging.message.id": op.ID + ":1",
					"cardworker.attempt": "1", "cardworker.result": "unblock_accepted",
				},
				"process confirm": {
					"cardworker.operation.id": op.ID, "cardworker.operation.kind": "unblock_pin", "messaging.system": "asynq",
					"messaging.operation.name": "process", "messaging.operation.type": "process",
					"messaging.destination.name": "confirm", "messaging.message.id": op.ID + ":2",
					"cardworker.attempt": "1", "cardworker.result": "succeeded",
				},
				"POST token": {
					"payblr.call": "token", "http.request.method": "POST", "http.response.status_code": "200",
					"server.address": host, "server.port": port,
				},
				unblockSpan: {
					"payblr.call": "unblock_pin", "http.request.method": "POST", "http.response.status_code": "204",
					"server.address": host, "server.port": port, "url.template": "/thr/thredd/card-pin/{publicToken}/pin/unblock",
				},
				statusSpan: {
					"payblr.call": "pin_status", "http.request.method": "GET", "http.response.status_code": "200",
					"server.address": host, "server.port": port, "url.template": "/thr/thredd/card-pin/{publicToken}/pin/status",
				},
			} {
				if diff := cmp.Diff(attributes, span(name).Attributes); diff != "" {
					t.Errorf("attributes of %s (-want +got):\n%s", name, diff)
				}
			}
			for name, kind := range map[string]string{
				"accept unblock": "producer", "process unblock": "consumer", statusSpan: "client",
			} {
				if got := span(name).Kind; got != kind {
					t.Errorf("%s is a span of kind %s, want %s", name, got, kind)
				}
			}
			for _, got := range c.Credentials() {
				if got != "Bearer "+credential {
					t.Errorf("a request to the collector bears %q, want what the variable says", got)
				}
			}

			worker.signal(t, syscall.SIGTERM)
			worker.wait(t)
			if got := otlptest.Names(c.Spans()); !cmp.Equal(got, want) {
				t.Errorf("in the end the spans are %q, want no others than %q: what is not about an operation has none", got, want)
			}
			secrets := []string{
				miniSecret, miniAccess, miniStale, miniKey, cardBlocked, "canary-reason", "canary-name", credential,
			}
			clean(t, "what the collector got", string(c.Raw()), secrets...)
			clean(t, "the log", worker.stderr.String()+asked.stderr.String(), secrets...)
		})
	}
}

func TestTracing_TheSuccessorOfAKilledWorkerIsInTheSameTrace(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, func(m *mini) { m.held, m.sent = make(chan struct{}), make(chan string, 1) })
	release := sync.OnceFunc(func() { close(api.held) })
	t.Cleanup(release)
	c := otlptest.Start(t)
	environ := slices.Concat(api.environ(redisURL), c.Environ())
	worker, _ := startWorkerProcess(t, environ)
	asked := startProcess(t, environ, "unblock", "pin", cardBlocked, "--wait")
	receive(t, "the unblock", api.sent)
	worker.signal(t, syscall.SIGKILL)
	worker.wait(t)
	release()
	startWorkerProcess(t, environ)
	if status := asked.wait(t); status.ExitStatus() != exitOK {
		t.Fatalf("unblock ended with %d, want 0: %s", status.ExitStatus(), asked.stderr)
	}

	spans := c.Await(t, func(s []otlptest.Span) bool {
		return len(otlptest.Named(s, "accept unblock")) == 1 && len(otlptest.Named(s, "process unblock")) == 1
	})
	accept, process := otlptest.Named(spans, "accept unblock")[0], otlptest.Named(spans, "process unblock")[0]
	if process.Trace != accept.Trace || process.Parent != accept.ID {
		t.Errorf("the successor's run is in trace %s under %s, want %s and %s",
			process.Trace, process.Parent, accept.Trace, accept.ID)
	}
}

func TestTracing_ASelfContainedTaskBringsItsOwnTrace(t *testing.T) {
	t.Parallel()
	rdb, redisURL := redistest.Shared(t)
	api := newMini(t, nil)
	c := otlptest.Start(t)
	startWorkerProcess(t, slices.Concat(api.environ(redisURL), c.Environ()))
	producer := asynq.NewClientFromRedisClient(rdb)
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for token, header := range map[string]string{
		cardBlocked: "00-" + trace + "-" + parent + "-01",
		cardOther:   "canary-no-traceparent",
	} {
		payload := []byte(`{"version":1,"public_token":"` + token + `"}`)
		task := asynq.NewTaskWithHeaders("pin:unblock", payload, map[string]string{"traceparent": header})
		if _, err := producer.Enqueue(task, asynq.Queue("unblock")); err != nil {
			t.Fatalf("enqueue: %v", err)
		}
	}
	spans := c.Await(t, func(s []otlptest.Span) bool {
		return len(otlptest.Named(s, "process confirm")) == 2
	})
	var under, roots []string
	for _, s := range spans {
		switch {
		case s.Trace == trace && s.Parent == parent:
			under = append(under, s.Name)
		case s.Parent == "":
			roots = append(roots, s.Name)
		}
	}
	slices.Sort(under)
	if want := []string{"process confirm", "process unblock"}; !cmp.Equal(under, want) || !cmp.Equal(roots, want[1:]) {
		t.Errorf("%q are under the producer's span and %q under none, want %q and %q:\n%s",
			under, roots, want, want[1:], otlptest.List(spans))
	}
	clean(t, "what the collector got", string(c.Raw()), "canary-no-traceparent", cardBlocked, cardOther)
}

func TestTracing_SaysWhyAnOperationFailed(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	c := otlptest.Start(t)
	environ = append(environ, c.Environ()...)
	startWorkerProcess(t, environ)
	asked := startProcess(t, environ, "unblock", "pin", cardUnknown, "--wait")
	if status := asked.wait(t); status.ExitStatus() != exitFailed {
		t.Fatalf("unblock ended with %d, want %d: %s", status.ExitStatus(), exitFailed, asked.stderr)
	}
	spans := c.Await(t, func(s []otlptest.Span) bool { return len(otlptest.Named(s, "process unblock")) == 1 })
	run, call := otlptest.Named(spans, "process unblock")[0], otlptest.Named(spans, unblockSpan)[0]
	if a := run.Attributes; run.Status != "error" || run.StatusMessage != "card_not_found" ||
		a["cardworker.result"] != "failed" || a["cardworker.code"] != "card_not_found" {
		t.Errorf("the run is %s", otlptest.List([]otlptest.Span{run}))
	}
	if a := call.Attributes; call.Status != "error" || a["http.response.status_code"] != "404" || a["error.type"] == "" {
		t.Errorf("the call is %s", otlptest.List([]otlptest.Span{call}))
	}
	clean(t, "what the collector got", string(c.Raw()), cardUnknown)
}

func TestTracing_OfAnUntracedProducerBeginsAtTheWorker(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	api := newMini(t, nil)
	c := otlptest.Start(t)
	startWorkerProcess(t, slices.Concat(api.environ(redisURL), c.Environ()))
	askByProcess(t, api.environ(redisURL))
	spans := c.Await(t, func(s []otlptest.Span) bool { return len(otlptest.Named(s, "process confirm")) == 1 })
	unblock, confirm := otlptest.Named(spans, "process unblock")[0], otlptest.Named(spans, "process confirm")[0]
	if unblock.Parent != "" || confirm.Trace != unblock.Trace || confirm.Parent != unblock.ID {
		t.Errorf("the confirmation is not in the trace of its unblock:\n%s", otlptest.List(spans))
	}
}

func TestTracing_ACollectorThatIsAwayChangesNothing(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // It is connected to by the kernel, and answers nothing.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() }) // Nobody is left to mind.
	for name, tc := range map[string]struct{ addr, says string }{
		"refused": {unusedAddr(t), "the collector cannot be reached: dial: connection refused"},
		"silent":  {silent.Addr().String(), "the collector does not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, redisURL := redistest.Shared(t)
			api := newMini(t, nil)
			environ := append(api.environ(redisURL), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+tc.addr, "OTEL_BSP_SCHEDULE_DELAY=20",
				"OTEL_EXPORTER_OTLP_HEADERS=authorization=canary-otlp")
			worker, _ := startWorkerProcess(t, environ)
			begun := time.Now()
			op, asked := askByProcess(t, environ)
			// The exporter's own limits are 10 and 30 seconds.
			const slack = 5 * time.Second
			if took := time.Since(begun); took > telemetry.FlushTimeout+slack {
				t.Errorf("unblock took %s, want at most %s and the work", took, telemetry.FlushTimeout)
			}
			if took := op.UpdatedAt.Sub(op.CreatedAt); op.State != tasks.Succeeded || took > telemetry.FlushTimeout {
				t.Errorf("the operation %+v took %s, want it as quick as without a collector", op, took)
			}
			begun = time.Now()
			worker.signal(t, syscall.SIGTERM)
			if status := worker.wait(t); !status.Exited() || status.ExitStatus() != exitOK {
				t.Errorf("the worker ended with %v, want exit code 0", status)
			}
			if took := time.Since(begun); took > telemetry.FlushTimeout+slack {
				t.Errorf("the worker took %s to stop, want at most %s", took, telemetry.FlushTimeout)
			}
			for what, log := range map[string]string{"the worker": worker.stderr.String(), "unblock": asked.stderr.String()} {
				if n := strings.Count(log, "spans are lost: "+tc.says); n != 1 {
					t.Errorf("%s says %d times that %q, want once:\n%s", what, n, tc.says, log)
				}
				clean(t, what, log, "canary-otlp")
			}
		})
	}
}

func TestTracing_IsOffUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	c := otlptest.Start(t)
	for name, environ := range map[string][]string{
		"no endpoint":   {"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=canary", "OTEL_SERVICE_NAME=x"},
		"SDK disabled":  append(c.Environ(), "OTEL_SDK_DISABLED=true"),
		"exporter none": append(c.Environ(), "OTEL_TRACES_EXPORTER=none"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, redisURL := redistest.Shared(t)
			api := newMini(t, nil)
			environ := append(api.environ(redisURL), environ...)
			startWorkerProcess(t, environ)
			op, asked := askByProcess(t, environ)
			if got := asked.stderr.String(); got != "" {
				t.Errorf("stderr is %q, want nothing", got)
			}
			record := "cardworker:{" + tasks.ShardOf(op.ID) + "}:op:" + op.ID
			if fields := rdb.HGetAll(t.Context(), record).Val(); len(fields) == 0 || fields["traceparent"] != "" {
				t.Errorf("the record has a traceparent %q, want none", fields["traceparent"])
			}
		})
	}
	t.Cleanup(func() {
		if n := c.Connections(); n != 0 {
			t.Errorf("%d connections were made to the collector, want none", n)
		}
	})
}

func TestTracing_WrongVariablesAreNamedAtTheStart(t *testing.T) {
	t.Parallel()
	environ := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=canary:4318", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=canary", "OTEL_TRACES_SAMPLER=canary",
		"OTEL_EXPORTER_OTLP_HEADERS=canary", "UNBLOCK_LIMIT=canary",
	}
	for _, args := range [][]string{{"worker"}, {"unblock", "pin", cardBlocked}, {"demo"}} {
		got := cli(t, environ, args...)
		expect(t, got, exitError, "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL must be http/protobuf, http/json or grpc",
			"OTEL_TRACES_SAMPLER must be", "OTEL_EXPORTER_OTLP_HEADERS must be a list", "UNBLOCK_LIMIT must be")
		clean(t, args[0], got.stderr, "canary")
	}
	// With a good address that nobody asked to trace to, a wrong variable is nobody's business.
	got := cli(t, []string{"OTEL_TRACES_SAMPLER=canary", "PAYBLR_TIMEOUT=canary"}, "worker")
	if strings.Contains(got.stderr, "OTEL_") {
		t.Errorf("without an endpoint the worker says: %s", got.stderr)
	}
}
