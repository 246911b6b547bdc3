package opstore

import (
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// A watch that begins while Redis is away becomes effective when it is back.
func TestWatch_BeginsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	f := newFixture(t, server.Client(t))
	w := f.watcher()
	before, after := f.open(tasks.UnblockPIN), f.open(tasks.UnblockPIN)
	x := watch(t, w, before.ID)
	receive(t, "the watch is effective", x.C)
	server.Kill()
	y := watch(t, w, after.ID)
	server.Restart(t)
	receive(t, "the old watch is effective again", x.C)
	receive(t, "the new watch is effective", y.C)
	drain(x.C, y.C)
	for rec, c := range map[string]<-chan struct{}{before.ID: x.C, after.ID: y.C} {
		f.begun(f.get(rec), Lease{}, Go)
		receive(t, "a change", c)
	}
}

func drain(cs ...<-chan struct{}) {
	for _, c := range cs {
		select {
		case <-c:
		default:
		}
	}
}

// go-redis makes a connection anew when it cannot be written to, but then leaves out the channels that
// it was just told of.
func TestWatch_SubscriptionThatCouldNotBeWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, fail := server.BreaksAtSubscribe(t)
	f := newFixture(t, client)
	w := f.watcher()
	x := watch(t, w, NewID(card(t)))
	receive(t, "the watch is effective", x.C)
	fail.Store(true)
	rec := f.open(tasks.UnblockPIN)
	y := watch(t, w, rec.ID)
	receive(t, "the new watch is effective", y.C)
	receive(t, "the old watch is effective again", x.C)
	if fail.Load() {
		t.Fatal("no write has failed: the test is no good")
	}
	drain(y.C)
	f.begun(rec, Lease{}, Go)
	receive(t, "a change", y.C)
}
