package doorbell

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

// fakeRedis answers scripts by a function of their keys. Any other command panics.
type fakeRedis struct {
	redis.UniversalClient
	answer func(keys []string) (any, error)
}

func (f fakeRedis) EvalSha(ctx context.Context, sha1 string, keys []string, _ ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, "evalsha", sha1)
	v, err := f.answer(keys)
	cmd.SetVal(v)
	cmd.SetErr(err)
	return cmd
}

func (f fakeRedis) Eval(ctx context.Context, text string, keys []string, _ ...any) *redis.Cmd {
	return f.EvalSha(ctx, text, keys)
}

func nothing([]string) (any, error) { return nil, redis.Nil }

// silent returns a bell that hears what a test has it hear, and nothing else.
func silent() *Bell {
	ctx, release := context.WithCancel(context.Background())
	return &Bell{waiting: map[string][]chan<- struct{}{}, release: release, released: ctx.Done()}
}

func forwardKeys(queue string) []string {
	p := "asynq:{" + queue + "}:"
	return []string{p + "retry", p + "pending"}
}

// look looks at the queues until one has something, as asynq does, and returns whether one had.
func look(c redis.UniversalClient, queues ...string) bool {
	for _, q := range queues {
		if c.EvalSha(context.Background(), "sha", DequeueKeys(q), 1, TaskPrefix(q)).Err() == nil {
			return true
		}
	}
	return false
}

// looking looks once in the background. The result tells when the look has returned.
func looking(c redis.UniversalClient, queues ...string) func() bool {
	done := make(chan struct{})
	go func() { defer close(done); look(c, queues...) }()
	return func() bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// pass lets d of the bubble's time pass, which is none of ours, and everyone come to rest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// full is a Redis of queues that have something or not, and notes the looks at them.
type full struct {
	mu    sync.Mutex
	has   map[string]bool
	looks []string
}

func (f *full) answer(keys []string) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := queueOf(keys[0])
	f.looks = append(f.looks, q)
	if f.has[q] {
		return "task of " + q, nil
	}
	return nil, redis.Nil
}

func TestClient_ALookAtEmptyQueuesTakesUntilItRings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		var f full
		c := b.Client(fakeRedis{answer: f.answer}, "first", "last")
		for _, q := range []string{"first", "last"} {
			f = full{has: map[string]bool{}}
			returned := looking(c, "first", "last")
			if returned() {
				t.Fatal("the look returned without a ring")
			}
			b.hear(channel("other"))
			b.hear(channel(q)) // Somebody else was quicker.
			if returned() {
				t.Fatalf("the look returned with nothing")
			}
			f.has[q] = true
			b.hear(channel("other"))
			if returned() {
				t.Fatal("the look returned when another queue's bell rang")
			}
			b.hear(channel(q))
			if !returned() {
				t.Fatalf("the look goes on after the ring of %s", q)
			}
			// It waits behind the last of them, never between, and looks at all of them then.
			want := []string{"first", "last", "first", "last", "first", "last"}
			if q == "first" {
				want = want[:5]
			}
			if !slices.Equal(f.looks, want) {
				t.Errorf("it looked at %v, want %v", f.looks, want)
			}
		}
	})
}

func TestClient_ARingBetweenTheLookAndTheWaitIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		defer b.Release()
		looks, ringAt := 0, ""
		c := b.Client(fakeRedis{answer: func(keys []string) (any, error) {
			looks++
			if queueOf(keys[0]) == ringAt {
				// Redis has found the queue empty, and before its answer is here a task comes.
				ringAt = ""
				b.hear(channel("first"))
			}
			return nil, redis.Nil
		}}, "first", "last")
		for _, at := range []string{"first", "last"} {
			looks, ringAt = 0, at
			returned := looking(c, "first", "last")
			if returned() || looks != 4 {
				t.Fatalf("%d looks after a ring that came during the look at %s, want two rounds of two", looks, at)
			}
			pass(fresh) // It ends the wait.
			returned()
			returned = looking(c, "first", "last")
			pass(fresh)
			returned()
			if looks != 4 {
				t.Errorf("%d looks without another ring, want none", looks-4)
			}
			c.(*client).renewing = false
		}
	})
}

// A wait is not for ever: what asynq gets from it has a lease of when it began. The next wait goes on where it ended.
func TestClient_AWaitThatGetsTooOldIsRenewedWithoutAskingRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		f := full{has: map[string]bool{}}
		c := b.Client(fakeRedis{answer: f.answer}, "first", "last")
		for range 3 {
			returned := looking(c, "first", "last")
			pass(fresh - time.Nanosecond)
			if returned() {
				t.Fatalf("the look returned before %s", fresh)
			}
			pass(time.Nanosecond)
			if !returned() {
				t.Fatalf("the look goes on after %s", fresh)
			}
		}
		if want := []string{"first", "last"}; !slices.Equal(f.looks, want) {
			t.Errorf("in three waits it looked at %v, want %v", f.looks, want)
		}
		// What rings while nobody waits is not lost.
		b.hear(channel("last"))
		f.has["last"] = true
		returned := looking(c, "first", "last")
		if !returned() {
			t.Error("a ring between two waits was lost")
		}
	})
}

// A look that took long may not have looked at all: it has waited for a place. asynq begins anew, with another lease.
func TestClient_AfterALookThatTookLongAsynqLooksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		defer b.Release()
		slow := time.Duration(0)
		f := full{has: map[string]bool{}}
		c := b.Client(fakeRedis{answer: func(keys []string) (any, error) {
			<-time.After(slow)
			return f.answer(keys)
		}}, "first", "last")
		slow = fresh
		look(c, "first", "last")
		if n := len(f.looks); n != 2 {
			t.Errorf("%d looks, want two that return", n)
		}
		slow = 0
		returned := looking(c, "first", "last")
		if returned() {
			t.Fatal("a quick look at empty queues returned")
		}
		slow = fresh
		b.hear(channel("last"))
		pass(fresh)
		if !returned() || len(f.looks) != 5 {
			t.Errorf("%d looks, want the round to end with the first that took long", len(f.looks))
		}
	})
}

func TestClient_WhatRangBeforeTheLookIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		defer b.Release()
		var f full
		c := b.Client(fakeRedis{answer: f.answer}, "q")
		for range 3 {
			b.hear(channel("q"))
		}
		if returned := looking(c, "q"); returned() || len(f.looks) != 1 {
			t.Errorf("%d looks after a ring before the first: it costs one look more for each task", len(f.looks))
		}
	})
}

func TestClient_ALookThatFindsSomethingReturnsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent().Client(fakeRedis{answer: func([]string) (any, error) { return "task", nil }}, "q")
		start := time.Now()
		if !look(c, "q") || time.Since(start) != 0 {
			t.Errorf("the look took %s, want 0", time.Since(start))
		}
	})
}

func TestClient_ARingWakesAllWhoWaitForTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		defer b.Release()
		f := full{has: map[string]bool{}}
		rdb := fakeRedis{answer: f.answer}
		one, two, other := looking(b.Client(rdb, "q"), "q"), looking(b.Client(rdb, "p", "q"), "p", "q"), looking(b.Client(rdb, "p"), "p")
		synctest.Wait()
		f.has["q"] = true
		b.hear(channel("q"))
		if !one() || !two() || other() {
			t.Errorf("woken are %t, %t and, of another queue, %t; want true, true, false", one(), two(), other())
		}
	})
}

func TestClient_DelayedTasksThatBecomeDueRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		defer b.Release()
		due := int64(0)
		c := b.Client(fakeRedis{answer: func(keys []string) (any, error) {
			switch {
			case forwards(keys) != "":
				return due, nil
			case due > 0:
				return "task", nil
			}
			return nil, redis.Nil
		}}, "q")
		returned := looking(c, "q")
		synctest.Wait()
		c.EvalSha(t.Context(), "sha", forwardKeys("q"))
		if returned() {
			t.Error("a look ended when no delayed task was due")
		}
		due = 2
		c.EvalSha(t.Context(), "sha", forwardKeys("q"))
		if !returned() {
			t.Error("a look goes on after delayed tasks became due")
		}
	})
}

func TestClient_LooksThatFailDoNotFollowEachOtherHotly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("OOM command not allowed when used memory > 'maxmemory'")
		var answer error
		c := silent().Client(fakeRedis{answer: func([]string) (any, error) { return nil, answer }}, "q")
		took := func(err error) time.Duration {
			answer = err
			start := time.Now()
			look(c, "q")
			return time.Since(start)
		}
		var got []time.Duration
		for _, err := range []error{refused, refused, redis.ErrNoScript, refused, refused, refused, refused, nil, refused} {
			got = append(got, took(err).Round(time.Millisecond)/time.Millisecond)
		}
		// A script that Redis does not know yet is no failure, and a success begins anew.
		if diff := cmp.Diff([]time.Duration{100, 200, 0, 400, 800, 1500, 1500, 0, 100}, got); diff != "" {
			t.Errorf("the looks took, in ms: -want +got\n%s", diff)
		}
	})
}

func TestClient_FailuresOfOneQueueAddUpThoughAnotherAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent().Client(fakeRedis{answer: func(keys []string) (any, error) {
			if queueOf(keys[0]) == "first" {
				return nil, redis.Nil
			}
			return nil, errors.New("CLUSTERDOWN Hash slot not served")
		}}, "first", "last")
		start := time.Now()
		for range 6 {
			look(c, "first", "last")
		}
		if took := time.Since(start); took != 4500*time.Millisecond {
			t.Errorf("six rounds took %s, want 4.5s", took)
		}
	})
}

func TestRelease_EndsAllWaitsNowAndInFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := silent()
		failing := fakeRedis{answer: func([]string) (any, error) { return nil, errors.New("ERR") }}
		waiting := looking(b.Client(fakeRedis{answer: nothing}, "q"), "q")
		pausing := looking(b.Client(failing, "q"), "q")
		start := time.Now()
		if waiting() || pausing() {
			t.Fatal("the looks did not wait")
		}
		b.Release()
		b.Release()
		if !waiting() || !pausing() {
			t.Error("a look goes on after the release")
		}
		if again := looking(b.Client(fakeRedis{answer: nothing}, "q"), "q"); !again() {
			t.Error("a look waits after the release")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s, want 0", took)
		}
	})
}
