package monitor

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
)

// DefaultAddr is where the monitor listens when nobody says otherwise: on this machine only.
const DefaultAddr = "127.0.0.1:8081"

// DefaultUser is the name to log in with when nobody says otherwise.
const DefaultUser = "admin"

// Config says what a [Server] shows, where, and to whom.
type Config struct {
	// Redis is the client through which the queues are read. It stays the caller's: the server neither
	// closes it nor needs it to itself. Required.
	Redis redis.UniversalClient

	// Addr is the TCP address to listen on, host:port. Empty means [DefaultAddr]; port 0 means any
	// free port. An address that other machines can reach needs a Password.
	Addr string

	// User is the name to log in with, without a colon or a control character. Empty means
	// [DefaultUser]. It is of no effect without a Password.
	User string

	// Password is what to log in with. Line ends after it are dropped, so that the content of a file
	// can be given as it is. Nil means that no login is asked for, which is possible on a loopback
	// address only; a password that is there but empty is an error.
	Password Secret

	// AllowActions permits what changes a queue: run, delete, archive, cancel, pause. False shows only.
	AllowActions bool

	// Log receives failed logins, actions and failures to serve. Nil means that nothing is logged.
	Log *logrus.Entry
}

// Secret is a byte string that never shows itself, however it is printed or marshalled.
type Secret []byte

const redacted = "[redacted]"

// Format writes a fixed word whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns a fixed word.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// withDefaults returns the configuration with every default filled in, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	if c.User == "" {
		c.User = DefaultUser
	}
	if c.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		c.Log = logrus.NewEntry(silent)
	}

	var problems []error
	if c.Redis == nil {
		problems = append(problems, errors.New("no Redis client was given"))
	}
	wrong := c.Check()
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		problems = append(problems, errors.New(name+" "+wrong[name]))
	}
	c.Password = trimmed(c.Password)
	if err := errors.Join(problems...); err != nil {
		return Config{}, fmt.Errorf("monitor: %w", err)
	}
	return c, nil
}

// Check returns what is wrong with Addr, User and Password, by the variable that each comes from. It is what New would
// refuse, for those who want to know without a Redis.
func (c Config) Check() map[string]string {
	wrong := map[string]string{}
	if strings.ContainsFunc(c.User, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) {
		wrong["MONITOR_USER"] = "has a colon or a control character, which a login cannot carry"
	}
	if c.Password != nil && len(trimmed(c.Password)) == 0 {
		wrong["MONITOR_PASSWORD_FILE"] = "is empty: write a password into it"
	}
	host, _, err := net.SplitHostPort(cmp.Or(c.Addr, DefaultAddr))
	switch {
	case err != nil:
		wrong["MONITOR_HTTP_ADDR"] = fmt.Sprintf("%q is not host:port", c.Addr)
	case c.Password == nil && !isLoopback(host):
		wrong["MONITOR_HTTP_ADDR"] = "can be reached from other machines and there is no password: " +
			"set MONITOR_PASSWORD_FILE, or listen on " + DefaultAddr
	}
	return wrong
}

// trimmed returns a password without the newline that editors put after it.
func trimmed(s Secret) Secret { return bytes.TrimRight(s, "\r\n") }

// isLoopback reports whether host can only mean this machine. A name other than localhost cannot be
// told without a resolver, whose answer may change, and counts as reachable.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
