package worker

import (
	"testing"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func TestConfirm_OnlyAnUnblockedReadIsASuccess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		read    any
		end     ending
		code    tasks.Code
		blocked bool
	}{
		{"unblocked", isUnblocked, succeed, "", false},
		{"blocked", isBlocked, again, "", true},
		{"not readable now", apiError(callStatus, payblr.ReasonUnreadableBody, 200), again, tasks.CodeBadResponse, false},
		{"throttled", apiError(callStatus, payblr.ReasonThrottled, 429), again, tasks.CodeUnavailable, false},
		// Accepted is accepted: the failure of a read cannot take it back.
		{"not found", apiError(callStatus, payblr.ReasonNotFound, 404), fail, tasks.CodeUnconfirmed, false},
		{"forbidden", apiError(callStatus, payblr.ReasonForbidden, 403), fail, tasks.CodeUnconfirmed, false},
	} {
		api := &fakeAPI{status: reads(tc.read)}
		v, _ := attemptAt(t, api, tasks.TypeConfirmPIN, opstore.CallNone)
		if v.end != tc.end || v.code != tc.code || v.blocked != tc.blocked {
			t.Errorf("%s: end %d, code %q, blocked %t; want %d, %q, %t", tc.name, v.end, v.code, v.blocked, tc.end, tc.code, tc.blocked)
		}
		if (v.status != nil) != (tc.end == succeed || tc.blocked) {
			t.Errorf("%s: status %+v", tc.name, v.status)
		}
		wantCalls(t, api, callStatus)
	}
}
