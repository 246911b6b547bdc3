package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// newReader returns an API whose status reads wait for open, but for those of one card.
func newReader(prompt string) doorman {
	d := doorman{&fakeAPI{}, make(chan struct{}, 200), make(chan struct{})}
	d.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Token != prompt {
			d.entered <- struct{}{}
			<-d.open
		}
		return d.card(c), nil
	}
	return d
}

// startPatient starts a worker whose tasks count as waiting when they are in hand for longer than that.
func startPatient(t *testing.T, w *Worker, long time.Duration) {
	t.Helper()
	for _, s := range w.servers {
		s.long = long
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

func TestPlaces_UnblocksUseAllAndRefreshesLeaveSome(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind           tasks.Kind
		places, wanted int
	}{
		{tasks.UnblockPIN, 10, 10},
		{tasks.UnblockCVV, 1, 1},
		{tasks.RefreshPINStatus, 10, 5},
		{tasks.RefreshCVVStatus, 2, 1},
		{tasks.RefreshCVVStatus, 33, 17},
		{tasks.RefreshPINStatus, 160, 140}, // More than may be in hand.
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
			startPatient(t, r.idle(api, func(c *Config) { c.Concurrency = tc.places }), time.Hour)
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

// What a worker cannot do at once it does not take: the rest of a backlog waits in Redis, where an unblock passes it. But
// what takes very long waits for something that not all may need.
func TestPlaces_FewRefreshesAreInHandWhenRedisIsBusy(t *testing.T) {
	t.Parallel()
	const far = 5 * time.Millisecond
	for name, tc := range map[string]struct {
		away, long time.Duration
		want       int
		exactly    bool
	}{
		"busy":   {0, time.Hour, refreshesInHand(0), true},
		"far":    {far, time.Hour, refreshesInHand(far), true},
		"silent": {0, 10 * time.Millisecond, 4 * refreshesInHand(0), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var scripts sync.RWMutex
			w := r.idle(&fakeAPI{}, func(c *Config) {
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
			// The runs begin by themselves, which is held up. Those that their look began would be away at the API first, and while
			// they are others may be taken.
			bulk := w.servers[1]
			bulk.tasks.Begins(nil)
			if tc.away > 0 {
				w.near.observe(tc.away, time.Now())
			}
			startPatient(t, w, tc.long)
			scripts.Lock()
			release := sync.OnceFunc(scripts.Unlock)
			t.Cleanup(release) // The worker could not stop otherwise.
			var ids []string
			for i := range 200 {
				ids = append(ids, r.accept(tasks.RefreshPINStatus, fmt.Sprint(1000+i)).ID)
			}
			active := func() int {
				n, err := r.rdb.LLen(t.Context(), "asynq:{"+tasks.QueueRefresh+"}:active").Result()
				if err != nil {
					t.Fatalf("LLEN: %v", err)
				}
				return int(n)
			}
			eventually(t, "they are in hand", func() bool { return active() >= tc.want })
			if n := active(); tc.exactly && (n != tc.want || bulk.share.Free() != 0) {
				t.Errorf("%d refreshes are in hand and %d more may be, want %d and none", n, bulk.share.Free(), tc.want)
			}
			release()
			for _, id := range ids {
				wantEnd(t, r.wait(id), "")
			}
		})
	}
}

func TestPlace_CountsBalanceWhateverTheOrder(t *testing.T) {
	t.Parallel()
	places := doorbell.NewPlaces(4)
	share := places.Share(0)
	share.LimitInHand(func() int { return 2 })
	for name, steps := range map[string][]func(context.Context){
		"a call":                           {away, back, leave},
		"given back twice":                 {leave, leave},
		"given back while it is away":      {away, leave, back, leave},
		"away again after it was given up": {leave, away, back},
		"twice away":                       {away, away, back, back, leave},
		"never back":                       {away, leave},
		"slow":                             {func(ctx context.Context) { placeOf(ctx).move(true) }, away, back, leave},
		"slow to the end":                  {func(ctx context.Context) { placeOf(ctx).move(true) }, leave},
	} {
		given := 0
		ctx := context.WithValue(t.Context(), placeKey{}, newPlace(share, time.Hour, func() { given++ }))
		for _, step := range steps {
			step(ctx)
		}
		// Nothing was taken here, so nothing is to be given.
		if share.Free() != 2 || given != 1 {
			t.Errorf("%s: %d more may begin and it was given back %d times, want 2 and once", name, share.Free(), given)
		}
	}
}

func placeOf(ctx context.Context) *place { return ctx.Value(placeKey{}).(*place) }

func TestRefreshesInHand_MoreWhenRedisIsFar(t *testing.T) {
	t.Parallel()
	for away, want := range map[time.Duration]int{
		0: 20, 100 * time.Microsecond: 21, time.Millisecond: 32, 10 * time.Millisecond: 140, time.Hour: 500,
	} {
		if got := refreshesInHand(away); got != want {
			t.Errorf("refreshesInHand(%s) = %d, want %d", away, got, want)
		}
	}
}

func TestDistance_IsTheShortestOfLately(t *testing.T) {
	t.Parallel()
	var d distance
	start := time.Now()
	if got := d.get(); got != 0 {
		t.Errorf("the distance is %s before any write, want 0", got)
	}
	for _, step := range []struct {
		after      time.Duration
		took, want time.Duration
	}{
		{0, 5, 5},
		{time.Second, 3, 3},
		{2 * time.Second, 9, 3},
		{distanceKept, 7, 3}, // It is a new minute, and the one before counts.
		{distanceKept + time.Second, 8, 3},
		{2 * distanceKept, 9, 7}, // What was before that is forgotten.
		{3 * distanceKept, 20, 9},
		{5 * distanceKept, 2, 2},
	} {
		d.observe(step.took, start.Add(step.after))
		if got := d.get(); got != step.want {
			t.Errorf("the distance is %s at %s, want %s", got, step.after, step.want)
		}
	}
}
