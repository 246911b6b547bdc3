package redisconn

import (
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// clockStep is how often the embedded server's keys age. The server does not age them by itself, and
// its own way of doing so walks all keys on every command. 100 ms is the precision of an
// expiry there; scripts that compare with TIME are not affected.
const clockStep = 100 * time.Millisecond

// embeddedServer is a miniredis on a loopback port: a real socket, because a large pipeline over an
// unbuffered pipe stops when both ends write, and because a second process can look at it.
type embeddedServer struct {
	redis *miniredis.Miniredis
	quit  chan struct{}
	clock sync.WaitGroup
	once  sync.Once
}

func startEmbedded(addr string) (*embeddedServer, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &Error{Kind: EmbeddedFailed, detail: "its address must be host:port", Err: err}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, &Error{Kind: EmbeddedFailed, detail: "it has no password, so it only listens on 127.0.0.1 or [::1]"}
	}
	e := &embeddedServer{redis: miniredis.NewMiniRedis(), quit: make(chan struct{})}
	if err := e.redis.StartAddr(addr); err != nil {
		return nil, &Error{Kind: EmbeddedFailed, detail: "it cannot listen on " + addr + ", choose a free port", Err: err}
	}
	e.clock.Go(e.age)
	return e, nil
}

func (e *embeddedServer) addr() string { return e.redis.Addr() }

// age lets time pass for keys with a time to live until stop.
func (e *embeddedServer) age() {
	tick := time.NewTicker(clockStep)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-e.quit:
			return
		case now := <-tick.C:
			e.redis.FastForward(now.Sub(last))
			last = now
		}
	}
}

// stop ends the clock and the server, and returns when both are gone.
func (e *embeddedServer) stop() {
	e.once.Do(func() {
		close(e.quit)
		e.clock.Wait()
		e.redis.Close()
	})
}
