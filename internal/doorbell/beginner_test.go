package doorbell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
)

// begins is a Beginner for a shelf. Its looks are asynq's, and it begins every task.
type begins struct {
	s      *shelf
	gaveUp []string
}

func (b *begins) Look(queue string, lease any) ([]any, func(any) (Took, error)) {
	args := []any{"evalsha", "ours", 4}
	for _, k := range DequeueKeys(queue) {
		args = append(args, k)
	}
	return append(args, lease, TaskPrefix(queue)), func(answer any) (Took, error) {
		parts := answer.([]any)
		id, err := taskID(parts[0].(string))
		return Took{Message: parts[0].(string), Begun: id, Last: parts[1].(bool)}, err
	}
}

const ourScript = "the text of ours"

func (b *begins) Text() string { return ourScript }

func (b *begins) GiveUp(_ context.Context, ids []string) { b.gaveUp = append(b.gaveUp, ids...) }

// newBegun returns the client of a server whose looks begin what they take, with what it stands on.
func newBegun(t testing.TB, bell *Bell, queues ...string) (*shelf, *begins, *Handful, redis.UniversalClient) {
	s := newShelf(t)
	s.lists = true
	h := newHandful(s, 100, queues...)
	b := &begins{s: s}
	h.Begins(b)
	return s, b, h, bell.Client(h, queues...)
}

func TestClient_AfterTheLastTaskRedisIsNotAskedUntilItRings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bell := silent()
		defer bell.Release()
		queues := []string{"a", "b"}
		s, _, h, c := newBegun(t, bell, queues...)
		s.put("b", 0, 1)
		wantNext(t, c, queues, "b0")
		wantAsked(t, s, map[string]int{"a": 1, "b": 1})

		returned := looking(c, queues...)
		if returned() || len(s.asked) != 0 {
			t.Fatalf("behind the last task Redis was asked for %v, want a wait", s.asked)
		}
		h.Give("a", message("given")) // It is handed out without asking either.
		if !returned() || len(s.asked) != 0 {
			t.Fatalf("with something given Redis was asked for %v, want it handed out", s.asked)
		}
		returned = looking(c, queues...)
		s.put("a", 0, 1)
		bell.hear(channel("a"))
		if !returned() {
			t.Error("a ring does not end the wait behind the last task")
		}
	})
}

// More may be given than words say so.
func TestClient_AllThatIsGivenIsHandedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bell := silent()
		defer bell.Release()
		queues := []string{"a", "b"}
		s, _, h, c := newBegun(t, bell, queues...)
		s.put("b", 0, 1)
		wantNext(t, c, queues, "b0")
		for i := range 3 {
			h.Give("a", message(fmt.Sprint("given", i)))
		}
		wantNext(t, c, queues, "given0", "given1", "given2")
		if returned := looking(c, queues...); returned() {
			t.Error("a look found what is not there")
		}
	})
}

// What has rung during a look that Redis was not asked for is still to be looked for.
func TestClient_ARingThatALookDidNotFollowIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, quiet := range map[string]func(c redis.UniversalClient, bell *Bell, s *shelf, h *Handful){
		"with what was given": func(c redis.UniversalClient, bell *Bell, s *shelf, h *Handful) {
			returned := looking(c, "a", "b")
			s.put("b", 7, 8)
			h.Give("a", message("given"))
			bell.hear(channel("b")) // Both wake the look, and it hands out the first.
			if !returned() {
				panic("the look goes on")
			}
		},
		"when it had just begun": func(c redis.UniversalClient, bell *Bell, s *shelf, h *Handful) {
			h.Give("a", message("given"))
			s.put("b", 7, 8)
			bell.hear(channel("b"))
			if got := next(c, "a", "b"); got != "given" {
				panic(got)
			}
		},
		"when the one before had got too old": func(c redis.UniversalClient, bell *Bell, s *shelf, h *Handful) {
			c.(*client).renewing = false // As it is when what was given wakes a look at that very moment.
			h.Give("a", message("given"))
			s.put("b", 7, 8)
			bell.hear(channel("b"))
			if got := next(c, "a", "b"); got != "given" {
				panic(got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bell := silent()
				defer bell.Release()
				s, _, h, c := newBegun(t, bell, "a", "b")
				s.put("b", 0, 1)
				wantNext(t, c, []string{"a", "b"}, "b0")
				quiet(c, bell, s, h)
				var got string
				done := make(chan struct{})
				go func() { defer close(done); got = next(c, "a", "b") }()
				synctest.Wait()
				select {
				case <-done:
				default:
					t.Fatal("what has rung is waited for")
				}
				if got != "b7" {
					t.Errorf("the next look found %s, want b7", got)
				}
			})
		})
	}
}

// A queue of which nobody knows whether it is empty is looked at again.
func TestClient_AfterATaskThatMayNotBeTheLastRedisIsAsked(t *testing.T) {
	t.Parallel()
	bell := silent()
	defer bell.Release()
	queues := []string{"a", "b"}
	s, _, _, c := newBegun(t, bell, queues...)
	s.put("b", 0, 3)
	wantNext(t, c, queues, "b0", "b1", "b2")
	wantAsked(t, s, map[string]int{"a": 1, "b": 1}, map[string]int{"a": 1, "b": 2})

	// Nor is one whose look failed.
	s.put("b", 3, 4)
	s.fail["a"] = errors.New("it failed")
	bell.hear(channel("b"))
	wantNext(t, c, []string{"b"}, "b3")
	delete(s.fail, "a")
	s.put("a", 0, 1)
	wantNext(t, c, queues, "a0")
}

// Redis may forget scripts at any time, also between two looks of a round trip. Those that it did make are not made again.
func TestHandful_AScriptThatRedisDoesNotKnowIsSentAlong(t *testing.T) {
	t.Parallel()
	bell := silent()
	defer bell.Release()
	queues := []string{"a", "b"}
	s, _, h, c := newBegun(t, bell, queues...)
	s.put("a", 0, 1)
	s.put("b", 0, 1)
	s.fail["b"] = redis.ErrNoScript
	wantNext(t, c, queues, "a0", "b0")
	wantAsked(t, s, map[string]int{"a": 1, "b": 1}, map[string]int{"b": 1})
	if want := []string{"evalsha ours", "evalsha ours", "eval " + ourScript}; !slices.Equal(s.sent, want) {
		t.Errorf("sent %q, want %q", s.sent, want)
	}
	if free := h.Free(); free != 98 {
		t.Errorf("%d places are free, want 98 of 100: two tasks run", free)
	}

	// When it does not even know it then, the look fails, and asynq sends its own.
	s.fail["a"], s.fail["b"], s.knows = redis.ErrNoScript, redis.ErrNoScript, true
	bell.hear(channel("a"))
	if got := next(c, queues...); got != redis.ErrNoScript.Error() {
		t.Errorf("a look came to %s, want %v", got, redis.ErrNoScript)
	}
}

// go-redis repeats a round trip whose connection was lost behind the first answers.
func TestHandful_WhatWasBegunByATryThatFailedIsNotLost(t *testing.T) {
	t.Parallel()
	bell := silent()
	defer bell.Release()
	_, _, h, c := newBegun(t, bell, "a")
	first := h.dequeue(t.Context(), h.queues[0], "sha", 1)
	for _, id := range []string{"first try", "second try"} {
		first.SetVal([]any{message(id), true})
		first.SetErr(nil)
		first.SetErr(nil) // It may say so twice.
		first.SetErr(errors.New("EOF"))
	}
	wantNext(t, c, []string{"a"}, "first try", "second try")
}

// What was begun and is not handed to asynq is another's at once.
func TestHandful_WhatWasBegunAndIsNotHandedOutIsGivenUp(t *testing.T) {
	t.Parallel()
	bell := silent()
	defer bell.Release()
	s, b, h, c := newBegun(t, bell, "a")
	s.put("a", 0, 4)
	wantNext(t, c, []string{"a"}, "a0", "a1") // And a2 with a1.
	h.Give("a", message("given"))
	if got := h.Refuse(); !slices.Equal(got, []string{"given", "a2"}) {
		t.Errorf("Refuse = %v, want what was given and what was begun", got)
	}

	// asynq cannot read it. To set it aside takes a Redis, and the shelf has none but for looks.
	h.UniversalClient = fakeRedis{answer: nothing}
	h.handOut(t.Context(), "a", Took{Message: "\xff", Begun: "spoilt"})
	if !slices.Equal(b.gaveUp, []string{"spoilt"}) {
		t.Errorf("given up: %v, want what asynq cannot read", b.gaveUp)
	}
}

// Each look that finds nothing costs Redis something while somebody waits for the one that does.
func TestHandful_ALookForMoreThanThereEverIsIsNotMade(t *testing.T) {
	t.Parallel()
	bell := silent()
	defer bell.Release()
	s, _, _, c := newBegun(t, bell, "a")
	for i := range 4 {
		s.put("a", i, i+1)
		bell.hear(channel("a"))
		wantNext(t, c, []string{"a"}, fmt.Sprintf("a%d", i))
		wantAsked(t, s, map[string]int{"a": 1})
	}
}
