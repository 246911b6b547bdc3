package opstore

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardworker/cardworker/tasks"
)

func acceptRecordsTheRequest(t *testing.T, f fixture) {
	for _, kind := range tasks.Kinds() {
		c := card(t)
		acc := f.accept(Request{Kind: kind, Card: c, Lifetime: 90 * time.Second, Reason: "call 17", UpdatedBy: "app"})
		if !acc.Created || acc.Joined {
			t.Errorf("%s: Created %v, Joined %v, want true, false", kind, acc.Created, acc.Joined)
		}
		want := Record{
			ID: acc.ID, Kind: kind, Token: c, State: tasks.Accepted, Reason: "call 17", UpdatedBy: "app",
			Created: acc.Record.Created, Updated: acc.Record.Created, Expires: acc.Record.Created.Add(90 * time.Second),
			Version: 1, Seq: 1, TaskType: kind.FirstType(), TaskQueue: kind.FirstType().Policy().Queue, TaskID: acc.ID + ":1",
		}
		if diff := cmp.Diff(want, acc.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: accepted record (-want +got):\n%s", kind, diff)
		}
		if diff := cmp.Diff(acc.Record, f.get(acc.ID), cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("%s: record as read (-accepted +read):\n%s", kind, diff)
		}
		if tasks.ShardOf(acc.ID) != c.Shard() || !near(acc.Record.Created, f.now()) {
			t.Errorf("%s: id %s of shard %s, created at %s", kind, acc.ID, c.Shard(), acc.Record.Created)
		}
		if leased, waiting := f.indexed(acc.Record); leased || !waiting {
			t.Errorf("%s: in the index of leases: %v, of waiting: %v, want false, true", kind, leased, waiting)
		}
		if ttl := f.rdb.PTTL(t.Context(), opKey(acc.ID)).Val(); ttl > 0 {
			t.Errorf("%s: an open record goes in %s", kind, ttl)
		}
	}
}

func acceptKeepsTheTraceThereIs(t *testing.T, f fixture) {
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	const other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01"
	c := card(t)
	acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: c, Traceparent: traceparent})
	if got := f.get(acc.ID).Traceparent; acc.Traceparent != traceparent || got != traceparent {
		t.Errorf("Traceparent is %q as accepted and %q as read, want %q", acc.Traceparent, got, traceparent)
	}
	joined := f.accept(Request{Kind: tasks.UnblockPIN, Card: c, Traceparent: other})
	if joined.Traceparent != traceparent {
		t.Errorf("a request that joins gets the trace %q, want that of the operation, %q", joined.Traceparent, traceparent)
	}
	b := f.begun(acc.Record, Lease{}, Go)
	if b.Record.Traceparent != traceparent {
		t.Errorf("the worker is told of trace %q, want %q", b.Record.Traceparent, traceparent)
	}
	if untraced := f.open(tasks.UnblockPIN); f.rdb.HExists(t.Context(), opKey(untraced.ID), "traceparent").Val() {
		t.Error("the record of an operation without a trace has a field for it")
	}
}

func acceptJoinsTheOpenOperation(t *testing.T, f fixture) {
	c := card(t)
	first := f.accept(Request{Kind: tasks.UnblockPIN, Card: c})
	for _, step := range []string{"accepted", "running", "confirming"} {
		second := f.accept(Request{Kind: tasks.UnblockPIN, Card: c})
		if second.ID != first.ID || !second.Joined || second.Created || string(second.State) != step {
			t.Errorf("while %s: id %s, Joined %v, Created %v, state %s; want %s, true, false",
				step, second.ID, second.Joined, second.Created, second.State, first.ID)
		}
		switch step {
		case "accepted":
			f.begun(first.Record, Lease{}, Go)
		case "running":
			if _, err := f.store.Chain(t.Context(), Lease{ID: first.ID, Fence: 1}, tasks.UnblockPIN); err != nil {
				t.Fatal(err)
			}
		}
	}
	if other := f.accept(Request{Kind: tasks.UnblockCVV, Card: c}); !other.Created {
		t.Error("another kind for the card joined")
	}
	if other := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t)}); !other.Created {
		t.Error("another card joined")
	}
	rec := f.get(first.ID)
	f.finish(f.begun(rec, Lease{}, Go), Result{Status: unblocked()})
	if next := f.accept(Request{Kind: tasks.UnblockPIN, Card: c}); next.ID == first.ID || !next.Created {
		t.Errorf("after the end: id %s, Created %v, want a new operation", next.ID, next.Created)
	}
}

func acceptConcurrentlyCreatesOne(t *testing.T, f fixture) {
	c := card(t)
	accs := concurrently(t, 50, func() (Accepted, error) {
		return f.store.Accept(t.Context(), Request{Kind: tasks.UnblockCVV, Card: c, Lifetime: time.Minute})
	})
	created := 0
	for _, acc := range accs {
		if acc.Created {
			created++
		}
		if acc.ID != accs[0].ID || acc.Created == acc.Joined {
			t.Errorf("id %s, Created %v, Joined %v, want the id %s, and one of the two", acc.ID, acc.Created, acc.Joined, accs[0].ID)
		}
	}
	if created != 1 {
		t.Errorf("%d of 50 created an operation, want 1", created)
	}
}

func concurrently[T any](t testing.TB, n int, do func() (T, error)) []T {
	t.Helper()
	out, errs := make([]T, n), make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			out[i], errs[i] = do()
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return out
}

// A lock may outlive its operation, for example when Redis lost the last second.
func acceptPassesOverALockOfNobody(t *testing.T, f fixture) {
	c := card(t)
	first := f.accept(Request{Kind: tasks.RefreshPINStatus, Card: c})
	if err := f.rdb.Del(t.Context(), opKey(first.ID)).Err(); err != nil {
		t.Fatal(err)
	}
	if next := f.accept(Request{Kind: tasks.RefreshPINStatus, Card: c}); !next.Created || next.ID == first.ID {
		t.Errorf("id %s, Created %v, want a new operation", next.ID, next.Created)
	}
}

func acceptExplicitExpiry(t *testing.T, f fixture) {
	expires := f.now().Add(17 * time.Second).Truncate(time.Millisecond).UTC()
	if acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Expires: expires}); !acc.Expires.Equal(expires) {
		t.Errorf("Expires = %s, want %s", acc.Expires, expires)
	}
	for _, past := range []time.Time{f.now().Add(-time.Hour), time.UnixMilli(0), time.UnixMilli(-1), time.Unix(-1e9, 0)} {
		acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Expires: past})
		if b := f.begin(acc.Record, Lease{}); b.Outcome != Expired {
			t.Errorf("Begin of an operation that expired at %s = %s, want expired", past, b.Outcome)
		}
	}
}

// A self-contained task that is delivered twice is one operation, also after its end.
func acceptTwiceUnderOneTaskID(t *testing.T, f fixture) {
	c := card(t)
	req := Request{
		Kind: tasks.UnblockPIN, Card: c, ID: DerivedID(c, "unblock", "their-task"),
		TaskQueue: "unblock", TaskID: "their-task",
	}
	first := f.accept(req)
	if !first.Created || first.TaskID != "their-task" || first.ID != req.ID {
		t.Fatalf("Created %v, task %s, id %s, want true, their-task, %s", first.Created, first.TaskID, first.ID, req.ID)
	}
	second := f.accept(req)
	f.done(first.Record, Result{Status: unblocked()})
	third := f.accept(req)
	for _, acc := range []Accepted{second, third} {
		if acc.Created || acc.Joined || acc.ID != first.ID {
			t.Errorf("again: id %s, Created %v, Joined %v, want %s, false, false", acc.ID, acc.Created, acc.Joined, first.ID)
		}
	}
	req.Kind = tasks.UnblockCVV
	if _, err := f.store.Accept(t.Context(), req); !errors.Is(err, ErrKeyReused) {
		t.Errorf("the same task id for another kind = %v, want ErrKeyReused", err)
	}
}

func TestDerivedID_IsValidAndItsTasksOwn(t *testing.T) {
	t.Parallel()
	c := card(t)
	id := DerivedID(c, "unblock", "a")
	if !tasks.ValidID(id) || tasks.ShardOf(id) != c.Shard() || id != DerivedID(c, "unblock", "a") {
		t.Errorf("DerivedID = %s, want a valid id of %s, the same each time", id, c.Shard())
	}
	for _, other := range []string{DerivedID(c, "unblock", "b"), DerivedID(c, "refresh", "a"), DerivedID(c, "unblocka", "")} {
		if other == id {
			t.Errorf("another task has the id %s too", id)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		id := NewID(c)
		if !tasks.ValidID(id) || tasks.ShardOf(id) != c.Shard() || seen[id] {
			t.Fatalf("NewID = %s, want a valid, fresh id of %s", id, c.Shard())
		}
		seen[id] = true
	}
}
