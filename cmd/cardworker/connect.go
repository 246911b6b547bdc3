package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/telemetry"
)

// openRedis opens REDIS_URL without connecting.
func openRedis(s settings) (*redisconn.Conn, error) {
	conn, err := redisconn.Open(s.RedisURL, redisconn.Options{ClientName: "cardworker", Password: s.redisPassword.Reveal()})
	if err != nil {
		return nil, &exit{exitError, err}
	}
	return conn, nil
}

// checkTimeout bounds how long a server tries to reach Redis when it starts, and a command a sentinel.
const checkTimeout = 10 * time.Second

// checkRedis fails unless Redis can be used, and logs what is risky about it.
func checkRedis(ctx context.Context, conn *redisconn.Conn, log logrus.FieldLogger) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	warnings, err := conn.Check(ctx)
	if err != nil {
		return &exit{exitError, err}
	}
	for _, w := range warnings {
		log.Warnf("Redis setting %s", w)
	}
	if conn.Embedded {
		log.Warn("REDIS_URL is embedded: nobody else can reach this Redis, and it forgets everything when the process ends")
	}
	return nil
}

// warningsAge is how old the warnings of Redis may be. /readyz is asked every second by some, and INFO is long.
const warningsAge = 5 * time.Second

// redisWarnings says which settings of Redis are risky, and looks again once what it knows is as old as age: they
// can be changed while Redis runs. What is wrong with Redis otherwise is for others to say. The function is safe for
// concurrent use.
func redisWarnings(conn *redisconn.Conn, age time.Duration) func(context.Context) []string {
	var (
		mu    sync.Mutex
		known []string
		asOf  time.Time
	)
	return func(ctx context.Context) []string {
		mu.Lock()
		last, at := known, asOf
		mu.Unlock()
		now := time.Now()
		if !at.IsZero() && now.Sub(at) < age {
			return last
		}
		warnings, err := conn.Check(ctx)
		var out []string
		for _, w := range warnings {
			out = append(out, fmt.Sprintf("Redis setting %s", w))
		}
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			known, asOf = out, now
		}
		return out
	}
}

// producer is what the commands that ask for operations use.
type producer struct {
	*enqueue.Client
	conn        *redisconn.Conn
	stopTracing func()
}

func openProducer(ctx context.Context, p program) (*producer, error) {
	s, err := loadSettings(p.environ, partRedis, partTracing)
	if err != nil {
		return nil, err
	}
	conn, err := openRedis(s)
	if err != nil {
		return nil, err
	}
	if conn.Embedded {
		return nil, errors.Join(&exit{exitError, errors.New("REDIS_URL is embedded, which lives inside of one process; use cardworker demo --serve and the REDIS_URL that it prints")}, conn.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := conn.CheckSentinels(ctx); err != nil {
		return nil, errors.Join(&exit{exitError, fmt.Errorf("%w: %w", enqueue.ErrQueueUnavailable, err)}, conn.Close())
	}
	client, err := enqueue.New(conn.Client, s.enqueueConfig())
	if err != nil {
		return nil, errors.Join(&exit{exitError, err}, conn.Close())
	}
	stopTracing, err := startTracing(ctx, s, func(text string) {
		_, _ = fmt.Fprintln(p.stderr, "cardworker: "+text) // Nothing is left to tell it to.
	})
	if err != nil {
		return nil, errors.Join(err, client.Close(), conn.Close())
	}
	return &producer{client, conn, stopTracing}, nil
}

func (p *producer) Close() error {
	p.stopTracing()
	return errors.Join(p.Client.Close(), p.conn.Close())
}

// startTracing sends spans to a collector if the environment asks for it. stop delivers the last ones.
func startTracing(ctx context.Context, s settings, warn func(text string)) (stop func(), err error) {
	if !s.tracing {
		return func() {}, nil
	}
	stop, err = telemetry.StartTracing(context.WithoutCancel(ctx), buildVersion(), warn)
	if err != nil {
		return nil, &exit{exitError, fmt.Errorf("OTEL_… settings: %w", err)}
	}
	return stop, nil
}

// explain makes an error of Redis, in what was done under ctx, one that says what to do.
func (p *producer) explain(ctx context.Context, err error) error {
	if errors.Is(err, enqueue.ErrNotDurable) {
		return fmt.Errorf("%w: ACCEPT_DURABILITY: %w", enqueue.ErrQueueUnavailable, cause(err))
	}
	if errors.Is(err, enqueue.ErrQueueUnavailable) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", enqueue.ErrQueueUnavailable, p.conn.Explain(ctx, cause(err)))
	}
	return err
}

// cause returns what is behind ErrQueueUnavailable.
func cause(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if errors.Is(e, enqueue.ErrQueueUnavailable) && e != enqueue.ErrQueueUnavailable { //nolint:errorlint // The sentinel itself is meant.
				return cause(e)
			}
		}
		for _, e := range many.Unwrap() {
			if !errors.Is(e, enqueue.ErrQueueUnavailable) {
				return e
			}
		}
	}
	return err
}
