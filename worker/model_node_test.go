package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/model"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/internal/taskqueue"
)

// node is the process of a worker, or a producer, with a connection of its own.
type node struct {
	name    string
	keys    *model.Keyspace
	rdb     *redis.Client
	worker  *Worker
	client  *enqueue.Client
	dead    atomic.Bool
	stalled atomic.Bool
	stop    context.CancelFunc
	ctx     context.Context
	given   []delivery // what the worker has handed to itself
}

// give implements giver. The world stands still when anybody looks at what was given.
func (p *node) give(queue, message string) bool {
	p.given = append(p.given, delivery{queue, idOf(message)})
	return true
}

// putBack implements giver. No worker of a world stops.
func (p *node) putBack(context.Context) error { return nil }

// actor is one thread of a process that makes visible steps.
type actor struct {
	name     string
	proc     *node
	task     *delivery // nil unless it runs a task
	recovers bool
	pending  atomic.Pointer[step]
	grant    chan fate
	ended    atomic.Bool
	err      error
}

// step is what an actor is about to do.
type step struct {
	label string
	fates []fate // the things that may come of it, the plain one first
}

// fate is what comes of a step.
type fate string

const (
	happens  fate = "happens"
	crashes  fate = "crash before"       // the process dies before the step
	vanishes fate = "lost before"        // it never arrives, and the caller does not know
	mute     fate = "reply lost"         // it happens, and the caller does not know
	twice    fate = "reply lost, resent" // it happens, the client repeats it and learns of that
	stalls   fate = "stall before"       // the whole process stands still
	// handsBack: what the process was to hand out it gives back, because it stops.
	handsBack fate = "handed back"
)

type actorKey struct{}

var errDead = errors.New("the process is dead")

// modelMetrics are shared: nobody reads them, and making them takes time.
var modelMetrics = NewMetrics(prometheus.NewRegistry())

func (w *world) newNode(name string) *node {
	p := &node{name: name, keys: w.keys}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.rdb = model.NewClient(w.keys, p.gate)
	return p
}

func (w *world) newWorker(name string) *node {
	p := w.newNode(name)
	cfg := Config{API: &w.card, Metrics: modelMetrics, Random: func() float64 { return 0 }}.withDefaults()
	p.worker = &Worker{
		cfg: cfg, log: cfg.Log, name: name, rdb: p.rdb, draining: make(chan struct{}),
		store: opstore.New(p.rdb, opstore.Config{Lease: cfg.Lease}), queue: taskqueue.New(p.rdb),
		alarms: newAlarms(p.rdb, cfg.Log), tracer: spans.Tracer("worker"),
	}
	if !w.sc.byQueue {
		p.worker.own = p
	}
	p.worker.leases = newLeases(p.worker.store, cfg.Lease, cfg.Log, func() {})
	go p.worker.leases.keep(p.ctx)
	return p
}

// start lets an actor run until its first step.
func (w *world) start(a *actor, do func(ctx context.Context) error) {
	a.grant = make(chan fate)
	w.runs = append(w.runs, a)
	go func() {
		a.err = do(context.WithValue(a.proc.ctx, actorKey{}, a))
		a.ended.Store(true)
	}()
}

// ask stops the actor until the schedule lets it go on.
func (a *actor) ask(s step) fate {
	a.pending.Store(&s)
	return <-a.grant
}

var (
	writeFates = []fate{happens, crashes, vanishes, mute, twice, stalls}
	// stepNames are the scripts that are steps, by the first words of their headers; asynq's own has none.
	stepNames = map[string]string{
		"\n-- accept records": "accept", "\n-- begin takes": "begin", "\n-- take takes": "take", "\n-- chain records": "chain", "\n-- handover records": "handover",
		"\n-- finish ends": "finish", "\n-- yield ends": "yield", "\n-- redispatch makes": "redispatch",
		`"pending_since", ARGV[3]`: "enqueue",
	}
	knownSteps sync.Map // text of a script → name
)

// stepOf names the step that commands are, "" when it is none that anyone would notice.
func stepOf(keys *model.Keyspace, cmds []redis.Cmder) string {
	for _, cmd := range cmds {
		text := keys.ScriptOf(cmd)
		if text == "" {
			continue
		}
		name, known := knownSteps.Load(text)
		if !known {
			name = ""
			for words, n := range stepNames {
				if strings.Contains(text, words) {
					name = n
				}
			}
			knownSteps.Store(text, name)
		}
		if name != "" {
			return name.(string)
		}
	}
	return ""
}

// gate is where the commands of a process wait for the schedule.
func (p *node) gate(ctx context.Context, cmds []redis.Cmder, act func()) error {
	name := stepOf(p.keys, cmds)
	a, _ := ctx.Value(actorKey{}).(*actor)
	switch {
	case p.dead.Load():
		return errDead
	case p.stalled.Load() && (a == nil || name == ""):
		return model.ErrReplyLost // Its keeper does not run either.
	case a == nil || name == "":
		act()
		return nil
	}
	switch a.ask(step{name, writeFates}) {
	case crashes:
		return errDead
	case vanishes:
		return model.ErrReplyLost
	case mute:
		act()
		return model.ErrReplyLost
	case twice:
		act()
		act()
	default:
		act()
	}
	return nil
}

// crash ends a process. A worker's place is taken by a new one.
func (w *world) crash(p *node) {
	p.dead.Store(true)
	p.stop()
	for _, a := range w.runs {
		if a.proc == p && a.pending.Swap(nil) != nil {
			a.grant <- crashes
		}
	}
	for i, o := range w.procs {
		if o == p {
			w.procs[i] = w.newWorker(p.name + "'")
		}
	}
}
