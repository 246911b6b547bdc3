package opstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/tasks"
)

func eventsTellTheStory(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	f.accept(Request{Kind: rec.Kind, Card: rec.Token})
	b := f.begun(rec, Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Keep: true, Code: tasks.CodeUnavailable}); err != nil {
		t.Fatal(err)
	}
	b = f.begun(rec, b.Lease, Go)
	if _, err := f.store.Chain(t.Context(), b.Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); err != nil {
		t.Fatal(err)
	}
	b = f.begun(f.get(rec.ID), Lease{}, Go)
	if err := f.store.Yield(t.Context(), b.Lease, tasks.TypeConfirmPIN, Progress{Blocked: true}); err != nil {
		t.Fatal(err)
	}
	f.past(rec.ID, "expires_ms")
	f.finish(f.begun(f.get(rec.ID), Lease{}, Expired), Result{Error: failure(tasks.CodeUnconfirmed)})
	if _, err := f.store.Redrive(t.Context(), rec.ID, time.Minute); err != nil {
		t.Fatal(err)
	}
	f.done(f.get(rec.ID), Result{Status: unblocked()})

	events, err := f.store.EventsOf(t.Context(), rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	last := rec.Created
	for _, e := range events {
		got = append(got, [2]string{e.Name, e.Detail})
		if e.At.Before(last) || e.ID != rec.ID {
			t.Errorf("event %s of %s at %s, before %s", e.Name, e.ID, e.At, last)
		}
		last = e.At
	}
	want := [][2]string{
		{"accepted", ""},
		{"joined", ""},
		{"begun", "1"},
		{"retry", "unavailable"},
		{"begun", "1"},
		{"unblock_accepted", ""},
		{"redispatched", ""},
		{"begun", "3"},
		{"read_blocked", ""},
		{"expired", "4"},
		{"failed", "unconfirmed"},
		{"redriven", ""},
		{"begun", "6"},
		{"succeeded", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if ttl := f.rdb.PTTL(t.Context(), auditKey(tasks.ShardOf(rec.ID))).Val(); ttl <= 0 || ttl > 24*time.Hour {
		t.Errorf("the events go in %s, want a day", ttl)
	}
	if events, err := f.store.EventsOf(t.Context(), NewID(rec.Token)); err != nil || len(events) != 0 {
		t.Errorf("events of nothing = %v, %v", events, err)
	}
}

func eventsStayThatFollowALongPause(t *testing.T, f fixture) {
	rec := f.open(tasks.RefreshPINStatus)
	f.done(rec, Result{Status: unblocked()})
	stream := auditKey(tasks.ShardOf(rec.ID))
	if err := f.rdb.PExpire(t.Context(), stream, time.Minute).Err(); err != nil { // A day later.
		t.Fatal(err)
	}
	f.accept(Request{Kind: rec.Kind, Card: rec.Token})
	if ttl := f.rdb.PTTL(t.Context(), stream).Val(); ttl < 23*time.Hour {
		t.Errorf("the event of an acceptance goes in %s, want a day", ttl)
	}
}
