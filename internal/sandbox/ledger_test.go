package sandbox_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func TestLedger_HoldsTheWholeStoryOfAnUnblock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	b := start(t, sandbox.Config{Now: func() time.Time { return now }})
	b.must(b.send("PUT", cvvStatus, `{"status":"Unblocked","description":"case 4711","updatedBy":"ops"}`,
		"X-Correlation-Id", "corr-1", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Idempotency-Key", "k"))
	b.wantSaid(sandbox.CallCVVStatus, blockedCard, "Unblocked")
	want := []sandbox.Entry{
		{
			Seq: 2, Call: sandbox.CallUnblockCVV, PublicToken: blockedCard,
			ReceivedAt: now, AppliedAt: &now, EndedAt: &now, AnsweredAt: &now,
			Status: 204, Outcome: sandbox.OutcomeAnswered, BlockedBefore: new(true), BlockedAfter: new(false),
			ContentType: "application/json", CorrelationID: "corr-1",
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", IdempotencyKey: "k",
			Body: &sandbox.EntryBody{Status: new("Unblocked"), Description: new("case 4711"), UpdatedBy: new("ops")},
		},
		{
			Seq: 3, Call: sandbox.CallCVVStatus, PublicToken: blockedCard,
			ReceivedAt: now, ReadAt: &now, EndedAt: &now, AnsweredAt: &now,
			Status: 200, Outcome: sandbox.OutcomeAnswered, SaidBlocked: new(false),
		},
	}
	got := b.box.Ledger()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(sandbox.Entry{}, "RemoteAddr")); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	if got[0].RemoteAddr == "" || got[0].RemoteAddr != got[1].RemoteAddr {
		t.Errorf("connections %q and %q, want one and the same", got[0].RemoteAddr, got[1].RemoteAddr)
	}
}

func TestLedger_ShowsACallThatIsStillOpen(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{At: sandbox.After, Do: sandbox.DoHang})
	b.leaveDuring(sandbox.CallUnblockPIN, blockedCard, func(e sandbox.Entry) bool {
		if e.AppliedAt == nil {
			return false
		}
		if got := b.last(); got.Outcome != sandbox.OutcomeOpen || got.EndedAt != nil {
			t.Errorf("ledger during the hang: outcome %s ended %v, want open", got.Outcome, got.EndedAt)
		}
		return true
	})
}

func TestLedger_ForgetsTheOldestBeyondItsLimit(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{LedgerLimit: 3})
	for i := range 5 {
		b.wantStatus(sandbox.CallPINStatus, fmt.Sprintf("10000000%d", i), 200)
	}
	page := b.box.QueryLedger(sandbox.LedgerQuery{})
	var tokens []string
	for _, e := range page.Entries {
		tokens = append(tokens, e.PublicToken)
	}
	if want := []string{"100000002", "100000003", "100000004"}; !slices.Equal(tokens, want) || page.Forgotten != 2 || page.LastSeq != 6 {
		t.Errorf("cards %v, forgotten %d, last %d; want %v, 2, 6", tokens, page.Forgotten, page.LastSeq, want)
	}
}

func TestLedger_QuerySelectsByCardCallAndSeq(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.wantStatus(sandbox.CallPINStatus, "100000001", 200) // seq 2
	b.wantStatus(sandbox.CallCVVStatus, "100000001", 200)
	b.wantStatus(sandbox.CallPINStatus, "100000002", 200)
	for _, test := range []struct {
		query sandbox.LedgerQuery
		want  []uint64
	}{
		{sandbox.LedgerQuery{}, []uint64{2, 3, 4}},
		{sandbox.LedgerQuery{PublicToken: "100000001"}, []uint64{2, 3}},
		{sandbox.LedgerQuery{Call: sandbox.CallPINStatus}, []uint64{2, 4}},
		{sandbox.LedgerQuery{Since: 3}, []uint64{4}},
		{sandbox.LedgerQuery{Since: 4}, nil},
	} {
		var got []uint64
		for _, e := range b.box.QueryLedger(test.query).Entries {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v selects %v, want %v", test.query, got, test.want)
		}
	}
	b.box.ResetLedger()
	b.wantStatus(sandbox.CallPINStatus, "100000001", 200)
	if got := b.last().Seq; got != 5 {
		t.Errorf("seq after a reset %d, want 5: it goes on", got)
	}
}

func TestCounters_CountFeesOfSuccessesOnly(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.wantStatus(sandbox.CallUnblockPIN, "503000001", 503)
	b.wantBroken(sandbox.CallUnblockPIN, "700000001")
	b.wantStatus(sandbox.CallUnblockPIN, blockedCard, 204)
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
	b.wantStatus(sandbox.CallPIN, blockedCard, 200)
	got := b.box.Counters()
	want := map[sandbox.Call]sandbox.CallCount{
		sandbox.CallUnblockPIN: {Received: 3, Applied: 2, Answered: 2, Dropped: 1, Faults: 2, Fees: 1},
		sandbox.CallPINStatus:  {Received: 1, Answered: 1, Fees: 1},
		sandbox.CallPIN:        {Received: 1, Answered: 1},
		sandbox.CallToken:      {}, sandbox.CallCVVStatus: {}, sandbox.CallUnblockCVV: {}, sandbox.CallOther: {},
	}
	if diff := cmp.Diff(want, got.Calls); diff != "" || got.Fees != 2 {
		t.Errorf("fees %d, want 2; calls (-want +got):\n%s", got.Fees, diff)
	}
	if got.ConnectionsAccepted == 0 {
		t.Error("no connections counted")
	}
}

func TestLedger_ConcurrentUnblocksOfOneCardAreInOrder(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	if err := b.box.SetChaos(sandbox.Chaos{Rate: 0.2, Kinds: []sandbox.ChaosKind{sandbox.ChaosStatusAfter, sandbox.ChaosStatusBefore}}); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 40 {
				body := `{"status":"Blocked"}`
				if (i+j)%2 == 0 {
					body = `{"status":"Unblocked"}`
				}
				if _, err := b.send("PUT", cvvStatus, body); err != nil {
					t.Errorf("PUT: %v", err)
				}
				if j%10 == 0 { // readers and writers of everything else, for the race detector
					b.box.Ledger()
					b.box.Counters()
					if err := b.box.AddFault(sandbox.Fault{Count: 1}); err != nil {
						t.Errorf("AddFault: %v", err)
					}
					b.box.Faults()
					b.box.Card(blockedCard)
				}
			}
		})
	}
	clients.Wait()
	applied := slices.DeleteFunc(b.box.Ledger(), func(e sandbox.Entry) bool { return e.AppliedAt == nil })
	slices.SortFunc(applied, func(a, b sandbox.Entry) int { return a.AppliedAt.Compare(*b.AppliedAt) })
	blocked := true
	for _, e := range applied {
		if *e.BlockedBefore != blocked {
			t.Fatalf("entry %d: blocked before %v, but the one applied before it left %v", e.Seq, *e.BlockedBefore, blocked)
		}
		blocked = *e.BlockedAfter
	}
	if c, _ := b.box.Card(blockedCard); c.CVV.Blocked != blocked {
		t.Errorf("the card is blocked %v, want %v as the ledger ends", c.CVV.Blocked, blocked)
	}
	if n := len(applied); n < 200 || n == 320 {
		t.Errorf("%d of 320 applied, want most and not all", n)
	}
}
