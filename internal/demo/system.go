package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/monitor"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/worker"
)

const (
	freePort = "127.0.0.1:0"
	// drainTime is how long running tasks may go on when the demo stops: a call to the sandbox rarely
	// takes longer, and whoever pressed Ctrl-C waits for it.
	drainTime = 3 * time.Second
	// stopTime bounds the stopping of all parts together.
	stopTime = 10 * time.Second
)

// system is everything that cardworker consists of, in this process.
type system struct {
	log     *gate
	redis   *redisconn.Conn
	api     *sandbox.Sandbox
	backend *enqueue.Client
	monitor *monitor.Server // nil unless the demo serves
	arrived arrivals

	stops []stopper // of the parts that run, in the order they were started
}

type stopper struct {
	part string
	stop func(context.Context) error
}

// start starts the parts, those first that others need. When one fails, those before it are stopped.
func start(ctx context.Context, cfg Config) (*system, error) {
	s := &system{log: newGate(cfg.Log), arrived: arrivals{expected: map[string]chan struct{}{}}}
	for _, part := range []struct {
		name  string
		start func(context.Context, Config) error
	}{
		{"Redis", s.startRedis},
		{"the sandbox", s.startSandbox},
		{"the worker", s.startWorker},
		{"the monitor", s.startMonitor},
		{"the backend's client", s.startBackend},
	} {
		if err := part.start(ctx, cfg); err != nil {
			return nil, errors.Join(fmt.Errorf("demo: start %s: %w", part.name, err), s.stop(ctx))
		}
	}
	return s, nil
}

// stop stops the parts in the reverse order, also after ctx has ended, within stopTime.
func (s *system) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	var errs []error
	for _, part := range slices.Backward(s.stops) {
		if err := part.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("demo: stop %s: %w", part.part, err))
		}
	}
	s.stops = nil
	return errors.Join(errs...)
}

func (s *system) started(part string, stop func(context.Context) error) {
	s.stops = append(s.stops, stopper{part, stop})
}

// listen starts a part at the address that was given, or else at the preferred one, or else at a free
// port. The preferred address may be taken, among others by another demo.
func listen(given, preferred string, start func(addr string) error) error {
	if given != "" {
		return start(given)
	}
	if preferred != "" && start(preferred) == nil {
		return nil
	}
	return start(freePort)
}

// prefer returns the default address of a part in a demo that serves. Without that nobody needs to know
// the address, and none should be in anybody's way.
func prefer(cfg Config, addr string) string {
	if cfg.Serve {
		return addr
	}
	return ""
}

func (s *system) startRedis(ctx context.Context, cfg Config) error {
	err := listen(cfg.RedisAddr, prefer(cfg, DefaultRedisAddr), func(addr string) (err error) {
		s.redis, err = redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{
			ClientName: "cardworker-demo", EmbeddedAddr: addr,
		})
		return err
	})
	if err != nil {
		return err
	}
	s.started("Redis", func(context.Context) error { return s.redis.Close() })
	_, err = s.redis.Check(ctx)
	return err
}

func (s *system) startSandbox(ctx context.Context, cfg Config) error {
	err := listen(cfg.SandboxAddr, prefer(cfg, DefaultSandboxAddr), func(addr string) (err error) {
		log := s.log.WithField("component", "sandbox")
		s.api, err = sandbox.New(sandbox.Config{
			Addr: addr, Observe: s.arrived.observe, Log: func(line string) { log.Info(line) },
		})
		if err != nil {
			return err
		}
		return s.api.Start(ctx)
	})
	if err == nil {
		s.started("the sandbox", s.api.Stop)
	}
	return err
}

// startWorker starts the worker and its client of the API, which then has an access token, so that the
// scenes show calls for cards alone.
func (s *system) startWorker(ctx context.Context, _ Config) error {
	client, err := payblr.New(payblr.Config{
		BaseURL:      s.api.URL(),
		TokenURL:     s.api.TokenURL(),
		ClientID:     sandbox.DefaultClientID,
		ClientSecret: payblr.NewSecret(sandbox.DefaultClientSecret),
		Scope:        sandbox.DefaultScope,
	})
	if err != nil {
		return err
	}
	s.started("the API client", func(context.Context) error { client.Close(); return nil })
	w, err := worker.New(worker.Config{
		Connect:         func(role string) redis.UniversalClient { return s.redis.New(role) },
		API:             client,
		ShutdownTimeout: drainTime,
		Log:             s.log.WithField("component", "worker"),
	})
	if err != nil {
		return err
	}
	s.started("the worker", w.Stop)
	if err := w.Start(ctx); err != nil {
		return err
	}
	return w.Ready(ctx)
}

func (s *system) startMonitor(ctx context.Context, cfg Config) error {
	if !cfg.Serve {
		return nil
	}
	err := listen(cfg.MonitorAddr, DefaultMonitorAddr, func(addr string) (err error) {
		s.monitor, err = monitor.New(monitor.Config{
			Redis: s.redis.Client, Addr: addr, Log: s.log.WithField("component", "monitor"),
		})
		if err != nil {
			return err
		}
		return s.monitor.Start(ctx)
	})
	if err == nil {
		s.started("the monitor", s.monitor.Stop)
	}
	return err
}

func (s *system) startBackend(context.Context, Config) (err error) {
	s.backend, err = enqueue.New(s.redis.Client, enqueue.Config{})
	if err == nil {
		s.started("the backend's client", func(context.Context) error { return s.backend.Close() })
	}
	return err
}

// arrivals tells when the API is first asked about a card.
type arrivals struct {
	mu       sync.Mutex
	expected map[string]chan struct{} // by public token
}

// expect returns a channel that is closed at the next call for the card.
func (a *arrivals) expect(token string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{})
	a.expected[token] = c
	return c
}

func (a *arrivals) observe(e sandbox.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.expected[e.PublicToken]; ok {
		close(c)
		delete(a.expected, e.PublicToken)
	}
}
