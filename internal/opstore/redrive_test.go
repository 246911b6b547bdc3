package opstore

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

// failedWith returns an unblock that failed, before or after the API accepted it.
func (f fixture) failedWith(code tasks.Code, accepted, unknown bool) Record {
	f.Helper()
	rec := f.open(tasks.UnblockPIN)
	if accepted {
		if _, err := f.store.Chain(f.Context(), f.begun(rec, Lease{}, Go).Lease, rec.Kind); err != nil {
			f.Fatal(err)
		}
		rec = f.get(rec.ID)
	}
	return f.done(rec, Result{Error: failure(code), Unknown: unknown})
}

// The one case in which an accepted unblock is sent again is that it did not take. It may have since.
func redriveSendsOrOnlyConfirms(t *testing.T, f fixture) {
	for name, tc := range map[string]struct {
		code              tasks.Code
		accepted, unknown bool
		want              tasks.Type
		call              Call // at the next begin
	}{
		"never accepted":                {tasks.CodeUnavailable, false, false, tasks.TypeUnblockPIN, CallOpen},
		"perhaps applied":               {tasks.CodeUnavailable, false, true, tasks.TypeUnblockPIN, CallWas},
		"accepted, unconfirmed":         {tasks.CodeUnconfirmed, true, false, tasks.TypeConfirmPIN, CallNone},
		"accepted, then a defect":       {tasks.CodeInternal, true, false, tasks.TypeConfirmPIN, CallNone},
		"accepted, then unauthorized":   {tasks.CodeUnauthorized, true, false, tasks.TypeConfirmPIN, CallNone},
		"accepted, but it did not take": {tasks.CodeStillBlocked, true, false, tasks.TypeUnblockPIN, CallWas},
	} {
		failed := f.failedWith(tc.code, tc.accepted, tc.unknown)
		got, err := f.store.Redrive(t.Context(), failed.ID, time.Minute)
		if err != nil {
			t.Errorf("%s: Redrive = %v", name, err)
			continue
		}
		confirms := tc.want.Confirms()
		state := tasks.Accepted
		if confirms {
			state = tasks.Confirming
		}
		if got.TaskType != tc.want || got.State != state || got.TaskQueue != tc.want.Policy().Queue || got.Accepted.IsZero() == confirms {
			t.Errorf("%s: task %s in %s, state %s, accepted %s, want %s, %s", name, got.TaskType, got.TaskQueue, got.State, got.Accepted, tc.want, state)
		}
		if !failed.State.CanBecome(got.State) {
			t.Errorf("%s: %s to %s is not a transition", name, failed.State, got.State)
		}
		if b := f.begun(got, Lease{}, Go); b.Record.Call != tc.call {
			t.Errorf("%s: call %q at the next begin, want %q", name, b.Record.Call, tc.call)
		}
	}
}

func redriveIsAnotherLife(t *testing.T, f fixture) {
	failed := f.failedWith(tasks.CodeUnavailable, false, false)
	got, err := f.store.Redrive(t.Context(), failed.ID, 7*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != failed.ID || got.Attempts != 0 || got.Tries != 0 || got.Error != nil || got.LastCode != "" || got.Seq != failed.Seq+1 || got.Fence != failed.Fence+1 {
		t.Errorf("attempts %d, tries %d, error %v, last code %q, seq %d, fence %d", got.Attempts, got.Tries, got.Error, got.LastCode, got.Seq, got.Fence)
	}
	if !near(got.Expires, f.now().Add(7*time.Minute)) || !got.Created.Equal(failed.Created) {
		t.Errorf("expires %s, created %s, want in 7m, %s", got.Expires, got.Created, failed.Created)
	}
	if ttl := f.rdb.PTTL(t.Context(), opKey(got.ID)).Val(); ttl > 0 {
		t.Errorf("the record of an open operation goes in %s", ttl)
	}
	if _, waiting := f.indexed(got); !waiting || f.raw(got)["lock"] != got.ID {
		t.Errorf("waiting %v, lock %q, want true, its own", waiting, f.raw(got)["lock"])
	}
	if second := f.accept(Request{Kind: got.Kind, Card: got.Token}); !second.Joined || second.ID != got.ID {
		t.Errorf("a request after that: id %s, Joined %v, want %s, true", second.ID, second.Joined, got.ID)
	}
	f.begun(failed, Lease{}, Stale) // A task of the former life.
	if end := f.done(got, Result{Status: unblocked()}); end.State != tasks.Succeeded || end.Error != nil {
		t.Errorf("state %s, error %v at the end, want succeeded, none", end.State, end.Error)
	}
	if ttl := f.rdb.PTTL(t.Context(), opKey(got.ID)).Val(); ttl <= 0 {
		t.Error("the record of the ended operation stays for ever")
	}
	refresh := f.done(f.open(tasks.RefreshCVVStatus), Result{Error: failure(tasks.CodeUnavailable)})
	if got, err := f.store.Redrive(t.Context(), refresh.ID, time.Minute); err != nil || got.TaskType != tasks.TypeStatusCVV {
		t.Errorf("Redrive of a refresh: task %s, %v, want cvv:status", got.TaskType, err)
	}
}

func redriveSaysWhyNot(t *testing.T, f fixture) {
	if _, err := f.store.Redrive(t.Context(), NewID(card(t)), time.Minute); !errors.Is(err, ErrNotFound) {
		t.Errorf("Redrive of nothing = %v, want ErrNotFound", err)
	}
	open := f.open(tasks.UnblockPIN)
	ended := f.done(f.open(tasks.UnblockPIN), Result{Status: unblocked()})
	for _, rec := range []Record{open, ended} {
		before := f.raw(rec)
		if _, err := f.store.Redrive(t.Context(), rec.ID, time.Minute); !errors.Is(err, ErrNotFailed) {
			t.Errorf("Redrive of an operation that is %s = %v, want ErrNotFailed", rec.State, err)
		}
		f.unchanged(rec, before)
	}

	failed := f.failedWith(tasks.CodeUnavailable, false, false)
	other := f.accept(Request{Kind: failed.Kind, Card: failed.Token})
	var busy *BusyError
	if _, err := f.store.Redrive(t.Context(), failed.ID, time.Minute); !errors.As(err, &busy) || busy.ID != other.ID {
		t.Errorf("Redrive beside an open operation = %v, want a BusyError of %s", err, other.ID)
	}

	one := f.with(Config{UnblockLimit: 1})
	unsent, unconfirmed := one.failedWith(tasks.CodeUnavailable, false, false), one.failedWith(tasks.CodeUnconfirmed, true, false)
	before := f.raw(unsent)
	var limit *LimitError
	if _, err := one.store.Redrive(t.Context(), unsent.ID, time.Minute); !errors.As(err, &limit) || limit.RetryAfter < LimitWindow-time.Minute {
		t.Errorf("Redrive over the limit = %v, want a LimitError for a day", err)
	}
	f.unchanged(unsent, before)
	if _, err := one.store.Redrive(t.Context(), unconfirmed.ID, time.Minute); err != nil {
		t.Errorf("Redrive that only confirms = %v, want it not to count", err)
	}
	key := limitKey(unsent.Token, unsent.Kind)
	if err := f.rdb.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: unsent.ID}).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.store.Redrive(t.Context(), unsent.ID, time.Minute); err != nil {
		t.Errorf("Redrive a window later = %v", err)
	}
	if n := f.rdb.ZCard(t.Context(), key).Val(); n != 1 {
		t.Errorf("%d unblocks count after a redrive, want 1", n)
	}
}
