package worker

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func TestSandbox_AnUnblockIsOneTokenOnePOSTAndOneRead(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := startSandbox(t, sandbox.Config{})
		r.work(clientOf(t, api))
		for _, tc := range []struct {
			kind tasks.Kind
			card string
			want []sandbox.Call
		}{
			{tasks.UnblockPIN, "103169946", []sandbox.Call{sandbox.CallToken, sandbox.CallUnblockPIN, sandbox.CallPINStatus}},
			{tasks.UnblockCVV, "103169947", []sandbox.Call{sandbox.CallUnblockCVV, sandbox.CallCVVStatus}},
			{tasks.RefreshPINStatus, "103169948", []sandbox.Call{sandbox.CallPINStatus}},
			{tasks.RefreshCVVStatus, "103169949", []sandbox.Call{sandbox.CallCVVStatus}},
		} {
			api.ResetLedger()
			wantEnd(t, r.run(tc.kind, tc.card, enqueue.Reason("forgot it")), "")
			calls := api.Ledger()
			if got := namesOf(calls); !slices.Equal(got, tc.want) {
				t.Errorf("%s: the API saw %v, want %v", tc.kind, got, tc.want)
			}
			for _, c := range calls {
				if c.Body == nil {
					continue
				}
				if !strings.HasPrefix(c.ContentType, "application/json") {
					t.Errorf("%s: content type %q, want JSON", tc.kind, c.ContentType)
				}
				if tc.kind == tasks.UnblockCVV && (c.Body.Status == nil || *c.Body.Status != payblr.StatusUnblocked) {
					t.Errorf("the PUT asks for %v, want %s", c.Body.Status, payblr.StatusUnblocked)
				}
			}
		}
	})
}

func TestSandbox_EveryMagicCardEndsAsItsTableSays(t *testing.T) {
	t.Parallel()
	const read, unblock = sandbox.CallPINStatus, sandbox.CallUnblockPIN
	r := newRig(t)
	api := startSandbox(t, sandbox.Config{})
	r.work(clientOf(t, api, func(c *payblr.Config) { c.Timeout = 4 * time.Second }))
	run := audit.Run{Finals: map[string]tasks.Operation{}, Bound: 5 * time.Second, Slack: 50 * time.Millisecond}
	ids := map[string]string{}
	cards := []struct {
		behaviour sandbox.Behaviour
		code      tasks.Code
		// calls are those that the API has to see; nil where their number is a matter of time.
		calls []sandbox.Call
	}{
		{sandbox.BehaviourBlocked, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourUnblocked, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourUnauthorized, "", []sandbox.Call{unblock, unblock, read, read}},
		{sandbox.BehaviourNotAllowed, tasks.CodeNotAllowed, []sandbox.Call{unblock}},
		{sandbox.BehaviourUnknown, tasks.CodeCardNotFound, []sandbox.Call{unblock}},
		{sandbox.BehaviourConflict, tasks.CodeRejected, []sandbox.Call{unblock, read}},
		{sandbox.BehaviourThrottled, "", []sandbox.Call{unblock, unblock, read, read}},
		{sandbox.BehaviourFailing, tasks.CodeUnavailable, nil},
		{sandbox.BehaviourFailsTwice, "", []sandbox.Call{unblock, read, read, read, read, unblock, read, read, unblock, read}},
		{sandbox.BehaviourSlow, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourLagging, "", []sandbox.Call{unblock, read, read, read}},
		{sandbox.BehaviourStuck, tasks.CodeStillBlocked, []sandbox.Call{unblock, read, read, read, read, read}},
		{sandbox.BehaviourLostReply, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourLostRequest, "", []sandbox.Call{unblock, read, read, unblock, read}},
		{sandbox.BehaviourBadGateway, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourSilent, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourUnreadable, tasks.CodeUnconfirmed, nil},
		{sandbox.BehaviourTriesNumber, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourTriesAbsent, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourOfflineTries, "", []sandbox.Call{unblock, read}},
		{sandbox.BehaviourStatusCode, "", []sandbox.Call{unblock, read}},
	}
	example := map[sandbox.Behaviour]string{}
	for _, m := range sandbox.MagicCards() {
		example[m.Behaviour] = m.Example
	}
	if len(cards) != len(example) {
		t.Errorf("%d behaviours are tested, there are %d", len(cards), len(example))
	}
	for _, c := range cards {
		acc := r.accept(tasks.UnblockPIN, example[c.behaviour], enqueue.ExpiresIn(12*time.Second))
		ids[string(c.behaviour)] = acc.ID
		run.Requests = append(run.Requests, audit.Request{Kind: tasks.UnblockPIN, Card: example[c.behaviour], ID: acc.ID})
	}
	for _, c := range cards {
		op := r.wait(ids[string(c.behaviour)])
		run.Finals[op.ID] = op
		t.Run(string(c.behaviour), func(t *testing.T) {
			wantEnd(t, op, c.code)
			got := namesOf(callsFor(api, example[c.behaviour]))
			if c.calls != nil && !slices.Equal(got, c.calls) {
				t.Errorf("the API saw %v, want %v\n%s", got, c.calls, r.history(op.ID))
			}
		})
	}
	events, err := audit.Events(t.Context(), r.store)
	if err != nil {
		t.Fatalf("read the events: %v", err)
	}
	run.Events, run.Calls = events, api.Ledger()
	report(t, run)
}

func TestSandbox_NoCallStartsWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := startSandbox(t, sandbox.Config{})
	// A limiter that lets nobody through until the time is over.
	never := func(ctx context.Context, _ payblr.CallName) error {
		<-ctx.Done()
		return nil
	}
	r.work(clientOf(t, api, func(c *payblr.Config) { c.Gate = never }))
	for _, kind := range []tasks.Kind{tasks.UnblockPIN, tasks.RefreshCVVStatus} {
		op := r.run(kind, "103169946", enqueue.ExpiresIn(time.Second))
		wantEnd(t, op, tasks.CodeExpired)
	}
	if calls := callsFor(api, "103169946"); len(calls) != 0 {
		t.Errorf("the API saw %v, want nothing", namesOf(calls))
	}
}

func TestSandbox_WrongCredentialsEndAsUnauthorized(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	api := startSandbox(t, sandbox.Config{})
	r.work(clientOf(t, api, func(c *payblr.Config) { c.ClientSecret = payblr.NewSecret("wrong") }))
	op := r.run(tasks.UnblockPIN, "103169946")
	wantEnd(t, op, tasks.CodeUnauthorized)
	if strings.Contains(op.Error.Message+r.log.String(), "wrong\"") {
		t.Error("the secret was repeated")
	}
	if calls := callsFor(api, "103169946"); len(calls) != 0 {
		t.Errorf("the API saw %v, want nothing", namesOf(calls))
	}
}
