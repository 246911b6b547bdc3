package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // Servers are killed here on purpose.
	redistest.Main(m)
}

// patience is how long a test waits for what should happen. It is for a machine that is busy.
const patience = 30 * time.Second

// onEachRedis runs a test on a real Redis and on the embedded one.
func onEachRedis(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		rdb, _ := redistest.Shared(t)
		test(t, rdb)
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		rdb, _ := redistest.Embedded(t)
		test(t, rdb)
	})
}

// fleet is several processes' gates on one Redis.
type fleet struct {
	t     *testing.T
	gates []*Gate

	mu  sync.Mutex
	log strings.Builder
}

// newFleet returns n gates that have read the shared state.
func newFleet(t *testing.T, rdb redis.UniversalClient, n int, cfg Config) *fleet {
	t.Helper()
	f := &fleet{t: t}
	cfg.Warn = func(format string, args ...any) {
		f.mu.Lock()
		defer f.mu.Unlock()
		fmt.Fprintf(&f.log, format+"\n", args...)
	}
	for range n {
		g := New(rdb, cfg)
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Logf("close a gate: %v", err)
			}
		})
		f.gates = append(f.gates, g)
	}
	for _, g := range f.gates {
		eventually(t, "the gate has read the state", func() bool { return g.heard() })
	}
	return f
}

// heard reports whether the gate has read the shared state since it was made.
func (g *Gate) heard() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.asOf.IsZero()
}

// told reports whether nothing is left that the others must hear.
func (g *Gate) told() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.news == (news{})
}

func (f *fleet) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

// breakOpen has the breaker opened by failures that the first gate sees, and known to all.
func (f *fleet) breakOpen() {
	f.t.Helper()
	for range f.gates[0].cfg.MinFailures {
		f.gates[0].Observe(Outcome{Result: Failed})
	}
	f.all("open", func(s *state) bool { return s.open })
}

// all waits until the copies of all gates are so.
func (f *fleet) all(what string, is func(s *state) bool) {
	f.t.Helper()
	for _, g := range f.gates {
		eventually(f.t, "every gate is "+what, func() bool { return is(g.current.Load()) })
	}
}

// letThrough waits until one of the gates lets a call through, and returns which.
func (f *fleet) letThrough() *Gate {
	f.t.Helper()
	var through *Gate
	eventually(f.t, "a call is let through", func() bool {
		for _, g := range f.gates {
			if g.Wait(f.t.Context()) == nil {
				through = g
				return true
			}
		}
		return false
	})
	return through
}

// wantRefused checks that a gate refuses a call, and returns its refusal.
func wantRefused(t testing.TB, g *Gate) *Refused {
	t.Helper()
	err := g.Wait(t.Context())
	var r *Refused
	if !errors.As(err, &r) {
		t.Fatalf("Wait = %v, want a refusal", err)
	}
	if r.After <= 0 {
		t.Errorf("refused for %s, want a positive time", r.After)
	}
	return r
}

// eventually waits until something is so that nobody tells of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}
