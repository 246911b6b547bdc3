package enqueue_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestWatch_YieldsEachChangeOnceAndEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	var begun opstore.Begun
	next := map[tasks.State]func(){
		tasks.Accepted:   func() { begun = b.begin(acc.ID) },
		tasks.Running:    func() { b.chain(begun) },
		tasks.Confirming: func() { begun = b.begin(acc.ID) },
	}
	var states []tasks.State
	last := tasks.Accepted
	for op, err := range b.client.Watch(within(t, patience), acc.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if !last.CanBecome(op.State) {
			t.Errorf("%s after %s", op.State, last)
		}
		last = op.State
		states = append(states, op.State)
		switch {
		case len(states) < 3:
			next[op.State]()
		case len(states) == 3:
			next[op.State]()
			b.finish(begun, opstore.Result{Status: unblocked()})
		}
	}
	// That the confirming try has begun leaves the state as it is, and may be seen or not.
	want := []tasks.State{tasks.Accepted, tasks.Running, tasks.Confirming, tasks.Succeeded}
	if states = slices.Compact(states); !slices.Equal(states, want) {
		t.Errorf("states %s, want %s", states, want)
	}
}

// To become effective wakes a watch too, and is no change.
func TestWatch_YieldsNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	channel := fmt.Sprintf("cardworker:{%s}:op:%s", tasks.ShardOf(acc.ID), acc.ID)
	var watching, done sync.WaitGroup
	for range 20 {
		watching.Add(1)
		done.Go(func() {
			var last tasks.Operation
			for op, err := range b.client.Watch(within(t, patience), acc.ID) {
				if err != nil {
					t.Errorf("Watch = %v", err)
					return
				}
				if cmp.Equal(last, op) {
					t.Errorf("%s as of %s comes twice", op.State, op.UpdatedAt)
				}
				if last.ID == "" {
					watching.Done()
				}
				last = op
			}
		})
	}
	watching.Wait()
	ctx := within(t, patience)
	for tick := time.Tick(5 * time.Millisecond); b.rdb.PubSubNumSub(ctx, channel).Val()[channel] == 0; <-tick {
		if ctx.Err() != nil {
			t.Fatal("nobody is subscribed")
		}
	}
	b.confirmed(acc.ID)
	done.Wait()
}

func TestWatch_MayBeLeftEarly(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := benchOn(t, server.Client(t), enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	n := 0
	for op, err := range b.client.Watch(t.Context(), acc.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			b.begin(acc.ID)
			continue
		}
		if op.State != tasks.Running {
			t.Errorf("state %s, want running", op.State)
		}
		break
	}
	ctx := within(t, patience)
	for tick := time.Tick(5 * time.Millisecond); b.rdb.PubSubNumSub(ctx, "x").Err() == nil; <-tick {
		if channels := b.rdb.PubSubChannels(ctx, "*").Val(); len(channels) == 0 {
			return
		}
	}
	t.Error("a watch that was left is still subscribed")
}
