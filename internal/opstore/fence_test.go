package opstore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// unchanged fails the test when the store has changed anything of the operation.
func (f fixture) unchanged(rec Record, before map[string]string) {
	f.Helper()
	if diff := cmp.Diff(before, f.raw(rec)); diff != "" {
		f.Errorf("what must not be written was written:\n%s", diff)
	}
}

// A worker that was stopped for a minute comes back and writes. Whatever it writes is refused.
func fenceRefusesEveryLateWrite(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	zombie := f.begun(rec, Lease{}, Go)
	writes := map[string]func() error{
		"Yield": func() error {
			return f.store.Yield(t.Context(), zombie.Lease, rec.TaskType, Progress{Code: tasks.CodeUnavailable, Blocked: true})
		},
		"Chain": func() error { _, err := f.store.Chain(t.Context(), zombie.Lease, rec.Kind); return err },
		"Handover": func() error {
			_, _, err := f.store.Handover(t.Context(), zombie.Lease, zombie.Record, "zombie", nextOf(zombie.Lease), doorbell.Active{})
			return err
		},
		"Finish": func() error {
			_, err := f.store.Finish(t.Context(), zombie.Lease, zombie.Record, Result{Status: unblocked()})
			return err
		},
	}
	refused := func(when string) {
		t.Helper()
		before := f.raw(rec)
		for name, write := range writes {
			if err := write(); !errors.Is(err, ErrStale) {
				t.Errorf("%s: %s of the zombie = %v, want ErrStale", when, name, err)
			}
		}
		if b := f.begin(rec, zombie.Lease); b.Outcome != Stale && b.Outcome != Done {
			t.Errorf("%s: Begin of the zombie = %s, want stale", when, b.Outcome)
		}
		if _, lost, err := f.store.Extend(t.Context(), []Lease{zombie.Lease}); err != nil || len(lost) != 1 {
			t.Errorf("%s: Extend of the zombie loses %v, %v, want its lease", when, lost, err)
		}
		f.unchanged(rec, before)
	}

	f.past(rec.ID, "lease_ms")
	if _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); err != nil {
		t.Fatal(err)
	}
	refused("after the operation got a new task")
	second := f.begun(f.get(rec.ID), Lease{}, Go)
	refused("while another runs it")
	if _, err := f.store.Chain(t.Context(), second.Lease, rec.Kind); err != nil {
		t.Fatal(err)
	}
	refused("while it waits to be confirmed")
	third := f.begun(f.get(rec.ID), Lease{}, Go)
	f.finish(third, Result{Status: unblocked()})
	refused("after the end")
	zombie = third
	refused("after the end, by the one who wrote it")
}

func extendKeepsOrTellsTheLoss(t *testing.T, f fixture) {
	var kept, all []Lease
	for range 40 { // Enough to lie in most shards.
		l := f.begun(f.open(tasks.UnblockPIN), Lease{}, Go).Lease
		kept, all = append(kept, l), append(all, l)
	}
	taken := f.open(tasks.UnblockPIN)
	lostToAnother := f.begun(taken, Lease{}, Go).Lease
	f.past(taken.ID, "lease_ms")
	f.begun(taken, Lease{}, Go)
	ended := f.open(tasks.UnblockPIN)
	lostToTheEnd := f.begun(ended, Lease{}, Go)
	f.finish(lostToTheEnd, Result{Status: unblocked()})
	gone := Lease{ID: NewID(card(t)), Seq: 1, Fence: 1}
	lapsed := kept[0]
	f.past(lapsed.ID, "lease_ms") // Nobody has taken it over, so it can still be had.

	f = f.with(Config{Lease: time.Hour})
	still, lost, err := f.store.Extend(t.Context(), append(all, lostToAnother, lostToTheEnd.Lease, gone))
	if err != nil {
		t.Fatal(err)
	}
	got := map[Lease]bool{}
	for _, l := range lost {
		got[l] = true
	}
	if len(still) != len(kept) {
		t.Errorf("%d leases were extended, want %d", len(still), len(kept))
	}
	if diff := cmp.Diff(map[Lease]bool{lostToAnother: true, lostToTheEnd.Lease: true, gone: true}, got); diff != "" {
		t.Errorf("lost leases (-want +got):\n%s", diff)
	}
	for _, l := range kept {
		rec := f.get(l.ID)
		if !near(rec.LeaseEnds, f.now().Add(time.Hour)) {
			t.Errorf("lease of %s ends %s, want in an hour", l.ID, rec.LeaseEnds)
		}
		if got, want := f.raw(rec)["index leased"], f.raw(rec)["lease_ms"]; got != want {
			t.Errorf("the index has %s for %s, the record %s", got, l.ID, want)
		}
	}
	if n := f.rdb.Exists(t.Context(), opKey(gone.ID)).Val(); n != 0 {
		t.Error("extending made a record of nothing")
	}
	if _, lost, err := f.store.Extend(t.Context(), nil); lost != nil || err != nil {
		t.Errorf("Extend of nothing = %v, %v", lost, err)
	}
}

// The extension of a worker's leases may arrive just after one of its runs has given its lease up.
func extendDoesNotReviveAGivenUpLease(t *testing.T, f fixture) {
	yielded, chained := f.open(tasks.UnblockPIN), f.open(tasks.UnblockPIN)
	y, c := f.begun(yielded, Lease{}, Go), f.begun(chained, Lease{}, Go)
	if err := f.store.Yield(t.Context(), y.Lease, yielded.TaskType, Progress{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Chain(t.Context(), c.Lease, chained.Kind); err != nil {
		t.Fatal(err)
	}
	_, lost, err := f.store.Extend(t.Context(), []Lease{y.Lease, c.Lease})
	if err != nil || len(lost) != 2 {
		t.Errorf("Extend loses %v, %v, want both", lost, err)
	}
	for _, rec := range []Record{yielded, chained} {
		f.begun(f.get(rec.ID), Lease{}, Go)
	}
}
