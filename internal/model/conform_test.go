package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

// sides are the model and another Redis with the same clock.
type sides struct {
	t     testing.TB
	now   time.Time
	mini  *miniredis.Miniredis
	model redis.UniversalClient
	other redis.UniversalClient
	keys  *Keyspace
}

func newSides(t testing.TB) *sides {
	t.Helper()
	s := &sides{t: t, now: time.UnixMilli(1_790_000_000_000), mini: miniredis.RunT(t)}
	s.keys = New(func() time.Time { return s.now }, nil)
	s.model = NewClient(s.keys, func(_ context.Context, _ []redis.Cmder, act func()) error { act(); return nil })
	s.other = redis.NewClient(&redis.Options{Addr: s.mini.Addr()})
	t.Cleanup(func() {
		if err := errors.Join(s.model.Close(), s.other.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	s.pass(0)
	return s
}

func (s *sides) pass(d time.Duration) {
	s.now = s.now.Add(d)
	s.mini.SetTime(s.now)
	s.mini.FastForward(d)
}

// both does the same on either side and compares the answers.
func (s *sides) both(what string, do func(rdb redis.UniversalClient) string) {
	s.t.Helper()
	if got, want := do(s.model), do(s.other); got != want {
		s.t.Fatalf("%s: the model answers\n%s\nwant\n%s", what, got, want)
	}
}

// same compares everything that is stored, ids of events aside.
func (s *sides) same() {
	s.t.Helper()
	names := s.mini.Keys()
	slices.Sort(names)
	if diff := cmp.Diff(names, s.keys.Keys()); diff != "" {
		s.t.Fatalf("keys (-other +model):\n%s", diff)
	}
	for _, name := range names {
		s.both(name, func(rdb redis.UniversalClient) string {
			ctx := s.t.Context()
			switch s.mini.Type(name) {
			case "hash":
				fields := rdb.HGetAll(ctx, name).Val()
				delete(fields, "wrote") // The number of a call, which each store makes up.
				return fmt.Sprint(fields)
			case "zset":
				return scores(s.t, rdb, name)
			case "string":
				return rdb.Get(ctx, name).Val()
			case "stream":
				var b strings.Builder
				for _, m := range rdb.XRange(ctx, name, "-", "+").Val() {
					fmt.Fprintln(&b, m.Values)
				}
				return b.String()
			default:
				return "" // What asynq keeps is compared by its own answers.
			}
		})
	}
}

// scores returns a sorted set in words that do not depend on how a protocol writes numbers.
func scores(t testing.TB, rdb redis.UniversalClient, name string) string {
	t.Helper()
	flat, err := rdb.Do(t.Context(), "ZRANGEBYSCORE", name, "-inf", "+inf", "WITHSCORES").Slice()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var b strings.Builder
	for i := 0; i+1 < len(flat); i += 2 {
		score, err := strconv.ParseFloat(fmt.Sprint(flat[i+1]), 64)
		fmt.Fprintf(&b, "%v at %.3f %v\n", flat[i], score, err)
	}
	return b.String()
}

// trace makes random calls of the store on both sides.
func trace(s *sides, rnd *rand.Rand) {
	ctx := s.t.Context()
	kinds := []tasks.Kind{tasks.UnblockPIN, tasks.RefreshPINStatus}
	card, err := tasks.ParsePublicToken("103169946")
	if err != nil {
		s.t.Fatal(err)
	}
	ids := []string{opstore.NewID(card), opstore.NewID(card), opstore.NewID(card)}
	for range 60 {
		id, kind := ids[rnd.IntN(len(ids))], kinds[rnd.IntN(2)]
		rec, err := opstore.New(s.other, opstore.Config{}).Get(ctx, id)
		if err == nil {
			kind = rec.Kind
		}
		lease := opstore.Lease{ID: id, Seq: rec.Seq - int64(rnd.IntN(8)/7), Fence: rec.Fence - int64(rnd.IntN(8)/7)}
		typ := rec.TaskType
		held := opstore.Lease{}
		if rnd.IntN(3) == 0 {
			held = lease
		}
		name := fmt.Sprint("run", rnd.IntN(3))
		p := opstore.Progress{
			Delay: time.Duration(rnd.IntN(2000)) * time.Millisecond, Keep: rnd.IntN(2) == 0, Unknown: rnd.IntN(2) == 0,
			Blocked: rnd.IntN(4) == 0, Unburned: rnd.IntN(4) == 0, Code: tasks.CodeUnavailable,
		}
		res := opstore.Result{Unknown: rnd.IntN(2) == 0, Accepted: rnd.IntN(3) == 0}
		if rnd.IntN(2) == 0 {
			res.Error = &tasks.Error{Code: tasks.CodeStillBlocked, Message: "m"}
		} else {
			res.Status = &tasks.Status{Value: "Unblocked"}
		}
		// They are tasks of asynq that the step makes and ends.
		next := doorbell.Task{Queue: tasks.QueueConfirm, ID: opstore.TaskID(id, lease.Seq+1), Message: "m", Since: s.now.UnixNano()}
		res.Task = doorbell.Active{Queue: tasks.QueueConfirm, ID: opstore.TaskID(id, lease.Seq)}
		choice := rnd.IntN(16)
		s.both(fmt.Sprintf("call %d", choice), func(rdb redis.UniversalClient) string {
			store := opstore.New(rdb, opstore.Config{UnblockLimit: 3})
			if rec.ID == "" || choice == 0 {
				return answerOf(store.Accept(ctx, opstore.Request{Kind: kind, Card: card, ID: id, Lifetime: 20 * time.Second}))
			}
			switch choice {
			case 1, 2, 3, 4:
				return answerOf(store.Begin(ctx, typ, id, lease.Seq, name, held))
			case 5, 6:
				return answerOf(nil, store.Yield(ctx, lease, typ, p))
			case 7:
				if !kind.Unblocks() {
					return ""
				}
				return answerOf(store.Chain(ctx, lease, kind))
			case 8:
				return answerOf(store.Finish(ctx, lease, rec, res))
			case 14, 15:
				if !kind.Unblocks() {
					return ""
				}
				b, ok, err := store.Handover(ctx, lease, rec, name, next, res.Task)
				return answerOf(b, err) + fmt.Sprint(ok)
			case 9:
				return answerOf(store.Redispatch(ctx, rec))
			case 10:
				return answerOf(nil, store.Postpone(ctx, id, rec, time.Second))
			case 11:
				ids, now, err := store.Due(ctx, 10)
				return fmt.Sprint(ids, now.UnixMilli(), err)
			case 12:
				return fmt.Sprint(store.Extend(ctx, []opstore.Lease{lease}))
			default:
				return answerOf(store.Redrive(ctx, id, 20*time.Second))
			}
		})
		s.pass(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	s.same()
}

func answerOf(v any, err error) string {
	text, encodeErr := json.Marshal(v)
	return fmt.Sprintf("%s %v %v", text, err, encodeErr)
}

func TestModel_AnswersTheStoreAsAnotherRedisDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			trace(newSides(t), rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func TestModel_AnswersTheQueueAsAnotherRedisDoes(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	for _, id := range []string{"a", "b", "a"} {
		s.both("enqueue "+id, func(rdb redis.UniversalClient) string {
			return answerOf(nil, taskqueue.New(rdb).Enqueue(t.Context(), tasks.TypeUnblockPIN, tasks.QueueUnblock, id, tasks.Payload{}))
		})
	}
	s.both("states", func(rdb redis.UniversalClient) string {
		return answerOf(taskqueue.States(t.Context(), rdb, []taskqueue.Ref{{Queue: tasks.QueueUnblock, ID: "a"}, {Queue: tasks.QueueUnblock, ID: "c"}}))
	})
	s.both("next", func(rdb redis.UniversalClient) string {
		return rdb.Do(t.Context(), "RPOP", "asynq:{"+tasks.QueueUnblock+"}:pending").String()
	})
}

func TestModel_AGateDecidesWhatBecomesOfACommand(t *testing.T) {
	t.Parallel()
	times, lost := 1, error(nil)
	k := New(time.Now, nil)
	rdb := NewClient(k, func(_ context.Context, _ []redis.Cmder, act func()) error {
		for range times {
			act()
		}
		return lost
	})
	t.Cleanup(func() { _ = rdb.Close() })
	count := func() int64 { n, _ := rdb.HIncrBy(t.Context(), "h", "n", 1).Result(); return n }
	if got := count(); got != 1 {
		t.Errorf("count = %d, want 1", got)
	}
	if times = 2; count() != 3 {
		t.Error("a command that was sent twice did not act twice")
	}
	times, lost = 0, ErrReplyLost
	if _, err := rdb.HIncrBy(t.Context(), "h", "n", 1).Result(); !errors.Is(err, ErrReplyLost) {
		t.Errorf("a lost command: %v, want %v", err, ErrReplyLost)
	}
	if v, err := k.Do("HGET", "h", "n"); v != "3" || err != nil {
		t.Errorf("n = %v, %v; want 3", v, err)
	}
}

func TestModel_FailsOnWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	k := New(time.Now, strings.NewReplacer("'GET'", "'FROB'"))
	if _, err := k.Do("FROB", "a"); err == nil {
		t.Error("an unknown command passes")
	}
	if _, err := k.Do("HGET", "a"); err == nil {
		t.Error("a command without its arguments passes")
	}
	if _, err := k.Eval("return redis.call('GET', KEYS[1])", []string{"a"}, nil); err == nil || !strings.Contains(err.Error(), "FROB") {
		t.Errorf("a script that was rewritten: %v, want an error about FROB", err)
	}
	if _, err := k.Eval("return (", nil, nil); err == nil {
		t.Error("a script that is none passes")
	}
}
