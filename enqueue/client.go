package enqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

// Config says how operations are accepted. The zero value of each field means its default. All clients
// and workers on one Redis should agree on it.
type Config struct {
	// UnblockLimit is how many unblocks of one kind are accepted for one card in 24 hours: each resets
	// the try counter, so without a limit a thief could guess for ever. Zero means 5, negative none.
	UnblockLimit int
	// UnblockExpiry and RefreshExpiry are how long an operation lives unless [ExpiresIn] says
	// otherwise: no call to the API starts after that. Zero means 5 and 2 minutes; the bounds are
	// [tasks.MinExpiry] and [tasks.MaxExpiry].
	UnblockExpiry time.Duration
	RefreshExpiry time.Duration
	// ResultTTL is how long an operation can be read after its end, at least a second. Zero means 24
	// hours.
	ResultTTL time.Duration
	// Durability is what is waited for before a request counts as accepted. Empty means [InMemory]. It is
	// for each client to choose.
	Durability Durability
}

func (c Config) withDefaults() Config {
	if c.UnblockExpiry == 0 {
		c.UnblockExpiry = tasks.DefaultUnblockExpiry
	}
	if c.RefreshExpiry == 0 {
		c.RefreshExpiry = tasks.DefaultRefreshExpiry
	}
	if c.ResultTTL == 0 {
		c.ResultTTL = opstore.DefaultResultTTL
	}
	if c.Durability == "" {
		c.Durability = InMemory
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"UnblockExpiry", c.UnblockExpiry}, {"RefreshExpiry", c.RefreshExpiry}} {
		if d.value < tasks.MinExpiry || d.value > tasks.MaxExpiry {
			errs = append(errs, fmt.Errorf("%s is %s, it must lie between %s and %s", d.name, d.value, tasks.MinExpiry, tasks.MaxExpiry))
		}
	}
	if c.ResultTTL < time.Second {
		errs = append(errs, fmt.Errorf("ResultTTL is %s, it must be at least 1s", c.ResultTTL))
	}
	if !opstore.Durability(c.Durability).Valid() {
		errs = append(errs, fmt.Errorf("Durability must be one of %v", Durabilities()))
	}
	return errors.Join(errs...)
}

// Client accepts operations and tells what came of them. It is safe for concurrent use; one is enough
// for a process. Close it when it is no longer needed.
type Client struct {
	cfg     Config
	store   *opstore.Store
	queue   *taskqueue.Client
	watcher *opstore.Watcher
	tracer  trace.Tracer
	atOnce  bool // a task may be enqueued in the same step as its operation is recorded
}

// New returns a client on rdb, which stays the caller's to close, after the client. It does not connect
// yet. The error lists everything that is wrong with the configuration.
func New(rdb redis.UniversalClient, cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	if _, ring := rdb.(*redis.Ring); ring && cfg.Durability != InMemory {
		return nil, fmt.Errorf("enqueue: Durability is %s, which a ring cannot give: use a cluster", cfg.Durability)
	}
	rdb = coalesce.New(rdb)
	store := opstore.New(rdb, opstore.Config{
		UnblockLimit: cfg.UnblockLimit, ResultTTL: cfg.ResultTTL, Durability: opstore.Durability(cfg.Durability),
	})
	return &Client{
		cfg: cfg, store: store, queue: taskqueue.New(rdb), watcher: store.NewWatcher(), tracer: spans.Tracer("enqueue"),
		atOnce: cfg.Durability == InMemory, // Otherwise a worker would begin what is not safe yet.
	}, nil
}

// Close ends all waits with an error and closes the connection they share.
func (c *Client) Close() error { return c.watcher.Close() }

// Get reads an operation. The error is [ErrNotFound] or [ErrQueueUnavailable].
func (c *Client) Get(ctx context.Context, id string) (tasks.Operation, error) {
	rec, err := c.store.Get(ctx, id)
	if err != nil {
		return tasks.Operation{}, admissionError(err)
	}
	return rec.Operation(), nil
}

// Retry gives a failed operation another life, for an operator: same id, attempts counted anew, a new
// expiry. An unblock that was accepted but never confirmed is only confirmed again. Any other unblock
// counts towards the limit of its card.
//
// The error is [ErrNotFound], [ErrNotFailed], [ErrBusy], [ErrUnblockLimitReached] or
// [ErrQueueUnavailable]. After the last one it may be unknown whether the operation runs again.
func (c *Client) Retry(ctx context.Context, id string) (tasks.Operation, error) {
	rec, err := c.store.Get(ctx, id)
	if err != nil {
		return tasks.Operation{}, admissionError(err)
	}
	ctx, span := c.startRetry(ctx, rec)
	defer span.End()
	rec, err = c.store.Redrive(ctx, id, c.expiry(rec.Kind))
	if err != nil {
		err = admissionError(err)
		refused(span, err)
		return tasks.Operation{}, err
	}
	asked(span, "retry", rec)
	c.dispatch(ctx, rec)
	return rec.Operation(), nil
}

func (c *Client) expiry(k tasks.Kind) time.Duration {
	if k.Unblocks() {
		return c.cfg.UnblockExpiry
	}
	return c.cfg.RefreshExpiry
}

// dispatch enqueues the task that the operation waits for. When that fails nothing is lost: the record
// exists, and recovery enqueues the task within seconds, so there is nothing to tell the caller.
func (c *Client) dispatch(ctx context.Context, rec opstore.Record) {
	_ = c.queue.Enqueue(ctx, rec.TaskType, rec.TaskQueue, rec.TaskID, tasks.ByReference(rec.ID, rec.Seq))
}
