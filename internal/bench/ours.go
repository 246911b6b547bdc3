package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
	"github.com/cardworker/cardworker/worker"
)

// ours is this program: the producer and the worker, with all that the worker command gives it.
type ours struct {
	conn     *redisconn.Conn
	producer redis.UniversalClient
	client   *enqueue.Client
	gate     *gate.Gate
	worker   *worker.Worker
	metrics  *operationsTotal
	seen     *trips
	ids      ids
}

// refreshExpiry is long enough for a backlog of refreshes that is worked off for minutes.
const refreshExpiry = time.Hour

func newOurs(at place) (*ours, error) {
	conn, err := redisconn.Open(redisURL(at.redisAddr), redisconn.Options{ClientName: "cardworker-bench"})
	if err != nil {
		return nil, err
	}
	s := &ours{conn: conn, seen: at.seen, metrics: &operationsTotal{}}
	connect := func(role string) redis.UniversalClient {
		rdb := conn.New(role)
		rdb.AddHook(at.seen.of(role))
		return rdb
	}
	s.producer = connect("backend")
	if s.client, err = enqueue.New(s.producer, enqueue.Config{RefreshExpiry: refreshExpiry, UnblockExpiry: refreshExpiry}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetFormatter(&logrus.JSONFormatter{})
	s.gate = gate.New(connect("gate"), gate.Config{})
	cfg := worker.Config{Connect: connect, API: gated{at.api, s.gate}, Log: log, Metrics: worker.NewMetrics(s.metrics)}
	if at.quiet {
		cfg.RecoveryInterval, cfg.Lease = time.Hour, time.Hour
	}
	if s.worker, err = worker.New(cfg); err != nil {
		return nil, errors.Join(err, s.gate.Close(), s.client.Close(), conn.Close())
	}
	return s, nil
}

func (s *ours) accept(ctx context.Context, c card) error {
	_, err := s.ask(ctx, c)
	return err
}

func (s *ours) ask(ctx context.Context, c card) (id string, err error) {
	kind := tasks.UnblockPIN
	if c.refresh {
		kind = tasks.RefreshPINStatus
	}
	acc, err := s.client.Accept(ctx, kind, c.token())
	if err != nil {
		return "", err
	}
	return acc.ID, s.ids.keep(c, acc.ID)
}

// follow returns when a backend that waits has read the result.
func (s *ours) follow(ctx context.Context, c card) (time.Time, error) {
	id, err := s.ask(ctx, c)
	if err != nil {
		return time.Time{}, err
	}
	op, err := s.client.Wait(ctx, id)
	if err == nil && op.State != tasks.Succeeded {
		err = fmt.Errorf("the operation %s", op.State)
	}
	return time.Now(), err
}

func (s *ours) start(ctx context.Context) error { return s.worker.Start(ctx) }
func (s *ours) stop(ctx context.Context) error  { return s.worker.Stop(ctx) }
func (s *ours) asked() *trips                   { return s.seen }

func (s *ours) ended() (unblocks, refreshes int) {
	return s.metrics.of(tasks.UnblockPIN), s.metrics.of(tasks.RefreshPINStatus)
}

func (s *ours) verify(ctx context.Context, all []card) error {
	return verifyAll(ctx, all, func(c card) error {
		id := s.ids.get(c)
		if id == "" {
			return errors.New("it was not accepted")
		}
		op, err := s.client.Get(ctx, id)
		switch {
		case err != nil:
			return err
		case op.State != tasks.Succeeded || op.Attempts != 1 || op.Status == nil:
			return fmt.Errorf("the operation %s after %d attempts, want succeeded after 1", op.State, op.Attempts)
		}
		return nil
	})
}

func (s *ours) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(s.worker.Stop(ctx), s.gate.Close(), s.client.Close(), s.conn.Close())
}

// verifyAll checks all cards, several at a time, and returns the first that is wrong.
func verifyAll(ctx context.Context, all []card, check func(card) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan card)
	var done sync.WaitGroup
	for range producers / 4 {
		done.Go(func() {
			for c := range next {
				if err := check(c); err != nil {
					cancel(fmt.Errorf("card %s: %w", c.token(), err))
				}
			}
		})
	}
	for _, c := range all {
		if ctx.Err() != nil {
			break
		}
		next <- c
	}
	close(next)
	done.Wait()
	return context.Cause(ctx)
}

// gated puts the gate in front of the API, as the client of the API does.
type gated struct {
	worker.API
	gate *gate.Gate
}

func (g gated) around(ctx context.Context, call func() error) error {
	if err := g.gate.Wait(ctx); err != nil {
		return err
	}
	start := time.Now()
	err := call()
	o := gate.Outcome{Result: gate.Worked, Took: time.Since(start)}
	if err != nil {
		o.Result = gate.Failed
	}
	g.gate.Observe(o)
	return err
}

// PINStatus asks the gate, then the API.
func (g gated) PINStatus(ctx context.Context, token string) (st payblr.Status, err error) {
	err = g.around(ctx, func() error { st, err = g.API.PINStatus(ctx, token); return err })
	return st, err
}

// UnblockPIN asks the gate, then the API.
func (g gated) UnblockPIN(ctx context.Context, token string, n payblr.Note) error {
	return g.around(ctx, func() error { return g.API.UnblockPIN(ctx, token, n) })
}

// operationsTotal takes the worker's metrics and keeps the one that counts operations. Reading it costs nothing
// that would show in what is measured, as gathering all of them would.
type operationsTotal struct{ counter *prometheus.CounterVec }

// Register keeps a counter of operations.
func (o *operationsTotal) Register(c prometheus.Collector) error {
	vec, ok := c.(*prometheus.CounterVec)
	if !ok || o.counter != nil {
		return nil
	}
	if _, err := vec.GetMetricWith(prometheus.Labels{"kind": string(tasks.UnblockPIN), "outcome": string(tasks.Succeeded)}); err == nil {
		o.counter = vec
	}
	return nil
}

// MustRegister registers all.
func (o *operationsTotal) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = o.Register(c) // It has no errors.
	}
}

// Unregister keeps everything.
func (o *operationsTotal) Unregister(prometheus.Collector) bool { return false }

// of is how many operations of a kind have succeeded.
func (o *operationsTotal) of(k tasks.Kind) int {
	var m dto.Metric
	if err := o.counter.WithLabelValues(string(k), string(tasks.Succeeded)).Write(&m); err != nil {
		return 0
	}
	return int(m.GetCounter().GetValue())
}
