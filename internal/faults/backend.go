package faults

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// backend is the Redis of a scenario.
type backend struct {
	servers  []*redistest.Server // the one that faults hit comes first
	sentinel *redistest.Sentinel // nil without sentinels
	proxy    *proxy              // nil when the network stays as it is
	url      string              // for workers and producers
	direct   *redisconn.Conn     // for the one who looks at the end
	clock    *redistest.Clock    // of the server; nil when it is the machine's
	sizes    *sizes              // of the append-only file; nil when nothing cuts the power
}

func startBackend(t testing.TB, sc *Scenario) *backend {
	t.Helper()
	b := &backend{}
	var direct string
	switch sc.Redis {
	case "sentinel":
		b.sentinel = redistest.StartSentinel(t)
		b.servers = []*redistest.Server{b.sentinel.Primary, b.sentinel.Replica}
		b.url, direct = b.sentinel.URL(), b.sentinel.URL()
	case "cluster":
		c := redistest.StartCluster(t, 3)
		b.servers, b.url, direct = c.Nodes, c.URL(), c.URL()
	default:
		var s *redistest.Server
		if sc.needsClock() {
			s, b.clock = redistest.StartWithClock(t, sc.Clock, sc.RedisArgs...)
		} else {
			s = redistest.Start(t, sc.RedisArgs...)
		}
		b.servers, b.url, direct = []*redistest.Server{s}, s.URL(), s.URL()
		if sc.needsProxy() {
			b.proxy = startProxy(t, s.Addr)
			b.url = "redis://" + b.proxy.Listen + "/0"
		}
	}
	conn, err := redisconn.Open(direct, redisconn.Options{ClientName: "auditor"})
	if err != nil {
		t.Fatalf("open Redis: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // Its servers may be gone.
	b.direct = conn
	for _, st := range sc.steps {
		if st.do.form.words == powerOff {
			b.sizes = followSizes(t, b.servers[0].Dir)
			break
		}
	}
	return b
}

// node returns a client of one server.
func (b *backend) node(i int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: b.servers[i].Addr, DisableIdentity: true, ContextTimeoutEnabled: true})
}

// set changes a setting of the first server.
func (b *backend) set(t testing.TB, name, value string) {
	t.Helper()
	c := b.node(0)
	defer func() { _ = c.Close() }()
	if err := c.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Errorf("set %s of Redis: %v", name, err)
	}
}

// full makes the memory that is in use the most that may be.
func (b *backend) full(t testing.TB) {
	t.Helper()
	c := b.node(0)
	defer func() { _ = c.Close() }()
	info, err := c.InfoMap(t.Context(), "memory").Result()
	if err != nil {
		t.Errorf("ask Redis for its memory: %v", err)
		return
	}
	b.set(t, "maxmemory", info["Memory"]["used_memory"])
}

// readOnly makes the first server the replica of a server that is not there, or a primary again.
func (b *backend) readOnly(t testing.TB, on bool) {
	t.Helper()
	host, port := "no", "one"
	if on {
		host, port = "127.0.0.1", "1"
	}
	b.replicaOf(t, 0, host, port)
}

// replicaOf makes a server the replica of another.
func (b *backend) replicaOf(t testing.TB, i int, host, port string) {
	t.Helper()
	c := b.node(i)
	defer func() { _ = c.Close() }()
	if err := c.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Errorf("make Redis a replica of %s %s: %v", host, port, err)
	}
}

// awaitPromotion returns when the replica has become the primary.
func (b *backend) awaitPromotion(t testing.TB, within time.Duration) time.Time {
	t.Helper()
	c := b.node(1)
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for every(ctx, 5*time.Millisecond) {
		if info, err := c.Info(ctx, "replication").Result(); err == nil && strings.Contains(info, "role:master") {
			return time.Now()
		}
	}
	t.Errorf("the replica was not promoted within %s", within)
	return time.Now()
}
