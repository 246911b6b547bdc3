package coalesce

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // The tests that take Redis away know that it is gone.
	redistest.Main(m)
}

// patience is how long a test waits for what should happen. It is for a machine that is busy.
const patience = 30 * time.Second

// tower sees each round trip of scripts of a client, and holds it on the ground while it is closed.
type tower struct {
	mu     sync.Mutex
	trips  []int // how many commands each had
	flying int
	peak   int

	off  chan int      // tells of each that wants to take off
	gate chan struct{} // lets one take off; nil lets all
}

// watch has a tower see the client's round trips from now on.
func watch(rdb redis.UniversalClient, gate chan struct{}) *tower {
	w := &tower{off: make(chan int, 10_000), gate: gate}
	rdb.AddHook(w)
	return w
}

func (*tower) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *tower) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			defer w.pass(1)()
		}
		return next(ctx, cmd)
	}
}

func (w *tower) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return strings.HasPrefix(c.Name(), "eval") }) { // No handshake.
			defer w.pass(len(cmds))()
		}
		return next(ctx, cmds)
	}
}

func (w *tower) pass(n int) (landed func()) {
	w.mu.Lock()
	w.trips = append(w.trips, n)
	w.flying++
	w.peak = max(w.peak, w.flying)
	w.mu.Unlock()
	w.off <- n
	if w.gate != nil {
		<-w.gate
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flying--
	}
}

// seen returns the sizes of the round trips so far, in order, and how many there were at once at most.
func (w *tower) seen() (trips []int, peak int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.trips...), w.peak
}

// receive waits for a signal.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not in %s: %s", patience, what)
		panic("unreachable")
	}
}

// until waits until something is so that nobody tells of.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// await waits until n calls wait for a flight.
func await(t testing.TB, c redis.UniversalClient, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d calls wait", n), func() bool {
		w := c.(*client).only
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.waiting) == n
	})
}
