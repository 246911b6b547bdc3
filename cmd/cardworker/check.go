package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/monitor"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/telemetry"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// Bounds of the environment.
const (
	minPayblrTimeout   = 100 * time.Millisecond
	maxPayblrTimeout   = time.Minute
	minRateLimit       = 0.01
	maxRateLimit       = 100_000
	minConcurrency     = 1
	maxConcurrency     = 10_000
	minShutdownTimeout = time.Second
	maxShutdownTimeout = 10 * time.Minute
	maxUnblockLimit    = 1000
	minResultTTL       = time.Second
	maxResultTTL       = 30 * 24 * time.Hour
)

// checker collects what is wrong with the settings, by variable.
type checker struct {
	unparsed map[string]bool
	bad      problems
}

// problems is what is wrong with the settings, by variable: "must be …" or "is …", without its value.
type problems map[string]string

// fail notes a problem. The first one of a variable stays.
func (c checker) fail(name, format string, args ...any) {
	if _, ok := c.bad[name]; !ok {
		c.bad[name] = fmt.Sprintf(format, args...)
	}
}

// lines are sentences, by variable.
func (p problems) lines() []string {
	var lines []string
	for _, name := range sortedKeys(p) {
		lines = append(lines, name+" "+p[name])
	}
	return lines
}

// concern reports whether one of the variables whose names begin so is wrong.
func (p problems) concern(prefix string) bool {
	for name := range p {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func (p problems) err() error {
	lines := p.lines()
	if len(lines) == 0 {
		return nil
	}
	if len(lines) == 1 {
		return &exit{exitError, errors.New(lines[0])}
	}
	return &exit{exitError, errors.New("these variables are wrong:\n  " + strings.Join(lines, "\n  "))}
}

func (c checker) duration(name string, d, low, high time.Duration) {
	if c.unparsed[name] || d < low || d > high {
		c.fail(name, "must be a duration between %s and %s", short(low), short(high))
	}
}

func (c checker) common(s settings) {
	if c.unparsed["UNBLOCK_LIMIT"] || s.UnblockLimit < 0 || s.UnblockLimit > maxUnblockLimit {
		c.fail("UNBLOCK_LIMIT", "must be a whole number between 0 (no limit) and %d", maxUnblockLimit)
	}
	if c.unparsed["WORKER_CONCURRENCY"] || s.WorkerConcurrency < minConcurrency || s.WorkerConcurrency > maxConcurrency {
		c.fail("WORKER_CONCURRENCY", "must be a whole number between %d and %d", minConcurrency, maxConcurrency)
	}
	// NaN fails both comparisons, and is refused.
	if r := s.PayblrRateLimit; c.unparsed["PAYBLR_RATE_LIMIT"] || r != 0 && !(r >= minRateLimit && r <= maxRateLimit) {
		c.fail("PAYBLR_RATE_LIMIT", "must be 0 (no limit) or a number of calls per second between %g and %d", minRateLimit, maxRateLimit)
	}
	c.duration("PAYBLR_TIMEOUT", s.PayblrTimeout, minPayblrTimeout, maxPayblrTimeout)
	c.duration("WORKER_SHUTDOWN_TIMEOUT", s.WorkerShutdownTimeout, minShutdownTimeout, maxShutdownTimeout)
	c.duration("UNBLOCK_EXPIRY", s.UnblockExpiry, tasks.MinExpiry, tasks.MaxExpiry)
	c.duration("REFRESH_EXPIRY", s.RefreshExpiry, tasks.MinExpiry, tasks.MaxExpiry)
	c.duration("RESULT_TTL", s.ResultTTL, minResultTTL, maxResultTTL)
	if !slices.Contains(enqueue.Durabilities(), s.AcceptDurability) {
		c.fail("ACCEPT_DURABILITY", "must be memory, disk or replica")
	}
	if _, err := logrus.ParseLevel(s.LogLevel); err != nil {
		c.fail("LOG_LEVEL", "must be debug, info, warn or error")
	}
	if s.LogFormat != "" && s.LogFormat != "text" && s.LogFormat != "json" {
		c.fail("LOG_FORMAT", "must be text or json")
	}
}

// redis reads the password and checks REDIS_URL without connecting.
func (c checker) redis(s settings) settings {
	if s.RedisPasswordFile != "" {
		b, err := readSecret(s.RedisPasswordFile)
		if err != nil {
			c.fail("REDIS_PASSWORD_FILE", "names a file that cannot be used: %v", err)
			return s
		}
		s.redisPassword = payblr.NewSecret(string(b))
	}
	if s.RedisURL == redisconn.EmbeddedURL {
		if s.RedisPasswordFile != "" {
			c.fail("REDIS_PASSWORD_FILE", "is set, and the embedded Redis has no password: unset it")
		}
		return s
	}
	conn, err := redisconn.Open(s.RedisURL, redisconn.Options{Password: s.redisPassword.Reveal()})
	if err == nil {
		err = conn.Close()
	}
	if err != nil {
		c.fail("REDIS_URL", "%s", strings.TrimPrefix(err.Error(), "REDIS_URL "))
	}
	return s
}

func (c checker) address(name, addr, orElse string) {
	if addr == "off" && orElse != "" {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > math.MaxUint16 {
		c.fail(name, "must be host:port with a port between 0 (any) and %d%s", math.MaxUint16, orElse)
	}
}

// clientVariables are the variables behind the fields of [payblr.Config].
var clientVariables = map[string]string{
	"BaseURL": "PAYBLR_BASE_URL", "TokenURL": "PAYBLR_TOKEN_URL", "ClientID": "PAYBLR_CLIENT_ID",
	"ClientSecret": "PAYBLR_CLIENT_SECRET", "Scope": "PAYBLR_SCOPE", "SubscriptionKey": "PAYBLR_SUBSCRIPTION_KEY",
}

func (c checker) payblr(s settings) settings {
	for _, v := range []struct{ name, value, what string }{
		{"PAYBLR_BASE_URL", s.PayblrBaseURL, "the address of the API, such as https://gateway.example"},
		{"PAYBLR_TOKEN_URL", s.PayblrTokenURL, "the OAuth 2.0 token endpoint that Payblr names for each environment"},
		{"PAYBLR_CLIENT_ID", s.PayblrClientID, "given by Payblr for each environment"},
	} {
		if v.value == "" {
			c.fail(v.name, "is not set; it is %s", v.what)
		}
	}
	s.PayblrClientSecret = c.secret("PAYBLR_CLIENT_SECRET", s.PayblrClientSecret, s.PayblrClientSecretFile)
	s.PayblrSubscriptionKey = c.secret("PAYBLR_SUBSCRIPTION_KEY", s.PayblrSubscriptionKey, s.PayblrSubscriptionKeyFile)
	if s.PayblrClientSecret.IsZero() && s.PayblrClientSecretFile == "" {
		c.fail("PAYBLR_CLIENT_SECRET", "is not set; set it, or PAYBLR_CLIENT_SECRET_FILE")
	}
	// The client knows best what it can work with. It makes no connection yet.
	client, err := payblr.New(s.payblrConfig())
	if err == nil {
		client.Close()
		return s
	}
	problems := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		problems = many.Unwrap()
	}
	for _, problem := range problems {
		field, why, _ := strings.Cut(strings.TrimPrefix(problem.Error(), "payblr: "), " ")
		name, ok := clientVariables[field]
		switch {
		case !ok:
			// The rest is bounded above, more tightly.
		case field == "ClientSecret" && s.PayblrClientSecretFile != "", field == "SubscriptionKey" && s.PayblrSubscriptionKeyFile != "":
			c.fail(name+"_FILE", "names a file whose content %s", why)
		default:
			c.fail(name, "%s", why)
		}
	}
	return s
}

// secret returns a secret that is given in a variable or in a file.
func (c checker) secret(name string, value payblr.Secret, file string) payblr.Secret {
	switch {
	case file == "":
		return value
	case value.Reveal() != "":
		c.fail(name, "and %s_FILE are both set; set one", name)
		return value
	}
	b, err := readSecret(file)
	if err != nil {
		c.fail(name+"_FILE", "names a file that cannot be used: %v", err)
	}
	return payblr.NewSecret(string(b))
}

// readSecret reads a secret from a file, without the newline that editors put after it. The error does
// not name the file: where its name should be, somebody may have put the secret itself.
func readSecret(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, withoutPath(err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, errors.New("it is empty")
	}
	return b, nil
}

// withoutPath is an error of a file that does not name it.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func (c checker) monitor(s settings) settings {
	c.address("MONITOR_HTTP_ADDR", s.MonitorHTTPAddr, "")
	if s.MonitorPasswordFile != "" {
		b, err := readSecret(s.MonitorPasswordFile)
		if err != nil {
			c.fail("MONITOR_PASSWORD_FILE", "names a file that cannot be used: %v", err)
		}
		s.monitorPassword = append(monitor.Secret{}, b...) // Not nil: it was asked for.
	}
	for name, why := range s.monitorConfig().Check() {
		c.fail(name, "%s", why)
	}
	return s
}

// tracing checks the variables of OpenTelemetry, which are not ours to list as settings.
func (c checker) tracing(s settings, environ map[string]string) settings {
	on, problems := telemetry.CheckTracing(environ)
	for name, why := range problems {
		c.fail(name, "%s", why)
	}
	s.tracing = on
	return s
}
