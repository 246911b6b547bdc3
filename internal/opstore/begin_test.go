package opstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

func beginTakesTheLeaseOnce(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if want := (Lease{ID: rec.ID, Seq: 1, Fence: 1}); b.Lease != want {
		t.Errorf("lease %+v, want %+v", b.Lease, want)
	}
	got := b.Record
	if got.State != tasks.Running || got.Attempts != 1 || got.Tries != 1 || got.Call != CallOpen || got.Version != 2 {
		t.Errorf("state %s, attempts %d, tries %d, call %q, version %d, want running, 1, 1, open, 2",
			got.State, got.Attempts, got.Tries, got.Call, got.Version)
	}
	if !near(b.Now, f.now()) || got.LeaseEnds.Sub(b.Now) != DefaultLease {
		t.Errorf("now %s, lease ends %s, want %s apart", b.Now, got.LeaseEnds, DefaultLease)
	}
	if leased, waiting := f.indexed(rec); !leased || waiting {
		t.Errorf("in the index of leases: %v, of waiting: %v, want true, false", leased, waiting)
	}
	f.begun(rec, Lease{}, Held)
	next := f.begun(rec, b.Lease, Go)
	if next.Lease != b.Lease || next.Record.Attempts != 2 {
		t.Errorf("the holder's next attempt: lease %+v, attempts %d, want %+v, 2", next.Lease, next.Record.Attempts, b.Lease)
	}
	refresh := f.begun(f.open(tasks.RefreshCVVStatus), Lease{}, Go)
	if refresh.Record.Call != CallNone || refresh.Record.Attempts != 1 {
		t.Errorf("a refresh: call %q, attempts %d, want none, 1", refresh.Record.Call, refresh.Record.Attempts)
	}
}

func beginConcurrentlyGivesOneLease(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockCVV)
	outcomes := map[Outcome]int{}
	for _, b := range concurrently(t, 20, func() (Begun, error) {
		return f.store.Begin(t.Context(), rec.TaskType, rec.ID, rec.Seq, fmt.Sprint("run ", runs.Add(1)), Lease{})
	}) {
		outcomes[b.Outcome]++
	}
	if outcomes[Go] != 1 || outcomes[Held] != 19 {
		t.Errorf("outcomes %v, want one go, the others held", outcomes)
	}
	if got := f.get(rec.ID); got.Attempts != 1 || got.Fence != 1 {
		t.Errorf("attempts %d, fence %d, want 1, 1", got.Attempts, got.Fence)
	}
}

// twice is a client that lost the reply of every script, and runs it again as go-redis does.
type twice struct{ redis.UniversalClient }

func (c twice) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

func (c twice) Process(ctx context.Context, cmd redis.Cmder) error {
	_ = c.UniversalClient.Process(ctx, cmd)
	return c.UniversalClient.Process(ctx, cmd)
}

func callsRepeatedAfterALostReplyCountOnce(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	store := New(twice{f.rdb}, Config{})
	begin := func(held Lease, wantTries, wantAttempts int, wantCall Call) Begun {
		t.Helper()
		at := f.get(rec.ID)
		b, err := store.Begin(t.Context(), at.TaskType, rec.ID, at.Seq, "run", held)
		if err != nil || b.Outcome != Go {
			t.Fatalf("Begin = %s, %v, want go", b.Outcome, err)
		}
		if r := b.Record; r.Tries != wantTries || r.Attempts != wantAttempts || r.Call != wantCall {
			t.Errorf("tries %d, attempts %d, call %q, want %d, %d, %q", r.Tries, r.Attempts, r.Call, wantTries, wantAttempts, wantCall)
		}
		return b
	}
	yield := func(l Lease, p Progress) {
		t.Helper()
		p.Keep = true
		if err := store.Yield(t.Context(), l, f.get(rec.ID).TaskType, p); err != nil {
			t.Fatal(err)
		}
	}
	l := begin(Lease{}, 1, 1, CallOpen).Lease
	yield(l, Progress{Unburned: true})
	begin(l, 1, 1, CallOpen)
	yield(l, Progress{Unknown: true})
	begin(l, 2, 2, CallWas)
	next, err := store.Chain(t.Context(), l, rec.Kind)
	if err != nil || next.Seq != 2 || next.ID != f.get(rec.ID).TaskID {
		t.Fatalf("Chain = %+v, %v, want the record's second task", next, err)
	}
	c := begin(Lease{}, 1, 2, CallNone)
	yield(c.Lease, Progress{Blocked: true})
	if got := f.get(rec.ID).Reads; got != 1 {
		t.Errorf("%d reads said blocked, want 1", got)
	}
	c = begin(c.Lease, 2, 2, CallNone)
	end, err := store.Finish(t.Context(), c.Lease, c.Record, Result{Error: &tasks.Error{Code: tasks.CodeStillBlocked}})
	if err != nil || end.State != tasks.Failed {
		t.Fatalf("Finish = %s, %v, want failed", end.State, err)
	}
	again, err := store.Redrive(t.Context(), rec.ID, time.Minute)
	if err != nil || again.State != tasks.Accepted || again.Seq != 3 {
		t.Errorf("Redrive = %s, seq %d, %v, want accepted, 3", again.State, again.Seq, err)
	}
}

// between is a client that lost the reply of a script, and runs it again after something has happened.
type between struct {
	redis.UniversalClient
	happens func()
}

func (c between) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	c.happens()
	return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

// What is due by the time of the repeat was not counted by the first.
func anEarlyBeginRepeatedWhenItIsDueCountsTheAttempt(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Delay: time.Hour, Code: tasks.CodeUnavailable}); err != nil {
		t.Fatal(err)
	}
	store := New(between{f.rdb, func() { f.past(rec.ID, "next_ms") }}, Config{})
	again, err := store.Begin(t.Context(), rec.TaskType, rec.ID, rec.Seq, "run", Lease{})
	if err != nil || again.Outcome != Go {
		t.Fatalf("Begin = %s, %v, want go", again.Outcome, err)
	}
	if got := f.get(rec.ID); got.Call != CallOpen || got.Tries != 2 || got.Attempts != 2 || !got.Next.IsZero() {
		t.Errorf("call %q, tries %d, attempts %d, next %s; want open, 2, 2, none", got.Call, got.Tries, got.Attempts, got.Next)
	}
}

func beginRefusesATaskOfAnotherType(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	for _, typ := range []tasks.Type{tasks.TypeStatusPIN, tasks.TypeConfirmPIN, tasks.TypeUnblockCVV} {
		b, err := f.store.Begin(t.Context(), typ, rec.ID, rec.Seq, "run", Lease{})
		if err != nil || b.Outcome != Mismatch {
			t.Errorf("Begin of a %s for an unblock_pin = %s, %v, want mismatch", typ, b.Outcome, err)
		}
	}
	if got := f.get(rec.ID); got.State != tasks.Accepted || got.Fence != 0 {
		t.Errorf("the operation is %s with fence %d, want it untouched", got.State, got.Fence)
	}
}

func beginSaysWhyNot(t *testing.T, f fixture) {
	gone := Record{ID: NewID(card(t)), TaskType: tasks.TypeStatusPIN, Seq: 1}
	f.begun(gone, Lease{}, Missing)

	ended := f.done(f.open(tasks.RefreshPINStatus), Result{Status: unblocked()})
	if b := f.begun(ended, Lease{}, Done); b.Record.State != tasks.Succeeded {
		t.Errorf("a begin after the end gives state %q, want succeeded", b.Record.State)
	}
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if _, err := f.store.Chain(t.Context(), b.Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	before := f.raw(rec)
	f.begun(rec, Lease{}, Stale) // The unblock's task comes again; the operation is at its second.
	f.begun(rec, Lease{ID: rec.ID, Seq: 1, Fence: 9}, Stale)
	f.unchanged(rec, before)
}

func beginEarlyThenDue(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Delay: time.Hour, Code: tasks.CodeUnavailable}); err != nil {
		t.Fatal(err)
	}
	f.set(rec.ID, "expires_ms", f.now().Add(2*time.Hour).UnixMilli())
	early := f.begun(rec, Lease{}, Early)
	if early.Lease.Fence != 2 || early.Record.Attempts != 1 || !near(early.Record.Next, f.now().Add(time.Hour)) {
		t.Errorf("early: fence %d, attempts %d, next %s, want 2, 1, in an hour", early.Lease.Fence, early.Record.Attempts, early.Record.Next)
	}
	if leased, waiting := f.indexed(rec); !leased || waiting {
		t.Errorf("early: in the index of leases: %v, of waiting: %v, want true, false", leased, waiting)
	}
	f.begun(rec, Lease{}, Held)
	f.past(rec.ID, "next_ms")
	due := f.begun(rec, early.Lease, Go)
	if due.Record.Attempts != 2 || !due.Record.Next.IsZero() {
		t.Errorf("due: attempts %d, next %s, want 2, none", due.Record.Attempts, due.Record.Next)
	}
}

func beginExpiredCountsNothing(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	f.past(rec.ID, "expires_ms")
	b := f.begun(rec, Lease{}, Expired)
	if b.Record.Attempts != 0 || b.Record.Call != CallNone || b.Record.State != tasks.Accepted {
		t.Errorf("attempts %d, call %q, state %s, want 0, none, accepted", b.Record.Attempts, b.Record.Call, b.Record.State)
	}
	f.begun(rec, Lease{}, Held) // One ends it.
	if rec := f.finish(b, Result{Error: failure(tasks.CodeExpired)}); rec.State != tasks.Failed {
		t.Errorf("state %s after the end, want failed", rec.State)
	}
	// The time of a waiting attempt does not stand in the way.
	rec = f.open(tasks.UnblockPIN)
	f.set(rec.ID, "next_ms", f.now().Add(time.Hour).UnixMilli())
	f.past(rec.ID, "expires_ms")
	f.begun(rec, Lease{}, Expired)
}

func leaseLapsesByItself(t *testing.T, f fixture) {
	f = f.with(Config{Lease: 50 * time.Millisecond})
	rec := f.open(tasks.UnblockPIN)
	first := f.begun(rec, Lease{}, Go)
	var second Begun
	eventually(t, "the lease lapses", func() bool {
		second = f.begin(rec, Lease{})
		return second.Outcome != Held
	})
	if second.Outcome != Go || second.Lease.Fence != first.Lease.Fence+1 || second.Record.Call != CallWas {
		t.Errorf("after the lapse: %s, fence %d, call %q, want go, %d, was", second.Outcome, second.Lease.Fence, second.Record.Call, first.Lease.Fence+1)
	}
	if taken := second.Now.Sub(first.Now); taken < 50*time.Millisecond {
		t.Errorf("the lease was taken over after %s, want at least 50ms", taken)
	}
	f.begun(rec, first.Lease, Stale)
}

// Whether an unblock may have been applied without anybody's knowing must survive every way in which a
// run can end.
func callMarkRemembersWhatWasNotLearned(t *testing.T, f fixture) {
	yield := func(unknown bool) func(Record, Begun) {
		return func(rec Record, b Begun) {
			if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Unknown: unknown}); err != nil {
				t.Fatal(err)
			}
		}
	}
	lapse := func(rec Record, _ Begun) { f.past(rec.ID, "lease_ms") }
	redispatch := func(rec Record, _ Begun) {
		f.past(rec.ID, "lease_ms")
		if _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		ends []func(Record, Begun)
		want Call
	}{
		"the first":                          {nil, CallOpen},
		"after a refusal":                    {[]func(Record, Begun){yield(false)}, CallOpen},
		"after a lost reply":                 {[]func(Record, Begun){yield(true)}, CallWas},
		"after a crash":                      {[]func(Record, Begun){lapse}, CallWas},
		"after two crashes":                  {[]func(Record, Begun){lapse, lapse}, CallWas},
		"after a crash and a new task":       {[]func(Record, Begun){redispatch}, CallWas},
		"after a crash, then a lost reply":   {[]func(Record, Begun){lapse, yield(true)}, CallWas},
		"after a lost reply, then a refusal": {[]func(Record, Begun){yield(true), yield(false)}, CallOpen},
	} {
		rec := f.open(tasks.UnblockPIN)
		b := f.begun(rec, Lease{}, Go)
		for _, end := range tc.ends {
			end(rec, b)
			rec = f.get(rec.ID)
			b = f.begun(rec, Lease{}, Go)
		}
		if b.Record.Call != tc.want {
			t.Errorf("%s: call %q, want %q", name, b.Record.Call, tc.want)
		}
	}
	rec := f.open(tasks.UnblockPIN)
	if _, err := f.store.Chain(t.Context(), f.begun(rec, Lease{}, Go).Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	confirming := f.begun(f.get(rec.ID), Lease{}, Go).Record
	if confirming.Call != CallNone || confirming.Attempts != 1 || confirming.Tries != 1 {
		t.Errorf("a confirming try: call %q, attempts %d, tries %d, want none, 1, 1", confirming.Call, confirming.Attempts, confirming.Tries)
	}
}
