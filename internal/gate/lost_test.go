package gate

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// impatient returns a client that finds out quickly that nobody is there.
func impatient(t testing.TB, s *redistest.Server) redis.UniversalClient {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{
		Addr: s.Addr, ContextTimeoutEnabled: true, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
	})
	t.Cleanup(func() {
		if err := rdb.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return rdb
}

func TestRedisLost_AClosedBreakerStaysClosed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f := newFleet(t, impatient(t, s), 1, Config{})
	s.Kill()
	for range 100 {
		f.gates[0].Observe(Outcome{Result: Failed})
	}
	eventually(t, "the trouble is told", func() bool { return strings.Contains(f.logged(), "not shared with other workers") })
	if err := f.gates[0].Wait(t.Context()); err != nil {
		t.Errorf("Wait = %v, want nil: what the process knows is that the breaker is closed", err)
	}
}

func TestRedisLost_AnOpenBreakerStaysOpen(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f := newFleet(t, impatient(t, s), 1, Config{FirstOpen: 50 * time.Millisecond})
	f.breakOpen()
	s.Kill()
	g := f.gates[0]
	eventually(t, "it is time for a probe", func() bool { return g.refusal() == nil })
	for range 3 { // Nobody can tell whether another probes.
		wantRefused(t, g)
		g.mu.Lock()
		g.probe.askAgain = time.Time{}
		g.mu.Unlock()
	}
}

func TestRedisLost_NoCallWithARate(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f := newFleet(t, impatient(t, s), 1, Config{Rate: 1000})
	s.Kill()
	err := f.gates[0].Wait(t.Context())
	var r *Refused
	if err == nil || errors.As(err, &r) || !strings.Contains(err.Error(), "PAYBLR_RATE_LIMIT") {
		t.Errorf("Wait = %v, want an error that names the rate", err)
	}
}

func TestRedisLost_AHoldIsToldWhenItIsBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f := newFleet(t, impatient(t, s), 2, Config{})
	s.Kill()
	holdFor(f.gates[0], time.Minute)
	wantRefused(t, f.gates[0])
	eventually(t, "the trouble is told", func() bool { return strings.Contains(f.logged(), "not shared with other workers") })
	s.Restart(t)
	f.all("on hold", func(s *state) bool { return time.Now().Before(s.holdUntil) })
}

func TestRedisLost_TheStateIsReadAgainWhenTheSubscriptionIsBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	f := newFleet(t, impatient(t, s), 1, Config{})
	// No message tells of it, as when the connection was lost just then.
	until := time.Now().Add(time.Minute).UnixMilli()
	if err := s.Client(t).HSet(t.Context(), stateKey, "open_until", 0, "level", 0, "hold_until", until).Err(); err != nil {
		t.Fatalf("HSET: %v", err)
	}
	if err := f.gates[0].Wait(t.Context()); err != nil {
		t.Fatalf("Wait = %v, want nil: the gate cannot have heard of it", err)
	}
	s.Kill()
	s.Restart(t)
	f.all("on hold", func(s *state) bool { return time.Now().Before(s.holdUntil) })
}

func TestClose_TwiceIsFine(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	g := New(rdb, Config{})
	for n := range 2 {
		if err := g.Close(); err != nil {
			t.Errorf("Close number %d = %v, want nil", n+1, err)
		}
	}
}

func TestClose_WithoutRedisIsBounded(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f := newFleet(t, impatient(t, s), 1, Config{})
	s.Kill()
	holdFor(f.gates[0], time.Minute)
	begin := time.Now()
	if err := f.gates[0].Close(); err == nil {
		t.Error("Close = nil, want that the hold could not be told")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestGate_SubscribesUntilItHears(t *testing.T) {
	t.Parallel()
	client, fail := redistest.Start(t).BreaksAtSubscribe(t)
	fail.Store(true)
	g := New(client, Config{})
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	eventually(t, "the gate is subscribed", func() bool {
		return client.PubSubNumSub(t.Context(), channel).Val()[channel] == 1
	})
	if fail.Load() {
		t.Fatal("no write has failed: the test is no good")
	}
}

// losesGrants loses the answers that grant a probe, after Redis has granted it.
type losesGrants struct{ lost atomic.Int64 }

func (*losesGrants) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*losesGrants) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *losesGrants) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		script, ok := cmd.(*redis.Cmd)
		if !ok || err != nil {
			return err
		}
		// That of the probe is the only script whose answer has five elements: first whether it is granted, third
		// when the breaker opened.
		if v, _ := script.Int64Slice(); len(v) == 5 && v[0] == 1 && v[2] != 0 {
			l.lost.Add(1)
			err = io.EOF
			cmd.SetErr(err)
		}
		return err
	}
}

func TestProbe_WhoseGrantWasLostIsGivenBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	hook := &losesGrants{}
	lossy := impatient(t, s)
	lossy.AddHook(hook)
	f := newFleet(t, lossy, 1, Config{FirstOpen: 50 * time.Millisecond, ProbeTimeout: time.Hour})
	f.breakOpen()
	g, rdb := f.gates[0], s.Client(t)
	eventually(t, "a grant is lost", func() bool {
		if hook.lost.Load() == 0 && g.refusal() == nil {
			wantRefused(t, g)
		}
		return hook.lost.Load() == 1
	})
	eventually(t, "others may probe", func() bool { return rdb.Exists(t.Context(), probeKey).Val() == 0 })
}
