package opstore

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// A cluster of one node serves a client that takes it for a single server, as long as the keys of a script are in one
// slot.
func TestStore_ANodeOfAClusterThatIsTakenForASingleServer(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1)
	rdb := redis.NewClient(&redis.Options{Addr: cluster.Nodes[0].Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	task := func(id string, seq int64) doorbell.Task {
		return doorbell.Task{Queue: tasks.QueueUnblock, ID: TaskID(id, seq), Message: "a message", Since: 1}
	}
	first := func(_ context.Context, id string) (doorbell.Task, error) { return task(id, 1), nil }
	active := doorbell.Active{Queue: tasks.QueueUnblock, ID: "x"}

	// Each finds out by itself.
	f := newFixture(t, rdb)
	acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Task: first})
	if !acc.Created || acc.Enqueued || !f.store.Apart() {
		t.Errorf("Accept = created %t, enqueued %t, want a task for the caller to enqueue", acc.Created, acc.Enqueued)
	}
	b := f.begun(acc.Record, Lease{}, Go)
	f = newFixture(t, rdb)
	if _, ok, err := f.store.Handover(t.Context(), b.Lease, b.Record, "run", task(acc.ID, 2), active); ok || err != nil || !f.store.Apart() {
		t.Errorf("Handover = %t, %v, want that it is for Chain to do", ok, err)
	}
	if _, err := f.store.Chain(t.Context(), b.Lease, acc.Kind); err != nil {
		t.Errorf("Chain = %v", err)
	}
	b = f.begun(f.get(acc.ID), Lease{}, Go)
	f = newFixture(t, rdb)
	if f.finish(b, Result{Status: unblocked(), Task: active}); !f.store.Apart() {
		t.Error("Finish has ended a task that is on another server")
	}
}
