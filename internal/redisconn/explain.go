package redisconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Error is a failure of Redis, or of the way to it, explained. Its text is one sentence for the
// person who set REDIS_URL and holds no password; the cause is behind errors.Is and errors.As only,
// because a server may repeat in its error what it was sent.
type Error struct {
	Kind Kind
	URL  string // redacted; "" when it is not known
	Err  error  // the cause; nil for what was found wrong before anything was sent

	detail string // what more there is to say about this one
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("REDIS_URL")
	if e.URL != "" {
		b.WriteString(" " + e.URL)
	}
	if e.Kind == BadURL {
		b.WriteString(" ")
	} else {
		b.WriteString(": ")
	}
	info, ok := kinds[e.Kind]
	if !ok {
		info = kinds[Unknown]
	}
	b.WriteString(info.advice)
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	if e.Kind == Timeout && (strings.HasPrefix(e.URL, "rediss") || strings.Contains(e.URL, "tls=")) {
		b.WriteString("; a port that does not speak TLS is silent too (then use redis://)")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error that Explain, Check or Open made, wrapped or not, and Unknown
// for every other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}

// Explain turns an error of go-redis or of the network into an *Error that names rawURL without its
// password. nil, redis.Nil (a missing key), a cancelled context and an error that is explained
// already come back as they are.
func Explain(err error, rawURL string) error {
	return explain(err, Redact(rawURL))
}

// Explain is the function of that name with the URL of this connection, for an error of what was done under ctx. When
// a TLS connection was cut it asks the server why. That takes two seconds at most and no longer than ctx lasts, but for
// the half second that an answer is worth in any case; a cancelled ctx asks nothing.
func (c *Conn) Explain(ctx context.Context, err error) error {
	explained := explain(err, c.String())
	var e *Error
	if errors.As(explained, &e) && e.Kind == Disconnected {
		if said := c.alert(ctx); said != nil {
			return explain(said, c.String())
		}
	}
	return explained
}

func explain(err error, redacted string) error {
	var done *Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &done):
		if done.URL != "" || done.Kind == BadURL {
			return err
		}
		named := *done
		named.URL = redacted
		return &named
	case errors.Is(err, redis.Nil) && !noPrimary(err):
		return err
	}
	e := &Error{Kind: classify(err), URL: redacted, Err: err}
	switch e.Kind {
	case Unknown:
		e.detail = harmless(err.Error())
	case TLSHostName:
		e.detail = certificateNames(err)
	case TLSExpired:
		if e.detail = "it is the one of the server"; expiredAlert(err) {
			e.detail = "it is the one in cert_file"
		}
	}
	return e
}

// classify decides in the order: what Redis said, TLS, what the network said. A reply is the surest
// evidence; a timeout the weakest, because it wraps everything that takes long. First of all come
// the sentinels, whose error wraps all of that once per sentinel.
func classify(err error) Kind {
	if noPrimary(err) {
		return NoPrimary
	}
	if kind := classifyReply(err); kind != Unknown {
		return kind
	}
	if kind := classifyTLS(err); kind != Unknown {
		return kind
	}
	return classifyNetwork(err)
}

// noPrimary recognises the one untyped error of go-redis's failover client. A name that no sentinel
// knows is inside it as redis.Nil.
func noPrimary(err error) bool {
	return strings.Contains(err.Error(), "redis: all sentinels specified in configuration are unreachable")
}

// replies are the error codes of Redis (the first word, or words, of an error reply).
var replies = []struct {
	prefix string
	kind   Kind
}{
	{"NOAUTH", AuthRequired},
	{"WRONGPASS", WrongPassword},
	{"ERR invalid password", WrongPassword},
	{"ERR AUTH <password> called without any password configured", WrongPassword},
	{"NOPERM", Forbidden},
	{"READONLY", ReadOnly},
	{"OOM", OutOfMemory},
	{"LOADING", Loading},
	{"MASTERDOWN", ReadOnly}, // only a replica that has lost its primary says so
	{"MISCONF", PersistenceFailing},
	{"BUSY ", Busy},
	{"NOREPLICAS", TooFewReplicas},
	{"MOVED", ClusterServer},
	{"ASK ", ClusterServer},
	{"CROSSSLOT", ClusterServer},
	{"CLUSTERDOWN", ClusterDown},
	{"ERR This instance has cluster support disabled", NotACluster},
	{"ERR max number of clients", TooManyClients},
	{"ERR DB index is out of range", NoDatabase},
	{"ERR invalid DB index", NoDatabase},
	{"DENIED Redis is running in protected mode", Forbidden},
	{"-DENIED Redis is running in protected mode", Forbidden},
}

func classifyReply(err error) Kind {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return Unknown
	}
	text := reply.Error()
	for _, r := range replies {
		// A write refused inside a script is reported by Redis 6.2 in the middle of another text, behind
		// a dash: "ERR Error running script …: -OOM command not allowed …".
		if strings.HasPrefix(text, r.prefix) || strings.Contains(text, ": -"+r.prefix) {
			return r.kind
		}
	}
	switch {
	case strings.Contains(text, "OOM command not allowed"):
		return OutOfMemory
	case strings.Contains(text, "The user executing the script can't"):
		return Forbidden // the NOPERM of a command inside of a script
	}
	return Unknown
}

func classifyNetwork(err error) Kind {
	var dns *net.DNSError
	var network net.Error
	text := err.Error()
	switch {
	case errors.Is(err, redis.ErrClosed):
		return Closed
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return PoolExhausted
	case strings.Contains(text, "redis: cluster has no nodes"):
		return ClusterDown
	case errors.As(err, &dns):
		return UnknownHost
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &network) && network.Timeout():
		return Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE):
		return Disconnected
	default:
		return Unknown
	}
}

// harmless shortens the text of a cause nobody knows, and cuts it where Redis begins to repeat what
// it was sent.
func harmless(text string) string {
	const most = 160
	for _, echo := range []string{", with args", "with args beginning", "`", "'"} {
		if i := strings.Index(text, echo); i >= 0 {
			text = text[:i]
		}
	}
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
