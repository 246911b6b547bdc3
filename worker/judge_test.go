package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func TestJudge_EveryClassHasItsCodeAndConsequence(t *testing.T) {
	t.Parallel()
	const permanent, conflict, unknown, unsent, tooLate = "permanent ", "conflict ", "unknown ", "unsent ", "tooLate "
	for _, tc := range []struct {
		reason payblr.Reason
		status int
		code   tasks.Code
		facts  string
	}{
		{payblr.ReasonNotFound, 404, tasks.CodeCardNotFound, permanent},
		{payblr.ReasonForbidden, 403, tasks.CodeNotAllowed, permanent},
		{payblr.ReasonBadRequest, 400, tasks.CodeRejected, permanent},
		{payblr.ReasonMethodNotAllowed, 405, tasks.CodeRejected, permanent},
		{payblr.ReasonUnsupportedMediaType, 415, tasks.CodeRejected, permanent},
		{payblr.ReasonUnprocessable, 422, tasks.CodeRejected, permanent},
		{payblr.ReasonInvalidPublicToken, 0, tasks.CodeRejected, permanent},
		{payblr.ReasonConflict, 409, tasks.CodeRejected, permanent + conflict},
		{payblr.ReasonAccessTokenRefused, 401, tasks.CodeUnauthorized, ""},
		{payblr.ReasonClientRefused, 400, tasks.CodeUnauthorized, ""},
		{payblr.ReasonThrottled, 429, tasks.CodeUnavailable, ""},
		{payblr.ReasonServerError, 500, tasks.CodeUnavailable, unknown},
		{payblr.ReasonBadGateway, 502, tasks.CodeUnavailable, unknown},
		{payblr.ReasonServiceUnavailable, 503, tasks.CodeUnavailable, unknown},
		{payblr.ReasonGatewayTimeout, 504, tasks.CodeUnavailable, unknown},
		{payblr.ReasonTimeout, 0, tasks.CodeUnavailable, unknown},
		{payblr.ReasonConnectionLost, 0, tasks.CodeUnavailable, unknown},
		{payblr.ReasonConnectRefused, 0, tasks.CodeUnavailable, ""},
		{payblr.ReasonTokenUnavailable, 503, tasks.CodeUnavailable, ""},
		{payblr.ReasonUnexpectedStatus, 199, tasks.CodeBadResponse, unknown},
		{payblr.ReasonStartedTooLate, 0, tasks.CodeUnavailable, unsent + tooLate},
		{payblr.ReasonGateRefused, 0, tasks.CodeUnavailable, unsent},
		{payblr.ReasonCancelledBeforeSending, 0, tasks.CodeUnavailable, unsent},
	} {
		t.Run(string(tc.reason), func(t *testing.T) {
			t.Parallel()
			j := judge(fmt.Errorf("wrapped: %w", apiError(payblr.CallUnblockPIN, tc.reason, tc.status)))
			var facts strings.Builder
			for _, f := range []struct {
				is   bool
				name string
			}{{j.permanent, permanent}, {j.conflict, conflict}, {j.unknown, unknown}, {j.unsent, unsent}, {j.tooLate, tooLate}} {
				if f.is {
					facts.WriteString(f.name)
				}
			}
			if j.code != tc.code || facts.String() != tc.facts {
				t.Errorf("judge(%s) = %s, %q; want %s, %q", tc.reason, j.code, facts.String(), tc.code, tc.facts)
			}
			if j.upstream != tc.status || j.cause == nil || j.message == "" {
				t.Errorf("judge(%s): upstream %d, cause %v, message %q", tc.reason, j.upstream, j.cause, j.message)
			}
			v := j.verdict()
			if wantEnd := map[bool]ending{true: fail, false: again}[j.permanent]; v.end != wantEnd {
				t.Errorf("verdict of %s ends as %d, want %d", tc.reason, v.end, wantEnd)
			}
			if v.unburned != j.unsent || v.unknown != j.unknown || v.tooLate != j.tooLate {
				t.Errorf("verdict of %s: %+v", tc.reason, v)
			}
		})
	}
}

func TestJudge_SaysWhichCredentialIsRefused(t *testing.T) {
	t.Parallel()
	for reason, want := range map[payblr.Reason]string{
		payblr.ReasonClientRefused:          "PAYBLR_CLIENT_SECRET",
		payblr.ReasonAccessTokenRefused:     "PAYBLR_CLIENT_SECRET",
		payblr.ReasonSubscriptionKeyRefused: "PAYBLR_SUBSCRIPTION_KEY",
	} {
		j := judge(apiError(payblr.CallUnblockPIN, reason, 401))
		if j.code != tasks.CodeUnauthorized || !strings.Contains(j.message, "check "+want) && !strings.Contains(j.message, ", "+want) {
			t.Errorf("%s: %s: %q, want unauthorized and %s", reason, j.code, j.message, want)
		}
	}
}

func TestJudge_AReadIsNeverOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	if j := judge(apiError(payblr.CallPINStatus, payblr.ReasonConnectionLost, 0)); j.unknown {
		t.Error("judge(lost read).unknown = true, want false")
	}
}

func TestJudge_AnUnclassifiedErrorMayHaveApplied(t *testing.T) {
	t.Parallel()
	j := judge(errors.New("secret text"))
	if !j.unknown || j.permanent || j.code != tasks.CodeUnavailable {
		t.Errorf("judge(plain error) = %+v, want unknown, not permanent, unavailable", j)
	}
	if strings.Contains(j.message, "secret") {
		t.Errorf("message %q repeats the error", j.message)
	}
	if !judge(context.Canceled).interrupted {
		t.Error("judge(context.Canceled).interrupted = false, want true")
	}
}

func TestJudge_ACallCancelledBeforeItLeftIsAnInterruption(t *testing.T) {
	t.Parallel()
	err := apiError(payblr.CallUnblockPIN, payblr.ReasonCancelledBeforeSending, 0)
	err.Err = context.Canceled
	if j := judge(err); !j.interrupted || j.unknown {
		t.Errorf("judge = %+v, want interrupted and nothing unknown", j)
	}
}

func TestVerdict_TheZeroValueIsNoEnding(t *testing.T) {
	t.Parallel()
	if (verdict{}).end != undecided {
		t.Errorf("verdict{}.end = %d, want undecided", (verdict{}).end)
	}
}
