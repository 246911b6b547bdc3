package redisconn

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// alertTimeout bounds the whole question for an alert.
const alertTimeout = 2 * time.Second

// alert asks what the server has against this client's certificate, when a connection was cut. In TLS 1.3 the server
// says so after the client believes that all is well and has sent its first command; the connection is then
// reset, and what the server said may be lost with it. Here nothing is sent, so that it is not. It returns nil when
// the server says nothing.
func (c *Conn) alert() error {
	client, ok := c.Client.(*redis.Client)
	if !ok || client.Options().TLSConfig == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), alertTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: client.Options().TLSConfig}).DialContext(ctx, "tcp", client.Options().Addr)
	if err == nil {
		defer func() { _ = conn.Close() }() // Nobody needs it any more.
		deadline, _ := ctx.Deadline()
		_ = conn.SetReadDeadline(deadline) // Should it fail, the server ends the connection.
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), alertPrefix) {
		return nil
	}
	return err
}
