package docstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
	"github.com/cardworker/cardworker/worker"
)

// patience is how long a test waits for what should happen. It is for a machine that is busy.
const patience = time.Minute

// cards is an API on which every card is blocked until it is unblocked.
type cards struct {
	mu       sync.Mutex
	unblocks int
	open     map[string]bool
}

func (c *cards) read(card string) (payblr.Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[card] {
		return payblr.Status{Value: payblr.StatusUnblocked}, nil
	}
	return payblr.Status{Value: payblr.StatusBlocked, Blocked: true}, nil
}

func (c *cards) unblock(card string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[string]bool{}
	}
	c.unblocks++
	c.open[card] = true
	return nil
}

// sent returns how many unblocks the API has seen.
func (c *cards) sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unblocks
}

func (c *cards) PINStatus(_ context.Context, token string) (payblr.Status, error) {
	return c.read("pin " + token)
}

func (c *cards) CVVStatus(_ context.Context, token string) (payblr.Status, error) {
	return c.read("cvv " + token)
}

func (c *cards) UnblockPIN(_ context.Context, token string, _ payblr.Note) error {
	return c.unblock("pin " + token)
}

func (c *cards) UnblockCVV(_ context.Context, token string, _ payblr.Note) error {
	return c.unblock("cvv " + token)
}

func (c *cards) CheckToken(context.Context) error { return nil }

// scene is a Redis with a worker, and what a producer without our library has.
type scene struct {
	testing.TB
	rdb       redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
	// ours reads operations, which the commands do with the same code.
	ours *enqueue.Client
	api  *cards
}

func newScene(t testing.TB) scene {
	t.Helper()
	_, url := redistest.Shared(t)
	conn, err := redisconn.Open(url, redisconn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := scene{
		TB: t, rdb: conn.Client, api: &cards{},
		client:    asynq.NewClientFromRedisClient(conn.Client),
		inspector: asynq.NewInspectorFromRedisClient(conn.Client),
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.ours, err = enqueue.New(conn.Client, enqueue.Config{}); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(worker.Config{Connect: conn.New, API: s.api, Concurrency: 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(w.Stop(ctx), s.ours.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// eventually calls f until it returns true.
func (s scene) eventually(what string, f func() bool) {
	s.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// operation returns the id of the operation that a request has become.
func (s scene) operation(requestID string) (id string) {
	s.Helper()
	s.eventually("a worker begins "+requestID, func() bool {
		var err error
		if id, err = operationOf(s.inspector, requestID); err != nil {
			s.Fatalf("operationOf(%s) = %v", requestID, err)
		}
		return id != ""
	})
	return id
}

func (s scene) wait(id string) tasks.Operation {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	op, err := s.ours.Wait(ctx, id)
	if err != nil {
		s.Fatalf("Wait(%s) = %v", id, err)
	}
	return op
}

// enqueue puts a task into its queue and waits until asynq has it in a state.
func (s scene) enqueue(typ, queue, payload string, want asynq.TaskState, opts ...asynq.Option) *asynq.TaskInfo {
	s.Helper()
	opts = append([]asynq.Option{asynq.Queue(queue), asynq.Retention(time.Hour)}, opts...)
	info, err := s.client.EnqueueContext(s.Context(), asynq.NewTask(typ, []byte(payload)), opts...)
	if err != nil {
		s.Fatal(err)
	}
	id := info.ID
	s.eventually(fmt.Sprintf("a task %s is %s", typ, want), func() bool {
		got, err := s.inspector.GetTaskInfo(queue, id)
		if err != nil {
			s.Fatal(err)
		}
		info = got
		return info.State == want
	})
	return info
}

// gone waits until asynq has the task no more.
func (s scene) gone(queue, id string) {
	s.Helper()
	s.eventually("task "+id+" is deleted", func() bool {
		_, err := s.inspector.GetTaskInfo(queue, id)
		return errors.Is(err, asynq.ErrTaskNotFound)
	})
}
