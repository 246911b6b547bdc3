package opstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// onRedisOfItsOwn runs a test whose queues nobody else looks at.
func onRedisOfItsOwn(t *testing.T, test func(t *testing.T, f fixture)) {
	t.Helper()
	t.Parallel()
	t.Run("server", func(t *testing.T) { t.Parallel(); test(t, newFixture(t, redistest.Start(t).Client(t))) })
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		rdb, _ := redistest.Embedded(t)
		test(t, newFixture(t, rdb))
	})
}

// pending puts a task into a queue as asynq does.
func (f fixture) pending(queue, id string) {
	f.Helper()
	_, err := f.rdb.Pipelined(f.Context(), func(p redis.Pipeliner) error {
		p.HSet(f.Context(), doorbell.TaskPrefix(queue)+id, "msg", "message of "+id, "state", "pending", "pending_since", 1)
		p.LPush(f.Context(), doorbell.DequeueKeys(queue)[0], id)
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
}

// take looks at a queue, and reports false when there is nothing.
func (f fixture) take(queue string) (doorbell.Took, Begun, bool) {
	f.Helper()
	if err := f.rdb.ScriptLoad(f.Context(), TakeText()).Err(); err != nil {
		f.Fatal(err)
	}
	answer, err := f.rdb.Do(f.Context(), f.store.TakeArgs(queue, 4_000_000_000, fmt.Sprintf("run %d", runs.Add(1)))...).Result()
	if errors.Is(err, redis.Nil) {
		return doorbell.Took{}, Begun{}, false
	}
	if err != nil {
		f.Fatalf("take = %v", err)
	}
	task, b, err := f.store.ParseTaken(answer)
	if err != nil && task.Message == "" {
		f.Fatalf("ParseTaken(%v) = %v", answer, err)
	}
	if err != nil {
		b.Record.Reason = err.Error() // For who wants to know.
	}
	return task, b, true
}

// A look comes to the same as asynq's dequeue and a begin behind it.
func TestTake_IsAsynqsDequeueAndBegin(t *testing.T) {
	onRedisOfItsOwn(t, func(t *testing.T, f fixture) {
		for kind, calls := range map[tasks.Kind]Call{tasks.UnblockPIN: CallOpen, tasks.UnblockCVV: CallOpen, tasks.RefreshPINStatus: CallNone} {
			rec, twin := f.open(kind), f.open(kind)
			f.pending(rec.TaskQueue, rec.TaskID)
			task, b, ok := f.take(rec.TaskQueue)
			if want := (doorbell.Took{Message: "message of " + rec.TaskID, Begun: rec.TaskID, Last: true}); !ok || task != want {
				t.Fatalf("%s: took %+v, %t, want %+v", kind, task, ok, want)
			}
			if want := (Lease{ID: rec.ID, Seq: 1, Fence: 1}); b.Outcome != Go || b.Lease != want || !near(b.Now, f.now()) {
				t.Errorf("%s: begun %s, %+v at %s; want go, %+v", kind, b.Outcome, b.Lease, b.Now, want)
			}
			if diff := cmp.Diff(f.get(rec.ID), b.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
				t.Errorf("%s: what was returned is not what was written (-written +returned):\n%s", kind, diff)
			}
			if b.Record.Call != calls || b.Record.Attempts != 1 || b.Record.Tries != 1 || b.Record.State != tasks.Running {
				t.Errorf("%s: %+v", kind, b.Record)
			}
			byBegin := f.begun(twin, Lease{}, Go).Record
			byBegin.ID, byBegin.Token, byBegin.TaskID = rec.ID, rec.Token, rec.TaskID
			if diff := cmp.Diff(byBegin, b.Record, cmpopts.EquateComparable(tasks.PublicToken{}), cmpopts.IgnoreTypes(time.Time{})); diff != "" {
				t.Errorf("%s: it is not what a begin makes of it (-begin +take):\n%s", kind, diff)
			}
			if leased, waiting := f.indexed(rec); !leased || waiting {
				t.Errorf("%s: leased %t, waiting %t", kind, leased, waiting)
			}
			keys := doorbell.DequeueKeys(rec.TaskQueue)
			if got := f.rdb.HGetAll(t.Context(), doorbell.TaskPrefix(rec.TaskQueue)+rec.TaskID).Val(); !cmp.Equal(got, map[string]string{"msg": task.Message, "state": "active"}) {
				t.Errorf("%s: asynq's task is %v", kind, got)
			}
			if got := f.rdb.LRange(t.Context(), keys[2], 0, 0).Val(); !cmp.Equal(got, []string{rec.TaskID}) {
				t.Errorf("%s: active are %v", kind, got)
			}
			if until := f.rdb.ZScore(t.Context(), keys[3], rec.TaskID).Val(); until != 4_000_000_000 {
				t.Errorf("%s: asynq's lease ends at %v", kind, until)
			}
			// The lease is that run's: what it learns is written, and nobody else begins.
			f.begun(rec, Lease{}, Held)
			f.finish(b, Result{Status: unblocked()})
		}
	})
}

// A confirmation counts no attempt and sends nothing.
func TestTake_OfAConfirmation(t *testing.T) {
	onRedisOfItsOwn(t, func(t *testing.T, f fixture) {
		rec := f.open(tasks.UnblockPIN)
		next, err := f.store.Chain(t.Context(), f.begun(rec, Lease{}, Go).Lease, rec.Kind)
		if err != nil {
			t.Fatal(err)
		}
		f.pending(next.Queue, next.ID)
		task, b, _ := f.take(next.Queue)
		if task.Begun != next.ID || b.Lease != (Lease{ID: rec.ID, Seq: 2, Fence: 2}) || b.Record.Call != CallNone ||
			b.Record.Attempts != 1 || b.Record.State != tasks.Confirming {
			t.Errorf("took %+v, %+v", task, b)
		}
	})
}

// What is not plainly waiting for its task is left for its run to find out about.
func TestTake_LeavesToTheRunWhatIsNotPlain(t *testing.T) {
	onRedisOfItsOwn(t, func(t *testing.T, f fixture) {
		begun := func(rec Record) Begun { return f.begun(rec, Lease{}, Go) }
		for name, tc := range map[string]func(rec Record) (taskID string){
			"another run has it":     func(rec Record) string { begun(rec); return rec.TaskID },
			"it has ended":           func(rec Record) string { f.done(rec, Result{Status: unblocked()}); return rec.TaskID },
			"it has another task":    func(rec Record) string { return TaskID(rec.ID, 2) },
			"its task is superseded": func(rec Record) string { f.set(rec.ID, "seq", 2); return rec.TaskID },
			"its task is of a type that we do not know": func(rec Record) string {
				f.set(rec.ID, "task_type", "pin:polish")
				return rec.TaskID
			},
			"it is for another queue": func(rec Record) string { f.set(rec.ID, "task_queue", "confirm"); return rec.TaskID },
			"its time is over":        func(rec Record) string { f.past(rec.ID, "expires_ms"); return rec.TaskID },
			"it is not due": func(rec Record) string {
				f.yielded(rec, Progress{Delay: time.Hour})
				return rec.TaskID
			},
			"there is none":       func(rec Record) string { return TaskID(NewID(rec.Token), 1) },
			"it cannot be read":   func(rec Record) string { f.set(rec.ID, "expires_ms", "soon"); return rec.TaskID },
			"it is no operation":  func(Record) string { return "a task of somebody else:1" },
			"it is none of ours":  func(Record) string { return "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB" },
			"the record is a set": func(rec Record) string { f.wrong(rec); return rec.TaskID },
		} {
			rec := f.open(tasks.UnblockPIN)
			id := tc(rec)
			f.pending(tasks.QueueUnblock, id)
			before := f.rdb.Dump(t.Context(), opKey(rec.ID)).Val()
			task, b, ok := f.take(tasks.QueueUnblock)
			if !ok || task != (doorbell.Took{Message: "message of " + id, Last: true}) || b.Outcome != "" {
				t.Errorf("%s: took %+v, %+v, %t; want the task alone", name, task, b, ok)
			}
			if failed := b.Record.Reason != ""; failed != slices.Contains([]string{"it cannot be read", "the record is a set"}, name) {
				t.Errorf("%s: the look says %q", name, b.Record.Reason)
			}
			if after := f.rdb.Dump(t.Context(), opKey(rec.ID)).Val(); after != before {
				t.Errorf("%s: the record was changed", name)
			}
		}
	})
}

// wrong puts something that is no record in the place of one.
func (f fixture) wrong(rec Record) {
	f.Helper()
	if err := errors.Join(f.rdb.Del(f.Context(), opKey(rec.ID)).Err(), f.rdb.SAdd(f.Context(), opKey(rec.ID), "x").Err()); err != nil {
		f.Fatal(err)
	}
}

func TestTake_FindsNothing(t *testing.T) {
	onRedisOfItsOwn(t, func(t *testing.T, f fixture) {
		if task, _, ok := f.take(tasks.QueueRefresh); ok {
			t.Errorf("an empty queue gave %+v", task)
		}
		rec := f.open(tasks.RefreshCVVStatus)
		f.pending(rec.TaskQueue, rec.TaskID)
		paused := doorbell.DequeueKeys(rec.TaskQueue)[1]
		if err := f.rdb.Set(t.Context(), paused, 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if task, _, ok := f.take(rec.TaskQueue); ok {
			t.Errorf("a paused queue gave %+v", task)
		}
		if err := f.rdb.Del(t.Context(), paused).Err(); err != nil {
			t.Fatal(err)
		}
		f.pending(rec.TaskQueue, "another")
		if task, _, ok := f.take(rec.TaskQueue); !ok || task.Begun != rec.TaskID || task.Last {
			t.Errorf("took %+v, %t, want the first of two", task, ok)
		}
		if task, _, ok := f.take(rec.TaskQueue); !ok || !task.Last {
			t.Errorf("took %+v, %t, want the last", task, ok)
		}
		// A task without a message is none for asynq.
		if err := f.rdb.LPush(t.Context(), doorbell.DequeueKeys(rec.TaskQueue)[0], "empty").Err(); err != nil {
			t.Fatal(err)
		}
		if answer, err := f.rdb.Do(t.Context(), f.store.TakeArgs(rec.TaskQueue, 1, "run")...).Slice(); err != nil || len(answer) != 2 || answer[0] != nil {
			t.Errorf("a task without a message is %v, %v", answer, err)
		}
	})
}

func TestTake_AnswersThatNoScriptGives(t *testing.T) {
	t.Parallel()
	s := New(nil, Config{})
	for _, answer := range []any{
		nil, "message",
		[]any{},
		[]any{nil, ""},
		[]any{"m", nil},
		[]any{"m", "1", "id", "1", int64(1)},
		[]any{"m", "1", 7, "1", int64(1), []any{}},
		[]any{"m", "1", "id", "one", int64(1), []any{}},
		[]any{"m", "1", "id", "1", "now", []any{}},
		[]any{"m", "1", "id", "1", int64(1), "record"},
	} {
		if task, b, err := s.ParseTaken(answer); !errors.Is(err, errReply) || b.Outcome != "" || task.Begun != "" {
			t.Errorf("ParseTaken(%v) = %+v, %+v, %v, want %v", answer, task, b, err, errReply)
		}
	}
	// The task is taken whatever its record is like.
	for _, answer := range [][]any{{"m", "", "WRONGTYPE"}, {"m", "", "id", "1", int64(1), []any{}}} {
		if task, b, err := s.ParseTaken(answer); err == nil || task != (doorbell.Took{Message: "m"}) || b.Outcome != "" {
			t.Errorf("ParseTaken(%v) = %+v, %+v, %v; want the task and why it was not begun", answer, task, b, err)
		}
	}
}

// When asynq's queues are apart from the operations, nothing is begun that may be on another server.
func TestTake_OfAStoreThatIsApartBeginsNothing(t *testing.T) {
	onRedisOfItsOwn(t, func(t *testing.T, f fixture) {
		rec := f.open(tasks.UnblockPIN)
		f.pending(rec.TaskQueue, rec.TaskID)
		f.store.apart.Store(true)
		if task, b, ok := f.take(rec.TaskQueue); !ok || task.Begun != "" || !task.Last || b.Outcome != "" || b.Record.Reason != "" {
			t.Errorf("took %+v, %+v, %t; want the task alone", task, b, ok)
		}
	})
}

// The kind of step is told by the queue.
func TestTake_AllTypesOfAQueueAreAlike(t *testing.T) {
	t.Parallel()
	for _, typ := range tasks.Types() {
		step := typesOf[typ.Policy().Queue][0]
		if sends(step) != sends(typ) || counts(step) != counts(typ) || waitingIndex(step.Kind()) != waitingIndex(typ.Kind()) {
			t.Errorf("%s is another kind of step than %s of the same queue", typ, step)
		}
	}
}
