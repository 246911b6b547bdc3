package opstore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardworker/cardworker/tasks"
)

// again asks for the card and kind of an operation once more, after its time is over.
func (f fixture) again(rec Record) Accepted {
	f.Helper()
	f.past(rec.ID, "expires_ms")
	return f.accept(Request{Kind: rec.Kind, Card: rec.Token})
}

// yielded begins an operation whose attempt then fails, and gives its lease up.
func (f fixture) yielded(rec Record, p Progress) Record {
	f.Helper()
	if err := f.store.Yield(f.Context(), f.begun(rec, Lease{}, Go).Lease, rec.TaskType, p); err != nil {
		f.Fatal(err)
	}
	return f.get(rec.ID)
}

func acceptEndsWhatExpiredAndCanDoNothingMore(t *testing.T, f fixture) {
	f = f.with(Config{ResultTTL: time.Hour})
	const never, before = "the operation expired before the API accepted anything", "the operation expired; the last try failed with "
	for name, tc := range map[string]struct {
		kind    tasks.Kind
		arrange func(Record)
		code    tasks.Code
		message string
	}{
		"unblock never begun": {tasks.UnblockPIN, func(Record) {}, tasks.CodeExpired, never},
		"refresh never begun": {tasks.RefreshPINStatus, func(Record) {}, tasks.CodeExpired, never},
		"unblock that waits for a retry": {tasks.UnblockCVV, func(rec Record) {
			f.yielded(rec, Progress{Delay: time.Hour, Code: tasks.CodeUnauthorized})
		}, tasks.CodeUnauthorized, before + "unauthorized"},
		"refresh that waits for a retry": {tasks.RefreshCVVStatus, func(rec Record) {
			f.yielded(rec, Progress{Delay: time.Hour, Code: tasks.CodeBadResponse})
		}, tasks.CodeBadResponse, before + "bad_response"},
		"unblock held back by the gate": {tasks.UnblockPIN, func(rec Record) {
			f.yielded(rec, Progress{Delay: time.Hour, Unburned: true})
		}, tasks.CodeExpired, never},
		"refresh whose worker was lost": {tasks.RefreshPINStatus, func(rec Record) {
			f.begun(rec, Lease{}, Go)
			f.past(rec.ID, "lease_ms")
		}, tasks.CodeExpired, never},
		"unblock whose task was lost": {tasks.UnblockPIN, func(rec Record) {
			if _, err := f.store.Redispatch(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}, tasks.CodeExpired, never},
	} {
		old := f.open(tc.kind)
		w := watch(t, f.watcher(), old.ID)
		receive(t, "the watch is effective", w.C)
		tc.arrange(old)
		last := f.get(old.ID)
		for len(w.C) > 0 {
			<-w.C
		}
		acc := f.again(old)
		if !acc.Created || acc.Joined || acc.ID == old.ID {
			t.Errorf("%s: id %s, Created %v, Joined %v, want a new operation", name, acc.ID, acc.Created, acc.Joined)
			continue
		}
		receive(t, name+": whoever waits is woken", w.C)

		got := f.get(old.ID)
		want := last
		want.State, want.Updated, want.Expires, want.Version = tasks.Failed, acc.Record.Created, got.Expires, last.Version+1
		want.Error = &tasks.Error{Code: tc.code, Message: tc.message, Retryable: true}
		want.Next, want.LeaseEnds = time.Time{}, time.Time{}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: record (-want +got):\n%s", name, diff)
		}
		if acc.Ended == nil {
			t.Errorf("%s: Accept does not tell what it has ended", name)
		} else if diff := cmp.Diff(got, *acc.Ended, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: what was ended (-read +told):\n%s", name, diff)
		}
		if leased, waiting := f.indexed(old); leased || waiting {
			t.Errorf("%s: leased %v, waiting %v, want neither", name, leased, waiting)
		}
		if _, waiting := f.indexed(acc.Record); !waiting {
			t.Errorf("%s: recovery does not look for the new operation", name)
		}
		if lock := f.raw(old)["lock"]; lock != acc.ID {
			t.Errorf("%s: lock %q, want that of the new operation %s", name, lock, acc.ID)
		}
		if ttl := f.rdb.PTTL(t.Context(), opKey(old.ID)).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("%s: the record goes in %s, want an hour", name, ttl)
		}
		events, err := f.store.EventsOf(t.Context(), old.ID)
		if n := len(events); err != nil || n == 0 || events[n-1].Name != "failed" || events[n-1].Detail != string(tc.code) {
			t.Errorf("%s: events %v, %v, want a failure with %s at the end", name, events, err, tc.code)
		}
		f.begun(got, Lease{}, Done) // Its task does nothing any more.
		if joined := f.accept(Request{Kind: old.Kind, Card: old.Token}); joined.ID != acc.ID || !joined.Joined || joined.Ended != nil {
			t.Errorf("%s: the next one gets %s, Joined %v, Ended %v, want %s, true, nil", name, joined.ID, joined.Joined, joined.Ended, acc.ID)
		}
	}
}

// What may have been sent, or may be being sent, is not sent again by another operation.
func acceptJoinsWhatExpiredAndMayHaveBeenSent(t *testing.T, f fixture) {
	for name, tc := range map[string]struct {
		kind    tasks.Kind
		arrange func(Record)
	}{
		"a refresh that a worker holds": {tasks.RefreshPINStatus, func(rec Record) { f.begun(rec, Lease{}, Go) }},
		"an unblock that a worker holds for its next attempt": {tasks.UnblockPIN, func(rec Record) {
			b := f.begun(rec, Lease{}, Go)
			if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Keep: true, Delay: time.Hour, Code: tasks.CodeUnavailable}); err != nil {
				t.Fatal(err)
			}
		}},
		"an unblock whose worker was lost": {tasks.UnblockPIN, func(rec Record) {
			f.begun(rec, Lease{}, Go)
			f.past(rec.ID, "lease_ms")
		}},
		"the same, with a new task": {tasks.UnblockPIN, func(rec Record) {
			f.begun(rec, Lease{}, Go)
			f.past(rec.ID, "lease_ms")
			if _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); err != nil {
				t.Fatal(err)
			}
		}},
		"an unblock whose reply was lost": {tasks.UnblockCVV, func(rec Record) {
			f.yielded(rec, Progress{Delay: time.Hour, Unknown: true, Code: tasks.CodeUnavailable})
		}},
		"an unblock that was accepted": {tasks.UnblockPIN, func(rec Record) {
			if _, err := f.store.Chain(t.Context(), f.begun(rec, Lease{}, Go).Lease, rec.Kind); err != nil {
				t.Fatal(err)
			}
		}},
		"an unblock that an operator drives again": {tasks.UnblockPIN, func(rec Record) {
			f.done(rec, Result{Error: failure(tasks.CodeUnavailable), Unknown: true})
			if _, err := f.store.Redrive(t.Context(), rec.ID, time.Minute); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		rec := f.open(tc.kind)
		tc.arrange(rec)
		if acc := f.again(rec); acc.ID != rec.ID || !acc.Joined || acc.Ended != nil {
			t.Errorf("%s: id %s, Joined %v, Ended %v, want %s, true, nil", name, acc.ID, acc.Joined, acc.Ended, rec.ID)
		}
	}
}

func keyStaysWithWhatExpired(t *testing.T, f fixture) {
	f = f.with(Config{ResultTTL: time.Second})
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Key: idemKeyOf(t)}
	old := f.accept(req)
	joined := Request{Kind: req.Kind, Card: req.Card, Key: idemKeyOf(t)}
	f.accept(joined)
	next := f.again(old.Record)
	for _, req := range []Request{req, joined} {
		if acc := f.accept(req); acc.ID != old.ID || acc.Created || acc.State != tasks.Failed || acc.Error.Code != tasks.CodeExpired {
			t.Errorf("the key names %s, %s, want the expired %s", acc.ID, acc.State, old.ID)
		}
	}
	if ttl := f.rdb.PTTL(t.Context(), opKey(old.ID)).Val(); ttl < IdempotencyWindow-time.Minute {
		t.Errorf("the record goes in %s, its keys name it for %s", ttl, IdempotencyWindow)
	}
	if got := f.get(next.ID); got.State != tasks.Accepted {
		t.Errorf("the new operation is %s, want accepted", got.State)
	}
}

// A self-contained task whose operation has ended that way does nothing when it is delivered.
func acceptEndsTheOperationOfATaskOfOthers(t *testing.T, f fixture) {
	c := card(t)
	req := Request{
		Kind: tasks.UnblockPIN, Card: c, ID: DerivedID(c, "unblock", "first"), TaskQueue: "unblock", TaskID: "first",
		Expires: f.now().Add(-time.Minute),
	}
	first := f.accept(req)
	second := req
	second.ID, second.TaskID, second.Expires = DerivedID(c, "unblock", "second"), "second", f.now().Add(time.Minute)
	if acc := f.accept(second); !acc.Created || acc.ID != second.ID || acc.Ended == nil || acc.Ended.ID != first.ID {
		t.Errorf("the second task: %+v, want an operation of its own, and the first ended", acc)
	}
	if acc := f.accept(req); acc.ID != first.ID || acc.Created || acc.State != tasks.Failed {
		t.Errorf("the first task again: %s, %s, want its own, failed", acc.ID, acc.State)
	}
}

func limitCountsWhatExpired(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 2})
	old := f.open(tasks.UnblockPIN)
	next := f.again(old)
	f.past(next.ID, "expires_ms")
	before := f.raw(next.Record)
	var limit *LimitError
	if acc, err := f.store.Accept(t.Context(), Request{Kind: old.Kind, Card: old.Token, Lifetime: time.Minute}); !errors.As(err, &limit) || limit.Limit != 2 {
		t.Errorf("the third of which two expired: %+v, %v, want a LimitError of 2", acc, err)
	}
	if diff := cmp.Diff(before, f.raw(next.Record)); diff != "" {
		t.Errorf("a refused request changes the operation (-before +after):\n%s", diff)
	}
}

func acceptConcurrentlyEndsOnce(t *testing.T, f fixture) {
	old := f.open(tasks.UnblockCVV)
	f.past(old.ID, "expires_ms")
	created, ended := 0, 0
	for _, acc := range concurrently(t, 50, func() (Accepted, error) {
		return f.store.Accept(t.Context(), Request{Kind: old.Kind, Card: old.Token, Lifetime: time.Minute})
	}) {
		if acc.ID == old.ID {
			t.Error("a request got the operation that had expired")
		}
		if acc.Created {
			created++
		}
		if acc.Ended != nil {
			ended++
		}
	}
	if created != 1 || ended != 1 {
		t.Errorf("%d created an operation, %d ended the old one, want 1, 1", created, ended)
	}
}

func TestOverdue_IsRetryableAndNamesTheLastFailure(t *testing.T) {
	t.Parallel()
	for _, code := range tasks.Codes() {
		if got := Overdue(code); got.Code != code || got.Retryable != code.Retryable() || got.Message == "" {
			t.Errorf("Overdue(%s) = %+v, want it to say %s", code, got, code)
		}
	}
	if got := Overdue(""); got.Code != tasks.CodeExpired || !got.Retryable {
		t.Errorf("Overdue of none = %+v, want expired", got)
	}
}
