package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

// Worker runs tasks. Make one with [New], then call [Worker.Run], or [Worker.Start] and [Worker.Stop].
// Several workers, in one process or in many, share the work of one Redis.
type Worker struct {
	cfg  Config
	log  logrus.FieldLogger
	name string // with a number, in the records: which run holds a lease
	runs atomic.Uint64

	clients []redis.UniversalClient // to be closed in the end
	rdb     redis.UniversalClient   // coalesces scripts
	servers []*server
	store   *opstore.Store
	queue   *taskqueue.Client
	leases  *leases
	bell    *doorbell.Bell
	alarms  *alarms
	unbegun unbegun
	own     giver // of this worker; nil when its store is apart from asynq's queues

	handovers handovers
	ended     ended
	near      distance // of Redis
	tracer    trace.Tracer

	draining chan struct{} // closed when the worker begins to stop
	cancel   context.CancelFunc
	loops    sync.WaitGroup
	tasks    sync.WaitGroup // the runs that asynq has handed back may still write

	mu      sync.Mutex
	started bool
	stopped chan struct{} // non-nil once Stop was called; closed when everything is released
}

// New returns a worker that has not started. It connects in the background and does not wait for that. The
// error lists everything that is wrong with the configuration; without one, [Worker.Stop] must be called
// in the end, whether the worker was started or not.
func New(cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w := &Worker{cfg: cfg, log: cfg.Log, name: uniqueName(), draining: make(chan struct{}), tracer: spans.Tracer("worker")}
	rdb := cfg.Connect("worker")
	w.rdb = coalesce.New(rdb)
	w.store = opstore.New(w.rdb, opstore.Config{UnblockLimit: cfg.UnblockLimit, ResultTTL: cfg.ResultTTL, Lease: cfg.Lease})
	w.queue = taskqueue.New(w.rdb)
	w.leases = newLeases(w.store, cfg.Lease, cfg.Log, cfg.Metrics.leasesLost.Inc)
	w.bell = doorbell.Listen(w.rdb, tasks.Queues()...)
	w.alarms = newAlarms(w.rdb, cfg.Log)
	w.clients = append(w.clients, rdb)
	w.servers = newServers(cfg, &w.near, &w.ended, w.bell, cfg.Log)
	if !w.store.Apart() {
		w.own = w.servers[0]
	}
	for _, s := range w.servers {
		if w.own != nil {
			s.giveUp = w.giveUp
			s.tasks.Begins(taker{w})
		}
		w.clients = append(w.clients, s.rdb)
	}
	return w, nil
}

// uniqueName names this worker among all that share a Redis.
func uniqueName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:8])
}

// Start begins to run tasks and returns. The worker runs until [Worker.Stop]; ctx bounds the start
// alone. Start fails when Redis cannot be reached or its user may not do what a worker does, and then has
// released everything.
func (w *Worker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped != nil:
		return errors.New("worker: it was stopped; make a new one")
	case w.started:
		return errors.New("worker: it was started before")
	}
	if err := w.rdb.Ping(ctx).Err(); err != nil {
		return w.abandon(fmt.Errorf("worker: reach Redis: %w", err))
	}
	if err := checkRights(ctx, w.clients[0]); err != nil {
		return w.abandon(fmt.Errorf("worker: %w", err))
	}
	for i, s := range w.servers {
		if err := s.start(w); err != nil {
			w.bell.Release() // Or they would wait for their last look.
			for _, running := range w.servers[:i] {
				running.stop(w.log)
			}
			return w.abandon(fmt.Errorf("worker: start: %w", err))
		}
	}
	loops, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.loops.Go(func() { w.leases.keep(loops) })
	w.loops.Go(func() { w.recover(loops) })
	w.started = true
	w.log.WithFields(logrus.Fields{"worker": w.name, "concurrency": w.cfg.Concurrency}).Info("worker started")
	return nil
}

// abandon releases a worker that could not start.
func (w *Worker) abandon(err error) error {
	w.stopped = make(chan struct{})
	close(w.stopped)
	return errors.Join(err, w.closeClients())
}

// Stop takes no more tasks, lets the running ones end within the shutdown timeout, hands the others back
// so that another worker goes on with them within seconds, and releases everything. It returns when that is
// done, or with ctx's error when ctx ends first; the stopping goes on then. It is safe to call twice,
// also at the same time, and without a start.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	first := w.stopped == nil
	if first {
		w.stopped = make(chan struct{})
	}
	stopped, started := w.stopped, w.started
	w.mu.Unlock()
	if first {
		go w.shutdown(started, stopped)
	}
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("worker: tasks are still running: %w", context.Cause(ctx))
	}
}

func (w *Worker) shutdown(started bool, stopped chan<- struct{}) {
	defer close(stopped)
	close(w.draining)
	w.bell.Release()
	if started {
		// The leases are kept until the last task has ended: it still writes with them.
		var servers sync.WaitGroup
		for _, s := range w.servers {
			servers.Go(func() { s.stop(w.log) })
		}
		servers.Wait()
		w.awaitTasks()
		// What was handed back is in asynq by now, and for others to take.
		w.alarms.close()
		w.alarms.await()
		w.cancel()
		w.loops.Wait()
	}
	if err := w.closeClients(); err != nil {
		w.log.Warnf("could not close a connection: %v", err)
	}
	if started {
		w.log.WithField("worker", w.name).Info("worker stopped")
	}
}

// awaitTasks waits for runs that asynq has given up waiting for. Their contexts have ended; what is left
// is to write that another worker can go on.
func (w *Worker) awaitTasks() {
	ended := make(chan struct{})
	go func() { w.tasks.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(writeTimeout):
		w.log.Warn("a task did not end; its lease will lapse")
	}
}

// Run starts the worker, runs tasks until ctx ends, and stops it. It returns nil after a clean stop.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return w.Stop(context.WithoutCancel(ctx))
}

// Ready returns nil when the worker can do its work: it has started and is not stopping, Redis answers,
// and an access token for the API is at hand or was obtained. The error says what is missing.
func (w *Worker) Ready(ctx context.Context) error {
	w.mu.Lock()
	started, stopping := w.started, w.stopped != nil
	w.mu.Unlock()
	switch {
	case stopping:
		return errors.New("draining")
	case !started:
		return errors.New("not started")
	}
	if err := w.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if err := w.cfg.API.CheckToken(ctx); err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	return nil
}

func (w *Worker) stopping() bool {
	select {
	case <-w.draining:
		return true
	default:
		return false
	}
}

func (w *Worker) closeClients() error {
	errs := []error{w.bell.Close()}
	for _, c := range w.clients {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
