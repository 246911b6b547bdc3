package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// alertTimeout bounds the whole question for an alert.
	alertTimeout = 2 * time.Second
	// leastAlert is what the question gets also when no time is left for it.
	leastAlert = 500 * time.Millisecond
)

// forAlert returns the context of the question: it ends with a parent that is cancelled, but not at once with one
// whose time is over, as the answer is then what the caller has waited for.
func forAlert(parent context.Context) (context.Context, context.CancelFunc) {
	limit := alertTimeout
	if deadline, ok := parent.Deadline(); ok {
		limit = min(limit, max(time.Until(deadline), leastAlert))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), limit)
	stop := context.AfterFunc(parent, func() {
		if errors.Is(parent.Err(), context.Canceled) {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

// alert asks what the server has against this client's certificate, when a connection was cut. In TLS 1.3 the server
// says so after the client believes that all is well and has sent its first command; the connection is then
// reset, and what the server said may be lost with it. Here nothing is sent, so that it is not. It returns nil when
// the server says nothing.
func (c *Conn) alert(parent context.Context) error {
	client, ok := c.Client.(*redis.Client)
	if !ok || errors.Is(parent.Err(), context.Canceled) || client.Options().TLSConfig == nil {
		return nil
	}
	ctx, cancel := forAlert(parent)
	defer cancel()
	conn, err := (&tls.Dialer{Config: client.Options().TLSConfig}).DialContext(ctx, "tcp", client.Options().Addr)
	if err == nil {
		defer func() { _ = conn.Close() }() // Nobody needs it any more.
		// Should it fail, the server ends the connection.
		stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), alertPrefix) {
		return nil
	}
	return err
}
