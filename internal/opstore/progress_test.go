package opstore

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardworker/cardworker/tasks"
)

func yieldRecordsWhatWasLearned(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	if _, err := f.store.Chain(t.Context(), f.begun(rec, Lease{}, Go).Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	rec = f.get(rec.ID)
	b := f.begun(rec, Lease{}, Go)
	zero := 0
	blocked := &tasks.Status{Value: "Blocked", Blocked: true, RemainingTries: &zero}
	for reads, keep := range []bool{true, false} {
		p := Progress{Delay: 40 * time.Second, Keep: keep, Blocked: true, Status: blocked, Code: tasks.CodeStillBlocked}
		if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, p); err != nil {
			t.Fatal(err)
		}
		got := f.get(rec.ID)
		if got.Reads != reads+1 || got.LastCode != tasks.CodeStillBlocked || got.State != tasks.Confirming {
			t.Errorf("reads %d, last code %s, state %s, want %d, still_blocked, confirming", got.Reads, got.LastCode, got.State, reads+1)
		}
		if !near(got.Next, f.now().Add(40*time.Second)) {
			t.Errorf("next attempt at %s, want in 40s", got.Next)
		}
		want := *blocked
		want.ObservedAt = got.Updated
		if diff := cmp.Diff(&want, got.Status); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		leased, waiting := f.indexed(rec)
		if leased != keep || waiting == keep || got.LeaseEnds.IsZero() == keep {
			t.Errorf("keep %v: leased %v, waiting %v, lease ends %s", keep, leased, waiting, got.LeaseEnds)
		}
	}
	// Recovery comes by once the attempt is due and its task had time to come.
	want := f.get(rec.ID).Next.Add(DefaultGrace).UnixMilli()
	if got := f.rdb.ZScore(t.Context(), waitingKey(tasks.ShardOf(rec.ID), rec.Kind), rec.ID).Val(); int64(got) != want {
		t.Errorf("waits until %.0f, want %d", got, want)
	}
	if again := f.begin(rec, Lease{}); again.Outcome != Early {
		t.Errorf("Begin before it is due = %s, want early", again.Outcome)
	}
}

func yieldGivesAnUnburnedTryBack(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Unburned: true}); err != nil {
		t.Fatal(err)
	}
	if got := f.get(rec.ID); got.Attempts != 0 || got.Tries != 0 {
		t.Errorf("attempts %d, tries %d, want 0, 0", got.Attempts, got.Tries)
	}
	b = f.begun(rec, Lease{}, Go)
	if _, err := f.store.Chain(t.Context(), b.Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	rec = f.get(rec.ID)
	b = f.begun(rec, Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Unburned: true}); err != nil {
		t.Fatal(err)
	}
	if got := f.get(rec.ID); got.Attempts != 1 || got.Tries != 0 {
		t.Errorf("a confirming try given back: attempts %d, tries %d, want 1, 0", got.Attempts, got.Tries)
	}
}

func chainMakesTheConfirmationTheTask(t *testing.T, f fixture) {
	for kind, want := range map[tasks.Kind]tasks.Type{tasks.UnblockPIN: tasks.TypeConfirmPIN, tasks.UnblockCVV: tasks.TypeConfirmCVV} {
		rec := f.open(kind)
		b := f.begun(rec, Lease{}, Go)
		next, err := f.store.Chain(t.Context(), b.Lease, kind)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Next{Type: want, Queue: tasks.QueueConfirm, ID: rec.ID + ":2", Seq: 2}, next); diff != "" {
			t.Errorf("%s: next task (-want +got):\n%s", kind, diff)
		}
		got := f.get(rec.ID)
		if got.State != tasks.Confirming || !near(got.Accepted, f.now()) || got.Call != CallNone || got.Tries != 0 || got.Attempts != 1 {
			t.Errorf("%s: state %s, accepted %s, call %q, tries %d, attempts %d", kind, got.State, got.Accepted, got.Call, got.Tries, got.Attempts)
		}
		if named := (Next{Type: got.TaskType, Queue: got.TaskQueue, ID: got.TaskID, Seq: got.Seq}); named != next {
			t.Errorf("%s: the record names the task %+v, want %+v", kind, named, next)
		}
		if leased, waiting := f.indexed(rec); leased || !waiting || !got.LeaseEnds.IsZero() {
			t.Errorf("%s: leased %v, waiting %v, lease ends %s", kind, leased, waiting, got.LeaseEnds)
		}
		f.begun(got, Lease{}, Go)
	}
}

func finishLeavesNothingBehind(t *testing.T, f fixture) {
	f = f.with(Config{ResultTTL: time.Hour})
	for name, tc := range map[string]struct {
		kind tasks.Kind
		res  Result
		want tasks.State
	}{
		"success of an unblock": {tasks.UnblockPIN, Result{Status: unblocked(), Accepted: true}, tasks.Succeeded},
		"success of a refresh":  {tasks.RefreshCVVStatus, Result{Status: unblocked()}, tasks.Succeeded},
		"failure":               {tasks.UnblockCVV, Result{Error: failure(tasks.CodeRejected)}, tasks.Failed},
	} {
		rec := f.open(tc.kind)
		before := f.now()
		b := f.begun(rec, Lease{}, Go)
		f.overdue(rec) // Should recovery have put it there meanwhile.
		got := f.finish(b, tc.res)
		if got.State != tc.want || got.Accepted.IsZero() == tc.res.Accepted || !got.LeaseEnds.IsZero() || !got.Next.IsZero() {
			t.Errorf("%s: state %s, accepted %s, lease ends %s, next %s", name, got.State, got.Accepted, got.LeaseEnds, got.Next)
		}
		if diff := cmp.Diff(tc.res.Error, got.Error); diff != "" {
			t.Errorf("%s: error (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(tc.res.Status, got.Status, cmpopts.IgnoreFields(tasks.Status{}, "ObservedAt")); diff != "" {
			t.Errorf("%s: status (-want +got):\n%s", name, diff)
		}
		if got.Status != nil && got.Status.ObservedAt.Before(before.Truncate(time.Millisecond)) {
			t.Errorf("%s: observed at %s, before it was read", name, got.Status.ObservedAt)
		}
		if diff := cmp.Diff(got, f.get(rec.ID), cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: record as read (-finished +read):\n%s", name, diff)
		}
		leased, waiting := f.indexed(rec)
		if lock := f.raw(rec)["lock"]; leased || waiting || lock != "" {
			t.Errorf("%s: leased %v, waiting %v, lock %q, want nothing", name, leased, waiting, lock)
		}
		if ttl := f.rdb.PTTL(t.Context(), opKey(rec.ID)).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("%s: the record goes in %s, want an hour", name, ttl)
		}
	}
}

func finishSparesTheLockOfAnother(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	other := NewID(rec.Token)
	if err := f.rdb.Set(t.Context(), lockKey(rec.Token, rec.Kind), other, 0).Err(); err != nil {
		t.Fatal(err)
	}
	f.finish(b, Result{Status: unblocked()})
	if got := f.raw(rec)["lock"]; got != other {
		t.Errorf("lock %q, want that of %s", got, other)
	}
}

func finishRemembersAnUnknownCall(t *testing.T, f fixture) {
	lost := f.done(f.open(tasks.UnblockPIN), Result{Error: failure(tasks.CodeUnavailable), Unknown: true})
	if lost.Call != CallWas {
		t.Errorf("call %q, want was", lost.Call)
	}
	known := f.done(f.open(tasks.UnblockPIN), Result{Error: failure(tasks.CodeUnavailable)})
	if known.Call != CallNone {
		t.Errorf("call %q, want none", known.Call)
	}
}

// Recovery puts an operation whose lease has lapsed and whose task waits among those that wait. Its run may only have been
// slow, and dies later.
func yieldIsFoundByRecovery(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	f.past(rec.ID, "lease_ms")
	if err := f.store.Postpone(t.Context(), rec.ID, f.get(rec.ID), time.Minute); err != nil {
		t.Fatal(err)
	}
	if leased, waiting := f.indexed(rec); leased || !waiting {
		t.Fatalf("postponed: leased %v, waiting %v, want false, true", leased, waiting)
	}
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Keep: true}); err != nil {
		t.Fatal(err)
	}
	if leased, waiting := f.indexed(rec); !leased || waiting {
		t.Errorf("yielded with its lease: leased %v, waiting %v, want true, false", leased, waiting)
	}
	if !slices.Contains(f.due(), rec.ID) {
		t.Error("its lease has lapsed and it is not due")
	}
}
