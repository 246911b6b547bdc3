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

const testCard = "103169946"

func publicToken(t testing.TB, s string) tasks.PublicToken {
	t.Helper()
	card, err := tasks.ParsePublicToken(s)
	if err != nil {
		t.Fatalf("ParsePublicToken(%q): %v", s, err)
	}
	return card
}

// attemptAt makes one attempt at a step whose record says call of an earlier unblock. Pauses take no
// time and are returned.
func attemptAt(t testing.TB, api API, typ tasks.Type, call opstore.Call) (v verdict, pauses []time.Duration) {
	t.Helper()
	a := attempt{
		api: api,
		rec: opstore.Record{
			ID: someLease.ID, Kind: typ.Kind(), Token: publicToken(t, testCard), Call: call,
			Reason: "forgot it", UpdatedBy: "branch 12", Tries: 1,
		},
		pause:  func(_ context.Context, d time.Duration) bool { pauses = append(pauses, d); return true },
		looked: new(time.Time),
	}
	return a.do(t.Context(), typ), pauses
}

func wantCalls(t testing.TB, api *fakeAPI, want ...payblr.CallName) {
	t.Helper()
	if got := api.names(); !slices.Equal(got, want) {
		t.Errorf("the API saw %v, want %v", got, want)
	}
}

func TestAttempt_EachTypeMakesItsOwnCall(t *testing.T) {
	t.Parallel()
	for typ, want := range map[tasks.Type]payblr.CallName{
		tasks.TypeUnblockPIN: payblr.CallUnblockPIN,
		tasks.TypeUnblockCVV: payblr.CallUnblockCVV,
		tasks.TypeConfirmPIN: payblr.CallPINStatus,
		tasks.TypeConfirmCVV: payblr.CallCVVStatus,
		tasks.TypeStatusPIN:  payblr.CallPINStatus,
		tasks.TypeStatusCVV:  payblr.CallCVVStatus,
	} {
		api := &fakeAPI{}
		attemptAt(t, api, typ, opstore.CallOpen)
		wantCalls(t, api, want)
		if made := api.made(); len(made) == 1 && made[0].Token != testCard {
			t.Errorf("%s called for card %q, want %q", typ, made[0].Token, testCard)
		}
	}
}

func TestRefresh_WhateverTheStatusSaysIsTheAnswer(t *testing.T) {
	t.Parallel()
	tries := 2
	for _, value := range []string{payblr.StatusBlocked, payblr.StatusUnblocked} {
		api := &fakeAPI{status: func(context.Context, fakeCall) (payblr.Status, error) {
			st := says(value)
			st.RemainingTries = &tries
			return st, nil
		}}
		v, _ := attemptAt(t, api, tasks.TypeStatusCVV, opstore.CallNone)
		if v.end != succeed || v.status == nil || v.status.Value != value || v.status.RemainingTries == nil || *v.status.RemainingTries != tries {
			t.Errorf("refresh of a card that is %s: %+v", value, v)
		}
	}
}

func TestRefresh_AFailureIsJudged(t *testing.T) {
	t.Parallel()
	for reason, want := range map[payblr.Reason]ending{payblr.ReasonNotFound: fail, payblr.ReasonServerError: again} {
		api := &fakeAPI{status: func(context.Context, fakeCall) (payblr.Status, error) {
			return payblr.Status{}, apiError(payblr.CallPINStatus, reason, 0)
		}}
		if v, _ := attemptAt(t, api, tasks.TypeStatusPIN, opstore.CallNone); v.end != want {
			t.Errorf("refresh after %s ends as %d, want %d", reason, v.end, want)
		}
	}
}
