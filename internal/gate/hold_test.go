package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// holdFor tells a gate that the API asked to be left alone.
func holdFor(g *Gate, d time.Duration) { g.Observe(Outcome{RetryAfter: d}) }

func TestHold_NobodyCallsUntilItIsOver(t *testing.T) {
	t.Parallel()
	onEachRedis(t, nobodyCalls)
}

func nobodyCalls(t *testing.T, rdb redis.UniversalClient) {
	const d = 2 * time.Second
	f := newFleet(t, rdb, 3, Config{})
	begin := time.Now()
	holdFor(f.gates[0], d)
	if r := wantRefused(t, f.gates[0]); r.After > d || r.After < d/2 {
		t.Errorf("refused for %s, want what is left of %s", r.After, d)
	}
	f.all("on hold", func(s *state) bool { return time.Now().Before(s.holdUntil) })
	for i, g := range f.gates {
		r := wantRefused(t, g)
		if !strings.Contains(r.Error(), "asked to be left alone") {
			t.Errorf("gate %d says %q, want it to name the hold", i, r)
		}
	}
	f.letThrough()
	if took := time.Since(begin); took < d {
		t.Errorf("a call was let through after %s, want nobody to call for %s", took, d)
	}
}

func TestHold_ReachesTheOthersAtOnceAlsoAfterFailures(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	f := newFleet(t, rdb, 2, Config{})
	f.gates[0].Observe(Outcome{Result: Failed}) // A report is due in a moment; the hold does not wait for it.
	begin := time.Now()
	holdFor(f.gates[0], time.Minute)
	eventually(t, "the other gate holds", func() bool { return f.gates[1].refusal() != nil })
	if took := time.Since(begin); took >= reportInterval {
		t.Errorf("the other gate heard of it after %s, want less than %s", took, reportInterval)
	}
}

func TestHold_AShorterOneDoesNotEndALongerOne(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 2, Config{})
		holdFor(f.gates[0], 30*time.Second)
		f.all("on hold", func(s *state) bool { return time.Now().Before(s.holdUntil) })
		holdFor(f.gates[1], 10*time.Millisecond)
		eventually(t, "the shorter hold is told", f.gates[1].told)
		for i, g := range f.gates {
			if r := wantRefused(t, g); r.After < 20*time.Second {
				t.Errorf("gate %d refuses for %s, want what is left of 30s", i, r.After)
			}
		}
	})
}

func TestHold_AnAbsurdOneIsCutShortAndEndsWithOneCall(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		const longest = 150 * time.Millisecond
		f := newFleet(t, rdb, 2, Config{LongestHold: longest, FirstOpen: 20 * time.Millisecond, ProbeTimeout: time.Hour})
		begin := time.Now()
		holdFor(f.gates[0], time.Hour)
		f.all("open", func(s *state) bool { return s.open })
		g := f.letThrough()
		if took := time.Since(begin); took < longest {
			t.Errorf("a call after %s, want none for %s", took, longest)
		}
		for _, g := range f.gates {
			wantRefused(t, g)
		}
		// The API still asks for it: another round.
		g.Observe(Outcome{RetryAfter: time.Hour})
		if r := wantRefused(t, g); r.After > longest {
			t.Errorf("refused for %s, want %s at most", r.After, longest)
		}
		f.letThrough().Observe(Outcome{Result: Worked})
		f.all("closed", func(s *state) bool { return !s.open })
	})
}

func TestHold_StopsThoseWhoWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 2, Config{Rate: 2})
		if err := f.gates[0].Wait(t.Context()); err != nil {
			t.Fatalf("first call: %v", err)
		}
		waiting := make(chan error)
		go func() { waiting <- f.gates[1].Wait(t.Context()) }() // Its turn is half a second away.
		eventually(t, "the second call has a turn", func() bool {
			ms, err := rdb.PTTL(t.Context(), rateKey).Result()
			return err == nil && ms > 1600*time.Millisecond
		})
		holdFor(f.gates[0], 10*time.Second)
		var r *Refused
		if err := <-waiting; !errors.As(err, &r) || r.After < 5*time.Second {
			t.Errorf("the call that waited for its turn: %v, want it refused for what is left of 10s", err)
		}
	})
}

// With a rate each call comes by Redis, and learns there of a hold of which its process has not heard.
func TestHold_WithARateNeedsNoNews(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		f := newFleet(t, rdb, 2, Config{Rate: 1000})
		if err := f.gates[1].pubsub.Close(); err != nil {
			t.Fatalf("close the subscription: %v", err)
		}
		holdFor(f.gates[0], 10*time.Second)
		eventually(t, "the hold is told", func() bool { return rdb.Exists(t.Context(), stateKey).Val() == 1 })
		if r := wantRefused(t, f.gates[1]); r.After < 5*time.Second {
			t.Errorf("refused for %s, want what is left of 10s", r.After)
		}
	})
}

func TestHold_IsToldWhenTheProcessStops(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	f := newFleet(t, rdb, 2, Config{})
	// As if the report were still to be sent.
	f.gates[0].stop()
	f.gates[0].ended.Go(func() {})
	holdFor(f.gates[0], time.Minute)
	if err := f.gates[0].Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	eventually(t, "the other gate holds", func() bool {
		var r *Refused
		return errors.As(f.gates[1].Wait(context.WithoutCancel(t.Context())), &r)
	})
}
