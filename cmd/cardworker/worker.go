package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/telemetry"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/worker"
)

// httpStopTimeout bounds how long the health server lets an answer end.
const httpStopTimeout = 2 * time.Second

func newWorker(p program) *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Run tasks until SIGTERM or SIGINT",
		Long: `Runs tasks until SIGTERM or SIGINT, then lets those that run end, for up to
WORKER_SHUTDOWN_TIMEOUT. A second signal stops it at once. Several workers share the
work of one Redis. Everything is set in the environment:

  REDIS_URL                  where the work is (redis://127.0.0.1:6379/0)
  REDIS_PASSWORD_FILE        optional: the password of its user, instead of in the URL
  PAYBLR_BASE_URL            the API, such as https://gateway.example
  PAYBLR_TOKEN_URL           its OAuth 2.0 token endpoint
  PAYBLR_CLIENT_ID           the client credentials; the secret may be in
  PAYBLR_CLIENT_SECRET       PAYBLR_CLIENT_SECRET_FILE instead
  PAYBLR_SCOPE
  PAYBLR_SUBSCRIPTION_KEY    optional; or PAYBLR_SUBSCRIPTION_KEY_FILE
  PAYBLR_TIMEOUT             one HTTP call, body included (10s)
  PAYBLR_RATE_LIMIT          calls per second over all workers together, 0 = no limit (0)
  WORKER_CONCURRENCY         tasks in flight (256)
  WORKER_SHUTDOWN_TIMEOUT    (25s)
  WORKER_HTTP_ADDR           /livez, /readyz, /metrics; off = none (127.0.0.1:9464)
  UNBLOCK_LIMIT, UNBLOCK_EXPIRY, REFRESH_EXPIRY, RESULT_TTL
                             as the producers have them (5, 5m, 2m, 24h)
  ACCEPT_DURABILITY          of producers, those of this binary included: what they wait
                             for; memory, disk or replica (memory)
  LOG_LEVEL, LOG_FORMAT      (info; text on a terminal, else json)
  OTEL_EXPORTER_OTLP_ENDPOINT
                             where traces go, and the other standard variables of
                             OpenTelemetry; not set = no tracing`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWorker(cmd.Context(), p) },
	}
}

func runWorker(ctx context.Context, p program) (err error) {
	s, err := loadSettings(p.environ, partRedis, partPayblr, partWorker, partTracing)
	if err != nil {
		return err
	}
	log, err := s.logger(p)
	if err != nil {
		return &exit{exitError, err}
	}
	setCollector(p.environ, s.WorkerConcurrency)
	conn, err := openRedis(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stopTracing, err := startTracing(ctx, s, func(text string) { log.Warn(text) })
	if err != nil {
		return err
	}
	defer stopTracing() // After the drain, whose spans it delivers.
	if err := checkRedis(ctx, conn, log); err != nil {
		return err
	}

	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := worker.NewMetrics(reg)
	cfg := s.payblrConfig()
	// A call must not wait for a connection: that would count against its timeout.
	cfg.MaxConnsPerHost = max(payblr.DefaultMaxConnsPerHost, s.WorkerConcurrency)
	g := newGate(s, conn, log)
	defer func() { err = errors.Join(err, g.Close()) }()
	cfg.Gate = func(ctx context.Context, _ payblr.CallName) error { return g.Wait(ctx) }
	cfg.Observe = func(c payblr.Call) {
		metrics.ObserveCall(c)
		if s.PayblrRateLimit == 0 {
			// Without a rate the fleet shares none, and a Retry-After is for the operation that got it:
			// one stray 429 must not stop everybody.
			c.RetryAfter = 0
		}
		tell(g, c)
	}
	api, err := payblr.New(cfg)
	if err != nil {
		return &exit{exitError, fmt.Errorf("PAYBLR_… settings: %w", err)}
	}
	defer api.Close()
	w, err := worker.New(worker.Config{
		Connect: conn.New, API: api,
		Concurrency: s.WorkerConcurrency, ShutdownTimeout: s.WorkerShutdownTimeout,
		UnblockLimit: s.unblockLimit(), UnblockExpiry: s.UnblockExpiry, RefreshExpiry: s.RefreshExpiry, ResultTTL: s.ResultTTL,
		Log: log, Metrics: metrics,
	})
	if err != nil {
		return &exit{exitError, err}
	}
	stopHTTP, err := serveHealth(s, reg, telemetry.Health{Ready: w.Ready, Warnings: redisWarnings(conn, warningsAge)}, log)
	if err != nil {
		return errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
	}
	defer stopHTTP()
	var checks sync.WaitGroup
	defer checks.Wait()
	checks.Go(func() { warnWithoutToken(ctx, api, log) })
	if err := w.Run(ctx); err != nil {
		return &exit{exitError, conn.Explain(ctx, err)}
	}
	return nil
}

// gcPercent lets the heap grow to five times what is in use before garbage is collected. A busy worker has a
// few megabytes in use and makes hundreds a second that are garbage soon; Go's own 100 costs it a tenth of its
// time.
const gcPercent = 400

// memoryLimit returns from how many bytes on garbage is collected more often than that, for a worker of so many places:
// five times a few huge payloads that somebody has put into a queue are more than a small container has. In use is
// much less, or collecting would take all the time.
func memoryLimit(places int) int64 { return 160<<20 + int64(places)*64<<10 }

// setCollector sets the garbage collector, as far as the operator has not.
func setCollector(environ []string, places int) {
	setGCPercent(environ)
	if env.ToMap(environ)["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(memoryLimit(places))
	}
}

// setGCPercent sets how far the heap may grow, unless the operator has.
func setGCPercent(environ []string) {
	if env.ToMap(environ)["GOGC"] == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// warnWithoutToken says at the start what the first cardholder would find out otherwise. It is no reason
// to end: credentials can be mended while the worker runs, and other workers may have good ones.
func warnWithoutToken(ctx context.Context, api *payblr.Client, log logrus.FieldLogger) {
	if err := api.CheckToken(ctx); err != nil && ctx.Err() == nil {
		log.Warnf("no access token: %v; calls fail until this is mended, and /readyz says so", err)
	}
}

// newGate returns what the API client asks before each call: the fleet's rate, holds and circuit breaker.
func newGate(s settings, conn *redisconn.Conn, log logrus.FieldLogger) *gate.Gate {
	return gate.New(conn.New("gate"), gate.Config{
		Rate: s.PayblrRateLimit,
		// Whoever probes may wait for a token and then for the answer.
		ProbeTimeout: 2*s.PayblrTimeout + time.Second,
		Warn:         func(format string, args ...any) { log.Warnf(format, args...) },
	})
}

// tell lets the gate know what came of a call. The token endpoint is another server: what it does is no reason
// to leave the API alone.
func tell(g *gate.Gate, c payblr.Call) {
	if c.Name != payblr.CallToken {
		g.Observe(outcomeOf(c))
	}
}

// outcomeOf is what a call says of the API. A refusal is an answer of an API that works; a call that was given up
// here, before or after it left, or turned away for want of a quota, says nothing.
func outcomeOf(c payblr.Call) gate.Outcome {
	o := gate.Outcome{Result: gate.Worked, Took: c.Duration, RetryAfter: c.RetryAfter}
	switch {
	case c.Class == payblr.ClassThrottled, c.Class == payblr.ClassNotSent, c.Reason == payblr.ReasonCancelled,
		c.Reason == payblr.ReasonDeadlineExceeded:
		o.Result = gate.Unclear
	case c.Class == payblr.ClassUnavailable:
		o.Result = gate.Failed
	}
	return o
}

func serveHealth(s settings, reg prometheus.Gatherer, health telemetry.Health, log logrus.FieldLogger) (stop func(), err error) {
	if s.WorkerHTTPAddr == "off" {
		return func() {}, nil
	}
	srv, err := telemetry.NewServer(s.WorkerHTTPAddr, reg, health, log)
	if err != nil {
		return nil, &exit{exitError, fmt.Errorf("WORKER_HTTP_ADDR: %w; set another address, or off", err)}
	}
	srv.Start()
	log.WithField("addr", srv.Addr()).Info("health and metrics are served")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpStopTimeout)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			log.Warnf("stop the health server: %v", err)
		}
	}, nil
}
