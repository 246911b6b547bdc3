package doorbell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cardworker/cardworker/internal/redistest"
)

// shelf is a Redis whose pipelines are answered by a function of what is asked, one queue after the other.
// Any command outside of a pipeline panics.
type shelf struct {
	*redis.Client
	tasks  map[string][]string // by queue, the next one first
	fail   map[string]error    // by queue
	before func()              // called before each pipeline
	lists  bool                // answers are lists: the message, and whether it was the last
	knows  bool                // EVAL fails like EVALSHA
	sent   []string            // the commands and the scripts that they name
	asked  []map[string]int    // by pipeline: how many tasks of which queue
}

func newShelf(t testing.TB) *shelf {
	s := &shelf{
		Client: redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}),
		tasks:  map[string][]string{}, fail: map[string]error{}, before: func() {},
	}
	t.Cleanup(func() { _ = s.Close() })
	s.AddHook(s)
	return s
}

func (*shelf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *shelf) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(context.Context, redis.Cmder) error { panic("a command alone") }
}

func (s *shelf) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		s.before()
		asked := map[string]int{}
		for _, cmd := range cmds {
			d := cmd.(*dequeue)
			q := queueOf(d.Args()[firstKey].(string))
			asked[q]++
			s.sent = append(s.sent, fmt.Sprint(d.Args()[0], " ", d.Args()[1]))
			switch left := s.tasks[q]; {
			case s.fail[q] != nil && (d.Name() != "eval" || s.knows):
				d.SetErr(s.fail[q])
			case len(left) == 0:
				d.SetErr(redis.Nil)
			default:
				s.tasks[q] = left[1:]
				d.SetVal(message(left[0]))
				if s.lists {
					d.SetVal([]any{message(left[0]), len(left) == 1})
				}
				d.SetErr(nil)
			}
		}
		s.asked = append(s.asked, asked)
		return nil
	}
}

func (s *shelf) put(queue string, from, to int) {
	for i := from; i < to; i++ {
		s.tasks[queue] = append(s.tasks[queue], fmt.Sprintf("%s%d", queue, i))
	}
}

// message is asynq's of a task of which only the id matters.
func message(id string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, idField, protowire.BytesType), id))
}

// next looks once at the queues, as asynq does, and returns the task it gets, "none" or the error.
func next(c redis.UniversalClient, queues ...string) string {
	for _, q := range queues {
		switch v, err := c.EvalSha(context.Background(), "sha", DequeueKeys(q), 1, TaskPrefix(q)).Text(); {
		case err == nil:
			id, err := taskID(v)
			if err != nil {
				return err.Error()
			}
			return id
		case !errors.Is(err, redis.Nil):
			return err.Error()
		}
	}
	return "none"
}

func wantNext(t testing.TB, c redis.UniversalClient, queues []string, want ...string) {
	t.Helper()
	for i, w := range want {
		if got := next(c, queues...); got != w {
			t.Fatalf("look %d found %s, want %s", i, got, w)
		}
	}
}

func wantAsked(t testing.TB, s *shelf, want ...map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("it asked for: -want +got\n%s", diff)
	}
	s.asked = nil
}

func TestHandful_TakesMoreAsLongAsItFindsAllAndOneOfAnEmptyQueue(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := newHandful(s, 1000, "q")
	s.put("q", 0, 200)
	for i := range 200 {
		wantNext(t, h, []string{"q"}, fmt.Sprintf("q%d", i))
	}
	wantNext(t, h, []string{"q"}, "none", "none")
	of := func(n int) map[string]int { return map[string]int{"q": n} }
	// 1+2+4+…+64 = 127, 64 more make 191; then it found 9 of 64, and nothing.
	wantAsked(t, s, of(1), of(2), of(4), of(8), of(16), of(32), of(64), of(64), of(64), of(9), of(1))
}

func TestHandful_WhatIsGivenComesFirstAndTakesAPlaceLikeAnyOther(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := newHandful(s, 2, "a", "b")
	s.put("a", 0, 3)
	for _, id := range []string{"b-given", "b-second"} {
		if !h.Give("b", message(id)) {
			t.Errorf("Give(%s) = false while the server runs", id)
		}
	}
	// Those of the queue that is asked for, or of more urgent ones; a0 waits in Redis.
	if got := next(h, "b"); got != "b-given" {
		t.Errorf("the first look found %s, want b-given", got)
	}
	if !h.Give("a", message("a-given")) {
		t.Error("Give = false while the server runs")
	}
	wantNext(t, h, []string{"a", "b"}, "a-given")
	if len(s.asked) != 0 {
		t.Errorf("Redis was asked for %v, with what was given at hand", s.asked)
	}
	if free := h.Free(); free != 0 {
		t.Errorf("%d places are free, want none: two tasks run", free)
	}
	h.Ended()
	h.Ended()
	wantNext(t, h, []string{"a", "b"}, "a0")
	h.Ended()
	if got := next(h, "b"); got != "b-second" {
		t.Errorf("a look at b found %s, want b-second", got)
	}
	h.Ended()
	if free := h.Free(); free != 2-len(h.queues[0].tasks) {
		t.Errorf("%d places are free with %d tasks taken, want the rest of 2", free, len(h.queues[0].tasks))
	}
}

// asynq's lease of a task is as old as the look that brings it, and a task whose lease has ended is cancelled.
func TestHandful_ALookThatHasWaitedLongForAPlaceBringsNothingAndKeepsThePlace(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.put("a", 0, 2)
	synctest.Test(t, func(t *testing.T) {
		h := newHandful(s, 1, "a", "b")
		b := silent()
		defer b.Release()
		c := b.Client(h, "a", "b")
		wantNext(t, c, []string{"a", "b"}, "a0") // It has the only place.
		got := make(chan string, 1)
		go func() { got <- next(c, "a") }()
		pass(longPay + time.Second)
		h.Ended()
		if id := <-got; id != "none" {
			t.Errorf("a look of %s ago brings %s", longPay+time.Second, id)
		}
		if free := h.Free(); free != 0 {
			t.Errorf("%d places are free, want the one kept for the next look", free)
		}
		began := time.Now()
		wantNext(t, c, []string{"a", "b"}, "a1")
		if took := time.Since(began); took != 0 {
			t.Errorf("the next look took %s, want 0", took)
		}
	})
}

func TestHandful_ALookAtEmptyQueuesIsOneRoundTripForAll(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := newHandful(s, 10, "a", "b", "c")
	wantNext(t, h, []string{"a", "b", "c"}, "none", "none")
	each := map[string]int{"a": 1, "b": 1, "c": 1}
	wantAsked(t, s, each, each)
}

func TestHandful_UrgentTasksComeFirst(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	queues := []string{"a", "b"}
	h := newHandful(s, 100, queues...)
	s.put("a", 0, 3)
	s.put("b", 0, 3)
	wantNext(t, h, queues, "a0", "b0", "a1", "a2", "b1", "b2")
	// An urgent task that comes while a less urgent handful is at hand waits for that alone.
	s.put("b", 3, 20)
	wantNext(t, h, queues, "b3")
	s.put("a", 3, 5)
	wantNext(t, h, queues, "b4", "b5", "b6", "a3")
}

func TestHandful_TakesNoMoreThanThereAreFreePlaces(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	queues := []string{"a", "b"}
	h := newHandful(s, 5, queues...)
	s.put("b", 0, 100)
	held := func() int { return len(h.queues[0].tasks) + len(h.queues[1].tasks) }
	running := 0
	for i := range 40 {
		wantNext(t, h, queues, fmt.Sprintf("b%d", i))
		running++
		if running+held() > 5 {
			t.Fatalf("with %d running it holds %d, want at most 5 together", running, held())
		}
		if running == 5 {
			h.Ended() // asynq looks when a place is free.
			running--
		}
	}
	// With one place an urgent queue that had something is asked alone, and the other when that was in vain.
	h = newHandful(s, 1, queues...)
	s.put("a", 0, 1)
	s.asked = nil
	wantNext(t, h, queues, "a0")
	h.Ended()
	if held() > 1 {
		t.Errorf("it holds %d, want at most the one that it took for an urgent queue that had been empty", held())
	}
}

func TestHandful_WhatOneLookFindsOfQueuesBeforeIsNotHeldBack(t *testing.T) {
	t.Parallel()
	queues := []string{"a", "b"}
	for name, fail := range map[string]map[string]error{
		"the second failed": {"b": errors.New("ERR")},
		"both failed":       {"a": errors.New("ERR"), "b": errors.New("ERR")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t)
			h := newHandful(s, 10, queues...)
			s.fail = fail
			wantNext(t, h, queues, "ERR")
			s.fail = nil
			s.put("a", 0, 2)
			// asynq looks again. It must not hear that all is empty, or it waits for a ring with the
			// task at hand.
			wantNext(t, h, queues, "a0", "a1", "none")
		})
	}
	t.Run("asynq asked for the second alone", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t)
		h := newHandful(s, 10, queues...)
		// As after the script was taught in a look at the first.
		s.put("a", 0, 1)
		wantNext(t, h, queues[1:], "a0")
		s.put("b", 0, 1)
		wantNext(t, h, queues[1:], "b0")
		s.put("a", 1, 2)
		wantNext(t, h, queues, "a1", "none")
	})
}

func TestHandful_TasksOfATryThatFailedAreNotLost(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := newHandful(s, 10, "a")
	// go-redis read one answer, lost the connection, and repeated the round trip, in vain.
	s.before = func() {
		s.before = func() {}
		h.queues[0].tasks = append(h.queues[0].tasks, Took{Message: message("first try")})
	}
	s.fail["a"] = errors.New("EOF")
	wantNext(t, h, []string{"a"}, "first try", "EOF")

	first := h.dequeue(t.Context(), h.queues[0], "sha", 1)
	first.SetVal(message("answered"))
	first.SetErr(nil)
	first.SetErr(errors.New("EOF"))
	wantNext(t, h, []string{"a"}, "answered", "EOF")
}

// A look that is answered from what was taken does not look into Redis, and yet forgets what has rung.
func TestHandful_ARingDuringALookThatIsAnsweredFromTheHandfulIsNotLost(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	queues := []string{"a", "b"}
	b := silent()
	defer b.Release()
	h := newHandful(s, 10, queues...)
	c := b.Client(h, queues...)
	s.put("b", 0, 1)
	wantNext(t, c, queues, "b0")
	s.put("b", 1, 3)
	wantNext(t, c, queues, "b1")
	s.put("a", 0, 1)
	b.hear(channel("a"))
	wantNext(t, c, queues, "b2", "a0") // It would wait for ever if it had to wait.
	rings := 0
	s.before = func() {
		// Between the answer and the wait.
		if rings++; rings == 1 {
			b.hear(channel("b"))
		}
		if rings == 2 {
			s.put("b", 3, 4)
		}
	}
	wantNext(t, c, queues, "b3") // The second round finds it.
}

func TestHandful_OtherScriptsPassThrough(t *testing.T) {
	t.Parallel()
	var saw []string
	answer := message("1")
	h := newHandful(fakeRedis{answer: func(keys []string) (any, error) {
		saw = append(saw, keys[0])
		return answer, nil
	}}, 1, "q")
	for _, keys := range [][]string{{"mine"}, forwardKeys("q"), DequeueKeys("another")} {
		for _, do := range []func(context.Context, string, []string, ...any) *redis.Cmd{h.EvalSha, h.Eval} {
			saw = nil
			if got, err := do(t.Context(), "sha", keys, 1, 2).Result(); err != nil || got != answer || !slices.Equal(saw, keys[:1]) {
				t.Errorf("%v = %v, %v after %v", keys, got, err, saw)
			}
		}
	}
	if n := h.share.places.busy; n != 0 {
		t.Errorf("%d places are taken, want 0", n)
	}
	if h.Eval(t.Context(), "text", DequeueKeys("q"), 1, 2); h.share.places.busy != 1 {
		t.Errorf("%d places are taken after a task was taken by Eval, want 1", h.share.places.busy)
	}
}

func TestHandful_AnUnknownScriptIsTaught(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	queues := []string{"a", "b"}
	b := listen(t, rdb, queues...)
	got := serveHandful(t, b, rdb, queues...)
	for i := range 20 {
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatalf("SCRIPT FLUSH: %v", err)
		}
		name := fmt.Sprint(i)
		put(t, Ringing(rdb), queues[i%2], name)
		if id := receive(t, "the task is taken", got); id != name {
			t.Errorf("took %s, want %s", id, name)
		}
	}
}
