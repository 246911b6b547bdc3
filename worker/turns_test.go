package worker

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func TestStop_HandsBackWhatWaitsForATurnOfTheRate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := startSandbox(t, sandbox.Config{})
	g := gate.New(connect(t, r.url).Client, gate.Config{Rate: 0.12}) // A moment every 9 s, so that the third has none.
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close the gate: %v", err)
		}
	})
	turns := func(c *payblr.Config) {
		c.Gate = func(ctx context.Context, _ payblr.CallName) error { return g.Wait(ctx) }
	}
	w := r.work(clientOf(t, api, turns), func(c *Config) { c.Lease = 30 * time.Second; c.ShutdownTimeout = patience })
	first := r.accept(tasks.UnblockPIN, "103169946").ID
	eventually(t, "the first has had its turn", func() bool {
		op, err := r.client.Get(t.Context(), first)
		return err == nil && op.State == tasks.Confirming
	})
	waiting := []string{r.accept(tasks.UnblockPIN, "103169947").ID, r.accept(tasks.RefreshCVVStatus, "103169948").ID}
	for _, id := range waiting {
		eventually(t, "the others wait for theirs", func() bool {
			op, err := r.client.Get(t.Context(), id)
			return err == nil && op.State == tasks.Running
		})
	}
	start := time.Now()
	stop(t, w)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Stop took %s: it waited for turns", took)
	}
	for i, id := range waiting {
		rec, err := r.store.Get(t.Context(), id)
		if err != nil || !rec.LeaseEnds.IsZero() || rec.Attempts != 0 || rec.Tries != 0 || rec.Call != opstore.CallNone {
			t.Errorf("after the stop: lease ends %v, %d attempts, %d tries, call %q, %v; want none",
				rec.LeaseEnds, rec.Attempts, rec.Tries, rec.Call, err)
		}
		// Not to be found by recovery, or by asynq when it next looks: it can be taken now.
		queue := []string{tasks.QueueUnblock, tasks.QueueRefresh}[i]
		r.task(queue, id+":1", asynq.TaskStatePending)
	}
	if n := len(callsFor(api, "103169947")) + len(callsFor(api, "103169948")); n != 0 {
		t.Errorf("the API saw %d calls of those that waited, want none", n)
	}
	r.work(clientOf(t, api))
	for _, id := range append(waiting, first) {
		op := r.wait(id)
		wantEnd(t, op, "")
		if op.Attempts != 1 {
			t.Errorf("%d attempts, want 1", op.Attempts)
		}
	}
}
