package worker

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// patience is how long a test waits for what should happen. It is for a machine that is busy.
const patience = 60 * time.Second

// rig is a Redis with a producer, to which workers are added.
type rig struct {
	t      *testing.T
	url    string
	rdb    redis.UniversalClient
	client *enqueue.Client
	// store looks for operations without a task after a moment, where the producer's leaves them time.
	store *opstore.Store
	log   *logBuffer
}

// newRig returns a rig on a database of its own of a real Redis.
func newRig(t *testing.T) *rig {
	t.Helper()
	_, url := redistest.Shared(t)
	return rigOn(t, url)
}

// onEachRedis runs a test on a real Redis and on the embedded one.
func onEachRedis(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		test(t, newRig(t))
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		_, url := redistest.Embedded(t)
		test(t, rigOn(t, url))
	})
}

func rigOn(t *testing.T, url string) *rig {
	t.Helper()
	conn := connect(t, url)
	client, err := enqueue.New(conn.Client, enqueue.Config{})
	if err != nil {
		t.Fatalf("enqueue.New: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the producer: %v", err)
		}
	})
	return &rig{
		t: t, url: url, rdb: conn.Client, client: client, log: &logBuffer{},
		store: opstore.New(conn.Client, opstore.Config{Grace: 50 * time.Millisecond}),
	}
}

func connect(t testing.TB, url string) *redisconn.Conn {
	t.Helper()
	conn, err := redisconn.Open(url, redisconn.Options{})
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close %s: %v", url, err)
		}
	})
	return conn
}

// config is that of a worker on the rig, quick to poll and to recover.
func (r *rig) config(api API, edits ...func(*Config)) Config {
	r.t.Helper()
	conn := connect(r.t, r.url)
	cfg := Config{
		Connect: conn.New, API: api, Concurrency: 32, Log: r.log.logger(),
		RecoveryInterval: 50 * time.Millisecond,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	return cfg
}

// work starts a worker that stops at the end of the test, if it has not been stopped before.
func (r *rig) work(api API, edits ...func(*Config)) *Worker {
	r.t.Helper()
	w := r.idle(api, edits...)
	if err := w.Start(r.t.Context()); err != nil {
		r.t.Fatalf("Start: %v", err)
	}
	return w
}

// idle returns a worker that has not started.
func (r *rig) idle(api API, edits ...func(*Config)) *Worker {
	r.t.Helper()
	w, err := New(r.config(api, edits...))
	if err != nil {
		r.t.Fatalf("New: %v", err)
	}
	r.t.Cleanup(func() { stop(r.t, w) })
	return w
}

func stop(t testing.TB, w *Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func shortLease(c *Config) { c.Lease = 500 * time.Millisecond }

// accept has an operation accepted.
func (r *rig) accept(kind tasks.Kind, card string, opts ...enqueue.Option) enqueue.Accepted {
	r.t.Helper()
	acc, err := r.client.Accept(r.t.Context(), kind, card, opts...)
	if err != nil {
		r.t.Fatalf("accept %s: %v", kind, err)
	}
	return acc
}

// wait returns an operation once it is done.
func (r *rig) wait(id string) tasks.Operation {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	op, err := r.client.Wait(ctx, id)
	if err != nil {
		r.t.Fatalf("wait for %s: %v (it is %s)\n%s\nlog:\n%s", id, err, op.State, r.history(id), r.log)
	}
	return op
}

// history is what the store knows of an operation's past.
func (r *rig) history(id string) string {
	events, err := r.store.EventsOf(context.WithoutCancel(r.t.Context()), id)
	if err != nil {
		return err.Error()
	}
	var b bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s\n", e.At.Format("15:04:05.000"), e.Name, e.Detail)
	}
	return b.String()
}

// run has an operation done from its acceptance to its end.
func (r *rig) run(kind tasks.Kind, card string, opts ...enqueue.Option) tasks.Operation {
	r.t.Helper()
	return r.wait(r.accept(kind, card, opts...).ID)
}

// wantEnd checks how an operation ended: in success when code is "", or with that code.
func wantEnd(t testing.TB, op tasks.Operation, code tasks.Code) {
	t.Helper()
	switch {
	case code == "" && (op.State != tasks.Succeeded || op.Error != nil || op.Status == nil):
		t.Errorf("%s is %s with error %+v and status %+v, want succeeded", op.Kind, op.State, op.Error, op.Status)
	case code != "" && (op.State != tasks.Failed || op.Error == nil || op.Error.Code != code):
		t.Errorf("%s is %s with error %+v, want failed with %s", op.Kind, op.State, op.Error, code)
	}
}

// enqueueTask enqueues as a plain asynq client does, and returns the task's id.
func (r *rig) enqueueTask(name string, payload []byte, opts ...asynq.Option) string {
	r.t.Helper()
	info, err := asynq.NewClientFromRedisClient(r.rdb).EnqueueContext(r.t.Context(), asynq.NewTask(name, payload), opts...)
	if err != nil {
		r.t.Fatalf("enqueue %s: %v", name, err)
	}
	return info.ID
}

// task waits until asynq has a task in the state.
func (r *rig) task(queue, id string, want asynq.TaskState) *asynq.TaskInfo {
	r.t.Helper()
	var info *asynq.TaskInfo
	eventually(r.t, fmt.Sprintf("task %s is %s", id, want), func() bool {
		got, err := asynq.NewInspectorFromRedisClient(r.rdb).GetTaskInfo(queue, id)
		info = got
		return err == nil && got.State == want
	})
	return info
}

// eventually waits until something is so that nobody tells of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// receive waits for a signal.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not in %s: %s", patience, what)
		panic("unreachable")
	}
}

// wantCount checks that the API saw a call exactly n times.
func wantCount(t testing.TB, api *fakeAPI, name payblr.CallName, n int) {
	t.Helper()
	if got := api.count(name); got != n {
		t.Errorf("the API saw %d × %s, want %d (all: %v)", got, name, n, api.names())
	}
}

// logBuffer keeps what workers log. It is safe for concurrent use.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(l)
	log.SetLevel(logrus.DebugLevel)
	log.SetFormatter(&logrus.JSONFormatter{})
	return log
}
