package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/tasks"
)

// kindsOf says which kinds a load asks for, in turn.
var kindsOf = map[string][]tasks.Kind{
	"operations": tasks.Kinds(),
	"unblocks":   {tasks.UnblockPIN, tasks.UnblockCVV},
	"refreshes":  {tasks.RefreshPINStatus, tasks.RefreshCVVStatus},
}

const (
	// askTimeout bounds one attempt to have an operation accepted, askPause is the pause after one that
	// was refused for want of Redis.
	askTimeout = 5 * time.Second
	askPause   = 100 * time.Millisecond
	// patience is how long a producer asks for the same operation, and how long an end is waited for: longer than a
	// scenario may expect it to take.
	patience = 150 * time.Second
	// readers is how many operations there are to one that is followed from its beginning to its end.
	readers = 10
)

// load is the producers: what they asked for, and what they saw.
type load struct {
	sc     *Scenario
	client *enqueue.Client

	mu       sync.Mutex
	asked    []request
	refusals map[string]int // by code
	seen     map[string][]tasks.Operation
	all      sync.WaitGroup
}

// request is what a producer asked for and when it was accepted.
type request struct {
	audit.Request
	acceptedAt time.Time
}

func newLoad(sc *Scenario, client *enqueue.Client) *load {
	return &load{sc: sc, client: client, refusals: map[string]int{}, seen: map[string][]tasks.Operation{}}
}

// cardOf returns the public token of the nth operation: like no number that stands anywhere by chance.
func cardOf(n int) string { return fmt.Sprintf("Zq%07d", n) }

// run asks for the operations at the scenario's rate. It returns when the last was asked for.
func (l *load) run(t testing.TB, api *api) {
	tick := time.NewTicker(time.Second / time.Duration(l.sc.Rate))
	defer tick.Stop()
	kinds := kindsOf[l.sc.Kinds]
	for n := range l.sc.Operations {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
		q := audit.Request{Kind: kinds[n%len(kinds)], Card: cardOf(n), Key: fmt.Sprintf("request-%d", n)}
		api.card(t, q.Card)
		l.all.Go(func() { l.ask(t, q, n%readers == 0) })
	}
}

// ask has one operation accepted, however often it takes: the key makes it the same request each time.
func (l *load) ask(t testing.TB, q audit.Request, follow bool) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		acc, err := l.attempt(ctx, q)
		if err == nil {
			q.ID = acc.ID
			break
		}
		code := enqueue.CodeOf(err)
		l.mu.Lock()
		l.refusals[code]++
		l.mu.Unlock()
		if code != enqueue.CodeOf(enqueue.ErrQueueUnavailable) {
			t.Errorf("accept: %v", err)
			return
		}
		if !every(ctx, askPause) {
			t.Errorf("an operation was not accepted within %s: %v", patience, err)
			return
		}
	}
	l.accepted(q)
	if follow {
		l.follow(ctx, q.ID)
	}
}

// accepted notes that a request was.
func (l *load) accepted(q audit.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, request{q, time.Now()})
}

func (l *load) attempt(ctx context.Context, q audit.Request) (enqueue.Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return l.client.Accept(ctx, q.Kind, q.Card, enqueue.IdempotencyKey(q.Key), enqueue.ExpiresIn(l.sc.Expiry))
}

// follow notes what a reader sees. A reader that cannot reach Redis comes back, as an app would.
func (l *load) follow(ctx context.Context, id string) {
	for ctx.Err() == nil {
		done := false
		for op, err := range l.client.Watch(ctx, id) {
			if err != nil {
				done = enqueue.CodeOf(err) == enqueue.CodeOf(enqueue.ErrNotFound)
				break
			}
			done = op.Done
			l.mu.Lock()
			l.seen[id] = append(l.seen[id], op)
			l.mu.Unlock()
		}
		if done || !every(ctx, askPause) {
			return
		}
	}
}

// ends waits for the end of each of the requests. A missing one was accepted and is gone; one that has not ended in
// time is as it is then.
func ends(t testing.TB, client *enqueue.Client, asked []request, within time.Duration) map[string]tasks.Operation {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	out := map[string]tasks.Operation{}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 64)
	for _, q := range asked {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			op, err := client.Wait(ctx, q.ID)
			if err != nil && enqueue.CodeOf(err) != enqueue.CodeOf(enqueue.ErrNotFound) {
				// What it was at last is in op, unless the time was over before it was looked at.
				t.Logf("wait for %s: %v", q.ID, err)
				if op.ID == "" {
					op = look(t, client, q.ID)
				}
			}
			if op.ID != "" {
				mu.Lock()
				defer mu.Unlock()
				out[q.ID] = op
			}
		})
	}
	all.Wait()
	return out
}

// look returns an operation as it is, or none.
func look(t testing.TB, client *enqueue.Client, id string) tasks.Operation {
	ctx, cancel := context.WithTimeout(t.Context(), askTimeout)
	defer cancel()
	op, err := client.Get(ctx, id)
	if err != nil && enqueue.CodeOf(err) != enqueue.CodeOf(enqueue.ErrNotFound) {
		t.Errorf("look at %s: %v", id, err)
	}
	return op
}
