package gate

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// load makes calls through a gate, every apart, until ctx ends. fails says which of them fail.
func load(ctx context.Context, g *Gate, apart time.Duration, fails func() bool) {
	tick := time.NewTicker(apart)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if g.Wait(ctx) != nil {
			continue
		}
		o := Outcome{Result: Worked}
		if fails() {
			o.Result = Failed
		}
		g.Observe(o)
	}
}

func TestBreaker_OpensWithinASecondOfAFailingAPIUnderLoad(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 2, Config{FirstOpen: time.Minute, LongestOpen: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		// A good while of successes, here all at once, does not hide what comes after.
		for range 10_000 {
			f.gates[0].Observe(Outcome{Result: Worked})
		}
		begin := time.Now()
		for _, g := range f.gates { // 50 calls a second each.
			wg.Go(func() { load(ctx, g, 20*time.Millisecond, func() bool { return true }) })
		}
		f.all("open", func(s *state) bool { return s.open })
		if took := time.Since(begin); took > time.Second {
			t.Errorf("open after %s, want 1s at most", took)
		}
		for _, g := range f.gates {
			r := wantRefused(t, g)
			if r.After < 50*time.Second || r.After > time.Minute+time.Second {
				t.Errorf("refused for %s, want what is left of 1m0s", r.After)
			}
			if !strings.Contains(r.Error(), "circuit breaker is open") {
				t.Errorf("the refusal says %q, want it to name the breaker", r)
			}
		}
		if !strings.Contains(f.logged(), "the circuit breaker is open") {
			t.Errorf("the log says %q, want that the breaker opened", f.logged())
		}
	})
}

func TestBreaker_StaysClosedWhenFewCallsFailOrMostDoNot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcomes func(g *Gate)
	}{
		"a handful of unlucky calls": {func(g *Gate) {
			for range g.cfg.MinFailures - 1 {
				g.Observe(Outcome{Result: Failed})
			}
		}},
		"three calls of ten": {func(g *Gate) {
			for i := range 1000 {
				g.Observe(Outcome{Result: map[bool]Result{true: Failed, false: Worked}[i%10 < 3]})
			}
		}},
		"calls that say nothing": {func(g *Gate) {
			for range 1000 {
				g.Observe(Outcome{})
			}
			g.Observe(Outcome{Result: Failed}) // Makes a report of it.
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				f := newFleet(t, rdb, 1, Config{})
				g := f.gates[0]
				tc.outcomes(g)
				eventually(t, "the failures are reported", func() bool { return rdb.Exists(t.Context(), windowKey).Val() == 1 })
				eventually(t, "all is reported", func() bool { return g.gather(time.Now()).counts == nil })
				if err := g.Wait(t.Context()); err != nil || g.current.Load().open {
					t.Errorf("Wait = %v, want the breaker closed", err)
				}
			})
		})
	}
}

func TestBreaker_FailuresOfSeveralProcessesAddUp(t *testing.T) {
	t.Parallel()
	onEachRedis(t, failuresAddUp)
}

func failuresAddUp(t *testing.T, rdb redis.UniversalClient) {
	f := newFleet(t, rdb, 4, Config{})
	for _, g := range f.gates {
		for range g.cfg.MinFailures / 4 {
			g.Observe(Outcome{Result: Failed})
		}
	}
	f.all("open", func(s *state) bool { return s.open && s.level == 1 })
}

func TestBreaker_StaysOpenLongerEachTimeAProbeFailsUpToABound(t *testing.T) {
	t.Parallel()
	onEachRedis(t, staysOpenLonger)
}

func staysOpenLonger(t *testing.T, rdb redis.UniversalClient) {
	const first, longest, way = 400 * time.Millisecond, 1400 * time.Millisecond, 200 * time.Millisecond
	f := newFleet(t, rdb, 2, Config{FirstOpen: first, LongestOpen: longest})
	f.breakOpen()
	for level, want := range []time.Duration{2: 2 * first, 3: longest, 4: longest} {
		if level < 2 {
			continue
		}
		g := f.letThrough()
		g.Observe(Outcome{Result: Failed})
		eventually(t, "the level rises", func() bool { return g.current.Load().level == level })
		// The copy is of a moment ago, and errs on the late side by the way of an answer.
		left := time.Until(g.current.Load().openUntil)
		if left > want+way || left < want/2 {
			t.Errorf("after %d failed probes the next is in %s, want %s", level-1, left, want)
		}
	}
}

func TestBreaker_ClosesEverywhereWhenAProbeWorks(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 4, Config{FirstOpen: 50 * time.Millisecond})
		f.breakOpen()
		g := f.letThrough()
		begin := time.Now()
		g.Observe(Outcome{Result: Worked})
		f.all("closed", func(s *state) bool { return !s.open })
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Logf("closed everywhere after %s", took)
			if took > time.Second {
				t.Errorf("closed everywhere after %s, want it at once", took)
			}
		}
		for i, g := range f.gates {
			if err := g.Wait(t.Context()); err != nil {
				t.Errorf("gate %d: Wait = %v, want nil", i, err)
			}
		}
		if n := rdb.Exists(t.Context(), probeKey, windowKey).Val(); n != 0 {
			t.Errorf("%d keys of the breaker are left, want none", n)
		}
		if !strings.Contains(f.logged(), "the circuit breaker is closed") {
			t.Errorf("the log says %q, want that the breaker closed", f.logged())
		}
	})
}

func TestBreaker_CallsFromBeforeItChangedDoNotCount(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 1, Config{FirstOpen: 50 * time.Millisecond, LongestOpen: time.Minute})
		g := f.gates[0]
		old := Outcome{Result: Failed, Took: 10 * time.Second}
		f.breakOpen()
		g.Observe(old)
		g.Observe(Outcome{Result: Worked, Took: 10 * time.Second})
		if f.letThrough(); !g.current.Load().open {
			t.Fatal("a success from before the breaker opened closed it")
		}
		// They end while the probe is under way, in the process that probes.
		g.Observe(old)
		g.Observe(Outcome{Result: Worked, Took: 10 * time.Second})
		g.Observe(Outcome{Result: Worked})
		f.all("closed", func(s *state) bool { return !s.open })
		for range 10 * g.cfg.MinFailures {
			g.Observe(old)
		}
		if b := g.gather(time.Now()); b.counts != nil {
			t.Errorf("failures of calls from before it closed are counted: %v", b.counts)
		}
	})
}

func TestBreaker_ANewProcessKnowsThatItIsOpen(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	cfg := Config{FirstOpen: time.Minute, LongestOpen: time.Minute}
	newFleet(t, rdb, 1, cfg).breakOpen()
	late := newFleet(t, rdb, 1, cfg)
	wantRefused(t, late.gates[0])
}

func TestScripts_AreSafeToSendTwice(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 1, Config{FirstOpen: 20 * time.Millisecond, LongestOpen: time.Minute, ProbeTimeout: time.Minute})
		g := f.gates[0]
		f.breakOpen()
		ask := func() int64 {
			v, err := probeScript.Run(t.Context(), rdb, []string{stateKey, probeKey},
				"p/1", 60_000, 1000, 15_000, 60_000).Int64Slice()
			if err != nil {
				t.Fatalf("probe: %v", err)
			}
			return v[0]
		}
		eventually(t, "the right is granted", func() bool { return ask() == 1 })
		if ask() != 1 {
			t.Error("the right is refused to the one who has it and lost the reply")
		}
		for range 2 {
			if err := g.send(t.Context(), batch{news: news{probe: "p/1", result: Failed}}); err != nil {
				t.Fatalf("send: %v", err)
			}
		}
		if got := g.current.Load().level; got != 2 {
			t.Errorf("level = %d after one failed probe that was told twice, want 2", got)
		}
	})
}
