package gate

import (
	"context"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestRate_GoesOnAfterTheClockOfRedisWasSetBack(t *testing.T) {
	t.Parallel()
	server, clock := redistest.StartWithClock(t, 0)
	f := newFleet(t, server.Client(t), 1, Config{Rate: 100})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.gates[0].Wait(ctx); err != nil {
		t.Fatal(err)
	}
	clock.Set(t, -5*time.Minute)
	set := time.Now()
	for range 3 {
		if err := f.gates[0].Wait(ctx); err != nil {
			t.Fatalf("after the clock was set back: %v", err)
		}
	}
	// Moments that were given out before are that far ahead at most, and may still be used.
	if d := time.Since(set); d < longestWait/2 {
		t.Errorf("the calls went on %s after the clock was set back, want them to wait for those that had a moment already", d)
	}
}

func TestBreaker_AClockOfRedisThatIsSetBackKeepsItOpenForOnePeriodAtMost(t *testing.T) {
	t.Parallel()
	server, clock := redistest.StartWithClock(t, 0)
	f := newFleet(t, server.Client(t), 2, Config{FirstOpen: 300 * time.Millisecond, ProbeTimeout: time.Second})
	f.breakOpen()
	// Whoever has the right to probe has died with it.
	if err := server.Client(t).Set(t.Context(), probeKey, "dead/1", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	clock.Set(t, -time.Hour)
	g := f.letThrough()
	g.Observe(Outcome{Result: Worked})
	f.all("closed", func(s *state) bool { return !s.open })
}

func TestHold_AClockOfRedisThatIsSetBackMakesItNoLongerThanTheLongest(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"without a rate": {LongestHold: 3 * time.Second},
		"with a rate":    {LongestHold: 3 * time.Second, Rate: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, clock := redistest.StartWithClock(t, 0)
			f := newFleet(t, server.Client(t), 1, cfg)
			holdFor(f.gates[0], 2*time.Second)
			eventually(t, "the hold is told", f.gates[0].told)
			eventually(t, "the hold is shared", func() bool { return server.Client(t).Exists(t.Context(), stateKey).Val() == 1 })
			clock.Set(t, -time.Hour)
			// One that had not heard of it before: it has it from Redis alone.
			newFleet(t, server.Client(t), 1, cfg).letThrough()
			f.letThrough()
		})
	}
}
