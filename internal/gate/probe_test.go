package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestProbe_IsOneInTheWholeFleet(t *testing.T) {
	t.Parallel()
	onEachRedis(t, oneProbe)
}

func oneProbe(t *testing.T, rdb redis.UniversalClient) {
	const gates, callers = 4, 25
	f := newFleet(t, rdb, gates, Config{FirstOpen: 50 * time.Millisecond, ProbeTimeout: time.Minute})
	f.breakOpen()
	var granted, refused atomic.Int64
	var wg sync.WaitGroup
	enough := make(chan struct{})
	for _, g := range f.gates {
		for range callers {
			wg.Go(func() {
				// Until the probe was granted and every caller has been turned away often since.
				for {
					var r *Refused
					switch err := g.Wait(t.Context()); {
					case err == nil:
						granted.Add(1)
					case errors.As(err, &r):
						if granted.Load() > 0 && refused.Add(1) == 100*gates*callers {
							close(enough)
						}
					default:
						t.Errorf("Wait = %v, want a refusal", err)
						return
					}
					select {
					case <-enough:
						return
					default:
					}
				}
			})
		}
	}
	wg.Wait()
	if n := granted.Load(); n != 1 {
		t.Errorf("%d probes were let through, want 1", n)
	}
}

func TestProbe_ThatNeverEndsIsReplaced(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		const timeout = time.Second // The embedded Redis keeps time in coarse steps.
		f := newFleet(t, rdb, 2, Config{FirstOpen: 20 * time.Millisecond, ProbeTimeout: timeout})
		f.breakOpen()
		dead := f.letThrough()
		begin := time.Now()
		next := f.letThrough()
		if took := time.Since(begin); took < timeout/2 {
			t.Errorf("another probe after %s, want %s", took, timeout)
		}
		// The old one ends after all. What it found is not asked for any more.
		if dead != next {
			dead.Observe(Outcome{Result: Failed})
			eventually(t, "the late outcome is told", dead.told)
		}
		// On a machine that is busy its time, too, may be over before Redis hears of it: then there is another.
		eventually(t, "a probe that works closes every gate", func() bool {
			next.Observe(Outcome{Result: Worked})
			next = f.letThrough()
			return !slices.ContainsFunc(f.gates, func(g *Gate) bool { return g.current.Load().open })
		})
	})
}

func TestProbe_ThatSaysNothingIsFollowedByAnotherSoon(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 2, Config{FirstOpen: 20 * time.Millisecond, ProbeTimeout: time.Hour})
		f.breakOpen()
		f.letThrough().Observe(Outcome{Result: Unclear})
		g := f.letThrough() // Long before the timeout.
		if level := g.current.Load().level; level != 1 {
			t.Errorf("level = %d, want 1: nothing failed", level)
		}
	})
}

func TestProbe_OfAProcessThatStopsOrGivesUpIsFollowedByAnotherSoon(t *testing.T) {
	t.Parallel()
	t.Run("stops", func(t *testing.T) {
		t.Parallel()
		rdb, _ := redistest.Shared(t)
		f := newFleet(t, rdb, 2, Config{FirstOpen: 20 * time.Millisecond, ProbeTimeout: time.Hour})
		f.breakOpen()
		if err := f.letThrough().Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		f.letThrough()
	})
	t.Run("gives up", func(t *testing.T) {
		t.Parallel()
		rdb, _ := redistest.Shared(t)
		f := newFleet(t, rdb, 1, Config{FirstOpen: 20 * time.Millisecond, ProbeTimeout: time.Hour})
		f.breakOpen()
		g := f.gates[0]
		eventually(t, "it is time for a probe", func() bool { return g.refusal() == nil })
		// The caller's end comes while the right is on its way to it.
		ctx := &endsLate{Context: t.Context()}
		if err := g.tryProbe(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("tryProbe = %v, want the context's error", err)
		}
		f.letThrough()
	})
}

// endsLate is a context that has ended when it is asked, but stops nothing that waits for it.
type endsLate struct{ context.Context }

func (*endsLate) Err() error { return context.Canceled }
