package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/ontime"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// An API that answers at once stands for one whose time is taken out. The worker is a process and idle;
// the backend is this one.
func TestLatency_FromRequestToConfirmedResultOfAnIdleWorker(t *testing.T) {
	const (
		requests = 40
		want     = 30 * time.Millisecond
	)
	server := redistest.Start(t, "--appendonly", "yes")
	api := newMini(t, nil)
	startWorkerProcess(t, api.environ(server.URL()))
	client := enqueuer(t, server.URL())
	succeeds(t, client, unblockPIN(t, client)) // connections and the access token

	ontime.Once(t, func(round int) error {
		took := make([]time.Duration, requests)
		for i := range took {
			began := time.Now()
			acc, err := client.UnblockPIN(t.Context(), fmt.Sprintf("1%02d%06d", round, i))
			if err != nil {
				t.Fatalf("ask for an unblock: %v", err)
			}
			op, err := client.Wait(t.Context(), acc.ID)
			took[i] = time.Since(began)
			if err != nil || op.State != tasks.Succeeded {
				t.Fatalf("operation %+v, %v, want it succeeded", op, err)
			}
		}
		slices.Sort(took)
		p50 := took[requests/2]
		t.Logf("p50 %s, p99 %s, max %s of %d", p50, took[requests*99/100-1], took[requests-1], requests)
		if p50 >= want {
			return fmt.Errorf("p50 = %s, want less than %s", p50, want)
		}
		return nil
	})
}
