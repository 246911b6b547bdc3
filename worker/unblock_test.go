package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// reads answers status reads one after the other: a status, or an error.
func reads(answers ...any) func(context.Context, fakeCall) (payblr.Status, error) {
	return func(_ context.Context, c fakeCall) (payblr.Status, error) {
		switch a := answers[min(c.Nth, len(answers))-1].(type) {
		case error:
			return payblr.Status{}, a
		case string:
			return says(a), nil
		default:
			panic("an answer is an error or a status")
		}
	}
}

func refuses(reason payblr.Reason, status int) func(context.Context, fakeCall) error {
	return func(_ context.Context, c fakeCall) error { return apiError(c.Name, reason, status) }
}

const (
	isBlocked   = payblr.StatusBlocked
	isUnblocked = payblr.StatusUnblocked
	callUnblock = payblr.CallUnblockPIN
	callStatus  = payblr.CallPINStatus
)

func TestUnblock_AcceptedIsPassedOnToBeConfirmed(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{}
	v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallOpen)
	if v.end != chain || !v.accepted || v.status != nil {
		t.Errorf("verdict %+v, want chain, accepted, without a status", v)
	}
	wantCalls(t, api, callUnblock)
	if got, want := api.made()[0].Note, (payblr.Note{Description: "forgot it", UpdatedBy: "branch 12"}); got != want {
		t.Errorf("note %+v, want %+v", got, want)
	}
}

func TestUnblock_LostReplyIsNotSentTwice(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{status: reads(isUnblocked)}
	v, pauses := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
	if v.end != succeed || !v.accepted || v.status == nil || v.status.Blocked {
		t.Errorf("verdict %+v, want a success that was accepted, with what was read", v)
	}
	wantCalls(t, api, callStatus)
	if len(pauses) != 0 {
		t.Errorf("paused %v, want no pause", pauses)
	}
}

func TestUnblock_LostRequestIsSentAgainAfterASecondLook(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{status: reads(isBlocked)}
	v, pauses := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
	if v.end != chain {
		t.Errorf("verdict %+v, want chain", v)
	}
	wantCalls(t, api, callStatus, callStatus, callUnblock)
	if !slices.Equal(pauses, []time.Duration{secondLook}) {
		t.Errorf("paused %v, want %v", pauses, secondLook)
	}
}

func TestUnblock_ALaggingStatusIsNotTakenForALostRequest(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{status: reads(isBlocked, isUnblocked)}
	v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
	if v.end != succeed || !v.accepted {
		t.Errorf("verdict %+v, want a success", v)
	}
	wantCalls(t, api, callStatus, callStatus)
}

func TestUnblock_NothingIsSentWhileTheStatusCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		read []any
		end  ending
		code tasks.Code
		want []payblr.CallName
	}{
		{"a passing failure", []any{apiError(callStatus, payblr.ReasonServerError, 500)}, again, tasks.CodeUnavailable, []payblr.CallName{callStatus}},
		{"on the second look", []any{isBlocked, apiError(callStatus, payblr.ReasonTimeout, 0)}, again, tasks.CodeUnavailable, []payblr.CallName{callStatus, callStatus}},
		{"unreadable", []any{apiError(callStatus, payblr.ReasonUnreadableBody, 200)}, again, tasks.CodeBadResponse, []payblr.CallName{callStatus}},
		// What the unblock did is not known, so the read's own code would say too much.
		{"for good", []any{apiError(callStatus, payblr.ReasonNotFound, 404)}, fail, tasks.CodeUnavailable, []payblr.CallName{callStatus}},
	} {
		api := &fakeAPI{status: reads(tc.read...)}
		v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
		if v.end != tc.end || v.code != tc.code || !v.unknown {
			t.Errorf("%s: end %d, code %q, unknown %t; want %d, %q, true", tc.name, v.end, v.code, v.unknown, tc.end, tc.code)
		}
		wantCalls(t, api, tc.want...)
	}
}

func TestUnblock_InterruptedBetweenTheLooksSendsNothing(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{status: reads(isBlocked)}
	a := attempt{
		api:   api,
		rec:   opstore.Record{Kind: tasks.UnblockPIN, Token: publicToken(t, testCard), Call: opstore.CallWas},
		pause: func(context.Context, time.Duration) bool { return false }, looked: new(time.Time),
	}
	v := a.do(t.Context(), tasks.TypeUnblockPIN)
	if v.end != again || !v.interrupted || !v.unknown {
		t.Errorf("verdict %+v, want again, interrupted, unknown", v)
	}
	wantCalls(t, api, callStatus)
}

func TestUnblock_AmbiguousFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  payblr.Reason
		status  int
		unknown bool
	}{
		{payblr.ReasonConnectionLost, 0, true},
		{payblr.ReasonTimeout, 0, true},
		{payblr.ReasonServerError, 500, true},
		{payblr.ReasonThrottled, 429, false},
		{payblr.ReasonConnectRefused, 0, false},
	} {
		api := &fakeAPI{unblock: refuses(tc.reason, tc.status)}
		v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallOpen)
		if v.end != again || v.unknown != tc.unknown {
			t.Errorf("after %s: end %d, unknown %t; want %d, %t", tc.reason, v.end, v.unknown, again, tc.unknown)
		}
	}
}

func TestConflict_IsSettledByTheStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		before   opstore.Call
		read     []any
		end      ending
		code     tasks.Code
		accepted bool
	}{
		{"unblocked already", opstore.CallOpen, []any{isUnblocked}, succeed, "", false},
		{"still blocked", opstore.CallOpen, []any{isBlocked}, fail, tasks.CodeRejected, false},
		{"unblocked by the call before", opstore.CallWas, []any{isBlocked, isBlocked, isUnblocked}, succeed, "", true},
		{"not readable now", opstore.CallOpen, []any{apiError(callStatus, payblr.ReasonServerError, 500)}, again, tasks.CodeUnavailable, false},
		{"not readable ever", opstore.CallOpen, []any{apiError(callStatus, payblr.ReasonForbidden, 403)}, fail, tasks.CodeRejected, false},
	} {
		api := &fakeAPI{unblock: refuses(payblr.ReasonConflict, 409), status: reads(tc.read...)}
		v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, tc.before)
		if v.end != tc.end || v.code != tc.code || v.accepted != tc.accepted {
			t.Errorf("%s: end %d, code %q, accepted %t; want %d, %q, %t", tc.name, v.end, v.code, v.accepted, tc.end, tc.code, tc.accepted)
		}
		if v.unknown {
			t.Errorf("%s: unknown, but a refused unblock applied nothing", tc.name)
		}
		if n := api.count(callUnblock); n != 1 {
			t.Errorf("%s: %d unblock calls, want 1", tc.name, n)
		}
	}
}

// The refused call applied nothing. The one before it may have, and that may be why.
func TestConflict_AfterALostReplyThatCannotBeReadIsNotSettled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		read error
		end  ending
	}{
		{"not readable now", apiError(callStatus, payblr.ReasonServerError, 500), again},
		{"not readable ever", apiError(callStatus, payblr.ReasonForbidden, 403), fail},
	} {
		api := &fakeAPI{unblock: refuses(payblr.ReasonConflict, 409), status: reads(isBlocked, isBlocked, tc.read)}
		v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
		if v.end != tc.end || v.code != tasks.CodeUnavailable || !v.unknown {
			t.Errorf("%s: end %d, code %q, unknown %t; want %d, %q, true", tc.name, v.end, v.code, v.unknown, tc.end, tasks.CodeUnavailable)
		}
	}
}

// The one before may have been applied, be what this one was in conflict with, and not show yet. An operator's retry has
// to look first for the same reason.
func TestConflict_AfterALostReplyThatReadsBlockedLeavesTheLostOneOpen(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{unblock: refuses(payblr.ReasonConflict, 409), status: reads(isBlocked)}
	v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
	if v.end != fail || v.code != tasks.CodeUnavailable || !v.unknown || v.status == nil {
		t.Errorf("end %d, code %q, unknown %t, status %v; want %d, %q, true and one", v.end, v.code, v.unknown, v.status, fail, tasks.CodeUnavailable)
	}
}

func TestUnblock_ARepeatThatWasRefusedDoesNotSettleTheLostOne(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason payblr.Reason
		status int
		end    ending
	}{
		{payblr.ReasonThrottled, 429, again},
		{payblr.ReasonConnectRefused, 0, again},
		{payblr.ReasonForbidden, 403, fail},
	} {
		api := &fakeAPI{unblock: refuses(tc.reason, tc.status), status: reads(isBlocked)}
		v, _ := attemptAt(t, api, tasks.TypeUnblockPIN, opstore.CallWas)
		if v.end != tc.end || !v.unknown {
			t.Errorf("after %s: end %d, unknown %t; want %d, true", tc.reason, v.end, v.unknown, tc.end)
		}
		// The lost one may have been applied since.
		if v.end == fail && v.code != tasks.CodeUnavailable {
			t.Errorf("after %s: code %q, want %q", tc.reason, v.code, tasks.CodeUnavailable)
		}
	}
}
