package opstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// firstOf is the first task of an operation, as nextOf is the next.
func firstOf(_ context.Context, id string) (doorbell.Task, error) { return nextOf(Lease{ID: id}), nil }

// enqueued fails the test unless the operation's first task, and nothing else, waits in its queue.
func (f fixture) enqueued(id string) {
	f.Helper()
	task := nextOf(Lease{ID: id})
	key, pending, _ := task.Waiting()
	got := f.rdb.HGetAll(f.Context(), key).Val()
	if got["pending_since"] == "" {
		f.Errorf("the task is %v, want one that asynq knows the age of", got)
	}
	delete(got, "pending_since")
	if diff := cmp.Diff(map[string]string{"msg": task.Message, "state": "pending"}, got); diff != "" {
		f.Errorf("the task (-want +got):\n%s", diff)
	}
	if ids := f.rdb.LRange(f.Context(), pending, 0, -1).Val(); !slices.Equal(ids, []string{id + ":1"}) {
		f.Errorf("pending are %v, want the operation's first", ids)
	}
}

func acceptEnqueuesInTheSameStep(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Task: firstOf}
	req.ID = NewID(req.Card)
	_, _, bell := nextOf(Lease{ID: req.ID}).Waiting()
	rings := f.rdb.Subscribe(t.Context(), bell)
	defer func() { _ = rings.Close() }()
	if _, err := rings.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := f.accept(req)
	if !first.Created || !first.Enqueued || first.TaskID != req.ID+":1" {
		t.Errorf("Accept = created %t, enqueued %t, task %s", first.Created, first.Enqueued, first.TaskID)
	}
	f.enqueued(req.ID)
	if m, err := rings.ReceiveMessage(t.Context()); err != nil || m.Channel != bell {
		t.Errorf("the ring: %v, %v", m, err)
	}

	// Who joins it, or comes with its id again, enqueues nothing.
	again := f.accept(req)
	req.ID = NewID(req.Card)
	joined := f.accept(req)
	if again.Enqueued || joined.Enqueued || !joined.Joined {
		t.Errorf("again: enqueued %t; another: joined %t, enqueued %t", again.Enqueued, joined.Joined, joined.Enqueued)
	}
	key, _, _ := nextOf(Lease{ID: req.ID}).Waiting()
	if n := f.rdb.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("there is a task for an operation that was not made")
	}
	f.enqueued(first.ID)
}

// Its record was evicted, and its task was not.
func acceptFindsTheTaskOfALostRecord(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Task: firstOf}
	req.ID = NewID(req.Card)
	f.accept(req)
	if n := f.rdb.Del(t.Context(), opKey(req.ID)).Val(); n != 1 {
		t.Fatalf("%d records were lost, want 1", n)
	}
	if again := f.accept(req); !again.Created || again.Enqueued {
		t.Errorf("Accept = created %t, enqueued %t, want a record for the task that is there", again.Created, again.Enqueued)
	}
	f.enqueued(req.ID)
}

// The queue is spoilt.
func acceptSucceedsWithoutItsTask(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Task: firstOf}
	req.ID = NewID(req.Card)
	key, pending, _ := nextOf(Lease{ID: req.ID}).Waiting()
	if err := f.rdb.Set(t.Context(), pending, "not a list", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if acc := f.accept(req); !acc.Created || acc.Enqueued {
		t.Errorf("Accept = created %t, enqueued %t, want a task for the caller to enqueue", acc.Created, acc.Enqueued)
	}
	if n := f.rdb.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("there is a task that waits nowhere")
	}
}

func acceptRepeatedEnqueuesOnce(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Task: firstOf}
	acc := f.withClient(twice{f.rdb}).accept(req)
	f.enqueued(acc.ID)
}

// With an idempotency key the id is that of the first request, and so is the task.
func acceptEnqueuesUnderTheIDOfTheKey(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Task: firstOf, Key: idemKeyOf(t)}
	first, again := f.accept(req), f.accept(req)
	if first.ID != again.ID || !first.Enqueued || again.Enqueued {
		t.Errorf("%s enqueued %t, then %s enqueued %t", first.ID, first.Enqueued, again.ID, again.Enqueued)
	}
	f.enqueued(first.ID)
}

func acceptLeavesATaskThatCannotBePrepared(t *testing.T, f fixture) {
	acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Task: func(context.Context, string) (doorbell.Task, error) {
		return doorbell.Task{}, errors.New("no task")
	}})
	if !acc.Created || acc.Enqueued {
		t.Errorf("Accept = %s, want an operation whose task is the caller's to enqueue", fmt.Sprint(acc.Created, acc.Enqueued))
	}
}
