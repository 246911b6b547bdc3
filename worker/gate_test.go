package worker

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	apigate "github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// refused is the error of a call that the gate held back.
func refused(call payblr.CallName, after time.Duration) *payblr.Error {
	e := apiError(call, payblr.ReasonGateRefused, 0)
	e.Err = &apigate.Refused{After: after, Why: "the circuit breaker is open: the API fails"}
	return e
}

// promptly takes the spread away, for tests that wait for many refusals.
func promptly(c *Config) { c.Random = func() float64 { return 0 } }

func TestRefused_BurnsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind  tasks.Kind
		first payblr.CallName
	}{
		{tasks.UnblockPIN, payblr.CallUnblockPIN},
		{tasks.RefreshCVVStatus, payblr.CallCVVStatus},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			times := tc.kind.FirstType().Policy().Attempts + 2
			api := &fakeAPI{}
			accepted := make(chan string, 1)
			id := sync.OnceValue(func() string { return <-accepted })
			refuse := func(ctx context.Context, c fakeCall) error {
				if c.Name != tc.first {
					return nil
				}
				if op, err := r.client.Get(ctx, id()); err != nil || op.Attempts != 1 {
					t.Errorf("at try %d: %d attempts, %v, want 1: the refused ones do not count", c.Nth, op.Attempts, err)
				}
				if c.Nth <= times {
					return refused(c.Name, 10*time.Millisecond)
				}
				return nil
			}
			api.unblock = func(ctx context.Context, c fakeCall) error {
				if err := refuse(ctx, c); err != nil {
					return err
				}
				api.apply(c)
				return nil
			}
			api.status = func(ctx context.Context, c fakeCall) (payblr.Status, error) {
				if err := refuse(ctx, c); err != nil {
					return payblr.Status{}, err
				}
				return api.card(c), nil
			}
			r.work(api, promptly)
			accepted <- r.accept(tc.kind, "103169946").ID
			op := r.wait(id())
			wantEnd(t, op, "")
			if op.Attempts != 1 {
				t.Errorf("%d attempts, want 1", op.Attempts)
			}
			wantCount(t, api, tc.first, times+1)
		})
	}
}

func TestRefused_ComesBackWhenTheGateSays(t *testing.T) {
	t.Parallel()
	// The first is waited out by the run, the second by asynq.
	for _, after := range []time.Duration{600 * time.Millisecond, 1500 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			api := &fakeAPI{}
			api.unblock = func(_ context.Context, c fakeCall) error {
				if c.Nth == 1 {
					return refused(c.Name, after)
				}
				api.apply(c)
				return nil
			}
			r.work(api)
			wantEnd(t, r.run(tasks.UnblockPIN, "103169946"), "")
			calls := api.made()
			if got := calls[1].At.Sub(calls[0].At); got < after {
				t.Errorf("asked again after %s, want %s at least", got, after)
			}
		})
	}
}

func TestRefused_ALostReplyIsStillReadBeforeItIsRepeated(t *testing.T) {
	t.Parallel()
	const read, unblock = payblr.CallPINStatus, payblr.CallUnblockPIN
	t.Run("the read is refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		api := &fakeAPI{}
		api.unblock = func(_ context.Context, c fakeCall) error {
			api.apply(c)
			return apiError(c.Name, payblr.ReasonConnectionLost, 0)
		}
		api.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
			if c.Nth <= 3 {
				return payblr.Status{}, refused(c.Name, 10*time.Millisecond)
			}
			return api.card(c), nil
		}
		r.work(api, promptly)
		op := r.run(tasks.UnblockPIN, "103169946")
		wantEnd(t, op, "")
		if op.Attempts != 2 {
			t.Errorf("%d attempts, want 2: the lost one and the one that read", op.Attempts)
		}
		if got, want := api.names(), []payblr.CallName{unblock, read, read, read, read}; !slices.Equal(got, want) {
			t.Errorf("calls %v, want %v", got, want)
		}
	})
	t.Run("the repeat is refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		api := &fakeAPI{}
		api.unblock = func(_ context.Context, c fakeCall) error {
			if c.Nth == 1 {
				return apiError(c.Name, payblr.ReasonConnectionLost, 0)
			}
			api.apply(c) // The first one arrives after all.
			return refused(c.Name, 10*time.Millisecond)
		}
		r.work(api, promptly)
		wantEnd(t, r.run(tasks.UnblockPIN, "103169946"), "")
		// The second unblock was never sent. What was read before it says nothing of what came after.
		if got, want := api.names(), []payblr.CallName{unblock, read, read, unblock, read}; !slices.Equal(got, want) {
			t.Errorf("calls %v, want %v", got, want)
		}
	})
}

func TestRefused_UntilTheTimeRunsOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		kind tasks.Kind
		api  *fakeAPI
		code tasks.Code
	}{
		{"an unblock is unavailable", tasks.UnblockPIN, &fakeAPI{unblock: func(_ context.Context, c fakeCall) error {
			return refused(c.Name, 400*time.Millisecond)
		}}, tasks.CodeUnavailable},
		{"a refresh is unavailable", tasks.RefreshPINStatus, &fakeAPI{status: func(_ context.Context, c fakeCall) (payblr.Status, error) {
			return payblr.Status{}, refused(c.Name, 400*time.Millisecond)
		}}, tasks.CodeUnavailable},
		{"an accepted unblock is unconfirmed", tasks.UnblockCVV, &fakeAPI{status: func(_ context.Context, c fakeCall) (payblr.Status, error) {
			return payblr.Status{}, refused(c.Name, 400*time.Millisecond)
		}}, tasks.CodeUnconfirmed},
		{"the gate says that it will take longer", tasks.UnblockPIN, &fakeAPI{unblock: func(_ context.Context, c fakeCall) error {
			return refused(c.Name, time.Hour)
		}}, tasks.CodeUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.work(tc.api)
			op := r.run(tc.kind, "103169946", enqueue.ExpiresIn(2*time.Second))
			wantEnd(t, op, tc.code)
			for _, c := range tc.api.made() {
				if c.At.After(op.ExpiresAt.Add(100 * time.Millisecond)) {
					t.Errorf("%s at %s, the operation expired at %s", c.Name, c.At, op.ExpiresAt)
				}
			}
		})
	}
}

func TestRefused_TheyDoNotComeBackAllAtOnce(t *testing.T) {
	t.Parallel()
	const operations = 100
	r := newRig(t)
	api := &fakeAPI{}
	var waiting atomic.Int64
	all := make(chan struct{})
	api.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Nth > 1 {
			return says(payblr.StatusBlocked), nil
		}
		// All are refused at the same moment.
		if waiting.Add(1) == operations {
			close(all)
		}
		<-all
		return payblr.Status{}, refused(c.Name, 300*time.Millisecond)
	}
	var ids []string
	for i := range operations {
		ids = append(ids, r.accept(tasks.RefreshPINStatus, strconv.Itoa(100_000_000+i)).ID)
	}
	r.work(api, func(c *Config) { c.Concurrency = 2 * operations })
	for _, id := range ids {
		wantEnd(t, r.wait(id), "")
	}
	var back []time.Time
	for _, c := range api.made() {
		if c.Nth == 2 {
			back = append(back, c.At)
		}
	}
	slices.SortFunc(back, time.Time.Compare)
	// A tenth of a second should see a tenth of them.
	for i, at := range back {
		if j := i + operations/2; j < len(back) && back[j].Sub(at) < 100*time.Millisecond {
			t.Fatalf("half of them came back within %s", back[j].Sub(at))
		}
	}
}

func TestSpread_NeverBeforeItsTimeAndSpreadOverASecondAndMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ after, earliest, latest time.Duration }{
		{0, firstDelay, firstDelay + leastSpread},
		{time.Second, time.Second, 2500 * time.Millisecond},
		{time.Minute, time.Minute, 75 * time.Second},
	} {
		if got := spread(tc.after, 0); got != tc.earliest {
			t.Errorf("spread(%s, 0) = %s, want %s", tc.after, got, tc.earliest)
		}
		if got := spread(tc.after, 1); got != tc.latest {
			t.Errorf("spread(%s, 1) = %s, want %s", tc.after, got, tc.latest)
		}
	}
}
