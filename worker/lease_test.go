package worker

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/internal/opstore"
)

// extendFunc is an extender made of a function.
type extendFunc func(ctx context.Context, ls []opstore.Lease) (lost []opstore.Lease, err error)

// Extend keeps what the function neither loses nor fails for.
func (f extendFunc) Extend(ctx context.Context, ls []opstore.Lease) (kept, lost []opstore.Lease, err error) {
	if lost, err = f(ctx, ls); err != nil {
		return nil, lost, err
	}
	for _, l := range ls {
		if !slices.Contains(lost, l) {
			kept = append(kept, l)
		}
	}
	return kept, lost, nil
}

// extendsAll keeps whatever it is asked for.
var extendsAll = extendFunc(func(context.Context, []opstore.Lease) ([]opstore.Lease, error) { return nil, nil })

func silentLog() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

var someLease = opstore.Lease{ID: "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB", Seq: 1, Fence: 4}

const testTTL = 3 * time.Second

// A process that was suspended goes on before its timers have run.
func TestLeases_ALapsedOneLetsNoCallStartThoughItsTimerHasNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := newLeases(extendsAll, testTTL, silentLog(), func() {})
		ctx, release := ls.hold(t.Context(), someLease, time.Now())
		defer release()
		h := ls.held[someLease]
		pass(testTTL / 2)
		ls.extend(t.Context())
		pass(testTTL / 2)
		if !h.valid() {
			t.Error("a lease that was extended is not valid")
		}
		h.lapse.Stop()
		pass(testTTL / 2)
		if h.valid() || ctx.Err() != nil {
			t.Errorf("valid = %v, context %v, want an invalid lease whose context nobody has ended yet", h.valid(), ctx.Err())
		}
	})
}

// holdOne runs a keeper with one held lease in the time of a synctest bubble.
func holdOne(t *testing.T, store extendFunc, check func(ctx context.Context, release func(), lost *atomic.Int64)) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		ls := newLeases(store, testTTL, silentLog(), func() { lost.Add(1) })
		running, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { ls.keep(running); close(ended) }()
		ctx, release := ls.hold(t.Context(), someLease, time.Now())
		check(ctx, release, &lost)
		release()
		stop()
		<-ended
		if len(ls.held) != 0 {
			t.Errorf("%d leases are held at the end, want 0", len(ls.held))
		}
	})
}

func TestLeases_AreKeptForAsLongAsRedisExtendsThem(t *testing.T) {
	t.Parallel()
	var extended atomic.Int64
	store := func(context.Context, []opstore.Lease) ([]opstore.Lease, error) { extended.Add(1); return nil, nil }
	holdOne(t, store, func(ctx context.Context, _ func(), lost *atomic.Int64) {
		advance(10*time.Minute + time.Millisecond) // Of the bubble: no real time passes.
		synctest.Wait()
		if ctx.Err() != nil {
			t.Errorf("the run was cancelled: %v", context.Cause(ctx))
		}
		if lost.Load() != 0 {
			t.Errorf("%d leases lost, want 0", lost.Load())
		}
		if extended.Load() != 600 {
			t.Errorf("extended %d times in 10 minutes, want 600", extended.Load())
		}
	})
}

// The extension may come behind the write with which a run ends, and before the run knows of that write's success.
func TestLeases_OneThatIsGivenUpIsNotLost(t *testing.T) {
	t.Parallel()
	for _, givenUp := range []bool{true, false} {
		loses := extendFunc(func(_ context.Context, ls []opstore.Lease) ([]opstore.Lease, error) { return ls, nil })
		synctest.Test(t, func(t *testing.T) {
			var lost atomic.Int64
			ls := newLeases(loses, testTTL, silentLog(), func() { lost.Add(1) })
			ctx, release := ls.hold(t.Context(), someLease, time.Now())
			defer release()
			if givenUp {
				ls.giveUp(someLease)
			}
			ls.extend(t.Context())
			synctest.Wait()
			if got := ctx.Err() != nil; got == givenUp || lost.Load() == 1 == givenUp {
				t.Errorf("given up %t: cancelled %t, %d lost; want one that nobody has given up to be lost", givenUp, got, lost.Load())
			}
			pass(testTTL)
			if ctx.Err() == nil {
				t.Error("its time is over, and the run goes on")
			}
		})
	}
}

func TestLeases_EndBeforeTheyLapseInRedis(t *testing.T) {
	t.Parallel()
	store := func(context.Context, []opstore.Lease) ([]opstore.Lease, error) {
		return nil, errors.New("Redis is down")
	}
	holdOne(t, store, func(ctx context.Context, _ func(), lost *atomic.Int64) {
		since := time.Now()
		<-ctx.Done()
		synctest.Wait()
		if got, want := time.Since(since), testTTL-testTTL/10; got != want {
			t.Errorf("cancelled after %s, want %s: before the lease ends in Redis", got, want)
		}
		if !errors.Is(context.Cause(ctx), errLeaseLapsed) {
			t.Errorf("cause = %v, want %v", context.Cause(ctx), errLeaseLapsed)
		}
		if lost.Load() != 1 {
			t.Errorf("%d leases lost, want 1", lost.Load())
		}
	})
}

func TestLeases_CountFromWhenTheRequestWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := newLeases(extendFunc(nil), testTTL, silentLog(), func() {})
		sent := time.Now()
		advance(2 * time.Second) // The answer took its time.
		ctx, release := ls.hold(t.Context(), someLease, sent)
		defer release()
		<-ctx.Done()
		synctest.Wait()
		if got, want := time.Since(sent), testTTL-testTTL/10; got != want {
			t.Errorf("cancelled %s after the request, want %s", got, want)
		}
	})
}

func TestLeases_ASlowAnswerProlongsFromWhenItWasAsked(t *testing.T) {
	t.Parallel()
	asked := 0
	last := make(chan time.Time, 1)
	store := func(ctx context.Context, _ []opstore.Lease) ([]opstore.Lease, error) {
		if asked++; asked > 1 {
			<-ctx.Done() // From then on Redis hangs.
			return nil, ctx.Err()
		}
		last <- time.Now()
		advance(900 * time.Millisecond)
		return nil, nil
	}
	holdOne(t, store, func(ctx context.Context, _ func(), _ *atomic.Int64) {
		<-ctx.Done()
		synctest.Wait()
		if got, want := time.Since(<-last), testTTL-testTTL/10; got != want {
			t.Errorf("cancelled %s after the last extension was asked for, want %s", got, want)
		}
	})
}

func TestLeases_ARunThatWasSupersededIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	store := func(_ context.Context, ls []opstore.Lease) ([]opstore.Lease, error) { return ls, nil }
	holdOne(t, store, func(ctx context.Context, _ func(), lost *atomic.Int64) {
		since := time.Now()
		<-ctx.Done()
		synctest.Wait()
		if got, want := time.Since(since), testTTL/3; got != want {
			t.Errorf("cancelled after %s, want %s, the first extension", got, want)
		}
		if !errors.Is(context.Cause(ctx), errLeaseLost) || lost.Load() != 1 {
			t.Errorf("cause = %v, %d lost; want %v, 1", context.Cause(ctx), lost.Load(), errLeaseLost)
		}
	})
}

func TestLeases_AReleasedOneIsNeitherExtendedNorLost(t *testing.T) {
	t.Parallel()
	store := func(_ context.Context, ls []opstore.Lease) ([]opstore.Lease, error) {
		t.Errorf("extended %v after its release", ls)
		return nil, nil
	}
	holdOne(t, store, func(ctx context.Context, release func(), lost *atomic.Int64) {
		release()
		release()
		advance(time.Minute)
		if lost.Load() != 0 {
			t.Errorf("%d leases lost, want 0", lost.Load())
		}
		if ctx.Err() == nil {
			t.Error("the context of a released lease goes on")
		}
	})
}

// otherLease is of another shard than someLease.
var otherLease = opstore.Lease{ID: "cw06-01KAJ4S7Q0Z5M2E8H6N3T9RXVB", Seq: 1, Fence: 4}

// A node of a cluster that is silent costs the leases of its own shards alone.
func TestLeases_ASilentShardCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	var asking, most atomic.Int64
	store := func(ctx context.Context, ls []opstore.Lease) ([]opstore.Lease, error) {
		if !slices.Contains(ls, someLease) {
			return nil, nil
		}
		most.Store(max(most.Load(), asking.Add(1)))
		defer asking.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		ls := newLeases(extendFunc(store), testTTL, silentLog(), func() { lost.Add(1) })
		running, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { ls.keep(running); close(ended) }()
		since := time.Now()
		silent, releaseSilent := ls.hold(t.Context(), someLease, since)
		defer releaseSilent()
		other, releaseOther := ls.hold(t.Context(), otherLease, since)
		defer releaseOther()

		<-silent.Done()
		if got, want := time.Since(since), testTTL-testTTL/10; got != want || !errors.Is(context.Cause(silent), errLeaseLapsed) {
			t.Errorf("the silent shard's lease ended after %s (%v), want %s (%v)", got, context.Cause(silent), want, errLeaseLapsed)
		}
		pass(10 * time.Minute)
		if other.Err() != nil || lost.Load() != 1 {
			t.Errorf("the other shard's lease: %v, %d lost; want it kept, 1", context.Cause(other), lost.Load())
		}
		if most.Load() != 1 {
			t.Errorf("the silent shard was asked %d times at once, want 1", most.Load())
		}
		stop()
		<-ended
		if n := asking.Load(); n != 0 {
			t.Errorf("%d extensions are under way after the keeper's end, want 0", n)
		}
	})
}
