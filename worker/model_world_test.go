package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/model"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// scenario is what a small world does while everything that can go wrong is tried.
type scenario struct {
	name string
	kind tasks.Kind
	// producers ask for the same, each from a process of its own.
	producers int
	// apart is how long after the one before each producer asks.
	apart time.Duration
	// lag is how many reads after an applied unblock still say blocked.
	lag int
	// down: the API answers nothing but errors.
	down bool
	// skew is how far the clock of Redis is ahead of everyone else's.
	skew time.Duration
	// lifetime is the operations' time; zero means the default.
	lifetime time.Duration
	// faults is how many of a schedule's decisions may differ from the plain run.
	faults int
	// only are the fates that are tried besides the plain one; nil means all.
	only []fate
	// byQueue: tasks are enqueued by themselves, and confirmations go by way of their queue, as on a cluster.
	byQueue bool
	// rewrite puts a defect into the scripts.
	rewrite *strings.Replacer
}

// world is one Redis, one API with one card, producers and two worker processes. It stands still between
// any two steps, so that a schedule can say who makes the next, and what goes wrong with it.
type world struct {
	t     testing.TB
	sc    scenario
	keys  *model.Keyspace
	look  *opstore.Store // reads without being noticed
	procs []*node
	runs  []*actor
	last  *actor

	card     cardAPI
	requests []audit.Request
	seen     map[string][]tasks.Operation
	order    []string // the operations' ids, by their first sight
	versions map[string]string
	wakes    map[string]time.Time // tasks that asynq will retry, by "queue id"
	doubled  map[string]bool      // tasks that were delivered once more
}

func newWorld(t testing.TB, sc scenario) *world {
	w := &world{
		t: t, sc: sc, seen: map[string][]tasks.Operation{},
		versions: map[string]string{}, wakes: map[string]time.Time{}, doubled: map[string]bool{},
	}
	w.card.world = w
	w.keys = model.New(w.now, sc.rewrite)
	quiet := model.NewClient(w.keys, func(_ context.Context, _ []redis.Cmder, act func()) error { act(); return nil })
	w.look = opstore.New(quiet, opstore.Config{})
	if err := quiet.ScriptLoad(context.Background(), opstore.TakeText()).Err(); err != nil {
		t.Fatal(err)
	}
	w.procs = []*node{w.newWorker("A"), w.newWorker("B")}
	for i := range sc.producers {
		w.produce(fmt.Sprintf("P%d", i+1), time.Duration(i)*sc.apart)
	}
	return w
}

// now is the time by Redis, which the ledgers are kept in.
func (w *world) now() time.Time { return time.Now().Add(w.sc.skew) }

// produce has a producer ask after a while, in a process of its own.
func (w *world) produce(name string, after time.Duration) {
	p := w.newNode(name)
	var rdb redis.UniversalClient = p.rdb
	if w.sc.byQueue {
		rdb = struct{ redis.UniversalClient }{p.rdb} // For all that a producer knows it may be several.
	}
	client, err := enqueue.New(rdb, enqueue.Config{UnblockExpiry: w.sc.lifetime, RefreshExpiry: w.sc.lifetime})
	if err != nil {
		w.t.Fatal(err)
	}
	p.client = client
	w.start(&actor{name: name, proc: p}, func(ctx context.Context) error {
		if after > 0 {
			advance(after)
		}
		acc, err := client.Accept(ctx, w.sc.kind, testCard)
		if err == nil {
			w.requests = append(w.requests, audit.Request{Kind: w.sc.kind, Card: testCard, ID: acc.ID})
		}
		return err
	})
}

func (w *world) do(args ...string) any {
	v, err := w.keys.Do(args...)
	if err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// recovery starts a round of recovery.
func (w *world) recovery() {
	p := w.recoverer()
	w.start(&actor{name: p.name + " recovery", proc: p, recovers: true}, p.worker.recoverOnce)
}

// recoverer is the worker that looks after the operations: the last one that does not stand still.
func (w *world) recoverer() *node {
	for _, p := range slices.Backward(w.procs) {
		if !p.stalled.Load() {
			return p
		}
	}
	return nil
}

// recovering reports whether a round is under way, other than in a process that stands still.
func (w *world) recovering() bool {
	return slices.ContainsFunc(w.runs, func(a *actor) bool { return a.recovers && !a.proc.stalled.Load() })
}

func (w *world) anyStalled() bool {
	return slices.ContainsFunc(w.procs, func(p *node) bool { return p.stalled.Load() })
}

// read lets a reader look at the operations that have changed.
func (w *world) read() {
	for _, key := range w.keys.Keys() {
		_, id, ok := strings.Cut(key, ":op:")
		if !ok {
			continue
		}
		ver, _ := w.do("HGET", key, "ver").(string)
		if w.versions[id] == ver {
			continue
		}
		if w.versions[id] == "" {
			w.order = append(w.order, id)
		}
		w.versions[id] = ver
		rec, err := w.look.Get(context.Background(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		w.seen[id] = append(w.seen[id], rec.Operation())
	}
}

// short names a task in few letters that are the same each time.
func (w *world) short(id string) string {
	op, seq, _ := strings.Cut(id, ":")
	return fmt.Sprintf("op%d:%s", slices.Index(w.order, op)+1, seq)
}

// open reports whether an operation has not ended.
func (w *world) open() bool {
	return slices.ContainsFunc(w.order, func(id string) bool {
		ops := w.seen[id]
		return !ops[len(ops)-1].Done
	})
}

// asking reports whether a producer has not got its answer yet.
func (w *world) asking() bool {
	return slices.ContainsFunc(w.runs, func(a *actor) bool { return a.proc.client != nil })
}

// pass lets d of the bubble's time pass, and everyone come to rest.
func pass(d time.Duration) {
	advance(d)
	synctest.Wait()
}

// close ends all that still runs.
func (w *world) close() {
	for _, a := range w.runs {
		a.proc.stalled.Store(false)
	}
	for len(w.runs) > 0 {
		for _, a := range slices.Clone(w.runs) {
			a.proc.dead.Store(true)
			a.proc.stop()
			if a.pending.Swap(nil) != nil {
				a.grant <- crashes
			}
		}
		pass(time.Second)
		w.reap()
	}
	for _, p := range w.procs {
		p.stop()
	}
}
