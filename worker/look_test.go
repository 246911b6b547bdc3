package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// lookingRun is a run after a lost reply. Its attempts pause in the time of a bubble.
func lookingRun(t *testing.T, api *fakeAPI) attempt {
	return attempt{
		api: api, looked: new(time.Time),
		rec:   opstore.Record{Kind: tasks.UnblockPIN, Token: publicToken(t, testCard), Call: opstore.CallWas},
		pause: func(_ context.Context, d time.Duration) bool { advance(d); return true },
	}
}

func TestLookFirst_AFirstLookCountsAlthoughTheSecondWasTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttled := apiError(callStatus, payblr.ReasonThrottled, 429)
		api := &fakeAPI{status: reads(isBlocked, throttled, throttled, isBlocked)}
		a := lookingRun(t, api)
		for n, want := range []ending{again, again, chain} {
			if v := a.do(t.Context(), tasks.TypeUnblockPIN); v.end != want {
				t.Fatalf("attempt %d: %+v, want end %d", n+1, v, want)
			}
			advance(secondLook)
		}
		wantCalls(t, api, callStatus, callStatus, callStatus, callStatus, callUnblock)
	})
}

func TestLookFirst_ALookThatIsTooFreshIsNotTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{status: reads(isBlocked)}
		a := lookingRun(t, api)
		*a.looked = time.Now()
		advance(secondLook - time.Millisecond)
		a.do(t.Context(), tasks.TypeUnblockPIN)
		wantCalls(t, api, callStatus, callStatus, callUnblock)
	})
}

func TestLookFirst_AnotherLostReplyIsLookedForTwiceAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{status: reads(isBlocked), unblock: refuses(payblr.ReasonConnectionLost, 0)}
		a := lookingRun(t, api)
		for range 2 {
			if v := a.do(t.Context(), tasks.TypeUnblockPIN); v.end != again || !v.unknown {
				t.Fatalf("%+v, want again, unknown", v)
			}
			advance(time.Second)
		}
		wantCalls(t, api, callStatus, callStatus, callUnblock, callStatus, callStatus, callUnblock)
	})
}

func TestLookFirst_ARepeatThatWasTurnedAwayFollowsAFreshLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{status: reads(isBlocked, isBlocked, isUnblocked), unblock: func(_ context.Context, c fakeCall) error {
			return refused(c.Name, time.Second)
		}}
		a := lookingRun(t, api)
		a.do(t.Context(), tasks.TypeUnblockPIN)
		advance(time.Second)
		if v := a.do(t.Context(), tasks.TypeUnblockPIN); v.end != succeed {
			t.Errorf("%+v, want the lost one to be found applied", v)
		}
		wantCalls(t, api, callStatus, callStatus, callUnblock, callStatus)
	})
}

func TestLookFirst_ACallThatPanickedIsLookedForTwiceAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{status: reads(isBlocked), unblock: func(_ context.Context, c fakeCall) error {
			if c.Nth == 1 {
				panic("after it was sent")
			}
			return nil
		}}
		a := lookingRun(t, api)
		func() {
			defer func() { _ = recover() }() // As the worker does.
			a.do(t.Context(), tasks.TypeUnblockPIN)
		}()
		advance(time.Second)
		a.do(t.Context(), tasks.TypeUnblockPIN)
		wantCalls(t, api, callStatus, callStatus, callUnblock, callStatus, callStatus, callUnblock)
	})
}
