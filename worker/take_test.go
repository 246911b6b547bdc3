package worker

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// takes has a worker that has not started look at a queue once, as its server does, and returns the id of what that
// hands out, "" when it is nothing.
func (r *rig) takes(w *Worker, queue string) (id string) {
	r.t.Helper()
	h := w.servers[0].tasks
	cmd := h.EvalSha(r.t.Context(), "asynq's", doorbell.DequeueKeys(queue), time.Now().Add(time.Minute).Unix(), doorbell.TaskPrefix(queue))
	message, err := cmd.Text()
	if errors.Is(err, redis.Nil) {
		return ""
	}
	if err != nil {
		r.t.Fatalf("look at %s: %v", queue, err)
	}
	return idOf(message)
}

func TestTake_TheLookBegins(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		first := r.work(api)
		op := r.run(tasks.UnblockPIN, "101")
		wantEnd(t, op, "")
		wantCalls(t, api, callUnblock, callStatus)
		if op.Attempts != 1 {
			t.Errorf("%d attempts, want one", op.Attempts)
		}
		stop(t, first)
		w := r.idle(api)
		acc := r.accept(tasks.UnblockPIN, "102")
		if id := r.takes(w, tasks.QueueUnblock); id != acc.ID+":1" {
			t.Errorf("took %q, want %s:1", id, acc.ID)
		}
		if rec := r.record(acc.ID); rec.Fence != 1 || rec.LeaseEnds.IsZero() || rec.Call != opstore.CallOpen {
			t.Errorf("behind the look it is %+v, want it begun", rec)
		}
		// Nothing is left in the process of what is given up.
		w.giveUp(t.Context(), []string{acc.ID + ":1"})
		if len(w.handovers.byTask) != 0 || len(w.leases.held) != 0 {
			t.Errorf("left: %v, %v", w.handovers.byTask, w.leases.held)
		}
	})
}

// A worker that has begun with its look and stops before asynq has the task gives it back as it was: no attempt is
// counted, nothing is taken for sent that was not, and what an earlier worker may have sent is not forgotten.
func TestTake_IsGivenBackAsItWas(t *testing.T) {
	t.Parallel()
	for name, was := range map[string]opstore.Call{"nothing was sent": opstore.CallNone, "something may have been sent": opstore.CallWas} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := r.idle(&fakeAPI{}, longLease)
			first, acc := r.accept(tasks.UnblockPIN, "101"), r.accept(tasks.UnblockPIN, "102")
			third := r.accept(tasks.UnblockPIN, "103")
			before := r.record(third.ID)
			if was != opstore.CallNone {
				b, err := r.store.Begin(t.Context(), before.TaskType, third.ID, 1, "a run that was killed", opstore.Lease{})
				if err == nil {
					err = r.store.Yield(t.Context(), b.Lease, before.TaskType, opstore.Progress{Unknown: true})
				}
				if err != nil {
					t.Fatal(err)
				}
				before = r.record(third.ID)
			}
			// One, then two: the third is held by the process.
			if got, want := []string{r.takes(w, tasks.QueueUnblock), r.takes(w, tasks.QueueUnblock)}, []string{first.ID + ":1", acc.ID + ":1"}; !slices.Equal(got, want) {
				t.Fatalf("took %v, want %v", got, want)
			}
			taken := r.record(third.ID)
			if taken.LeaseEnds.IsZero() || taken.Call == opstore.CallNone || taken.Attempts != before.Attempts+1 {
				t.Fatalf("it was taken and not begun: %+v", taken)
			}
			if err := w.servers[0].putBack(t.Context()); err != nil {
				t.Fatalf("put back: %v", err)
			}
			after := r.record(third.ID)
			if after.Call != was || after.Attempts != before.Attempts || after.Tries != before.Tries || !after.LeaseEnds.IsZero() {
				t.Errorf("put back it is %+v, was %+v", after, before)
			}
			// Another goes on at once, however long the lease was.
			api := &fakeAPI{}
			r.work(api, longLease)
			wantEnd(t, r.wait(third.ID), "")
			if first := api.names()[0]; (first == callStatus) != (was == opstore.CallWas) {
				t.Errorf("the API saw %v; want a read before the unblock if one may have been sent, and only then", api.names())
			}
			if h := r.history(third.ID); strings.Contains(h, "redispatched") {
				t.Errorf("it was recovered, want it handed back:\n%s", h)
			}
		})
	}
}

func (r *rig) record(id string) opstore.Record {
	r.t.Helper()
	rec, err := r.store.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// The look of a worker that is killed behind it has begun what nobody runs. The lease says when somebody has to look.
func TestTake_OfAWorkerThatIsKilledIsRecovered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc := r.accept(tasks.UnblockPIN, "101")
	dead := r.idle(&fakeAPI{}, shortLease) // It has not started, so nobody keeps its leases.
	if id := r.takes(dead, tasks.QueueUnblock); id != acc.ID+":1" {
		t.Fatalf("took %q, want %s:1", id, acc.ID)
	}
	api := &fakeAPI{}
	r.work(api, shortLease)
	wantEnd(t, r.wait(acc.ID), "")
	// It read first: the unblock may have been sent.
	if names := api.names(); len(names) == 0 || names[0] != callStatus {
		t.Errorf("the API saw %v, want a read first", names)
	}
}

// A task in another's place is given nothing of what the look has begun.
func TestTake_ATaskWithTheIDOfAnotherGetsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc := r.accept(tasks.UnblockPIN, "101")
	key := doorbell.TaskPrefix(tasks.QueueUnblock) + acc.ID + ":1"
	msg, err := r.rdb.HGet(t.Context(), key, "msg").Result()
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(msg, "pin:unblock", "cvv:unblock", 1)
	if err := r.rdb.HSet(t.Context(), key, "msg", other).Err(); err != nil || other == msg {
		t.Fatalf("%v, %q", err, other)
	}
	api := &fakeAPI{}
	r.work(api, longLease)
	wantEnd(t, r.wait(acc.ID), "")
	for _, name := range api.names() {
		if !strings.Contains(strings.ToLower(string(name)), "pin") {
			t.Errorf("the API saw %v, want the PIN's calls alone", api.names())
			break
		}
	}
	if op, err := r.client.Get(t.Context(), acc.ID); err != nil || op.Attempts != 1 {
		t.Errorf("%d attempts, %v, want one: the other task's begin was given back", op.Attempts, err)
	}
}

// A lease may have run out here and last in Redis: the answer to the look was late. The run must not find itself in its
// own way.
func TestTake_WhoseLeaseRanOutHereBeginsAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	w := r.idle(api, longLease)
	acc := r.accept(tasks.UnblockPIN, "101")
	if id := r.takes(w, tasks.QueueUnblock); id != acc.ID+":1" {
		t.Fatalf("took %q, want %s:1", id, acc.ID)
	}
	w.leases.drop(opstore.Lease{ID: acc.ID, Seq: 1, Fence: 1}, errLeaseLapsed)
	if err := w.run(t.Context(), tasks.TypeUnblockPIN, acc.ID, 1); err != nil {
		t.Fatalf("run = %v", err)
	}
	wantCalls(t, api, callUnblock) // And no read: nothing had been sent.
	if rec := r.record(acc.ID); rec.Attempts != 1 || rec.State != tasks.Confirming {
		t.Errorf("it is %s after %d attempts, want confirming after 1", rec.State, rec.Attempts)
	}
}

// The task of an operation that cannot be read fails it, though the look has begun it.
func TestTake_OfATaskThatCannotBeReadFailsTheOperation(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		acc := r.accept(tasks.UnblockPIN, "101")
		key := doorbell.TaskPrefix(tasks.QueueUnblock) + acc.ID + ":1"
		msg, err := r.rdb.HGet(t.Context(), key, "msg").Result()
		if err != nil {
			t.Fatal(err)
		}
		spoilt := strings.Replace(msg, `"version":1`, `"version":x`, 1)
		if err := r.rdb.HSet(t.Context(), key, "msg", spoilt).Err(); err != nil || spoilt == msg {
			t.Fatalf("%v, %q", err, spoilt)
		}
		api := &fakeAPI{}
		r.work(api, longLease)
		wantEnd(t, r.wait(acc.ID), tasks.CodeInternal)
		if n := len(api.names()); n != 0 {
			t.Errorf("the API saw %v, want nothing", api.names())
		}
	})
}
