package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/ontime"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestRate_NoWindowOfASecondHasMoreThanTheRate(t *testing.T) {
	t.Parallel()
	onEachRedis(t, withinTheRate)
}

func withinTheRate(t *testing.T, rdb redis.UniversalClient) {
	const rate = 50
	f := newFleet(t, rdb, 2, Config{Rate: rate}) // Two processes…
	var (
		mu    sync.Mutex
		calls []time.Time
		wg    sync.WaitGroup
	)
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	for _, g := range f.gates {
		for range 20 { // …with more callers than the rate allows.
			wg.Go(func() {
				for g.Wait(ctx) == nil {
					mu.Lock()
					calls = append(calls, time.Now())
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(calls, time.Time.Compare)
	if len(calls) < rate {
		t.Fatalf("%d calls in 2.5 s, want at least %d: the limiter starves its callers", len(calls), rate)
	}
	for i, first := range calls {
		n := 0
		for _, c := range calls[i:] {
			if c.Sub(first) < time.Second {
				n++
			}
		}
		if n > rate {
			t.Fatalf("%d calls within a second of call %d, want at most %d", n, i, rate)
		}
	}
}

func TestRate_AWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	g := newFleet(t, rdb, 1, Config{Rate: 0.5}).gates[0]
	if err := g.Wait(t.Context()); err != nil {
		t.Fatalf("first call: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second call of one in two seconds: %v, want the context's error", err)
	}
}

func TestRate_AWaitEndsWhenItsCallerStopsAndItsMomentIsNobodys(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	g := newFleet(t, rdb, 1, Config{Rate: 2}).gates[0]
	first := time.Now()
	if err := g.Wait(t.Context()); err != nil {
		t.Fatalf("first call: %v", err)
	}
	before := rdb.Get(t.Context(), rateKey).Val()
	over := make(chan struct{})
	waited := make(chan error, 1)
	go func() { waited <- g.Wait(WaitUntil(t.Context(), over)) }()
	eventually(t, "the second call has a moment", func() bool { return rdb.Get(t.Context(), rateKey).Val() != before })
	close(over)
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("second call, whose caller stops: %v, want %v", err, context.Canceled)
	}
	after := rdb.Get(t.Context(), rateKey).Val()
	if err := g.Wait(WaitUntil(t.Context(), over)); !errors.Is(err, context.Canceled) {
		t.Errorf("a call after its caller has stopped: %v, want %v", err, context.Canceled)
	}
	if got := rdb.Get(t.Context(), rateKey).Val(); got != after {
		t.Error("a call after its caller has stopped took a moment")
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Fatalf("third call: %v", err)
	}
	// Two moments of 556 ms; what is left is for the way to Redis.
	if took := time.Since(first); took < time.Second {
		t.Errorf("another call came after %s, want the moment after the one that was not used", took)
	}
}

func TestRate_HotPathWithoutOneNeedsNeitherRedisNorMemory(t *testing.T) {
	rdb, _ := redistest.Shared(t)
	g := newFleet(t, rdb, 1, Config{}).gates[0]
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if err := g.Wait(ctx); err != nil {
			t.Errorf("Wait = %v, want nil", err)
		}
		g.Observe(Outcome{Result: Worked, Took: time.Millisecond})
	}); n != 0 {
		t.Errorf("%v allocations for a call while all is well, want none", n)
	}
}

func TestRate_ALateCallTakesAnotherMoment(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	r := newRate(rdb, Config{Rate: 1000}.withDefaults())
	r.trip.Store(int64(time.Microsecond))
	late := &lateReplies{by: 2 * latest, times: 3}
	rdb.AddHook(late)
	if err := r.wait(t.Context(), func() error { return nil }); err != nil {
		t.Fatalf("wait: %v", err)
	}
	if late.seen != 4 {
		t.Errorf("%d moments were reserved, want 4: three came too late to be used", late.seen)
	}
	late.seen, late.times = 0, mostMissed
	r.trip.Store(int64(time.Microsecond))
	var refused *Refused
	if err := r.wait(t.Context(), func() error { return nil }); !errors.As(err, &refused) {
		t.Errorf("wait = %v after %d moments were missed, want a refusal", err, mostMissed)
	}
}

// lateReplies has the first replies come late.
type lateReplies struct {
	by          time.Duration
	times, seen int
}

func (*lateReplies) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*lateReplies) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lateReplies) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if l.seen++; l.seen <= l.times {
			<-time.After(l.by)
		}
		return err
	}
}

// TestRate_BulkGivesWay: with more bulk callers than the rate allows, another call waits for little more
// than what they have reserved.
func TestRate_BulkGivesWay(t *testing.T) {
	rdb, _ := redistest.Shared(t)
	r := newRate(rdb, Config{Rate: 10}.withDefaults())
	none := func() error { return nil }
	ctx, stop := context.WithCancel(t.Context())
	var (
		bulk sync.WaitGroup
		made atomic.Int64
	)
	for range 100 {
		bulk.Go(func() {
			for r.wait(Bulk(ctx), none) == nil {
				made.Add(1)
			}
		})
	}
	defer bulk.Wait()
	defer stop()
	ontime.Once(t, func(int) error {
		for n := range 5 {
			start := time.Now()
			if err := r.wait(t.Context(), none); err != nil {
				t.Fatal(err)
			}
			// Two moments are 235 ms; the rest is for a busy machine.
			if took := time.Since(start); took > time.Second {
				return fmt.Errorf("call %d waited %s behind bulk calls, want well under 1s", n, took)
			}
		}
		return nil
	})
	if made.Load() == 0 {
		t.Error("no bulk call was made at all")
	}
}
