package sandbox_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// magicChecks holds what each range must do, tried on its example card.
var magicChecks = map[sandbox.Behaviour]func(b *bench, card string){
	sandbox.BehaviourBlocked: func(b *bench, card string) {
		b.wantSaid(sandbox.CallPINStatus, card, "Blocked")
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
		b.wantSaid(sandbox.CallPINStatus, card, "Unblocked")
	},
	sandbox.BehaviourUnblocked: func(b *bench, card string) {
		for _, kind := range []sandbox.Call{sandbox.CallPINStatus, sandbox.CallCVVStatus} {
			got := b.wantStatus(kind, card, 200).object(b.t)
			if diff := cmp.Diff(map[string]any{"status": "Unblocked", "remainingTries": "3"}, got); diff != "" {
				b.t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
		}
	},
	sandbox.BehaviourUnknown: func(b *bench, card string) {
		for _, kind := range cardCalls {
			b.wantStatus(kind, card, 404)
		}
	},
	sandbox.BehaviourUnauthorized: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockPIN, card, 401)
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
	},
	sandbox.BehaviourNotAllowed: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockPIN, card, 403)
		b.wantStatus(sandbox.CallUnblockCVV, card, 403)
		b.wantStatus(sandbox.CallPIN, card, 403)
		b.wantSaid(sandbox.CallPINStatus, card, "Blocked")
	},
	sandbox.BehaviourConflict: func(b *bench, card string) {
		for range 3 {
			b.wantStatus(sandbox.CallUnblockCVV, card, 409)
		}
		b.wantSaid(sandbox.CallCVVStatus, card, "Blocked")
	},
	sandbox.BehaviourThrottled: func(b *bench, card string) {
		for _, kind := range cardCalls {
			r := b.wantStatus(kind, card, 429)
			if got := r.header.Get("Retry-After"); got != "1" {
				b.t.Errorf("%s: Retry-After %q, want 1", kind, got)
			}
			want := map[string]any{"statusCode": 429.0, "message": "Rate limit is exceeded. Try again in 1 seconds."}
			if diff := cmp.Diff(want, r.object(b.t)); diff != "" {
				b.t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
			if again, err := b.call(kind, card); err != nil || again.status/100 != 2 {
				b.t.Errorf("%s again: status %d, %v, want success", kind, again.status, err)
			}
		}
	},
	sandbox.BehaviourFailing: func(b *bench, card string) {
		for range 4 {
			for _, kind := range cardCalls {
				r := b.wantStatus(kind, card, 500)
				if id, _ := r.object(b.t)["activityId"].(string); id == "" {
					b.t.Errorf("%s: body %s, want an activityId", kind, r.body)
				}
			}
		}
	},
	sandbox.BehaviourFailsTwice: func(b *bench, card string) {
		for _, kind := range []sandbox.Call{sandbox.CallUnblockPIN, sandbox.CallPINStatus} {
			b.wantStatus(kind, card, 503)
			b.wantStatus(kind, card, 503)
		}
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
		b.wantSaid(sandbox.CallPINStatus, card, "Unblocked")
	},
	sandbox.BehaviourSlow: func(b *bench, card string) {
		begin := time.Now()
		b.wantSaid(sandbox.CallPINStatus, card, "Blocked")
		if took := time.Since(begin); took < 3*time.Second {
			b.t.Errorf("the call took %v, want 3s or more", took)
		}
	},
	sandbox.BehaviourLagging: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockCVV, card, 204)
		b.wantSaid(sandbox.CallCVVStatus, card, "Blocked")
		b.wantSaid(sandbox.CallCVVStatus, card, "Blocked")
		if e := b.last(); e.SaidBlocked == nil || !*e.SaidBlocked {
			b.t.Errorf("ledger: said_blocked %v, want true although the card is not blocked", e.SaidBlocked)
		}
		b.wantSaid(sandbox.CallCVVStatus, card, "Unblocked")
		b.wantStatus(sandbox.CallUnblockCVV, card, 204)
		b.wantSaid(sandbox.CallCVVStatus, card, "Unblocked") // a repeat does not lag again
	},
	sandbox.BehaviourStuck: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
		for range 8 {
			b.wantSaid(sandbox.CallPINStatus, card, "Blocked")
		}
		if c, _ := b.box.Card(card); c.PIN.Blocked {
			b.t.Error("the card is truly blocked, want unblocked")
		}
	},
	sandbox.BehaviourLostReply: func(b *bench, card string) {
		b.wantBroken(sandbox.CallUnblockPIN, card)
		if e := b.last(); e.AppliedAt == nil || e.Outcome != sandbox.OutcomeDropped || e.Status != 0 {
			b.t.Errorf("ledger: %+v, want applied and dropped", e)
		}
		b.wantSaid(sandbox.CallPINStatus, card, "Unblocked")
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
	},
	sandbox.BehaviourLostRequest: func(b *bench, card string) {
		b.wantBroken(sandbox.CallUnblockPIN, card)
		if e := b.last(); e.AppliedAt != nil || e.Outcome != sandbox.OutcomeDropped {
			b.t.Errorf("ledger: %+v, want dropped and not applied", e)
		}
		b.wantSaid(sandbox.CallPINStatus, card, "Blocked")
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
	},
	sandbox.BehaviourBadGateway: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockCVV, card, 502)
		if e := b.last(); e.AppliedAt == nil || e.Outcome != sandbox.OutcomeAnswered || e.Status != 502 {
			b.t.Errorf("ledger: %+v, want applied and answered 502", e)
		}
		b.wantSaid(sandbox.CallCVVStatus, card, "Unblocked")
	},
	sandbox.BehaviourSilent: func(b *bench, card string) {
		leave := b.leaveDuring(sandbox.CallUnblockPIN, card, func(e sandbox.Entry) bool { return e.AppliedAt != nil })
		if leave.AppliedAt == nil || leave.Outcome != sandbox.OutcomeAbandoned {
			b.t.Errorf("ledger: %+v, want applied and abandoned", leave)
		}
		b.wantSaid(sandbox.CallPINStatus, card, "Unblocked")
	},
	sandbox.BehaviourUnreadable: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
		r := b.wantStatus(sandbox.CallPINStatus, card, 200)
		if kind := r.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
			b.t.Errorf("content type %q, want HTML", kind)
		}
		if e := b.last(); e.SaidBlocked != nil {
			b.t.Errorf("ledger: said_blocked %v, want null", *e.SaidBlocked)
		}
	},
	sandbox.BehaviourTriesNumber: func(b *bench, card string) {
		got := b.wantStatus(sandbox.CallPINStatus, card, 200).object(b.t)
		if diff := cmp.Diff(map[string]any{"status": "Blocked", "remainingTries": 0.0}, got); diff != "" {
			b.t.Errorf("(-want +got):\n%s", diff)
		}
	},
	sandbox.BehaviourTriesAbsent: func(b *bench, card string) {
		got := b.wantStatus(sandbox.CallCVVStatus, card, 200).object(b.t)
		if diff := cmp.Diff(map[string]any{"status": "Blocked"}, got); diff != "" {
			b.t.Errorf("(-want +got):\n%s", diff)
		}
	},
	sandbox.BehaviourOfflineTries: func(b *bench, card string) {
		b.wantStatus(sandbox.CallUnblockPIN, card, 204)
		got := b.wantStatus(sandbox.CallPINStatus, card, 200).object(b.t)
		want := map[string]any{"status": "Unblocked", "remainingTries": "3", "remainingOfflineTries": "0"}
		if diff := cmp.Diff(want, got); diff != "" {
			b.t.Errorf("(-want +got):\n%s", diff)
		}
	},
	sandbox.BehaviourStatusCode: func(b *bench, card string) {
		got := b.wantStatus(sandbox.CallPINStatus, card, 200).object(b.t)
		for _, name := range []string{"status", "statusCode", "description"} {
			if text, _ := got[name].(string); text == "" {
				b.t.Errorf("body %v, want a text at %s", got, name)
			}
		}
	},
}

func TestMagicCards_DoWhatTheirTableSays(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for _, magic := range sandbox.MagicCards() {
		check := magicChecks[magic.Behaviour]
		if check == nil {
			t.Errorf("%s has no check in this test", magic.Behaviour)
			continue
		}
		t.Run(string(magic.Behaviour), func(t *testing.T) {
			t.Parallel()
			check(start(t, sandbox.Config{}), magic.Example)
		})
		first, last, _ := strings.Cut(magic.Range, "-")
		if len(first) != 9 || len(last) != 9 || magic.Example < first || magic.Example > last || magic.Description == "" {
			t.Errorf("%+v: want two ends of nine digits, an example between them, a description", magic)
		}
		for _, end := range []string{first, last} {
			card, ok := b.box.Card(end)
			if want := magic.Behaviour != sandbox.BehaviourUnknown; ok != want || ok && card.Behaviour != magic.Behaviour {
				t.Errorf("Card(%s) = %s, %v, want %s, %v", end, card.Behaviour, ok, magic.Behaviour, want)
			}
		}
	}
	if got, want := len(sandbox.MagicCards()), len(magicChecks); got != want {
		t.Errorf("%d ranges, want %d", got, want)
	}
}

func TestMagicCards_TableIsACopy(t *testing.T) {
	t.Parallel()
	sandbox.MagicCards()[0].Behaviour = "changed"
	if got := sandbox.MagicCards()[0].Behaviour; got == "changed" {
		t.Error("a change of the returned table changes the table")
	}
}

func TestLostReply_IsAConnectionReset(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	err := b.wantBroken(sandbox.CallUnblockPIN, "700000001")
	if !strings.Contains(err.Error(), "reset") && !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want a reset connection", err)
	}
}

// leaveDuring makes a call, gives it up once its entry is as wanted, and
// returns the ended entry.
func (b *bench) leaveDuring(kind sandbox.Call, card string, when func(sandbox.Entry) bool) sandbox.Entry {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	left := make(chan error, 1)
	go func() {
		_, err := b.sendCtx(ctx, methodOf(kind), pathOf(kind, card), bodyOf(kind))
		left <- err
	}()
	e := b.await("the call to come so far", func(e sandbox.Entry) bool { return e.Call == kind && when(e) })
	cancel()
	if err := <-left; err == nil {
		b.t.Errorf("%s on %s was answered, want it given up", kind, card)
	}
	return b.await("the end of the call", func(end sandbox.Entry) bool {
		return end.Seq == e.Seq && end.Outcome != sandbox.OutcomeOpen
	})
}
