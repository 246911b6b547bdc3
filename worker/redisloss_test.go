package worker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// unblockMany has many cards unblocked while disturb is called each time that about a tenth of them is
// accepted, and checks that each was unblocked once and confirmed.
func unblockMany(t *testing.T, r *rig, n int, disturb func(round int)) {
	t.Helper()
	api := &fakeAPI{}
	// Killed connections hold leases up until they lapse, so they are short.
	r.work(api, shortLease)
	r.work(api, shortLease)
	ids := make([]string, n)
	for i := range ids {
		key := enqueue.IdempotencyKey(fmt.Sprintf("request-%d", i))
		// A backend asks again, with its key, until it knows.
		eventually(t, "the operation is accepted", func() bool {
			acc, err := r.client.UnblockPIN(t.Context(), fmt.Sprintf("%09d", i), key)
			if err != nil && enqueue.CodeOf(err) != "queue_unavailable" {
				t.Fatalf("UnblockPIN: %v", err)
			}
			ids[i] = acc.ID
			return err == nil
		})
		if i%(n/10) == n/20 {
			disturb(i / (n / 10))
		}
	}
	seen := map[string]bool{}
	for i, id := range ids {
		op := r.wait(id)
		wantEnd(t, op, "")
		if seen[id] {
			t.Errorf("request %d got the operation of another", i)
		}
		seen[id] = true
	}
	unblocks := map[string]int{}
	for _, c := range api.made() {
		if c.Name == payblr.CallUnblockPIN {
			unblocks[c.Token]++
		}
	}
	for card, times := range unblocks {
		// The status could be read all along, so there was no need to send one twice.
		if times != 1 {
			t.Errorf("card %s was unblocked %d times, want once", card, times)
		}
	}
	if len(unblocks) != n {
		t.Errorf("%d cards were unblocked, want %d", len(unblocks), n)
	}
}

func TestRedis_KilledConnectionsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rigOn(t, server.URL())
	killer := server.Client(t)
	unblockMany(t, r, 200, func(int) {
		for _, kind := range []string{"normal", "pubsub"} {
			err := killer.Do(t.Context(), "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Err()
			if err != nil {
				t.Errorf("CLIENT KILL: %v", err)
			}
		}
	})
}

func TestRedis_ARestartLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	r := rigOn(t, server.URL())
	unblockMany(t, r, 100, func(round int) {
		if slices.Contains([]int{2, 6}, round) {
			server.Kill()
			server.Restart(t)
		}
	})
}

func TestRedis_AReaderIsToldAfterItsConnectionWasLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rigOn(t, server.URL())
	api := newDoorman(true)
	r.work(api)
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", api.entered)
	ended := make(chan tasks.Operation, 1)
	go func() {
		op, err := r.client.Wait(t.Context(), acc.ID)
		if err != nil {
			t.Errorf("Wait: %v", err)
		}
		ended <- op
	}()
	killer := server.Client(t)
	eventually(t, "the reader's connection is killed", func() bool {
		n, err := killer.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int()
		return err == nil && n > 0
	})
	close(api.open)
	wantEnd(t, receive(t, "the reader is told", ended), "")
}
