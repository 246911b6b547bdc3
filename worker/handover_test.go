package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// handsOver is a worker's own server behind a function that is told of each task that is handed to it.
type handsOver struct {
	*server
	to func(s *server, queue, message string) bool
}

func (h handsOver) give(queue, message string) bool { return h.to(h.server, queue, message) }

// workVia starts a worker that hands what it has made to a function.
func (r *rig) workVia(api API, to func(s *server, queue, message string) bool, edits ...func(*Config)) *Worker {
	r.t.Helper()
	w := r.idle(api, edits...)
	w.own = handsOver{w.servers[0], to}
	if err := w.Start(r.t.Context()); err != nil {
		r.t.Fatalf("Start: %v", err)
	}
	return w
}

func longLease(c *Config) { c.Lease = 30 * time.Second }

func TestHandover_TheWorkerThatUnblockedConfirms(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		given := make(chan string, 1)
		w := r.workVia(api, func(s *server, queue, message string) bool {
			given <- queue
			return s.give(queue, message)
		})
		op := r.run(tasks.UnblockPIN, "101")
		wantEnd(t, op, "")
		wantCalls(t, api, callUnblock, callStatus)
		if got := receive(t, "the confirmation is handed over", given); got != tasks.QueueConfirm {
			t.Errorf("handed over in queue %s, want %s", got, tasks.QueueConfirm)
		}
		rec, err := r.store.Get(t.Context(), op.ID)
		if err != nil || rec.Seq != 2 || rec.Fence != 2 {
			t.Errorf("task %d, fence %d, %v; want the second of both: one begin for each task", rec.Seq, rec.Fence, err)
		}
		// With the last write of each run its task has ended, for asynq as well, and that was not asked for again.
		for _, queue := range []string{tasks.QueueUnblock, tasks.QueueConfirm} {
			info, err := asynq.NewInspectorFromRedisClient(r.rdb).GetQueueInfo(queue)
			if err != nil || info.Size != 0 || info.Processed != 1 || info.ProcessedTotal != 1 || info.Failed != 0 {
				t.Errorf("queue %s: %+v, %v, want one processed and none left", queue, info, err)
			}
		}
		eventually(t, "asynq asks for the ends", func() bool {
			w.ended.mu.Lock()
			defer w.ended.mu.Unlock()
			return len(w.ended.at) == 0 && !w.ended.swept.IsZero()
		})
	})
}

// goesOn has another worker end an operation whose first one has stopped, at once: it is the same task, which nobody had
// to make anew, and nobody waited for the lease.
func (r *rig) goesOn(id string, api *fakeAPI) {
	r.t.Helper()
	op, err := r.client.Get(r.t.Context(), id)
	if err != nil || op.State != tasks.Confirming {
		r.t.Fatalf("after the stop the operation is %s, %v; want confirming", op.State, err)
	}
	r.work(api, longLease)
	wantEnd(r.t, r.wait(id), "")
	rec, err := r.store.Get(r.t.Context(), id)
	if history := r.history(id); err != nil || rec.Seq != 2 || strings.Contains(history, "redispatched") {
		r.t.Errorf("it was recovered (task %d, %v), want it handed back:\n%s", rec.Seq, err, history)
	}
	wantCalls(r.t, api, callUnblock, callStatus)
}

// What is on its way when the worker stops is another's at once, however long the lease.
func TestHandover_IsGivenUpByAWorkerThatStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	given := make(chan struct{}, 1)
	w := r.workVia(api, func(s *server, queue, message string) bool {
		s.bell.Release() // So that nobody looks any more.
		s.Stop()
		defer func() { given <- struct{}{} }()
		return s.give(queue, message)
	}, longLease)
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the confirmation is handed over", given)
	stop(t, w)
	r.goesOn(acc.ID, api)
}

// A task that is handed over when what was taken has been put back already goes the same way.
func TestHandover_ToAServerThatTakesNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	given := make(chan bool, 1)
	w := r.workVia(api, func(s *server, queue, message string) bool {
		s.bell.Release()
		s.Stop()
		if err := s.putBack(t.Context()); err != nil {
			t.Errorf("put back: %v", err)
		}
		ok := s.give(queue, message)
		given <- ok
		return ok
	}, longLease)
	acc := r.accept(tasks.UnblockPIN, "101")
	if receive(t, "the confirmation is handed over", given) {
		t.Error("it was taken, by a server that had put everything back")
	}
	stop(t, w)
	r.goesOn(acc.ID, api)
}

// A task of another type that bears the id and the number of one that was handed over gets nothing from that: its run
// would send an unblock.
func TestHandover_IsOfItsTypeAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	given := make(chan struct{}, 1)
	w := r.workVia(api, func(*server, string, string) bool { // It keeps it.
		given <- struct{}{}
		return true
	}, longLease)
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the confirmation is handed over", given)
	if err := w.run(t.Context(), tasks.TypeUnblockPIN, acc.ID, 2); err == nil {
		t.Error("the run of a task of another type has nothing to complain of")
	}
	wantCalls(t, api, callUnblock)
	if err := w.run(t.Context(), tasks.TypeConfirmPIN, acc.ID, 2); err != nil {
		t.Errorf("run = %v", err)
	}
	wantEnd(t, r.wait(acc.ID), "")
	wantCalls(t, api, callUnblock, callStatus)
}

func TestHandover_APausedQueueIsRespected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	inspector := asynq.NewInspectorFromRedisClient(r.rdb)
	if err := inspector.PauseQueue(tasks.QueueConfirm); err != nil {
		t.Fatal(err)
	}
	acc := r.accept(tasks.UnblockPIN, "101")
	r.task(tasks.QueueConfirm, acc.ID+":2", asynq.TaskStatePending)
	wantCalls(t, api, callUnblock)
	if err := inspector.UnpauseQueue(tasks.QueueConfirm); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, r.wait(acc.ID), "")
	wantCalls(t, api, callUnblock, callStatus)
}

// A worker that did not come to it before the lease was lost has nothing from it.
func TestHandover_WhoseLeaseLapsedIsATaskLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	given := make(chan string, 1)
	own := r.workVia(api, func(_ *server, _, message string) bool { // It keeps it.
		given <- idOf(message)
		return true
	}, shortLease)
	acc := r.accept(tasks.UnblockPIN, "101")
	id := receive(t, "the confirmation is handed over", given)
	own.leases.drop(opstore.Lease{ID: acc.ID, Seq: 2, Fence: 2}, errLeaseLapsed)
	wantEnd(t, r.wait(acc.ID), "")
	if want := acc.ID + ":2"; id != want {
		t.Errorf("task %s was handed over, want %s", id, want)
	}
	// The late one finds that another was first, and asks the API nothing.
	if err := own.run(t.Context(), tasks.TypeConfirmPIN, acc.ID, 2); err != nil {
		t.Errorf("the late run: %v", err)
	}
	wantCalls(t, api, callUnblock, callStatus)
}

func TestLeases_OneThatIsParkedIsKeptForWhoPicksItUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := newLeases(extendsAll, testTTL, silentLog(), func() {})
		ls.park(someLease, time.Now())
		pass(testTTL / 2)
		ls.extend(t.Context())
		pass(testTTL / 2)
		ctx, release, ok := ls.pickUp(t.Context(), someLease)
		if !ok || ctx.Err() != nil {
			t.Fatalf("pickUp = %v, %t, want the lease", ctx, ok)
		}
		pass(testTTL)
		if !errors.Is(context.Cause(ctx), errLeaseLapsed) {
			t.Errorf("when the lease has lapsed the context has %v, want %v", context.Cause(ctx), errLeaseLapsed)
		}
		release()
		if _, _, ok := ls.pickUp(t.Context(), someLease); ok {
			t.Error("a lease that is lost was picked up")
		}
		ls.park(someLease, time.Now())
		pass(testTTL)
		if _, _, ok := ls.pickUp(t.Context(), someLease); ok || len(ls.held) != 0 {
			t.Error("a lease that lapsed while it was parked was picked up")
		}
	})
}

// asynq may be handed a task and its run never begin: it panics before that, or its payload has become unreadable.
func TestHandover_WhoseTaskEndsWithoutARunIsAnothers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.workVia(api, func(s *server, queue, message string) bool {
		// The hash in Redis is as it was, and the payload that the handler gets is another.
		spoilt := strings.Replace(message, `"operation_id":"cw`, `"operation_id":"xx`, 1) // Nor does it name an operation.
		if spoilt == message {
			t.Errorf("the message %q has another payload than expected", message)
		}
		return s.give(queue, spoilt)
	}, longLease)
	start := time.Now()
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it was confirmed after %s: somebody waited for the lease", took)
	}
	wantCalls(t, api, callUnblock, callStatus)
}

// Should even that not happen, nobody keeps the lease for ever.
func TestLeases_OneThatNobodyPicksUpIsNotKeptForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := newLeases(extendsAll, testTTL, silentLog(), func() {})
		running, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { ls.keep(running); close(ended) }()
		ls.park(someLease, time.Now())
		pass(longestParked - time.Second)
		ls.mu.Lock()
		if len(ls.held) != 1 {
			t.Errorf("it was kept for less than %s", longestParked-time.Second)
		}
		ls.mu.Unlock()
		pass(time.Second + testTTL + testTTL/3)
		ls.mu.Lock()
		if len(ls.held) != 0 {
			t.Errorf("it is kept after %s", longestParked+testTTL)
		}
		ls.mu.Unlock()

		ls.park(otherLease, time.Now())
		ctx, release, ok := ls.pickUp(t.Context(), otherLease)
		pass(2 * longestParked)
		if !ok || ctx.Err() != nil {
			t.Error("one that a run has picked up is not kept")
		}
		release()
		stop()
		<-ended
	})
}

func TestEnded_ForgetsWhatAsynqNeverAsksFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e ended
		task := func(id string) doorbell.Active { return doorbell.Active{Queue: "q", ID: id} }
		e.add(doorbell.Active{}) // None.
		e.add(task("a"))
		if len(e.at) != 1 || !e.take("asynq:{q}:t:a") || e.take("asynq:{q}:t:a") {
			t.Errorf("%v, want a task that has ended once", e.at)
		}
		e.add(task("a"))
		e.forget(task("a"))
		if e.take("asynq:{q}:t:a") {
			t.Error("a task that is there again has ended")
		}
		e.add(task("b"))
		pass(endedFor + 1)
		e.add(task("c"))
		if e.take("asynq:{q}:t:b") || !e.take("asynq:{q}:t:c") {
			t.Error("what asynq has not asked for in a minute is remembered")
		}
	})
}
