package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// takeScript does what asynq's does, which cannot be had.
var takeScript = redis.NewScript(`
local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
if not id then return nil end
redis.call('HSET', ARGV[2] .. id, 'state', 'active')
redis.call('ZADD', KEYS[4], ARGV[1], id)
return redis.call('HGET', ARGV[2] .. id, 'msg')`)

// look looks at a queue once, as the server of h does, and reports whether it was given a task.
func (r *rig) look(h *doorbell.Handful, queue string) bool {
	r.t.Helper()
	if err := takeScript.Load(r.t.Context(), r.rdb).Err(); err != nil {
		r.t.Fatalf("SCRIPT LOAD: %v", err)
	}
	p := "asynq:{" + queue + "}:"
	return takeScript.EvalSha(r.t.Context(), h, []string{p + "pending", p + "paused", p + "active", p + "lease"},
		time.Now().Add(30*time.Second).Unix(), p+"t:").Err() == nil
}

// active returns how many tasks asynq has as active.
func (r *rig) active() int {
	r.t.Helper()
	n := 0
	for _, q := range tasks.Queues() {
		if r.rdb.SIsMember(r.t.Context(), "asynq:queues", q).Val() {
			infos, err := asynq.NewInspectorFromRedisClient(r.rdb).ListActiveTasks(q, asynq.PageSize(1000))
			if err != nil {
				r.t.Fatalf("ListActiveTasks(%s): %v", q, err)
			}
			n += len(infos)
		}
	}
	return n
}

// selfContained enqueues a task of a plain asynq client.
func (r *rig) selfContained(kind tasks.Kind, card string, opts ...asynq.Option) string {
	r.t.Helper()
	typ := kind.FirstType()
	opts = append(opts, asynq.Queue(typ.Policy().Queue), asynq.Retention(time.Hour))
	return r.enqueueTask(string(typ), fmt.Appendf(nil, `{"public_token":%q}`, card), opts...)
}

// wantOnce checks that each card was unblocked once.
func wantOnce(t testing.TB, cards int, apis ...*fakeAPI) {
	t.Helper()
	unblocks := map[string]int{}
	for _, api := range apis {
		for _, c := range api.made() {
			if c.Name == payblr.CallUnblockPIN || c.Name == payblr.CallUnblockCVV {
				unblocks[string(c.credential())+" "+c.Token]++
			}
		}
	}
	for card, n := range unblocks {
		if n != 1 {
			t.Errorf("%s was unblocked %d times, want once", card, n)
		}
	}
	if len(unblocks) != cards {
		t.Errorf("%d were unblocked, want %d", len(unblocks), cards)
	}
}

func TestStop_PutsBackWhatWasTakenAndNotBegun(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		first, second := newDoorman(false), &fakeAPI{}
		const places = 8
		w := r.work(first, func(c *Config) { c.Concurrency = places })
		var ids []string
		for i := range places {
			ids = append(ids, r.accept(tasks.UnblockPIN, fmt.Sprint("1", i)).ID)
			receive(t, "the unblock is under way", first.entered)
		}
		var own []string
		for i := range 3 {
			ids = append(ids, r.accept(tasks.UnblockPIN, fmt.Sprint("2", i)).ID)
			own = append(own, r.selfContained(tasks.UnblockCVV, fmt.Sprint("3", i)))
		}
		// As if tasks had ended, so that more are taken, and asynq were still about to write that down.
		h := w.servers[0].tasks
		for range 6 {
			h.Ended()
		}
		for held := 0; held == 0; held = r.active() - places {
			if r.look(h, tasks.QueueConfirm) {
				t.Fatal("a confirmation was found")
			}
		}
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(context.WithoutCancel(t.Context())) }()
		eventually(t, "the held tasks are put back while others run", func() bool { return r.active() == places })

		r.work(second)
		for _, id := range ids[places:] {
			wantEnd(t, r.wait(id), "")
		}
		for _, task := range own {
			wantEnd(t, r.wait(r.result(tasks.QueueUnblock, task)), "")
		}
		close(first.open)
		if err := receive(t, "the worker has stopped", stopped); err != nil {
			t.Errorf("Stop: %v", err)
		}
		for _, id := range ids[:places] {
			if op := r.wait(id); op.UnblockAcceptedAt == nil { // The other API knows nothing of these.
				t.Errorf("operation %s is %s, want accepted by the API", id, op.State)
			}
		}
		for _, c := range second.made() {
			if c.Name == callUnblock && c.Token[0] == '1' {
				t.Errorf("card %s was unblocked again", c.Token)
			}
		}
	})
}

func TestStop_UnderLoadLeavesNothingActiveAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		pace := time.NewTicker(500 * time.Microsecond)
		defer pace.Stop()
		api := &fakeAPI{}
		api.unblock = func(_ context.Context, c fakeCall) error {
			<-pace.C
			api.apply(c)
			return nil
		}
		const n = 150
		var ids, own []string
		for i := range n {
			ids = append(ids, r.accept(tasks.UnblockPIN, fmt.Sprint(i)).ID, r.accept(tasks.RefreshPINStatus, fmt.Sprint(i)).ID)
			own = append(own, r.selfContained(tasks.UnblockCVV, fmt.Sprint(i)))
		}
		for round := range 4 {
			w := r.work(api)
			eventually(t, "some are done", func() bool { return len(api.made()) >= (round+1)*50 })
			stop(t, w)
			if left := r.active(); left != 0 {
				t.Errorf("after stop %d, %d tasks are active, want none", round, left)
			}
		}
		r.work(api)
		for _, id := range ids {
			wantEnd(t, r.wait(id), "")
		}
		for _, task := range own {
			wantEnd(t, r.wait(r.result(tasks.QueueUnblock, task)), "")
		}
		wantOnce(t, 2*n, api)
	})
}

// When a process is killed, nobody puts back what it had taken.
func TestRecovery_WhatAKilledWorkerHadTakenRunsAgainWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	const bound = 5 * time.Second
	r := newRig(t)
	var ids []string
	for i := range 40 {
		ids = append(ids, r.accept(tasks.UnblockPIN, fmt.Sprint(i)).ID)
	}
	dead := doorbell.NewHandful(r.rdb, doorbell.NewPlaces(100).Share(0), nil, tasks.QueueConfirm, tasks.QueueUnblock)
	for range 40 {
		_ = r.look(dead, tasks.QueueConfirm) || r.look(dead, tasks.QueueUnblock)
	}
	if got := r.active(); got != 40 {
		t.Fatalf("%d tasks were taken, want 40", got)
	}
	killed := time.Now()
	api := &fakeAPI{}
	r.work(api, func(c *Config) { c.RecoveryInterval = 0 }) // The default.
	for _, id := range ids {
		op := r.wait(id)
		wantEnd(t, op, "")
		if took := op.UpdatedAt.Sub(killed); took > bound {
			t.Errorf("finished %s after the kill, want at most %s\n%s", took, bound, r.history(id))
		}
	}
	wantOnce(t, len(ids), api)
}

func TestServer_ATaskThatIsTooLateTakesNoPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	w := r.work(api, func(c *Config) { c.Concurrency = 2 })
	late := make([]string, 20)
	for i := range late {
		late[i] = r.selfContained(tasks.UnblockPIN, fmt.Sprint(i), asynq.Deadline(time.Now().Add(-time.Minute)), asynq.MaxRetry(0))
	}
	for _, task := range late {
		r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived)
	}
	wantCalls(t, api)
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	s := w.servers[0]
	eventually(t, "both places are free", func() bool { return s.tasks.Free() == 2 })

	// asynq may tell of the end of a task twice, and tells recovery's without a context of ours.
	ctx := s.begin()
	for _, c := range []context.Context{ctx, ctx, t.Context()} {
		leave(c)
	}
	if got := s.tasks.Free(); got != 3 {
		t.Errorf("%d places are free after one end more, want 3", got)
	}
}
