package main

import (
	"errors"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/monitor"
	"github.com/cardworker/cardworker/internal/telemetry"
	"github.com/cardworker/cardworker/payblr"
)

// settings is the environment. Every command checks the numbers and durations, and the rest of the parts
// that it uses. A variable that is set but empty counts as not set.
type settings struct {
	RedisURL          string        `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0"`
	RedisPasswordFile string        `env:"REDIS_PASSWORD_FILE"`
	redisPassword     payblr.Secret // what the file holds

	PayblrBaseURL             string        `env:"PAYBLR_BASE_URL"`
	PayblrTokenURL            string        `env:"PAYBLR_TOKEN_URL"`
	PayblrClientID            string        `env:"PAYBLR_CLIENT_ID"`
	PayblrClientSecret        payblr.Secret `env:"PAYBLR_CLIENT_SECRET"`
	PayblrClientSecretFile    string        `env:"PAYBLR_CLIENT_SECRET_FILE"`
	PayblrScope               string        `env:"PAYBLR_SCOPE"`
	PayblrSubscriptionKey     payblr.Secret `env:"PAYBLR_SUBSCRIPTION_KEY"`
	PayblrSubscriptionKeyFile string        `env:"PAYBLR_SUBSCRIPTION_KEY_FILE"`
	PayblrTimeout             time.Duration `env:"PAYBLR_TIMEOUT" envDefault:"10s"`
	PayblrRateLimit           float64       `env:"PAYBLR_RATE_LIMIT" envDefault:"0"`

	WorkerConcurrency     int           `env:"WORKER_CONCURRENCY" envDefault:"256"`
	WorkerShutdownTimeout time.Duration `env:"WORKER_SHUTDOWN_TIMEOUT" envDefault:"25s"`
	WorkerHTTPAddr        string        `env:"WORKER_HTTP_ADDR" envDefault:"127.0.0.1:9464"`

	UnblockLimit  int           `env:"UNBLOCK_LIMIT" envDefault:"5"`
	UnblockExpiry time.Duration `env:"UNBLOCK_EXPIRY" envDefault:"5m"`
	RefreshExpiry time.Duration `env:"REFRESH_EXPIRY" envDefault:"2m"`
	ResultTTL     time.Duration `env:"RESULT_TTL" envDefault:"24h"`

	AcceptDurability enqueue.Durability `env:"ACCEPT_DURABILITY" envDefault:"memory"`

	MonitorHTTPAddr     string         `env:"MONITOR_HTTP_ADDR" envDefault:"127.0.0.1:8081"`
	MonitorUser         string         `env:"MONITOR_USER" envDefault:"admin"`
	MonitorPasswordFile string         `env:"MONITOR_PASSWORD_FILE"`
	monitorPassword     monitor.Secret // what the file holds

	LogLevel  string `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string `env:"LOG_FORMAT"`

	tracing bool // the OTEL_… variables ask for it
}

// part is a part of the settings that a command uses.
type part int

const (
	partRedis part = iota
	partPayblr
	partWorker
	partMonitor
	partTracing
)

// loadSettings reads the environment. The error names every variable that is wrong, with what is allowed,
// and repeats no value.
func loadSettings(environ []string, parts ...part) (settings, error) {
	s, bad := readSettings(environ, parts...)
	return s, bad.err()
}

// readSettings is loadSettings with what is wrong by variable.
func readSettings(environ []string, parts ...part) (settings, problems) {
	set := env.ToMap(environ)
	for k, v := range set {
		if v == "" {
			delete(set, k)
		}
	}
	var s settings
	c := checker{bad: problems{}}
	c.unparsed = unparsed(env.ParseWithOptions(&s, env.Options{Environment: set}))
	c.common(s)
	for _, p := range parts {
		switch p {
		case partRedis:
			s = c.redis(s)
		case partPayblr:
			s = c.payblr(s)
		case partWorker:
			c.address("WORKER_HTTP_ADDR", s.WorkerHTTPAddr, ", or off")
		case partMonitor:
			s = c.monitor(s)
		case partTracing:
			s = c.tracing(s, set)
		}
	}
	for name := range c.unparsed {
		c.fail(name, "cannot be read")
	}
	return s, c.bad
}

// unparsed returns the variables that could not be parsed. What they should look like is for the check of
// their bounds to say.
func unparsed(err error) map[string]bool {
	names := map[string]bool{}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return names
	}
	for _, err := range all.Errors {
		var pe env.ParseError
		if errors.As(err, &pe) {
			field, _ := reflect.TypeFor[settings]().FieldByName(pe.Name)
			names[field.Tag.Get("env")] = true
		}
	}
	return names
}

// payblrConfig returns the API client's part.
func (s settings) payblrConfig() payblr.Config {
	return payblr.Config{
		BaseURL: s.PayblrBaseURL, TokenURL: s.PayblrTokenURL, ClientID: s.PayblrClientID,
		ClientSecret: s.PayblrClientSecret, Scope: s.PayblrScope, SubscriptionKey: s.PayblrSubscriptionKey,
		Timeout: s.PayblrTimeout, UserAgent: "cardworker/" + buildVersion(),
	}
}

// enqueueConfig returns the producer's part.
func (s settings) enqueueConfig() enqueue.Config {
	return enqueue.Config{
		UnblockLimit: s.unblockLimit(), UnblockExpiry: s.UnblockExpiry, RefreshExpiry: s.RefreshExpiry, ResultTTL: s.ResultTTL,
		Durability: s.AcceptDurability,
	}
}

// monitorConfig returns what the environment says of the console.
func (s settings) monitorConfig() monitor.Config {
	return monitor.Config{Addr: s.MonitorHTTPAddr, User: s.MonitorUser, Password: s.monitorPassword}
}

// unblockLimit returns the limit as the packages want it, to whom zero means the default.
func (s settings) unblockLimit() int {
	if s.UnblockLimit == 0 {
		return -1
	}
	return s.UnblockLimit
}

// logger returns the log of a long-running command.
func (s settings) logger(p program) (*logrus.Logger, error) {
	format := s.LogFormat
	if format == "" {
		format = "json"
		if isTerminal(p.stderr) {
			format = "text"
		}
	}
	return telemetry.NewLog(p.stderr, format, s.LogLevel)
}
