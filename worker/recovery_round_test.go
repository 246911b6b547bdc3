package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

// farAway makes each round trip to Redis take a moment, and counts them.
type farAway struct{ trips atomic.Int64 }

func (*farAway) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *farAway) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.trips.Add(1)
		<-time.After(20 * time.Millisecond)
		return next(ctx, cmd)
	}
}

func (f *farAway) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		f.trips.Add(1)
		<-time.After(20 * time.Millisecond)
		return next(ctx, cmds)
	}
}

// unattended accepts an operation that is due at once and has no task.
func (r *rig) unattended(kind tasks.Kind, card string, life time.Duration) string {
	r.t.Helper()
	acc, err := r.store.Accept(r.t.Context(), opstore.Request{
		Kind: kind, Card: publicToken(r.t, card), Expires: time.Now().Add(life),
	})
	if err != nil {
		r.t.Fatalf("Accept: %v", err)
	}
	return acc.ID
}

func TestRecovery_ManyOperationsShareRoundTrips(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const each = 100
	var lost, expired []string
	for i := range each {
		lost = append(lost, r.unattended(tasks.UnblockPIN, fmt.Sprintf("%d", 1000+i), time.Hour))
		expired = append(expired, r.unattended(tasks.RefreshPINStatus, fmt.Sprintf("%d", 1000+i), -time.Second))
	}
	far := &farAway{}
	w := r.idle(&fakeAPI{}, func(c *Config) {
		open := c.Connect
		c.Connect = func(role string) redis.UniversalClient {
			rdb := open(role)
			rdb.AddHook(far)
			return rdb
		}
	})
	eventually(t, "all are due", func() bool {
		ids, _, err := r.store.Due(t.Context(), recoveryPage)
		return err == nil && len(ids) == 2*each
	})
	far.trips.Store(0)
	if err := w.recoverOnce(t.Context()); err != nil {
		t.Fatalf("recoverOnce: %v", err)
	}
	// Each takes two: one after the other that is 400. It is about 100.
	if n := far.trips.Load(); n > 2*each {
		t.Errorf("%d operations took %d round trips, want at most as many", 2*each, n)
	}
	for _, id := range lost {
		if rec, err := r.store.Get(t.Context(), id); err != nil || rec.Seq != 2 {
			t.Errorf("an operation without a task has task number %d, %v, want 2", rec.Seq, err)
		}
	}
	for _, id := range expired {
		if rec, err := r.store.Get(t.Context(), id); err != nil || !rec.State.Done() {
			t.Errorf("an expired operation is %s, %v, want it done", rec.State, err)
		}
	}
}

func TestRecovery_ASilentNodeOfAClusterKeepsBackItsOwnAlone(t *testing.T) {
	t.Parallel()
	for _, queueIsSilent := range []bool{false, true} {
		t.Run(fmt.Sprintf("the queue with it %v", queueIsSilent), func(t *testing.T) {
			t.Parallel()
			cluster := redistest.StartCluster(t, 3)
			for _, node := range cluster.Nodes {
				if err := node.Client(t).ConfigSet(t.Context(), "cluster-require-full-coverage", "no").Err(); err != nil {
					t.Fatal(err)
				}
			}
			r := rigOn(t, cluster.URL())
			w := r.idle(&fakeAPI{})
			nodeOf := func(key string) string {
				t.Helper()
				node, err := r.rdb.(*redis.ClusterClient).MasterForKey(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				return node.Options().Addr
			}
			queue := nodeOf("asynq:{" + tasks.QueueUnblock + "}")
			var silent *redistest.Server
			for _, node := range cluster.Nodes {
				if (node.Addr == queue) == queueIsSilent {
					silent = node
				}
			}
			var lost, expired []string
			for i := range 40 {
				card := fmt.Sprintf("%d", 1000+i)
				l, e := r.unattended(tasks.UnblockPIN, card, time.Hour), r.unattended(tasks.UnblockCVV, card, -time.Second)
				if nodeOf("cardworker:{"+tasks.ShardOf(l)+"}:") != silent.Addr {
					lost, expired = append(lost, l), append(expired, e)
				}
			}
			eventually(t, "all are due to the worker, which knows the cluster", func() bool {
				ids, _, err := w.store.Due(t.Context(), recoveryPage)
				return err == nil && len(ids) == 80
			})
			silent.Freeze(t)
			start := time.Now()
			err := w.recoverOnce(t.Context())
			if err == nil {
				t.Error("recoverOnce = nil, want an error that says what was left")
			}
			if took := time.Since(start); took > recoveryTimeout+5*time.Second {
				t.Errorf("the round took %s, want at most %s", took, recoveryTimeout)
			}
			for _, id := range expired {
				if rec, err := r.store.Get(t.Context(), id); err != nil || !rec.State.Done() {
					t.Errorf("an expired operation is %s, %v, want it done", rec.State, err)
				}
			}
			for _, id := range lost {
				rec, err := r.store.Get(t.Context(), id)
				switch {
				case err != nil:
					t.Errorf("Get: %v", err)
				case queueIsSilent && rec.Seq != 1:
					t.Errorf("task number %d replaces one that nobody could look for", rec.Seq)
				case !queueIsSilent:
					states, err := taskqueue.States(t.Context(), r.rdb, []taskqueue.Ref{{Queue: rec.TaskQueue, ID: rec.TaskID}})
					if err != nil || states[0] != taskqueue.Pending {
						t.Errorf("its task number %d is %q, %v, want pending", rec.Seq, states, err)
					}
				}
			}
		})
	}
}
