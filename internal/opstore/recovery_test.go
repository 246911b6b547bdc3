package opstore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// all is more operations than tests leave behind.
const all = 100_000

func (f fixture) due() []string {
	f.Helper()
	ids, now, err := f.store.Due(f.Context(), all)
	if err != nil {
		f.Fatal(err)
	}
	if len(ids) > 0 && !near(now, f.now()) {
		f.Errorf("Due is of %s, it is %s", now, f.now())
	}
	return ids
}

// overdue makes an operation one that has waited too long.
func (f fixture) overdue(rec Record) {
	f.Helper()
	f.zadd(waitingKey(tasks.ShardOf(rec.ID), rec.Kind), rec.ID, -time.Second)
}

func dueFindsWhatLostItsWorkerOrTask(t *testing.T, f fixture) {
	fresh, running := f.open(tasks.UnblockPIN), f.open(tasks.UnblockPIN)
	f.begun(running, Lease{}, Go)
	lost, lapsed := f.open(tasks.RefreshCVVStatus), f.open(tasks.UnblockPIN)
	f.overdue(lost)
	f.begun(lapsed, Lease{}, Go)
	f.past(lapsed.ID, "lease_ms")
	ended := f.done(f.open(tasks.UnblockPIN), Result{Status: unblocked()})

	due := f.due()
	for name, tc := range map[string]struct {
		rec  Record
		want bool
	}{"just accepted": {fresh, false}, "running": {running, false}, "without its task": {lost, true}, "lapsed": {lapsed, true}, "ended": {ended, false}} {
		if got := slices.Contains(due, tc.rec.ID); got != tc.want {
			t.Errorf("%s: due %v, want %v", name, got, tc.want)
		}
	}
	f = f.with(Config{Grace: 30 * time.Millisecond})
	soon := f.open(tasks.UnblockPIN)
	eventually(t, "an operation without its task is due after the grace", func() bool { return slices.Contains(f.due(), soon.ID) })
	if waited := f.now().Sub(soon.Created); waited < 30*time.Millisecond {
		t.Errorf("it is due after %s, want at least the 30ms of grace", waited)
	}
}

// Whatever refreshes wait, a lapsed lease and an unblock come first, and a short list has them.
func dueUrgentFirst(t *testing.T, f fixture) {
	c := card(t)
	var refreshes []string
	for _, kind := range []tasks.Kind{tasks.RefreshPINStatus, tasks.RefreshCVVStatus} {
		rec := f.accept(Request{Kind: kind, Card: c}).Record
		f.overdue(rec)
		refreshes = append(refreshes, rec.ID)
	}
	unblock := f.accept(Request{Kind: tasks.UnblockPIN, Card: c}).Record
	f.overdue(unblock)
	lapsed := f.accept(Request{Kind: tasks.UnblockCVV, Card: c}).Record
	f.begun(lapsed, Lease{}, Go)
	f.past(lapsed.ID, "lease_ms")

	shard := c.Shard()
	keys := []string{leasedKey(shard), waitingKey(shard, tasks.UnblockPIN), waitingKey(shard, tasks.RefreshPINStatus)}
	ids, _, err := f.store.due(t.Context(), keys, all)
	if err != nil {
		t.Fatal(err)
	}
	l, u, r := slices.Index(ids, lapsed.ID), slices.Index(ids, unblock.ID), slices.Index(ids, refreshes[0])
	if l < 0 || u < l || r < u {
		t.Errorf("lapsed at %d, unblock at %d, refresh at %d, want that order", l, u, r)
	}
	for limit := range 3 {
		some, _, err := f.store.due(t.Context(), keys, limit+1)
		if err != nil || len(some) != limit+1 || !slices.Equal(some, ids[:limit+1]) {
			t.Errorf("the first %d due = %v, %v, want %v", limit+1, some, err, ids[:limit+1])
		}
	}
	whole := f.due()
	if l, u, r := slices.Index(whole, lapsed.ID), slices.Index(whole, unblock.ID), slices.Index(whole, refreshes[1]); l < 0 || u < l || r < u {
		t.Errorf("over all shards: lapsed at %d, unblock at %d, refresh at %d, want that order", l, u, r)
	}
}

func loadKeepsTheOrder(t *testing.T, f fixture) {
	a, b, broken := f.open(tasks.UnblockPIN), f.open(tasks.RefreshCVVStatus), f.open(tasks.UnblockPIN)
	f.set(broken.ID, "attempts", "many")
	recs, err := f.store.Load(t.Context(), []string{b.ID, NewID(a.Token), a.ID, broken.ID})
	if err != nil || len(recs) != 4 {
		t.Fatalf("Load = %d records, %v, want 4", len(recs), err)
	}
	if recs[0].ID != b.ID || recs[1].ID != "" || recs[2].ID != a.ID || recs[3].ID != "" {
		t.Errorf("Load = %q %q %q %q, want %q, nothing, %q, nothing", recs[0].ID, recs[1].ID, recs[2].ID, recs[3].ID, b.ID, a.ID)
	}
	if recs, err := f.store.Load(t.Context(), nil); err != nil || len(recs) != 0 {
		t.Errorf("Load of nothing = %v, %v", recs, err)
	}
}

func postponeLooksAgainByTheExpiry(t *testing.T, f fixture) {
	score := func(rec Record) time.Time {
		return time.UnixMilli(int64(f.rdb.ZScore(t.Context(), waitingKey(tasks.ShardOf(rec.ID), rec.Kind), rec.ID).Val()))
	}
	rec := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Lifetime: time.Hour}).Record
	if err := f.store.Postpone(t.Context(), rec.ID, rec, 20*time.Minute); err != nil || !near(score(rec), f.now().Add(20*time.Minute)) {
		t.Errorf("postponed to %s, %v, want in 20m", score(rec), err)
	}
	if err := f.store.Postpone(t.Context(), rec.ID, rec, 2*time.Hour); err != nil || !score(rec).Equal(rec.Expires) {
		t.Errorf("postponed to %s, %v, want to its expiry %s", score(rec), err, rec.Expires)
	}
	f.past(rec.ID, "expires_ms")
	if err := f.store.Postpone(t.Context(), rec.ID, rec, time.Minute); err != nil || !near(score(rec), f.now().Add(time.Minute)) {
		t.Errorf("after its expiry: postponed to %s, %v, want in 1m", score(rec), err)
	}
	// A lapsed lease whose task waits in its queue is looked at again as a waiting one.
	b := f.accept(Request{Kind: tasks.UnblockCVV, Card: rec.Token, Lifetime: time.Hour}).Record
	f.begun(b, Lease{}, Go)
	if err := f.store.Postpone(t.Context(), b.ID, f.get(b.ID), time.Minute); !errors.Is(err, ErrStale) {
		t.Errorf("Postpone of a running operation = %v, want ErrStale", err)
	}
	f.past(b.ID, "lease_ms")
	if err := f.store.Postpone(t.Context(), b.ID, b, time.Minute); !errors.Is(err, ErrStale) {
		t.Errorf("Postpone with an old record = %v, want ErrStale", err)
	}
	if err := f.store.Postpone(t.Context(), b.ID, f.get(b.ID), time.Minute); err != nil {
		t.Errorf("Postpone = %v", err)
	}
	if leased, waiting := f.indexed(b); leased || !waiting {
		t.Errorf("leased %v, waiting %v, want false, true", leased, waiting)
	}
}

func postponeTidiesUp(t *testing.T, f fixture) {
	ended := f.done(f.open(tasks.UnblockPIN), Result{Status: unblocked()})
	gone := Record{ID: NewID(card(t)), Kind: tasks.RefreshPINStatus}
	for _, rec := range []Record{ended, gone} {
		f.overdue(rec)
		f.zadd(leasedKey(tasks.ShardOf(rec.ID)), rec.ID, -time.Second)
		loaded, err := f.store.Load(t.Context(), []string{rec.ID})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.store.Postpone(t.Context(), rec.ID, loaded[0], time.Minute); err != nil {
			t.Errorf("Postpone = %v", err)
		}
		if slices.Contains(f.due(), rec.ID) {
			t.Error("an index still has an operation that ended or is gone")
		}
		if leased, waiting := f.indexed(Record{ID: rec.ID, Kind: rec.Kind, Token: ended.Token}); leased || waiting {
			t.Errorf("leased %v, waiting %v, want neither", leased, waiting)
		}
	}
}

func postponeClearsTheWayOfUnreadableRecords(t *testing.T, f fixture) {
	for _, kind := range []tasks.Kind{tasks.UnblockPIN, tasks.RefreshPINStatus} {
		rec := f.open(kind)
		f.overdue(rec)
		if err := f.rdb.HSet(t.Context(), opKey(rec.ID), "created_ms", "x").Err(); err != nil {
			t.Fatal(err)
		}
		loaded, err := f.store.Load(t.Context(), []string{rec.ID})
		if err != nil || loaded[0].ID != "" {
			t.Fatalf("Load = %v, %v, want the zero record", loaded, err)
		}
		if err := f.store.Postpone(t.Context(), rec.ID, loaded[0], time.Minute); err != nil {
			t.Errorf("Postpone = %v", err)
		}
		if slices.Contains(f.due(), rec.ID) {
			t.Error("an unreadable record stays in the way of the others")
		}
		if _, waiting := f.indexed(rec); !waiting {
			t.Error("an unreadable record is forgotten")
		}
	}
}

// Nobody knows the kind of a record that cannot be read, and so not where it would wait.
func postponeKeepsAnUnreadableRecordWhoseLeaseLapsed(t *testing.T, f fixture) {
	for _, field := range []string{"created_ms", "expires_ms"} {
		rec := f.open(tasks.UnblockPIN)
		f.begun(rec, Lease{}, Go)
		f.past(rec.ID, "lease_ms")
		f.set(rec.ID, field, "x")
		loaded, err := f.store.Load(t.Context(), []string{rec.ID})
		if err != nil || loaded[0].ID != "" {
			t.Fatalf("%s: Load = %v, %v, want the zero record", field, loaded, err)
		}
		if err := f.store.Postpone(t.Context(), rec.ID, loaded[0], time.Minute); err != nil {
			t.Errorf("%s: Postpone = %v", field, err)
		}
		if slices.Contains(f.due(), rec.ID) {
			t.Errorf("%s: the record stays in the way of the others", field)
		}
		if leased, waiting := f.indexed(rec); !leased || waiting {
			t.Errorf("%s: leased %v, waiting %v, want true, false: it is looked at again", field, leased, waiting)
		}
	}
}

func redispatchSupersedesTaskAndRun(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	b := f.begun(rec, Lease{}, Go)
	if _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); !errors.Is(err, ErrStale) {
		t.Errorf("Redispatch of a running operation = %v, want ErrStale", err)
	}
	f.past(rec.ID, "lease_ms")
	if _, err := f.store.Redispatch(t.Context(), rec); !errors.Is(err, ErrStale) {
		t.Errorf("Redispatch with an old record = %v, want ErrStale", err)
	}
	next, err := f.store.Redispatch(t.Context(), f.get(rec.ID))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Next{Type: tasks.TypeUnblockPIN, Queue: tasks.QueueUnblock, ID: rec.ID + ":2", Seq: 2}); next != want {
		t.Errorf("next task %+v, want %+v", next, want)
	}
	got := f.get(rec.ID)
	if got.Fence != b.Lease.Fence+1 || got.TaskID != next.ID || got.Seq != 2 || got.State != tasks.Running {
		t.Errorf("fence %d, task %s, seq %d, state %s, want %d, %s, 2, running", got.Fence, got.TaskID, got.Seq, got.State, b.Lease.Fence+1, next.ID)
	}
	f.begun(rec, Lease{}, Stale) // The old task comes back.
	f.begun(got, Lease{}, Go)

	ended := f.done(f.open(tasks.UnblockPIN), Result{Status: unblocked()})
	if _, err := f.store.Redispatch(t.Context(), ended); !errors.Is(err, ErrStale) {
		t.Errorf("Redispatch of an ended operation = %v, want ErrStale", err)
	}
	// A task that came from elsewhere, in a queue of its own, is replaced by one of ours.
	c := card(t)
	theirs := f.accept(Request{Kind: tasks.RefreshPINStatus, Card: c, ID: DerivedID(c, "theirs", "1"), TaskQueue: "theirs", TaskID: "1"}).Record
	if next, err := f.store.Redispatch(t.Context(), theirs); err != nil || next.Queue != tasks.QueueRefresh || next.ID != theirs.ID+":2" {
		t.Errorf("next task %+v, %v, want %s:2 in %s", next, err, theirs.ID, tasks.QueueRefresh)
	}
}

// A client repeats the command whose reply it lost: the task is there for it to enqueue all the same.
func redispatchRepeatedIsOne(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	next, err := f.withClient(twice{f.rdb}).store.Redispatch(t.Context(), rec)
	if err != nil || next.Seq != 2 || next.ID != rec.ID+":2" {
		t.Fatalf("Redispatch = %+v, %v, want the task %s:2", next, err, rec.ID)
	}
	if got := f.get(rec.ID); got.Seq != 2 || got.Fence != rec.Fence+1 {
		t.Errorf("seq %d, fence %d, want 2, %d", got.Seq, got.Fence, rec.Fence+1)
	}
}

func redispatchByOneOfMany(t *testing.T, f fixture) {
	rec := f.open(tasks.RefreshPINStatus)
	won := 0
	for _, ok := range concurrently(t, 10, func() (bool, error) {
		_, err := f.store.Redispatch(t.Context(), rec)
		if errors.Is(err, ErrStale) {
			return false, nil
		}
		return true, err
	}) {
		if ok {
			won++
		}
	}
	if got := f.get(rec.ID); won != 1 || got.Seq != 2 {
		t.Errorf("%d of 10 gave out a new task, seq %d, want 1, 2", won, got.Seq)
	}
}
