package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// recorded has an operation recorded and no task enqueued for it. Recovery leaves it alone for a second.
func (r *rig) recorded(kind tasks.Kind, card string) string {
	r.t.Helper()
	acc, err := opstore.New(r.rdb, opstore.Config{}).Accept(r.t.Context(), opstore.Request{
		Kind: kind, Card: publicToken(r.t, card), Lifetime: kind.DefaultExpiry(),
	})
	if err != nil {
		r.t.Fatalf("Accept: %v", err)
	}
	return acc.ID
}

func TestProcessTask_DeliveredTwiceAtTheSameTimeIsDoneOnce(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		workers := []*Worker{r.idle(api), r.idle(api)}
		// deliver gives one task to both workers, several times over.
		deliver := func(typ tasks.Type, id string, seq int64) {
			task := asynq.NewTask(string(typ), tasks.ByReference(id, seq).Encode())
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					if err := workers[i%2].ProcessTask(t.Context(), task); err != nil {
						t.Errorf("ProcessTask(%s): %v", typ, err)
					}
				})
			}
			all.Wait()
		}
		for _, kind := range []tasks.Kind{tasks.UnblockPIN, tasks.RefreshCVVStatus} {
			id := r.recorded(kind, "101")
			deliver(kind.FirstType(), id, 1)
			if kind.Unblocks() {
				wantCalls(t, api, callUnblock)
				deliver(kind.FirstType(), id, 1) // Late: the operation has moved on.
				deliver(kind.ConfirmType(), id, 2)
				deliver(kind.ConfirmType(), id, 2)
			}
			wantEnd(t, r.wait(id), "")
		}
		wantCalls(t, api, callUnblock, callStatus, payblr.CallCVVStatus)
	})
}

func TestProcessTask_MalformedPayloadIsArchivedAndTheWorkerGoesOn(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		r.work(api)
		for payload, reason := range map[string]string{
			"":                                    "not JSON",
			"\xff\xfe":                            "not JSON",
			"[]":                                  "not a JSON object",
			`{"version":0,"public_token":"101"}`:  "version",
			`{"public_token":"4111111111111112"}`: "public_token",
			`{}`:                                  "neither",
		} {
			id := r.enqueueTask(string(tasks.TypeUnblockPIN), []byte(payload), asynq.Queue(tasks.QueueUnblock))
			info := r.task(tasks.QueueUnblock, id, asynq.TaskStateArchived)
			if !strings.Contains(info.LastErr, reason) {
				t.Errorf("payload %q was archived with %q, want a reason with %q", payload, info.LastErr, reason)
			}
			if strings.Contains(info.LastErr, "4111") {
				t.Errorf("the reason %q repeats the card number", info.LastErr)
			}
		}
		wantCalls(t, api)
		wantEnd(t, r.run(tasks.UnblockPIN, "102"), "")
	})
}

func TestProcessTask_ACardNumberLeavesRedisWithItsTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	const number = "4111111111111111"
	used := r.accept(tasks.UnblockCVV, "101", enqueue.IdempotencyKey(number))
	wantEnd(t, r.wait(used.ID), "")
	before := len(api.made())
	for name, payload := range map[string]string{
		"malformed":                      `{"public_token":"` + number + `"}`,
		"good, with a member of its own": `{"public_token":"101","pan":"` + number + `"}`,
		"good, and again in the key":     `{"public_token":"101","pan":"` + number + `","idempotency_key":"` + number + `"}`,
		"refused, with such a key":       `{"public_token":"102","idempotency_key":"` + number + `"}`,
	} {
		id := r.enqueueTask(string(tasks.TypeUnblockPIN), []byte(payload), asynq.Queue(tasks.QueueUnblock), asynq.Retention(time.Hour))
		eventually(t, name+" is deleted", func() bool {
			return r.rdb.Exists(t.Context(), "asynq:{"+tasks.QueueUnblock+"}:t:"+id).Val() == 0
		})
	}
	if n := len(api.made()); n != before {
		t.Errorf("the API was called %d times more, want none", n-before)
	}
	// One number in ten that a producer has for a key looks like one.
	id := r.enqueueTask(string(tasks.TypeUnblockCVV), []byte(`{"public_token":"101","idempotency_key":"`+number+`"}`),
		asynq.Queue(tasks.QueueUnblock), asynq.Retention(time.Hour))
	r.task(tasks.QueueUnblock, id, asynq.TaskStateCompleted)
}

func TestProcessTask_MalformedPayloadFailsTheOperationItNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	id := r.recorded(tasks.UnblockPIN, "101")
	task := r.enqueueTask(string(tasks.TypeUnblockPIN), []byte(`{"operation_id":"`+id+`","seq":"one"}`), asynq.Queue(tasks.QueueUnblock))
	wantEnd(t, r.wait(id), tasks.CodeInternal)
	r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived)
	wantCalls(t, api)
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "") // The card is free again.
}

// The worker before may have sent an unblock, and what is retried must look before it sends another.
func TestProcessTask_MalformedPayloadOfAnOverdueOperationForgetsNoUnblock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	acc, err := r.store.Accept(t.Context(), opstore.Request{Kind: tasks.UnblockPIN, Card: publicToken(t, "101"), Lifetime: time.Minute})
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	died := opstore.New(r.rdb, opstore.Config{Lease: time.Millisecond})
	if b, err := died.Begin(t.Context(), tasks.TypeUnblockPIN, acc.ID, 1, "the dead", opstore.Lease{}); err != nil || b.Outcome != opstore.Go {
		t.Fatalf("Begin = %s, %v; want go", b.Outcome, err)
	}
	key := "cardworker:{" + tasks.ShardOf(acc.ID) + "}:op:" + acc.ID
	if err := r.rdb.HSet(t.Context(), key, "expires_ms", 1, "lease_ms", 1).Err(); err != nil {
		t.Fatalf("let it expire: %v", err)
	}
	r.idle(&fakeAPI{}).failUnreadable(t.Context(), acc.ID)
	wantEnd(t, r.wait(acc.ID), tasks.CodeUnavailable)
	if rec, err := r.store.Get(t.Context(), acc.ID); err != nil || rec.Call != opstore.CallWas {
		t.Errorf("the record says %q of an earlier call (%v), want %q", rec.Call, err, opstore.CallWas)
	}
}

func TestProcessTask_AMissingRecordIsArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.work(&fakeAPI{})
	task := r.enqueueTask(string(tasks.TypeUnblockPIN), tasks.ByReference(someLease.ID, 1).Encode(), asynq.Queue(tasks.QueueUnblock))
	if info := r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived); !strings.Contains(info.LastErr, "enqueue it anew") {
		t.Errorf("archived with %q, want a reason that says what to do", info.LastErr)
	}
}

func TestProcessTask_WhatANewerReleaseWroteIsLeftForIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	for _, tc := range []struct{ name, payload string }{
		{"pin:unblock_reversal", `{"version":1,"public_token":"101"}`}, // Begins with the name of a known type.
		{"pin:unblock", `{"version":2,"public_token":"101"}`},
		{"pin", `{"version":1,"public_token":"101"}`},
	} {
		id := r.enqueueTask(tc.name, []byte(tc.payload), asynq.Queue(tasks.QueueUnblock))
		info := r.task(tasks.QueueUnblock, id, asynq.TaskStateRetry)
		if info.Retried != 0 {
			t.Errorf("%s: %d retries were used up, want 0", tc.name, info.Retried)
		}
	}
	wantCalls(t, api)
}

// result waits for what a self-contained task says of its operation.
func (r *rig) result(queue, taskID string) string {
	r.t.Helper()
	var got struct {
		OperationID string `json:"operation_id"`
	}
	info := r.task(queue, taskID, asynq.TaskStateCompleted)
	if err := json.Unmarshal(info.Result, &got); err != nil {
		r.t.Fatalf("the result %q: %v", info.Result, err)
	}
	return got.OperationID
}

func TestSelfContained_APlainClientsTaskIsAnOperation(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		r.work(api)
		for _, kind := range tasks.Kinds() {
			first := kind.FirstType()
			task := r.enqueueTask(string(first), []byte(`{"public_token":"101","reason":"forgot it","updated_by":"app"}`),
				asynq.Queue(first.Policy().Queue), asynq.Retention(time.Minute))
			op := r.wait(r.result(first.Policy().Queue, task))
			wantEnd(t, op, "")
			if op.Kind != kind || op.PublicToken != publicToken(t, "101").Masked() {
				t.Errorf("the operation is %s for %s, want %s", op.Kind, op.PublicToken, kind)
			}
		}
		wantCount(t, api, payblr.CallUnblockPIN, 1)
		wantCount(t, api, payblr.CallUnblockCVV, 1)
	})
}

func TestSelfContained_DeliveredTwiceIsOneOperation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	payload := []byte(`{"public_token":"101"}`)
	var ids []string
	for range 2 {
		// asynq forgets the id of a task that is deleted, so the same task comes again.
		task := r.enqueueTask("pin:unblock", payload, asynq.Queue(tasks.QueueUnblock), asynq.TaskID("order-7"), asynq.Retention(time.Minute))
		id := r.result(tasks.QueueUnblock, task)
		wantEnd(t, r.wait(id), "")
		ids = append(ids, id)
		if err := asynq.NewInspectorFromRedisClient(r.rdb).DeleteTask(tasks.QueueUnblock, task); err != nil {
			t.Fatalf("DeleteTask: %v", err)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("operations %s and %s, want one", ids[0], ids[1])
	}
	wantCalls(t, api, callUnblock, callStatus)
}

func TestSelfContained_JoinsTheOpenOperationOfTheCard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	entered, release := make(chan struct{}, 1), make(chan struct{})
	api.unblock = func(_ context.Context, c fakeCall) error {
		entered <- struct{}{}
		<-release
		api.apply(c)
		return nil
	}
	r.work(api)
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", entered)
	task := r.enqueueTask("pin:unblock", []byte(`{"public_token":"101"}`), asynq.Queue(tasks.QueueUnblock), asynq.Retention(time.Minute))
	if id := r.result(tasks.QueueUnblock, task); id != acc.ID {
		t.Errorf("the task joined %s, want %s", id, acc.ID)
	}
	close(release)
	wantEnd(t, r.wait(acc.ID), "")
	wantCalls(t, api, callUnblock, callStatus)
}

// expire lets the time of an operation be over.
func (r *rig) expire(id string) {
	r.t.Helper()
	key := "cardworker:{" + tasks.ShardOf(id) + "}:op:" + id
	if err := r.rdb.HSet(r.t.Context(), key, "expires_ms", 1).Err(); err != nil {
		r.t.Fatal(err)
	}
}

func TestUnblock_ATapAfterAnOutageIsNotLostToTheOneBefore(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		first := r.accept(tasks.UnblockPIN, "101")
		r.expire(first.ID)
		second := r.accept(tasks.UnblockPIN, "101")
		if second.ID == first.ID || second.Joined {
			t.Fatalf("the second tap joined %s, which had expired", first.ID)
		}
		wantEnd(t, r.wait(first.ID), tasks.CodeExpired) // Before a worker is there.
		r.work(api)
		wantEnd(t, r.wait(second.ID), "")
		wantCalls(t, api, callUnblock, callStatus)
		eventually(t, "the task of the first is gone", func() bool {
			_, err := asynq.NewInspectorFromRedisClient(r.rdb).GetTaskInfo(tasks.QueueUnblock, first.ID+":1")
			return errors.Is(err, asynq.ErrTaskNotFound)
		})
		wantEnd(t, r.wait(first.ID), tasks.CodeExpired)
	})
}

func TestSelfContained_EndsWhatHasExpiredAndCountsIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	series := prometheus.NewRegistry()
	w := r.idle(&fakeAPI{}, func(c *Config) { c.Metrics = NewMetrics(series) })
	first := r.accept(tasks.UnblockPIN, "101")
	r.expire(first.ID)
	if err := w.ProcessTask(t.Context(), asynq.NewTask("pin:unblock", []byte(`{"public_token":"101"}`))); err != nil {
		t.Fatalf("ProcessTask = %v", err)
	}
	wantEnd(t, r.wait(first.ID), tasks.CodeExpired)
	families, err := series.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var counted []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "cardworker_operations_total" && m.GetCounter().GetValue() > 0 {
				counted = append(counted, fmt.Sprint(m))
			}
		}
	}
	if len(counted) != 1 || !strings.Contains(counted[0], "expired") || !strings.Contains(counted[0], "unblock_pin") {
		t.Errorf("operations that ended: %v, want an unblock_pin that expired", counted)
	}
}

func TestSelfContained_AnExpiryThatHasPassedMakesNoCall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	task := r.enqueueTask("pin:unblock", []byte(`{"public_token":"101","expires_at":"2020-01-01T00:00:00Z"}`),
		asynq.Queue(tasks.QueueUnblock), asynq.Retention(time.Minute))
	wantEnd(t, r.wait(r.result(tasks.QueueUnblock, task)), tasks.CodeExpired)
	wantCalls(t, api)
}

func TestSelfContained_AKeyOfAnotherCardIsArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api)
	wantEnd(t, r.run(tasks.UnblockPIN, "101", enqueue.IdempotencyKey("order-7")), "")
	task := r.enqueueTask("pin:unblock", []byte(`{"public_token":"102","idempotency_key":"order-7"}`), asynq.Queue(tasks.QueueUnblock))
	if info := r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived); !strings.Contains(info.LastErr, "another kind or card") {
		t.Errorf("archived with %q, want the reason", info.LastErr)
	}
	wantCalls(t, api, callUnblock, callStatus)
}

func TestSelfContained_TheVelocityLimitHoldsForThemToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	r.work(api, func(c *Config) { c.UnblockLimit = 1 })
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	task := r.enqueueTask("pin:unblock", []byte(`{"public_token":"101"}`), asynq.Queue(tasks.QueueUnblock))
	if info := r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived); !strings.Contains(info.LastErr, "24 hours") {
		t.Errorf("archived with %q, want the limit", info.LastErr)
	}
	wantCalls(t, api, callUnblock, callStatus)
}

func TestProcessTask_APanicOutsideOfAnAttemptIsArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.idle(&fakeAPI{})
	w.store = nil // A defect.
	err := w.ProcessTask(t.Context(), asynq.NewTask("pin:unblock", tasks.ByReference(someLease.ID, 1).Encode()))
	if !errors.Is(err, asynq.SkipRetry) || !errors.Is(err, errPanic) {
		t.Errorf("ProcessTask = %v, want an archived panic", err)
	}
}
