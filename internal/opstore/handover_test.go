package opstore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// nextOf is the next task of a lease's operation. Its keys are in the operation's slot, so that it can be tested on a
// cluster as well, and nobody else's.
func nextOf(l Lease) doorbell.Task {
	return doorbell.Task{
		Queue: tasks.ShardOf(l.ID) + "}:" + l.ID, ID: TaskID(l.ID, l.Seq+1), Message: "a message", Since: time.Now().UnixNano(),
	}
}

func (f fixture) handover(s *Store, b Begun) Begun {
	f.Helper()
	c, ok, err := s.Handover(f.Context(), b.Lease, b.Record, "confirming run", nextOf(b.Lease), doorbell.Active{})
	if err != nil || !ok {
		f.Fatalf("Handover = %t, %v", ok, err)
	}
	return c
}

func handoverIsChainAndBegin(t *testing.T, f fixture) {
	for kind, want := range map[tasks.Kind]tasks.Type{tasks.UnblockPIN: tasks.TypeConfirmPIN, tasks.UnblockCVV: tasks.TypeConfirmCVV} {
		rec := f.open(kind)
		b := f.begun(rec, Lease{}, Go)
		c := f.handover(f.store, b)
		if want := (Lease{ID: rec.ID, Seq: 2, Fence: b.Lease.Fence + 1}); c.Outcome != Go || c.Lease != want || !near(c.Now, f.now()) {
			t.Errorf("%s: Handover = %s, %+v at %s, want go, %+v", kind, c.Outcome, c.Lease, c.Now, want)
		}
		got := f.get(rec.ID)
		if diff := cmp.Diff(got, c.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: what was returned is not what was written (-written +returned):\n%s", kind, diff)
		}
		if got.State != tasks.Confirming || !near(got.Accepted, f.now()) || got.Call != CallNone || got.Tries != 1 || got.Attempts != 1 ||
			got.TaskType != want || got.TaskQueue != tasks.QueueConfirm || got.TaskID != rec.ID+":2" {
			t.Errorf("%s: %+v", kind, got)
		}
		if leased, waiting := f.indexed(rec); !leased || waiting || !near(got.LeaseEnds, f.now().Add(DefaultLease)) {
			t.Errorf("%s: leased %v, waiting %v, lease ends %s", kind, leased, waiting, got.LeaseEnds)
		}

		task := nextOf(b.Lease)
		key, _, active, leases, latest := task.Taken()
		if state := f.rdb.HGetAll(t.Context(), key).Val(); !cmp.Equal(state, map[string]string{"msg": task.Message, "state": "active"}) {
			t.Errorf("%s: asynq's task is %v", kind, state)
		}
		if ids := f.rdb.LRange(t.Context(), active, 0, -1).Val(); !cmp.Equal(ids, []string{task.ID}) {
			t.Errorf("%s: active are %v", kind, ids)
		}
		if until := int64(f.rdb.ZScore(t.Context(), leases, task.ID).Val()); until > latest || until < latest-20 {
			t.Errorf("%s: asynq's lease ends at %d, want half a minute from then, at most %d", kind, until, latest)
		}

		// The unblock's run can write nothing any more, the confirmation's can.
		if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{}); !errors.Is(err, ErrStale) {
			t.Errorf("%s: Yield of the unblock's run = %v, want ErrStale", kind, err)
		}
		f.finish(c, Result{Status: unblocked()})
	}
}

func handoverGoesElsewhere(t *testing.T, f fixture) {
	for why, before := range map[string]func(rec Record, key, paused string){
		"paused":  func(_ Record, _, paused string) { f.rdb.Set(t.Context(), paused, 1, time.Minute) },
		"exists":  func(_ Record, key, _ string) { f.rdb.HSet(t.Context(), key, "state", "retry") },
		"expired": func(rec Record, _, _ string) { f.past(rec.ID, "expires_ms") },
		"counted": func(rec Record, _, _ string) { f.set(rec.ID, "seq", 7) },
	} {
		rec := f.open(tasks.UnblockPIN)
		b := f.begun(rec, Lease{}, Go)
		task := nextOf(b.Lease)
		key, paused, active, leases, _ := task.Taken()
		before(rec, key, paused)
		unchanged := f.raw(rec)
		if _, ok, err := f.store.Handover(t.Context(), b.Lease, b.Record, "run", task, doorbell.Active{}); ok || err != nil {
			t.Errorf("%s: Handover = %t, %v, want that it is for Chain to do", why, ok, err)
		}
		f.unchanged(rec, unchanged)
		if n := f.rdb.Exists(t.Context(), active, leases).Val(); n != 0 {
			t.Errorf("%s: asynq has got an active task", why)
		}
		if _, err := f.store.Chain(t.Context(), b.Lease, rec.Kind); err != nil {
			t.Errorf("%s: Chain = %v", why, err)
		}
	}
}

// A client repeats the command whose reply it lost: the lease that it gets is that of the first.
func handoverRepeatedIsOne(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	c := f.handover(f.withClient(twice{f.rdb}).store, b)
	if got := f.get(rec.ID); got.Fence != c.Lease.Fence || got.Fence != b.Lease.Fence+1 || got.Tries != 1 || got.Seq != 2 {
		t.Errorf("fence %d (returned %d), tries %d, seq %d after %d", got.Fence, c.Lease.Fence, got.Tries, got.Seq, b.Lease.Fence)
	}
	_, _, active, _, _ := nextOf(b.Lease).Taken()
	if ids := f.rdb.LRange(t.Context(), active, 0, -1).Val(); len(ids) != 1 {
		t.Errorf("active are %v, want one", ids)
	}
}
