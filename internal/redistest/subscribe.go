package redistest

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// BreaksAtSubscribe returns a client of database 0, closed when the test ends, that loses its connection when it
// writes the next SUBSCRIBE after fail was set; that resets fail.
func (s *Server) BreaksAtSubscribe(t testing.TB) (client redis.UniversalClient, fail *atomic.Bool) {
	t.Helper()
	fail = new(atomic.Bool)
	c := redis.NewClient(&redis.Options{
		Addr: s.Addr,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return breakingConn{conn, fail}, err
		},
	})
	closeWithTest(t, c)
	return c, fail
}

type breakingConn struct {
	net.Conn
	fail *atomic.Bool
}

func (c breakingConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("subscribe")) && c.fail.CompareAndSwap(true, false) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
