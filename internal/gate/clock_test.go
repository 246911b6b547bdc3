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
