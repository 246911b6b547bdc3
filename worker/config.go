package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// API is what the worker needs of the card processor. *[payblr.Client] is one.
//
// An error that wraps a *[payblr.Error] says by its class what to do; any other is taken for an API that
// cannot be used, whose outcome is unknown. The texts of its errors are logged and stored with tasks, so
// they must be fit to print.
type API interface {
	PINStatus(ctx context.Context, publicToken string) (payblr.Status, error)
	CVVStatus(ctx context.Context, publicToken string) (payblr.Status, error)
	UnblockPIN(ctx context.Context, publicToken string, note payblr.Note) error
	UnblockCVV(ctx context.Context, publicToken string, note payblr.Note) error
	// CheckToken returns nil when calls could be made: an access token is there or was obtained.
	CheckToken(ctx context.Context) error
}

var _ API = (*payblr.Client)(nil)

// Config says how a worker works. Connect and API are required; the zero value of any other field means
// its default.
type Config struct {
	// Connect returns a new client of the Redis that the work is in, named for a role. The worker uses
	// several, so that they do not wait for each other's connections, and closes them.
	Connect func(role string) redis.UniversalClient
	// API is called for the cards. It is the caller's to close, after the worker has stopped.
	API API

	// Concurrency is how many tasks are in flight at once, at least 1. They wait on the network, so it
	// may be far above the number of processors. Refreshes take seven eighths of it at most, or half of up to
	// 32, so that unblocks and confirmations do not wait for them. Zero means 256.
	Concurrency int
	// ShutdownTimeout is how long [Worker.Stop] lets running tasks end before they are handed back.
	// Zero means 25 seconds.
	ShutdownTimeout time.Duration
	// RecoveryInterval is how often the worker looks for operations that need help. Zero means 700 ms.
	RecoveryInterval time.Duration
	// Lease is how long a worker's right to act lasts unless it is extended, which happens three times
	// in that time. It bounds how soon the work of a killed worker goes on. At least 300 ms; zero means
	// 3 seconds.
	Lease time.Duration

	// UnblockLimit, UnblockExpiry, RefreshExpiry and ResultTTL are those of the producers; see
	// enqueue.Config. Here the first three hold for self-contained tasks.
	UnblockLimit  int
	UnblockExpiry time.Duration
	RefreshExpiry time.Duration
	ResultTTL     time.Duration

	// Log takes one line for each outcome. Nil means none.
	Log logrus.FieldLogger
	// Metrics counts. Nil means a set that nobody reads.
	Metrics *Metrics
	// Random returns a number in [0,1) for the jitter of retries. Nil means math/rand.
	Random func() float64
}

// Defaults of [Config].
const (
	DefaultConcurrency      = 256
	DefaultShutdownTimeout  = 25 * time.Second
	DefaultRecoveryInterval = 700 * time.Millisecond
)

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	def(&c.ShutdownTimeout, DefaultShutdownTimeout)
	def(&c.RecoveryInterval, DefaultRecoveryInterval)
	def(&c.Lease, defaultLease)
	def(&c.UnblockExpiry, tasks.DefaultUnblockExpiry)
	def(&c.RefreshExpiry, tasks.DefaultRefreshExpiry)
	if c.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		c.Log = silent
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if c.Random == nil {
		c.Random = defaultRandom
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Connect == nil {
		errs = append(errs, errors.New("Connect is missing"))
	}
	if c.API == nil {
		errs = append(errs, errors.New("API is missing"))
	}
	if c.Concurrency < 1 {
		errs = append(errs, fmt.Errorf("Concurrency is %d, it must be at least 1", c.Concurrency))
	}
	if c.Lease < minLease {
		errs = append(errs, fmt.Errorf("Lease is %s, it must be at least %s", c.Lease, minLease))
	}
	if c.ResultTTL != 0 && c.ResultTTL < time.Second {
		errs = append(errs, fmt.Errorf("ResultTTL is %s, it must be at least 1s", c.ResultTTL))
	}
	for _, e := range []struct {
		name  string
		value time.Duration
	}{{"UnblockExpiry", c.UnblockExpiry}, {"RefreshExpiry", c.RefreshExpiry}} {
		if e.value < tasks.MinExpiry || e.value > tasks.MaxExpiry {
			errs = append(errs, fmt.Errorf("%s is %s, it must lie between %s and %s", e.name, e.value, tasks.MinExpiry, tasks.MaxExpiry))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ShutdownTimeout", c.ShutdownTimeout},
		{"RecoveryInterval", c.RecoveryInterval},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %s, it must be positive", d.name, d.value))
		}
	}
	return errors.Join(errs...)
}

func (c Config) expiry(k tasks.Kind) time.Duration {
	if k.Unblocks() {
		return c.UnblockExpiry
	}
	return c.RefreshExpiry
}
