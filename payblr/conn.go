package payblr

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// errMuted is what a muted connection answers to a write.
var errMuted = errors.New("the connection is muted")

// conn is a connection of the pool that remembers whether anything was written
// for the request that holds it, and can be kept from sending.
//
// It exists because net/http sends a GET again, unasked, when a reused HTTP/1.1
// connection breaks on it. The second request would pass by the rate limiter and
// the metrics, and may be billed. No header and no setting prevents it without
// changing what goes over the wire.
//
// And it is the last that can keep a request from starting: between the decision to
// send and the first byte a process can be suspended for a minute.
type conn struct {
	net.Conn
	wrote, muted atomic.Bool
	// mayStart is asked before the first byte of a request; nil = yes.
	mayStart atomic.Pointer[func() bool]
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if c.muted.Load() {
		return 0, errMuted
	}
	if may := c.mayStart.Load(); may != nil && !c.wrote.Load() && !(*may)() {
		c.muted.Store(true)
		return 0, errMuted
	}
	c.wrote.Store(true)
	return c.Conn.Write(p)
}

// dialing returns a dial function whose connections are *conn.
func dialing(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: nc}, nil
	}
}

// exclusive finds the *conn under nc when nc serves one request at a time. It is
// nil for HTTP/2, whose connections are shared, and which repeats a request only
// when the server says that it was not processed.
func exclusive(nc net.Conn) *conn {
	for {
		switch c := nc.(type) {
		case *conn:
			return c
		case *tls.Conn:
			if c.ConnectionState().NegotiatedProtocol == "h2" {
				return nil
			}
			nc = c.NetConn()
		default:
			return nil
		}
	}
}
