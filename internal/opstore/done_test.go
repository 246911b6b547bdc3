package opstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// activate makes an active task of asynq beside another, with keys in the slot of an operation, which are nobody
// else's.
func (f fixture) activate(id string) doorbell.Active {
	f.Helper()
	task := doorbell.Active{Queue: tasks.ShardOf(id) + "}:" + id, ID: id + ":1"}
	keys, _ := task.Done(f.now())
	_, err := f.rdb.Pipelined(f.Context(), func(p redis.Pipeliner) error {
		for _, id := range []string{task.ID, "another"} {
			p.LPush(f.Context(), keys[0], id)
			p.ZAdd(f.Context(), keys[1], redis.Z{Score: 1, Member: id})
		}
		p.HSet(f.Context(), keys[2], "msg", "m", "state", "active")
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return task
}

// wantDone fails the test unless the task has ended, and was counted so many times.
func (f fixture) wantDone(task doorbell.Active, times string) {
	f.Helper()
	keys, _ := task.Done(f.now())
	var got []any
	for _, cmd := range []interface{ Result() ([]string, error) }{
		f.rdb.LRange(f.Context(), keys[0], 0, -1), f.rdb.ZRange(f.Context(), keys[1], 0, -1), f.rdb.HKeys(f.Context(), keys[2]),
	} {
		v, err := cmd.Result()
		if err != nil {
			f.Fatal(err)
		}
		got = append(got, v)
	}
	got = append(got, f.rdb.Get(f.Context(), keys[3]).Val(), f.rdb.Get(f.Context(), keys[4]).Val())
	if diff := cmp.Diff([]any{[]string{"another"}, []string{"another"}, []string{}, times, times}, got); diff != "" {
		f.Errorf("active, leases, the task, processed today and in all (-want +got):\n%s", diff)
	}
	const day = 24 * time.Hour
	if ttl := f.rdb.TTL(f.Context(), keys[3]).Val(); ttl > 90*day || ttl < 89*day {
		f.Errorf("the day is remembered for %s, want 90 days", ttl)
	}
}

func finishEndsTheTask(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	task := f.activate(rec.ID)
	f.withClient(twice{f.rdb}).finish(b, Result{Status: unblocked(), Task: task})
	f.wantDone(task, "1")

	// One that is active no more is somebody else's by now.
	other := f.open(tasks.RefreshPINStatus)
	f.finish(f.begun(other, Lease{}, Go), Result{Status: unblocked(), Task: task})
	f.wantDone(task, "1")
}

func handoverEndsTheTask(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	task := f.activate(rec.ID)
	store := f.withClient(twice{f.rdb}).store
	wrong := nextOf(b.Lease)
	wrong.ID = TaskID(rec.ID, 9)
	if _, ok, err := store.Handover(t.Context(), b.Lease, b.Record, "run", wrong, task); ok || err != nil {
		t.Fatalf("Handover to a task of another number = %t, %v", ok, err)
	}
	next := nextOf(b.Lease)
	next.Queue += "-next" // So that the queues can be told apart.
	if _, ok, err := store.Handover(t.Context(), b.Lease, b.Record, "run", next, task); !ok || err != nil {
		t.Fatalf("Handover = %t, %v", ok, err)
	}
	f.wantDone(task, "1")
}

// The count of all that were ever processed begins anew when it is full, as asynq has it.
func theCountOfTheProcessedBeginsAnew(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	task := f.activate(rec.ID)
	keys, _ := task.Done(f.now())
	if err := f.rdb.Set(t.Context(), keys[4], "9223372036854775807", 0).Err(); err != nil {
		t.Fatal(err)
	}
	f.finish(f.begun(rec, Lease{}, Go), Result{Status: unblocked(), Task: task})
	if n := f.rdb.Get(t.Context(), keys[4]).Val(); n != "1" {
		t.Errorf("%s were processed in all, want 1", n)
	}
}
