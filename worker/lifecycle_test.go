package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// doorman is an API whose unblocks wait to be let through.
type doorman struct {
	*fakeAPI
	entered chan struct{}
	open    chan struct{}
}

// newDoorman returns an API whose unblocks wait for open, or for the end of their context if they heed it.
func newDoorman(heed bool) doorman {
	g := doorman{&fakeAPI{}, make(chan struct{}, 100), make(chan struct{})}
	g.unblock = func(ctx context.Context, c fakeCall) error {
		g.entered <- struct{}{}
		var cancelled <-chan struct{}
		if heed {
			cancelled = ctx.Done()
		}
		select {
		case <-g.open:
		case <-cancelled:
			err := apiError(c.Name, payblr.ReasonCancelled, 0)
			err.Err = ctx.Err()
			return err
		}
		g.apply(c)
		return nil
	}
	return g
}

func TestStop_WaitsForRunningTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := newDoorman(true)
	w := r.work(api)
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", api.entered)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(context.WithoutCancel(t.Context())) }()
	receive(t, "the worker begins to stop", w.draining)
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned %v while a task was running", err)
	default:
	}
	close(api.open)
	if err := receive(t, "the worker has stopped", stopped); err != nil {
		t.Errorf("Stop: %v", err)
	}
	op, err := r.client.Get(t.Context(), acc.ID)
	if err != nil || op.State != tasks.Confirming {
		t.Errorf("after the stop the operation is %s, %v; want confirming", op.State, err)
	}
	r.work(api)
	wantEnd(t, r.wait(acc.ID), "")
	wantCalls(t, api.fakeAPI, callUnblock, callStatus)
}

func TestStop_HandsBackWhatDoesNotEndInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := newDoorman(true)
	w := r.work(api, func(c *Config) { c.ShutdownTimeout = 100 * time.Millisecond; c.Lease = 30 * time.Second })
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", api.entered)
	stop(t, w)
	close(api.open)
	start := time.Now()
	r.work(api)
	wantEnd(t, r.wait(acc.ID), "")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("another worker went on after %s: it waited for the lease", took)
	}
	// The outcome of the cancelled call was unknown, so the status came first.
	if names := api.names(); len(names) < 2 || names[0] != callUnblock || names[1] != callStatus {
		t.Errorf("the API saw %v, want a read after the unblock that was cut off", names)
	}
}

func TestStop_Twice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.work(&fakeAPI{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { stop(t, w) })
	}
	all.Wait()
	stop(t, w)
	if err := w.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("Start after Stop = %v, want an error that says what to do", err)
	}
}

func TestStop_WithoutAStartReleasesEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop(t, r.idle(&fakeAPI{}))
}

func TestStop_IsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := newDoorman(false)
	w := r.work(api)
	r.accept(tasks.UnblockPIN, "101")
	receive(t, "the unblock is under way", api.entered)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop with an ended context = %v, want %v", err, context.Canceled)
	}
	close(api.open)
	stop(t, w)
}

func TestStop_HandsBackWaitingRetries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	failed := make(chan struct{}, 1)
	api.unblock = func(_ context.Context, c fakeCall) error {
		if c.Nth == 1 {
			failed <- struct{}{}
			err := apiError(c.Name, payblr.ReasonThrottled, 429)
			err.RetryAfter = longestPause // The longest that is waited out in place.
			return err
		}
		api.apply(c)
		return nil
	}
	w := r.work(api, func(c *Config) { c.Lease = 30 * time.Second })
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the first try has failed", failed)
	eventually(t, "the retry waits", func() bool {
		op, err := r.client.Get(t.Context(), acc.ID)
		return err == nil && op.NextAttemptAt != nil
	})
	start := time.Now()
	stop(t, w)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Stop took %s", took)
	}
	rec, err := r.store.Get(t.Context(), acc.ID)
	if err != nil || !rec.LeaseEnds.IsZero() {
		t.Errorf("after the stop the lease ends at %v, %v; want none", rec.LeaseEnds, err)
	}
	r.task(tasks.QueueUnblock, acc.ID+":1", asynq.TaskStateRetry)
	r.work(api)
	op := r.wait(acc.ID)
	wantEnd(t, op, "")
	if op.Attempts != 2 {
		t.Errorf("attempts = %d, want 2", op.Attempts)
	}
	made := api.made()
	if got := made[1].At.Sub(made[0].At); got < longestPause {
		t.Errorf("called again after %s, want %s", got, longestPause)
	}
}

// A task that comes long before its time, because somebody ran it by hand, holds no place until then.
func TestRun_HandsBackATaskThatComesMuchTooEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	id := r.recorded(tasks.UnblockPIN, "101")
	b, err := r.store.Begin(t.Context(), tasks.TypeUnblockPIN, id, 1, "another", opstore.Lease{})
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	// An unblock whose reply was lost, and whose next try is not due for long.
	p := opstore.Progress{Delay: time.Minute, Unknown: true, Code: tasks.CodeUnavailable}
	if err := r.store.Yield(t.Context(), b.Lease, tasks.TypeUnblockPIN, p); err != nil {
		t.Fatalf("Yield: %v", err)
	}
	w := r.work(api)
	err = w.ProcessTask(t.Context(), asynq.NewTask("pin:unblock", tasks.ByReference(id, 1).Encode()))
	if !errors.Is(err, errComesEarly) {
		t.Errorf("ProcessTask = %v, want %v", err, errComesEarly)
	}
	rec, err := r.store.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if !rec.LeaseEnds.IsZero() || rec.Call == opstore.CallNone || time.Until(rec.Next) < 30*time.Second {
		t.Errorf("lease ends %v, call %q, next try in %s; want no lease, a call that may have been applied, most of a minute",
			rec.LeaseEnds, rec.Call, time.Until(rec.Next))
	}
	wantCalls(t, api)
}

func TestNew_FailureReleasesEverythingAndNamesEachProblem(t *testing.T) {
	t.Parallel()
	connected := 0
	_, err := New(Config{
		Connect:     func(string) redis.UniversalClient { connected++; return nil },
		Concurrency: -1, Lease: time.Millisecond, ShutdownTimeout: -1, RecoveryInterval: -1, UnblockExpiry: -1, RefreshExpiry: -1,
	})
	if err == nil {
		t.Fatal("New accepted a wrong configuration")
	}
	for _, want := range []string{"API", "Concurrency", "Lease", "ShutdownTimeout", "RecoveryInterval", "UnblockExpiry", "RefreshExpiry"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if connected != 0 {
		t.Errorf("%d connections were opened, want 0", connected)
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Connect") {
		t.Errorf("New without Connect = %v, want an error that names it", err)
	}
}

func TestStart_FailsWhenRedisIsDown(t *testing.T) {
	t.Parallel()
	var clients []redis.UniversalClient
	w, err := New(Config{API: &fakeAPI{}, Connect: func(string) redis.UniversalClient {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
		clients = append(clients, c)
		return c
	}})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := w.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Redis") {
		t.Errorf("Start = %v, want an error about Redis", err)
	}
	for i, c := range clients {
		if err := c.Ping(t.Context()).Err(); !errors.Is(err, redis.ErrClosed) {
			t.Errorf("client %d: %v, want closed", i, err)
		}
	}
	stop(t, w)
}

func TestStart_TwiceIsAnError(t *testing.T) {
	t.Parallel()
	w := newRig(t).work(&fakeAPI{})
	if err := w.Start(t.Context()); err == nil {
		t.Error("the second Start succeeded")
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	w := r.idle(api)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	cancel()
	if err := receive(t, "Run returns", ended); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestReady_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	refused := errors.New("the credentials are refused")
	token := make(chan error, 1)
	api := &fakeAPI{checkToken: func(context.Context) error { return <-token }}
	w := r.idle(api)
	if err := w.Ready(t.Context()); err == nil || err.Error() != "not started" {
		t.Errorf("Ready before the start = %v, want not started", err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	token <- nil
	if err := w.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v, want nil", err)
	}
	token <- refused
	if err := w.Ready(t.Context()); !errors.Is(err, refused) {
		t.Errorf("Ready without a token = %v, want %v", err, refused)
	}
	stop(t, w)
	if err := w.Ready(t.Context()); err == nil || err.Error() != "draining" {
		t.Errorf("Ready after the stop = %v, want draining", err)
	}
}

func TestWorkers_TwoInstancesShareTheWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := newDoorman(true), newDoorman(true)
	// Each has room for one unblock, so that two of them need both.
	small := func(c *Config) { c.Concurrency = 1 }
	r.work(a, small)
	r.work(b, small)
	ids := []string{r.accept(tasks.UnblockPIN, "101").ID, r.accept(tasks.UnblockPIN, "102").ID}
	receive(t, "the first has one", a.entered)
	receive(t, "the second has the other", b.entered)
	close(a.open)
	close(b.open)
	for _, id := range ids {
		// The two fakes have cards of their own: a confirmation may ask the one that did not unblock.
		if op := r.wait(id); op.UnblockAcceptedAt == nil {
			t.Errorf("operation %s was not accepted", id)
		}
	}
	if got := slices.Concat(a.names(), b.names()); a.count(callUnblock) != 1 || b.count(callUnblock) != 1 {
		t.Errorf("the APIs saw %v, want one unblock each", got)
	}
}
