package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
)

const (
	// readyWithin is how long a worker may take to start, on a machine that is busy with others.
	readyWithin = 20 * time.Second
	// afterExpiry is how long after its expiry an operation may end: a call that has begun in time is
	// waited for, and a lease has to lapse and be found.
	afterExpiry = 30 * time.Second
	// slow is how long an operation may outlive load and faults before its life is worth a look.
	slow = 6 * time.Second
	// clocks is how far the times of Redis and of the API may lie apart on one machine.
	clocks = 250 * time.Millisecond
)

// run is a scenario while it is played.
type run struct {
	t       testing.TB
	sc      *Scenario
	api     *api
	backend *backend
	fleet   *fleet
	load    *load
	taps    []*tap // of the commands that Redis serves
	traces  *tracing

	kills       []kill
	redisGone   []time.Time
	redisBack   []time.Time
	apiBack     time.Time
	late        lateness
	clock       []setting
	poisoned    []poison
	poisonBegan time.Time
	memory      redisMemory
	frozen      []*process      // at a failpoint
	cards       int             // made for operations that are not of the load
	unborn      []audit.Request // whose tasks no worker may have begun yet

	quiet  time.Time // the load and the faults were over
	result audit.Run
	asked  []request
	lost   []request // accepted and gone
}

// Run plays the scenario and fails the test when an expectation is not met or a promise broken. The seed
// decides everything that is random.
func (s *Scenario) Run(t testing.TB, seed uint64) Figures {
	t.Helper()
	t.Logf("%s: FAULT_SEED=%d repeats this run", s.Title, seed)
	r := s.begin(t, seed)
	r.play(rand.New(rand.NewPCG(seed, 0)))
	r.collect()
	r.judge()
	f := r.figures()
	t.Logf("%d operations, %d calls of the API, outcomes %v, refusals %v, all ended %s after the last fault; recovery %s, resumption %s",
		f.Operations, f.Calls, f.Outcomes, f.Refusals, f.Settled.Round(time.Millisecond), QuantilesOf(f.Recoveries), QuantilesOf(f.Resumptions))
	if f.Settled > slow {
		t.Logf("the last to end was %s", r.life(r.last()))
	}
	return f
}

// begin starts everything.
func (s *Scenario) begin(t testing.TB, seed uint64) *run {
	t.Helper()
	r := &run{t: t, sc: s}
	binary := binaryFor(t, thisRelease)
	for _, st := range s.steps {
		binaryFor(t, st.do.form.needs) // Now, and not while the clock runs.
	}
	r.clock = []setting{{time.Now(), s.Clock}}
	r.backend = startBackend(t, s)
	r.watchCommands()
	r.api = startAPI(t, s, seed)
	r.traces = startTracing(t, s)
	env := append(environment(s, r.backend.url, r.api), r.traces.env()...)
	r.fleet = &fleet{binaries: slices.Repeat([]string{binary}, s.Workers), env: env, slots: make([]*process, s.Workers)}
	t.Cleanup(r.fleet.killAll)

	conn, err := redisconn.Open(r.backend.url, redisconn.Options{ClientName: "producer", PoolSize: 64})
	if err != nil {
		t.Fatalf("open Redis for the producers: %v", err)
	}
	// One scenario is played at a time, so the providers of this process can be set for each.
	otel.SetTracerProvider(r.traces.provider)
	if s.untraced() {
		otel.SetTracerProvider(noop.NewTracerProvider())
	}
	client, err := enqueue.New(conn.Client, enqueue.Config{Durability: s.Durability})
	if err != nil {
		t.Fatalf("enqueue.New: %v", err)
	}
	t.Cleanup(func() {
		_, _ = client.Close(), conn.Close() // Redis may be gone.
	})
	r.load = newLoad(s, client)
	for n := range s.Workers {
		r.fleet.start(t, n+1)
	}
	for n := range s.Workers {
		r.fleet.awaitReady(t, n+1, true, readyWithin)
	}
	return r
}

// play runs the load while the faults happen.
func (r *run) play(random *rand.Rand) {
	begin := time.Now()
	measured, stop := context.WithCancel(r.t.Context())
	defer stop()
	go r.late.watch(measured)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.load.run(r.t, r.api)
	}()
	for _, m := range r.sc.schedule(random) {
		if wait := time.Until(begin.Add(m.at)); wait > 0 {
			every(r.t.Context(), wait)
		}
		m.do.form.f(r, m.do.args)
	}
	<-asked
	// Whoever was killed or stopped last is started by its supervisor.
	for n := range r.sc.Workers {
		r.fleet.start(r.t, n+1)
	}
	r.quiet = time.Now()
}

// collect waits for the end of everything and reads all ledgers.
func (r *run) collect() {
	t := r.t
	direct, err := enqueue.New(r.backend.direct.Client, enqueue.Config{})
	if err != nil {
		t.Fatalf("enqueue.New: %v", err)
	}
	defer func() { _ = direct.Close() }()
	r.load.all.Wait()
	r.awaitBirth(direct)
	r.asked = r.load.asked
	finals := ends(t, direct, r.asked, patience)
	for _, q := range r.asked {
		if _, ok := finals[q.ID]; !ok {
			r.lost = append(r.lost, q)
		}
	}
	r.result = audit.Run{Finals: finals, Seen: r.load.seen, Bound: afterExpiry, Slack: clocks, Calls: r.api.Ledger()}
	for _, q := range r.asked {
		r.result.Requests = append(r.result.Requests, q.Request)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.result.Events, err = audit.Events(ctx, opstore.New(r.backend.direct.Client, opstore.Config{}))
	if err != nil {
		t.Fatalf("read the events: %v", err)
	}
	r.byMachine()
}

// judge looks at the expectations, and at what has to hold in every scenario.
func (r *run) judge() {
	for _, e := range r.sc.expectations {
		if what := e.check.form.f(r, e.check.args); what != "" {
			r.t.Errorf("line %d: expect: %s: %s", e.line, e.check.text, what)
		}
	}
	r.nothingIsLeft()
	metrics := r.metrics()
	r.fleet.end(r.t)
	r.keepLogs()
	r.noSecrets(metrics)
}

// broken returns the violations, without those of the operations that are excused.
func (r *run) broken(excused func(audit.Violation) bool) string {
	violations := slices.DeleteFunc(r.result.Check(), excused)
	if len(violations) == 0 {
		return ""
	}
	return fmt.Sprintf("%d violations, the first is\n%s", len(violations), violations[0])
}

// LogsEnv names a directory that the logs of the workers are kept in.
const LogsEnv = "FAULT_LOGS"

// keepLogs writes down the workers' logs for whoever looks into a failure.
func (r *run) keepLogs() {
	dir := os.Getenv(LogsEnv)
	if dir == "" {
		return
	}
	for i, p := range r.fleet.all {
		// The directory is for whoever runs the suite to choose.
		name := filepath.Join(dir, fmt.Sprintf("%s-%d-pid%d.log", r.sc.Name, i+1, p.cmd.Process.Pid))
		if err := os.WriteFile(name, p.output.bytes(), 0o600); err != nil { //nolint:gosec // G703: see above.
			r.t.Errorf("keep a log: %v", err)
		}
	}
}
