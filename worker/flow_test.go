package worker

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func TestFlow_EveryKindEndsInTheStatusThatWasRead(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		r.work(api)
		for _, tc := range []struct {
			kind    tasks.Kind
			card    string
			blocked bool
			calls   []payblr.CallName
		}{
			{tasks.UnblockPIN, "101", false, []payblr.CallName{payblr.CallUnblockPIN, payblr.CallPINStatus}},
			{tasks.UnblockCVV, "102", false, []payblr.CallName{payblr.CallUnblockCVV, payblr.CallCVVStatus}},
			{tasks.RefreshPINStatus, "103", true, []payblr.CallName{payblr.CallPINStatus}},
			{tasks.RefreshCVVStatus, "104", true, []payblr.CallName{payblr.CallCVVStatus}},
		} {
			op := r.run(tc.kind, tc.card, enqueue.Reason("forgot it"), enqueue.UpdatedBy("app"))
			wantEnd(t, op, "")
			if op.Status != nil && op.Status.Blocked != tc.blocked {
				t.Errorf("%s: blocked = %t, want %t", tc.kind, op.Status.Blocked, tc.blocked)
			}
			if (op.UnblockAcceptedAt != nil) != tc.kind.Unblocks() || op.Attempts != 1 {
				t.Errorf("%s: accepted at %v after %d attempts, want 1", tc.kind, op.UnblockAcceptedAt, op.Attempts)
			}
			var got []payblr.CallName
			for _, c := range api.made() {
				if c.Token == tc.card {
					got = append(got, c.Name)
				}
			}
			if len(got) != len(tc.calls) || got[0] != tc.calls[0] || got[len(got)-1] != tc.calls[len(tc.calls)-1] {
				t.Errorf("%s: the API saw %v, want %v", tc.kind, got, tc.calls)
			}
		}
		for _, c := range api.made() {
			if want := (payblr.Note{Description: "forgot it", UpdatedBy: "app"}); c.Name == payblr.CallUnblockPIN && c.Note != want {
				t.Errorf("note = %+v, want %+v", c.Note, want)
			}
		}
	})
}

func TestFlow_AFailingAPIIsTriedAgainUntilItWorks(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		// Refused as too busy, so nothing was applied and no status has to be read first.
		api.unblock = func(_ context.Context, c fakeCall) error {
			if c.Nth <= 2 {
				return apiError(c.Name, payblr.ReasonThrottled, 429)
			}
			api.apply(c)
			return nil
		}
		r.work(api)
		op := r.run(tasks.UnblockPIN, "101")
		wantEnd(t, op, "")
		if op.Attempts != 3 {
			t.Errorf("attempts = %d, want 3", op.Attempts)
		}
		wantCalls(t, api, callUnblock, callUnblock, callUnblock, callStatus)
		made := api.made()
		for i, least := range []time.Duration{firstDelay, 2 * firstDelay} {
			if got := made[i+1].At.Sub(made[i].At); got < time.Duration(float64(least)*(1-jitterShare)) {
				t.Errorf("Delay(%d) = %s, want about %s", i+1, got, least)
			}
		}
	})
}

func TestFlow_LostReplyIsReadFirstAndNotSentTwice(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		api.unblock = func(_ context.Context, c fakeCall) error {
			api.apply(c)
			return apiError(c.Name, payblr.ReasonConnectionLost, 0)
		}
		r.work(api)
		op := r.run(tasks.UnblockPIN, "101")
		wantEnd(t, op, "")
		if op.UnblockAcceptedAt == nil {
			t.Error("unblock_accepted_at is not set, but the status shows that it was")
		}
		wantCalls(t, api, callUnblock, callStatus)
	})
}

func TestFlow_RefusalsAreFinalAfterOneCall(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		refusals := map[string]struct {
			reason payblr.Reason
			status int
			code   tasks.Code
		}{
			"404": {payblr.ReasonNotFound, 404, tasks.CodeCardNotFound},
			"403": {payblr.ReasonForbidden, 403, tasks.CodeNotAllowed},
			"400": {payblr.ReasonBadRequest, 400, tasks.CodeRejected},
			"422": {payblr.ReasonUnprocessable, 422, tasks.CodeRejected},
			"409": {payblr.ReasonConflict, 409, tasks.CodeRejected},
		}
		api := &fakeAPI{}
		api.unblock = func(_ context.Context, c fakeCall) error {
			return apiError(c.Name, refusals[c.Token].reason, refusals[c.Token].status)
		}
		r.work(api)
		for card, want := range refusals {
			op := r.run(tasks.UnblockPIN, card)
			wantEnd(t, op, want.code)
			if op.Attempts != 1 || op.Error != nil && op.Error.Retryable {
				t.Errorf("%s: %d attempts, error %+v; want 1, not retryable", card, op.Attempts, op.Error)
			}
		}
		wantCount(t, api, callUnblock, len(refusals))
		wantCount(t, api, callStatus, 1) // That of the conflict.
	})
}

func TestFlow_AConflictOnAnUnblockedCardIsASuccess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{unblock: refuses(payblr.ReasonConflict, 409), status: reads(isUnblocked)}
	r.work(api)
	op := r.run(tasks.UnblockPIN, "101")
	wantEnd(t, op, "")
	if op.UnblockAcceptedAt != nil {
		t.Errorf("unblock_accepted_at = %v, but nothing was accepted", op.UnblockAcceptedAt)
	}
	wantCalls(t, api, callUnblock, callStatus)
}

func TestFlow_StillBlockedAfterExactlyFiveReads(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{status: reads(isBlocked)}
		r.work(api)
		op := r.run(tasks.UnblockCVV, "101")
		wantEnd(t, op, tasks.CodeStillBlocked)
		if op.UnblockAcceptedAt == nil || op.Status == nil || !op.Status.Blocked {
			t.Errorf("accepted at %v, status %+v; want both", op.UnblockAcceptedAt, op.Status)
		}
		wantCount(t, api, payblr.CallUnblockCVV, 1)
		wantCount(t, api, payblr.CallCVVStatus, tasks.MaxConfirmReads)
	})
}

func TestFlow_AStatusThatLagsIsConfirmedWhenItTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{status: reads(isBlocked, isBlocked, isUnblocked)}
	r.work(api)
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	wantCalls(t, api, callUnblock, callStatus, callStatus, callStatus)
}

func TestFlow_UnconfirmedWhenNoStatusCanBeReadInTime(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{status: reads(apiError(callStatus, payblr.ReasonUnreadableBody, 200))}
		r.work(api)
		op := r.run(tasks.UnblockPIN, "101", enqueue.ExpiresIn(2*time.Second))
		wantEnd(t, op, tasks.CodeUnconfirmed)
		if op.UnblockAcceptedAt == nil {
			t.Error("unblock_accepted_at is not set")
		}
		wantCount(t, api, callUnblock, 1)
		wantNoneAfter(t, api, op.ExpiresAt)
	})
}

// wantNoneAfter checks that no call began after an operation expired. Redis and the test have one clock.
func wantNoneAfter(t testing.TB, api *fakeAPI, expires time.Time) {
	t.Helper()
	for _, c := range api.made() {
		if c.At.After(expires) {
			t.Errorf("%s began %s after the operation expired", c.Name, c.At.Sub(expires))
		}
	}
}

func TestFlow_NoCallStartsAfterTheOperationExpired(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{unblock: refuses(payblr.ReasonThrottled, 429)}
		r.work(api)
		op := r.run(tasks.UnblockPIN, "101", enqueue.ExpiresIn(2*time.Second))
		wantEnd(t, op, tasks.CodeUnavailable)
		wantNoneAfter(t, api, op.ExpiresAt)
		if n := api.count(callUnblock); n < 3 {
			t.Errorf("%d calls in 2 s, want at least 3", n)
		}
	})
}

func TestFlow_ExpiredBeforeItsTurnMakesNoCall(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		for _, kind := range tasks.Kinds() {
			acc, err := r.store.Accept(t.Context(), opstore.Request{
				Kind: kind, Card: publicToken(t, "101"), Expires: time.Now().Add(-time.Second),
			})
			if err != nil {
				t.Fatalf("Accept: %v", err)
			}
			r.work(api)
			wantEnd(t, r.wait(acc.ID), tasks.CodeExpired)
		}
		wantCalls(t, api)
	})
}

func TestFlow_RefusedCredentialsAreForAnOperator(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{unblock: refuses(payblr.ReasonClientRefused, 401)}
	r.work(api)
	op := r.run(tasks.UnblockPIN, "101")
	wantEnd(t, op, tasks.CodeUnauthorized)
	if op.Error == nil || !op.Error.Retryable {
		t.Errorf("error = %+v, want a retryable one", op.Error)
	}
	wantCount(t, api, callUnblock, maxUnauthorized)
}

func TestFlow_RetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{800 * time.Millisecond, 2500 * time.Millisecond} {
		// The first is waited out in place, the second by asynq.
		t.Run(wait.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			api := &fakeAPI{}
			api.unblock = func(_ context.Context, c fakeCall) error {
				if c.Nth == 1 {
					err := apiError(c.Name, payblr.ReasonThrottled, 429)
					err.RetryAfter = wait
					return err
				}
				api.apply(c)
				return nil
			}
			r.work(api)
			wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
			wantCalls(t, api, callUnblock, callUnblock, callStatus)
			made := api.made()
			if got := made[1].At.Sub(made[0].At); got < wait || got > wait+2*time.Second {
				t.Errorf("called again after %s, want %s and little more", got, wait)
			}
		})
	}
}

func TestFlow_AnAbsurdRetryAfterFailsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{unblock: func(_ context.Context, c fakeCall) error {
		err := apiError(c.Name, payblr.ReasonThrottled, 429)
		err.RetryAfter = time.Hour
		return err
	}}
	r.work(api)
	op := r.run(tasks.UnblockPIN, "101")
	wantEnd(t, op, tasks.CodeUnavailable)
	if took := op.UpdatedAt.Sub(op.CreatedAt); took > time.Minute {
		t.Errorf("it took %s to say that it is hopeless", took)
	}
	wantCount(t, api, callUnblock, 1)
}

func TestFlow_APanicIsADefectAndTheProcessLives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	api.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Token == "666" {
			panic("canary of a panic")
		}
		return api.card(c), nil
	}
	r.work(api)
	op := r.run(tasks.RefreshPINStatus, "666")
	wantEnd(t, op, tasks.CodeInternal)
	wantCount(t, api, callStatus, maxPanics)
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
}

func TestFlow_APanicInAnUnblockIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := &fakeAPI{}
	api.unblock = func(_ context.Context, c fakeCall) error {
		api.apply(c)
		panic("after it was applied")
	}
	r.work(api)
	wantEnd(t, r.run(tasks.UnblockPIN, "101"), "")
	wantCalls(t, api, callUnblock, callStatus)
}

func TestFlow_ConcurrentRequestsForACardAreOneOperation(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := &fakeAPI{}
		release := make(chan struct{})
		api.unblock = func(_ context.Context, c fakeCall) error {
			<-release
			api.apply(c)
			return nil
		}
		r.work(api)
		r.work(api)
		const n = 20
		ids := make([]string, n)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				acc, err := r.client.UnblockPIN(t.Context(), "101")
				if err != nil {
					t.Errorf("UnblockPIN: %v", err)
				}
				ids[i] = acc.ID
			})
		}
		all.Wait()
		close(release)
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("ids %s and %s, want one", ids[0], id)
			}
		}
		wantEnd(t, r.wait(ids[0]), "")
		wantCalls(t, api, callUnblock, callStatus)
	})
}
