package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// recoveryBound is how soon an operation goes on after its worker or its task is lost.
const recoveryBound = 5 * time.Second

func TestRecovery_AcceptedButNeverEnqueuedIsDoneInTime(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		r.work(api, func(c *Config) { c.RecoveryInterval = 0 }) // The default.
		for _, kind := range []tasks.Kind{tasks.UnblockPIN, tasks.RefreshCVVStatus} {
			op := r.wait(r.recorded(kind, "101"))
			wantEnd(t, op, "")
			if took := op.UpdatedAt.Sub(op.CreatedAt); took > recoveryBound {
				t.Errorf("%s took %s, want at most %s", kind, took, recoveryBound)
			}
		}
		wantCalls(t, api, callUnblock, callStatus, payblr.CallCVVStatus)
	})
}

func TestRecovery_ALostTaskIsReplaced(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(i *asynq.Inspector, queue, id string) error{
		"deleted":  func(i *asynq.Inspector, queue, id string) error { return i.DeleteTask(queue, id) },
		"archived": func(i *asynq.Inspector, queue, id string) error { return i.ArchiveTask(queue, id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			acc := r.accept(tasks.UnblockPIN, "101")
			if err := lose(asynq.NewInspectorFromRedisClient(r.rdb), tasks.QueueUnblock, acc.ID+":1"); err != nil {
				t.Fatalf("lose the task: %v", err)
			}
			api := &fakeAPI{}
			r.work(api)
			op := r.wait(acc.ID)
			wantEnd(t, op, "")
			if took := op.UpdatedAt.Sub(op.CreatedAt); took > recoveryBound {
				t.Errorf("it took %s, want at most %s", took, recoveryBound)
			}
			wantCalls(t, api, callUnblock, callStatus)
		})
	}
}

func TestRecovery_AQueuedTaskIsNotReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc, err := r.store.Accept(t.Context(), opstore.Request{Kind: tasks.UnblockPIN, Card: publicToken(t, "101"), Lifetime: time.Minute})
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	r.enqueueTask("pin:unblock", tasks.ByReference(acc.ID, 1).Encode(), asynq.Queue(tasks.QueueUnblock), asynq.TaskID(acc.TaskID))
	w := r.idle(&fakeAPI{})
	eventually(t, "the operation is due", func() bool {
		ids, _, err := r.store.Due(t.Context(), 10)
		return err == nil && len(ids) == 1
	})
	if err := w.recoverOnce(t.Context()); err != nil {
		t.Fatalf("recoverOnce: %v", err)
	}
	if history := r.history(acc.ID); strings.Contains(history, "redispatched") {
		t.Errorf("a task that waits in its queue was replaced:\n%s", history)
	}
	if ids, _, err := r.store.Due(t.Context(), 10); err != nil || len(ids) != 0 {
		t.Errorf("due are %v, %v; want none for now", ids, err)
	}
}

// takenTask accepts an operation whose task was taken by somebody who has not begun it, and waits until recovery
// would look for it.
func (r *rig) takenTask(card string) opstore.Accepted {
	r.t.Helper()
	ctx := r.t.Context()
	acc, err := r.store.Accept(ctx, opstore.Request{
		Kind: tasks.UnblockPIN, Card: publicToken(r.t, card), Lifetime: time.Minute,
	})
	if err != nil {
		r.t.Fatalf("Accept: %v", err)
	}
	r.enqueueTask("pin:unblock", tasks.ByReference(acc.ID, 1).Encode(),
		asynq.Queue(tasks.QueueUnblock), asynq.TaskID(acc.TaskID))
	const queue = "asynq:{unblock}:"
	if err := r.rdb.RPopLPush(ctx, queue+"pending", queue+"active").Err(); err != nil {
		r.t.Fatalf("take the task: %v", err)
	}
	if err := r.rdb.HSet(ctx, queue+"t:"+acc.TaskID, "state", "active").Err(); err != nil {
		r.t.Fatalf("take the task: %v", err)
	}
	eventually(r.t, "the operation is due", func() bool {
		ids, _, err := r.store.Due(ctx, 10)
		return err == nil && slices.Contains(ids, acc.ID)
	})
	return acc
}

// Behind a long backlog recovery may look in the very instant in which a task is taken.
func TestRecovery_ATaskThatWasJustTakenIsNotReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc := r.takenTask("101")
	if err := r.idle(&fakeAPI{}).recoverOnce(t.Context()); err != nil {
		t.Fatalf("recoverOnce: %v", err)
	}
	b, err := r.store.Begin(t.Context(), tasks.TypeUnblockPIN, acc.ID, 1, "who took it", opstore.Lease{})
	if err != nil || b.Outcome != opstore.Go {
		t.Errorf("Begin by who took it = %s, %v, want go", b.Outcome, err)
	}
}

func TestRecovery_ATaskThatWasTakenAndNotBegunIsReplacedInTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc := r.takenTask("101")
	w := r.idle(&fakeAPI{})
	first := time.Now()
	eventually(t, "the operation has another task", func() bool {
		if err := w.recoverOnce(t.Context()); err != nil {
			t.Fatalf("recoverOnce: %v", err)
		}
		rec, err := r.store.Get(t.Context(), acc.ID)
		return err == nil && rec.Seq == 2
	})
	if took := time.Since(first); took < beginTime {
		t.Errorf("the task was replaced %s after it was first found taken, want %s at least", took, beginTime)
	}
}

// A task that waits in a long queue is not looked at for 20 seconds, and may be taken by a worker that dies in that time.
func TestRecovery_ATaskOfALongQueueThatWasTakenAndNotBegunIsReplacedSoon(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		lost, begun := r.takenTask("101"), r.takenTask("102")
		for _, id := range []string{lost.ID, begun.ID} {
			rec, err := r.store.Get(ctx, id)
			if err != nil {
				t.Fatalf("Get: %v", err)
			}
			if err := r.store.Postpone(ctx, id, rec, lookAgainBusy); err != nil {
				t.Fatalf("Postpone: %v", err)
			}
		}
		if b, err := r.store.Begin(ctx, tasks.TypeUnblockPIN, begun.ID, 1, "who took it", opstore.Lease{}); err != nil || b.Outcome != opstore.Go {
			t.Fatalf("Begin = %s, %v; want go", b.Outcome, err)
		}
		w := r.idle(&fakeAPI{})
		rounds := 0
		first := time.Now()
		eventually(t, "the operation has another task", func() bool {
			rounds++
			if err := w.recoverOnce(ctx); err != nil {
				t.Fatalf("recoverOnce: %v", err)
			}
			rec, err := r.store.Get(ctx, lost.ID)
			return err == nil && rec.Seq == 2
		})
		if took := time.Since(first); took < beginTime || took > lookAgainBusy/2 || rounds < 3 {
			t.Errorf("the task was replaced after %s and %d rounds, want %s at least and three rounds", took, rounds, beginTime)
		}
		if rec, err := r.store.Get(ctx, begun.ID); err != nil || rec.Seq != 1 {
			t.Errorf("the task that was begun has the sequence %d, %v; want 1", rec.Seq, err)
		}
	})
}

// died leaves an operation as a worker does that dies during its step.
func (r *rig) died(kind tasks.Kind, card string) string {
	r.t.Helper()
	acc := r.accept(kind, card)
	lapsing := opstore.New(r.rdb, opstore.Config{Lease: 100 * time.Millisecond})
	b, err := lapsing.Begin(r.t.Context(), kind.FirstType(), acc.ID, 1, "the dead", opstore.Lease{})
	if err != nil || b.Outcome != opstore.Go {
		r.t.Fatalf("Begin = %s, %v; want go", b.Outcome, err)
	}
	if err := asynq.NewInspectorFromRedisClient(r.rdb).DeleteTask(kind.FirstType().Policy().Queue, acc.ID+":1"); err != nil {
		r.t.Fatalf("DeleteTask: %v", err)
	}
	return acc.ID
}

func TestRecovery_ALapsedLeaseIsTakenOver(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		for _, tc := range []struct {
			kind    tasks.Kind
			card    string
			applied bool
			want    []payblr.CallName
		}{
			{tasks.UnblockPIN, "101", true, []payblr.CallName{callStatus}},
			{tasks.UnblockPIN, "102", false, []payblr.CallName{callStatus, callStatus, callUnblock, callStatus}},
			{tasks.RefreshPINStatus, "103", false, []payblr.CallName{callStatus}},
		} {
			api := &fakeAPI{}
			if tc.applied {
				api.apply(fakeCall{Name: callUnblock, Token: tc.card})
			}
			id := r.died(tc.kind, tc.card)
			w := r.work(api, shortLease)
			op := r.wait(id)
			wantEnd(t, op, "")
			if took := op.UpdatedAt.Sub(op.CreatedAt); took > recoveryBound {
				t.Errorf("%s took %s, want at most %s", tc.kind, took, recoveryBound)
			}
			wantCalls(t, api, tc.want...)
			stop(t, w)
		}
	})
}

func TestRecovery_AnExpiredOperationEndsWithoutATask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	w := r.idle(api)
	acc, err := r.store.Accept(t.Context(), opstore.Request{
		Kind: tasks.UnblockPIN, Card: publicToken(t, "101"), Expires: time.Now().Add(-time.Second),
	})
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	eventually(t, "recovery ends it", func() bool {
		if err := w.recoverOnce(t.Context()); err != nil {
			t.Fatalf("recoverOnce: %v", err)
		}
		op, err := r.client.Get(t.Context(), acc.ID)
		return err == nil && op.Done
	})
	wantEnd(t, r.wait(acc.ID), tasks.CodeExpired)
	wantCalls(t, api)
}

func TestLease_AZombiesLateWriteIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	entered, release := make(chan struct{}), make(chan struct{})
	reading, read := make(chan struct{}), make(chan struct{})
	api.unblock = func(_ context.Context, c fakeCall) error {
		api.apply(c)
		if c.Nth == 1 {
			close(entered)
			<-release // Deaf to its context, as a process that was stopped is.
		}
		return nil
	}
	api.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Nth == 1 {
			close(reading)
			<-read
		}
		return api.card(c), nil
	}
	zombie := r.work(api, shortLease, func(c *Config) { c.Concurrency = 1 })
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", entered)
	zombie.cancel() // It no longer extends its leases, nor recovers.
	other := r.work(api, shortLease)
	receive(t, "another run has taken over and reads the status", reading)
	before, err := r.store.Get(t.Context(), acc.ID)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}

	close(release) // The zombie wakes up and believes that its unblock was accepted.
	stop(t, zombie)
	after, err := r.store.Get(t.Context(), acc.ID)
	if err != nil || after.Version != before.Version || after.State != tasks.Running {
		t.Errorf("the zombie's write changed the record: %s, version %d, %v; want %s, %d",
			after.State, after.Version, err, tasks.Running, before.Version)
	}
	if !strings.Contains(r.log.String(), opstore.ErrStale.Error()) {
		t.Error("nobody logged that a late write was refused")
	}
	close(read)
	wantEnd(t, r.wait(acc.ID), "")
	stop(t, other)
	wantCalls(t, api, callUnblock, callStatus)
}

// failOnce makes the write fail that asynq ends a task with, once for each task: the command is not sent.
type failOnce struct {
	mu     sync.Mutex
	failed map[string]bool
}

func (f *failOnce) first(task string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.failed[task]
	f.failed[task] = true
	return first
}

func (*failOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*failOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *failOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// Its script removes the task with key 3 and counts it as processed under key 4.
		if args := cmd.Args(); len(args) > 6 {
			task, _ := args[5].(string)
			counter, _ := args[6].(string)
			if strings.Contains(counter, ":processed:") && strings.Contains(task, ":t:") && f.first(task) {
				err := errors.New("connection reset")
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func TestServers_AnEndThatFailsOnceIsWrittenAndTheWorkIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	hook := &failOnce{failed: map[string]bool{}}
	r.work(api, func(c *Config) {
		open := c.Connect
		c.Connect = func(role string) redis.UniversalClient {
			rdb := open(role)
			switch role {
			case "asynq-urgent":
				rdb.AddHook(hook)
			case "worker": // For all that it knows it may be several, and then the ends are asynq's to write.
				return struct{ redis.UniversalClient }{rdb}
			}
			return rdb
		}
	})
	acc := r.accept(tasks.UnblockPIN, "101")
	wantEnd(t, r.wait(acc.ID), "")
	inspector := asynq.NewInspectorFromRedisClient(r.rdb)
	start := time.Now()
	for queue, id := range map[string]string{tasks.QueueUnblock: acc.ID + ":1", tasks.QueueConfirm: acc.ID + ":2"} {
		eventually(t, "asynq is rid of task "+id, func() bool {
			_, err := inspector.GetTaskInfo(queue, id)
			return errors.Is(err, asynq.ErrTaskNotFound)
		})
	}
	// asynq repeats the write every five seconds; without the repair it runs the task again after a minute.
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("the ends were written after %s, want about 5 s", took)
	}
	wantCalls(t, api, callUnblock, callStatus)
	hook.mu.Lock()
	defer hook.mu.Unlock()
	if len(hook.failed) != 2 {
		t.Errorf("%d ends failed, want 2: the test has missed its aim", len(hook.failed))
	}
}
