package enqueue_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // The tests that take Redis away know that it is gone.
	redistest.Main(m)
}

// patience is how long something that happens by itself may take before a test gives up on it.
const patience = 20 * time.Second

// bench is a client, and the means of a worker to move its operations on.
type bench struct {
	testing.TB
	client *enqueue.Client
	rdb    redis.UniversalClient
	store  *opstore.Store
}

func newBench(t testing.TB, cfg enqueue.Config) bench {
	t.Helper()
	rdb, _ := redistest.Shared(t)
	return benchOn(t, rdb, cfg)
}

func benchOn(t testing.TB, rdb redis.UniversalClient, cfg enqueue.Config) bench {
	t.Helper()
	client, err := enqueue.New(rdb, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return bench{t, client, rdb, opstore.New(rdb, opstore.Config{ResultTTL: cfg.ResultTTL})}
}

func (b bench) accept(kind tasks.Kind, token string, opts ...enqueue.Option) enqueue.Accepted {
	b.Helper()
	acc, err := b.client.Accept(b.Context(), kind, token, opts...)
	if err != nil {
		b.Fatalf("Accept = %v", err)
	}
	return acc
}

// begin does what a worker does first.
func (b bench) begin(id string) opstore.Begun {
	b.Helper()
	rec, err := b.store.Get(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	begun, err := b.store.Begin(b.Context(), rec.TaskType, id, rec.Seq, "test", opstore.Lease{})
	if err != nil || begun.Outcome != opstore.Go {
		b.Fatalf("Begin = %s, %v", begun.Outcome, err)
	}
	return begun
}

func (b bench) finish(begun opstore.Begun, res opstore.Result) {
	b.Helper()
	if _, err := b.store.Finish(b.Context(), begun.Lease, begun.Record, res); err != nil {
		b.Fatalf("Finish = %v", err)
	}
}

func (b bench) chain(begun opstore.Begun) {
	b.Helper()
	if _, err := b.store.Chain(b.Context(), begun.Lease, begun.Record.Kind); err != nil {
		b.Fatalf("Chain = %v", err)
	}
}

// confirmed takes an unblock to its good end.
func (b bench) confirmed(id string) {
	b.Helper()
	b.chain(b.begin(id))
	b.finish(b.begin(id), opstore.Result{Status: unblocked()})
}

// failed takes an operation to its bad end.
func (b bench) failed(id string, code tasks.Code) {
	b.Helper()
	b.finish(b.begin(id), opstore.Result{Error: &tasks.Error{Code: code, Message: "as the test wants it", Retryable: code.Retryable()}})
}

func unblocked() *tasks.Status {
	three := 3
	return &tasks.Status{Value: "Unblocked", RemainingTries: &three}
}

// receive waits for a channel.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
		panic("unreachable")
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
