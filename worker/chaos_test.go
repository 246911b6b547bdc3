package worker

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// chaosSeedEnv repeats a run of the chaos test: the same calls of the same cards fail.
const chaosSeedEnv = "CARDWORKER_CHAOS_SEED"

func chaosSeed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv(chaosSeedEnv)
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", chaosSeedEnv, err)
	}
	return seed
}

// It is not parallel: it takes every processor there is, and the tests beside it would miss their times.
func TestChaos_FiveThousandOperationsKeepEveryPromise(t *testing.T) {
	const operations, producers, workers = 5000, 16, 2
	seed := chaosSeed(t)
	t.Logf("%s=%d repeats this run", chaosSeedEnv, seed)

	r := newRig(t)
	api := startSandbox(t, sandbox.Config{Seed: seed})
	if err := api.SetChaos(sandbox.Chaos{Rate: 0.1}); err != nil {
		t.Fatalf("SetChaos: %v", err)
	}
	for range workers {
		r.work(clientOf(t, api), func(c *Config) {
			c.Concurrency, c.RecoveryInterval, c.Lease = 512, 0, 0 // The defaults of the last two.
		})
	}

	run := audit.Run{
		Requests: make([]audit.Request, operations+operations/10),
		Finals:   map[string]tasks.Operation{}, Seen: map[string][]tasks.Operation{},
		// Beyond an operation's expiry only what is in flight is waited for.
		Bound: 30 * time.Second, Slack: 250 * time.Millisecond,
	}
	start := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	for p := range producers {
		all.Go(func() {
			for i := p; i < len(run.Requests); i += producers {
				run.Requests[i] = chaosRequest(t, r.client, i%operations)
				if id := run.Requests[i].ID; i%100 == 0 && id != "" {
					all.Go(func() {
						seen := follow(t, r.client, id)
						mu.Lock()
						defer mu.Unlock()
						run.Seen[id] = append(run.Seen[id], seen...)
					})
				}
			}
		})
	}
	all.Wait()
	accepted := time.Since(start)
	for _, q := range run.Requests {
		if _, ok := run.Finals[q.ID]; !ok && q.ID != "" {
			run.Finals[q.ID] = r.wait(q.ID)
		}
	}
	t.Logf("%d operations: accepted in %s, ended in %s", len(run.Finals), accepted.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))

	events, err := audit.Events(t.Context(), r.store)
	if err != nil {
		t.Fatalf("read the events: %v", err)
	}
	run.Events, run.Calls = events, api.Ledger()
	report(t, run)
	if len(run.Finals) != operations {
		t.Errorf("%d operations, want %d", len(run.Finals), operations)
	}
	faults := 0
	for _, c := range run.Calls {
		if c.Fault != "" {
			faults++
		}
	}
	t.Logf("%d calls of the API, %d of them failed by chaos", len(run.Calls), faults)
	if faults < operations/20 {
		t.Errorf("%d faults: this was no chaos", faults)
	}
}

// chaosRequest makes the nth request: an unblock or a refresh of a card of its own. Requests with the same
// number have the same key.
func chaosRequest(t testing.TB, client *enqueue.Client, n int) audit.Request {
	q := audit.Request{
		Kind: tasks.Kinds()[n%len(tasks.Kinds())], Card: strconv.Itoa(100_000_000 + n), Key: fmt.Sprintf("request-%d", n),
	}
	acc, err := client.Accept(t.Context(), q.Kind, q.Card, enqueue.IdempotencyKey(q.Key))
	if err != nil {
		t.Errorf("accept %d: %v", n, err)
		q.Refusal = enqueue.CodeOf(err)
		return q
	}
	q.ID = acc.ID
	return q
}

// follow returns what a reader sees of an operation until its end.
func follow(t testing.TB, client *enqueue.Client, id string) []tasks.Operation {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var seen []tasks.Operation
	for op, err := range client.Watch(ctx, id) {
		if err != nil {
			t.Errorf("watch %s: %v", id, err)
			break
		}
		seen = append(seen, op)
	}
	return seen
}

// report fails the test with the first violations, and counts how the operations ended.
func report(t testing.TB, run audit.Run) {
	t.Helper()
	outcomes := map[string]int{}
	for _, op := range run.Finals {
		outcome := string(op.State)
		if op.Error != nil {
			outcome = string(op.Error.Code)
		}
		outcomes[outcome]++
	}
	t.Logf("outcomes: %v", outcomes)
	violations := run.Check()
	for i, v := range violations {
		if i == 5 {
			t.Errorf("and %d more", len(violations)-i)
			return
		}
		t.Errorf("%s", v)
	}
}
