package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// newReader returns an API whose status reads wait for open, but for those of one card.
func newReader(prompt string) doorman {
	d := doorman{&fakeAPI{}, make(chan struct{}, 100), make(chan struct{})}
	d.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Token != prompt {
			d.entered <- struct{}{}
			<-d.open
		}
		return d.card(c), nil
	}
	return d
}

func TestPlaces_UnblocksUseAllAndRefreshesLeaveSome(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind           tasks.Kind
		places, wanted int
	}{
		{tasks.UnblockPIN, 10, 10},
		{tasks.UnblockCVV, 1, 1},
		{tasks.RefreshPINStatus, 10, 8},
		{tasks.RefreshCVVStatus, 2, 1},
		{tasks.RefreshCVVStatus, 64, 56}, // While the API is slow, more than may be in hand.
		{tasks.RefreshPINStatus, 1, 1},
	} {
		t.Run(fmt.Sprintf("%s with %d", tc.kind, tc.places), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			const prompt = "50"
			api := newReader(prompt)
			if tc.kind.Unblocks() {
				api = newDoorman(false)
			}
			r.work(api, func(c *Config) { c.Concurrency = tc.places })
			var ids []string
			for i := range 2 * tc.places {
				ids = append(ids, r.accept(tc.kind, fmt.Sprint(100+i)).ID)
			}
			for range tc.wanted {
				receive(t, "a call is under way", api.entered)
			}
			// One more would have to be taken by now: something else runs all the way through.
			if tc.places > 1 && !tc.kind.Unblocks() {
				wantEnd(t, r.run(tasks.UnblockPIN, prompt), "")
			}
			if n := len(api.entered); n != 0 {
				t.Errorf("%d calls more than %d are under way", n, tc.wanted)
			}
			close(api.open)
			for _, id := range ids {
				wantEnd(t, r.wait(id), "")
			}
		})
	}
}

// heldBack holds up all scripts of a client while it is locked.
type heldBack struct{ *sync.RWMutex }

func (h heldBack) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h heldBack) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			h.RLock()
			defer h.RUnlock()
		}
		return next(ctx, cmd)
	}
}

func (h heldBack) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.RLock()
		defer h.RUnlock()
		return next(ctx, cmds)
	}
}

// What a worker cannot do at once it does not take: the rest of a backlog waits in Redis, where an unblock passes it.
func TestPlaces_FewRefreshesAreInHandWhenRedisIsBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var scripts sync.RWMutex
	w := r.work(&fakeAPI{}, func(c *Config) {
		c.Concurrency = 256
		connect := c.Connect
		c.Connect = func(role string) redis.UniversalClient {
			rdb := connect(role)
			if role == "worker" {
				rdb.AddHook(heldBack{&scripts})
			}
			return rdb
		}
	})
	scripts.Lock()
	release := sync.OnceFunc(scripts.Unlock)
	t.Cleanup(release) // The worker could not stop otherwise.
	var ids []string
	for i := range 200 {
		ids = append(ids, r.accept(tasks.RefreshPINStatus, fmt.Sprint(1000+i)).ID)
	}
	active := func() int64 {
		n, err := r.rdb.LLen(t.Context(), "asynq:{"+tasks.QueueRefresh+"}:active").Result()
		if err != nil {
			t.Fatalf("LLEN: %v", err)
		}
		return n
	}
	share := w.servers[1].share
	eventually(t, "no more are taken", func() bool { return share.Free() == 0 })
	// Where Redis is taken for farther away there may be some more, but not all that there are places for.
	if n, least := active(), int64(refreshesInHand(0)); n < least || n >= 2*least {
		t.Errorf("%d refreshes are in hand, want about %d", n, least)
	}
	release()
	for _, id := range ids {
		wantEnd(t, r.wait(id), "")
	}
}
