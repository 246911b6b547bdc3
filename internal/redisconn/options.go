package redisconn

import (
	"cmp"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The defaults of Options. go-redis waits 5 s for a dial and for a reply; an unblock has a person
// waiting at the other end.
const (
	// DefaultDialTimeout: a host that has not completed a handshake in 2 s is down or unreachable,
	// and a shorter wait leaves time for another attempt or another sentinel.
	DefaultDialTimeout = 2 * time.Second

	// DefaultReadTimeout: the slowest thing asked of Redis is a script of some milliseconds. 3 s covers
	// a fork, a slow fsync or a failover without giving up a reply that is still coming.
	DefaultReadTimeout = 3 * time.Second

	// DefaultWriteTimeout is the same for the request.
	DefaultWriteTimeout = 3 * time.Second

	// DefaultMaxRetries: together with the backoff of go-redis (10 ms to 1 s) and the attempts to dial, a
	// restart of Redis that takes about a second is not seen by the caller. go-redis also repeats a
	// command whose reply was lost, so whatever is sent has to be safe to send twice: it does
	// the same as once, or, when it takes a task, what a worker does that dies with the first.
	DefaultMaxRetries = 3

	// dialAttempts, 100 ms apart, happen for every one of the retries. go-redis makes five, which for
	// a host that swallows packets would add up to 40 s for a caller without a deadline.
	dialAttempts = 3
)

// Options are the settings that a program chooses. The same setting in the query of the URL wins:
// what the operator wrote is the last word.
type Options struct {
	// ClientName shows up in CLIENT LIST, with the role appended for the clients of Conn.New. Letters,
	// digits and punctuation, no spaces; "" sets no name.
	ClientName string

	// Password is the password of the user in the URL, or of the default user, where it is kept apart from the
	// URL. "" means that the URL has it, or that there is none; both are an error.
	Password string

	// PoolSize is the number of connections that one client keeps to one server; a busier moment waits
	// for a free one. 0 means 10 per CPU, 5 per CPU and node for a cluster.
	PoolSize int

	// DialTimeout, ReadTimeout and WriteTimeout bound one network step each; a nearer deadline of the
	// context wins. 0 means the default above, -1 no limit.
	DialTimeout  time.Duration
	ReadTimeout  time.Duration
	WriteTimeout time.Duration

	// MaxRetries is how often a command is repeated after a network error or a reply that asks for
	// it (LOADING, READONLY, MASTERDOWN …). 0 means DefaultMaxRetries, -1 none.
	MaxRetries int

	// EmbeddedAddr is where the embedded server listens, for the URL "embedded" only. "" means a free
	// port on 127.0.0.1. It has no password, so only loopback addresses are accepted.
	EmbeddedAddr string
}

// apply fills what the URL left open.
func (o Options) apply(to *redis.Options) {
	to.ClientName = cmp.Or(to.ClientName, o.ClientName)
	to.PoolSize = cmp.Or(to.PoolSize, o.PoolSize)
	to.DialTimeout = cmp.Or(to.DialTimeout, o.DialTimeout, DefaultDialTimeout)
	to.ReadTimeout = cmp.Or(to.ReadTimeout, o.ReadTimeout, DefaultReadTimeout)
	to.WriteTimeout = cmp.Or(to.WriteTimeout, o.WriteTimeout, DefaultWriteTimeout)
	to.MaxRetries = cmp.Or(to.MaxRetries, o.MaxRetries, DefaultMaxRetries)

	to.DialerRetries = dialAttempts

	// RESP3 authenticates, names and switches a connection in one round trip, and is what asynq's own
	// clients use. Replies of scripts have the same shape in both protocols.
	to.Protocol = cmp.Or(to.Protocol, 3)

	// Without this go-redis ignores the deadline of the context while it waits for a reply, and a
	// caller with 200 ms left waits the whole ReadTimeout.
	to.ContextTimeoutEnabled = true

	// Both would cost each new connection a command: CLIENT SETINFO, which a tight ACL refuses, and
	// CLIENT MAINT_NOTIFICATIONS, which only Redis Cloud answers.
	to.DisableIdentity = true
	to.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}
