package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// truth is the part of an entry that an auditor builds on.
type truth struct {
	Outcome sandbox.Outcome
	Status  int
	Applied bool
	Said    string // what a status read said, "" for nothing
	Fault   string
}

func truthOf(e sandbox.Entry) truth {
	t := truth{Outcome: e.Outcome, Status: e.Status, Applied: e.AppliedAt != nil, Fault: e.Fault}
	if e.SaidBlocked != nil {
		t.Said = map[bool]string{true: "Blocked", false: "Unblocked"}[*e.SaidBlocked]
	}
	return t
}

func TestFault_LedgerTellsWhatHappened(t *testing.T) {
	t.Parallel()
	const (
		answered, dropped = sandbox.OutcomeAnswered, sandbox.OutcomeDropped
		before, after     = sandbox.Before, sandbox.After
		broken            = -1 // no whole answer
	)
	tests := []struct {
		name  string
		call  sandbox.Call
		fault sandbox.Fault
		saw   int // status that the client saw, or broken
		want  truth
	}{
		{"pass", sandbox.CallUnblockPIN, sandbox.Fault{}, 204, truth{answered, 204, true, "", "f"}},
		{"status before", sandbox.CallUnblockPIN, sandbox.Fault{Do: sandbox.DoStatus, Status: 503}, 503, truth{answered, 503, false, "", "f"}},
		{"status after", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoStatus, Status: 502}, 502, truth{answered, 502, true, "", "f"}},
		{"reset before", sandbox.CallUnblockCVV, sandbox.Fault{At: before, Do: sandbox.DoReset}, broken, truth{dropped, 0, false, "", "f"}},
		{"reset after", sandbox.CallUnblockCVV, sandbox.Fault{At: after, Do: sandbox.DoReset}, broken, truth{dropped, 0, true, "", "f"}},
		{"close before", sandbox.CallUnblockCVV, sandbox.Fault{Do: sandbox.DoClose}, broken, truth{dropped, 0, false, "", "f"}},
		{"close after", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoClose}, broken, truth{dropped, 0, true, "", "f"}},
		{"hang before", sandbox.CallUnblockPIN, sandbox.Fault{Do: sandbox.DoHang, Hold: time.Millisecond}, broken, truth{dropped, 0, false, "", "f"}},
		{"hang after", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoHang, Hold: time.Millisecond}, broken, truth{dropped, 0, true, "", "f"}},
		{"cut without a body", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoCut}, broken, truth{dropped, 0, true, "", "f"}},
		{"cut error after", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoCut, Status: 500}, broken, truth{dropped, 500, true, "", "f"}},
		{"cut status", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoCut}, broken, truth{dropped, 200, false, "", "f"}},
		{"reset a read", sandbox.CallPINStatus, sandbox.Fault{At: after, Do: sandbox.DoReset}, broken, truth{dropped, 0, false, "", "f"}},
		{"headers only", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoHeadersOnly, Hold: time.Millisecond}, broken, truth{dropped, 200, false, "", "f"}},
		{"slow body", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoSlowBody, Hold: time.Microsecond}, 200, truth{answered, 200, false, "Blocked", "f"}},
		{"slow error", sandbox.CallUnblockPIN, sandbox.Fault{At: after, Do: sandbox.DoSlowBody, Status: 500, Hold: time.Microsecond}, 500, truth{answered, 500, true, "", "f"}},
		{"redirect", sandbox.CallUnblockPIN, sandbox.Fault{Do: sandbox.DoRedirect}, 307, truth{answered, 307, false, "", "f"}},
		{"HTML 200", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: sandbox.BodyHTML}, 200, truth{answered, 200, false, "", "f"}},
		{"truncated JSON", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: sandbox.BodyTruncated}, 200, truth{answered, 200, false, "", "f"}},
		{"huge", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: sandbox.BodyHuge, Size: 1 << 20}, 200, truth{answered, 200, false, "", "f"}},
		{"raw lie", sandbox.CallPINStatus, sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: sandbox.BodyRaw, Raw: `{"status":"Unblocked"}`}, 200, truth{answered, 200, false, "Unblocked", "f"}},
		{"unknown status value", sandbox.CallPINStatus, sandbox.Fault{Fields: map[string]any{"status": "Suspended"}}, 200, truth{answered, 200, false, "", "f"}},
		{"other shape of tries", sandbox.CallPINStatus, sandbox.Fault{Fields: map[string]any{"remainingTries": nil}}, 200, truth{answered, 200, false, "Blocked", "f"}},
		{"close idle after", sandbox.CallUnblockPIN, sandbox.Fault{CloseAfter: true}, 204, truth{answered, 204, true, "", "f"}},
		{"delayed", sandbox.CallUnblockPIN, sandbox.Fault{Delay: time.Millisecond}, 204, truth{answered, 204, true, "", "f"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, sandbox.Config{})
			test.fault.Name, test.fault.Call, test.fault.Count = "f", test.call, 1
			b.addFault(test.fault)
			if test.saw == broken {
				b.wantBroken(test.call, blockedCard)
			} else {
				b.wantStatus(test.call, blockedCard, test.saw)
			}
			e := b.last()
			if diff := cmp.Diff(test.want, truthOf(e)); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			if e.EndedAt == nil || (e.AnsweredAt != nil) != (e.Outcome == answered) {
				t.Errorf("ended %v answered %v with outcome %s", e.EndedAt, e.AnsweredAt, e.Outcome)
			}
			if test.call == sandbox.CallUnblockPIN || test.call == sandbox.CallUnblockCVV {
				c, _ := b.box.Card(blockedCard)
				blocked := map[sandbox.Call]bool{sandbox.CallUnblockPIN: c.PIN.Blocked, sandbox.CallUnblockCVV: c.CVV.Blocked}[test.call]
				if blocked == test.want.Applied {
					t.Errorf("blocked %v although applied %v", blocked, test.want.Applied)
				}
			}
			if n := len(b.box.Faults()); n != 0 {
				t.Errorf("%d faults left, want 0", n)
			}
		})
	}
}

func TestFault_MatchesCallCardSkipAndCount(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{
		Call: sandbox.CallPINStatus, PublicToken: blockedCard, Skip: 1, Count: 2, Do: sandbox.DoStatus, Status: 500,
	})
	b.wantStatus(sandbox.CallPINStatus, "200000001", 200)
	b.wantStatus(sandbox.CallCVVStatus, blockedCard, 200)
	for i, want := range []int{200, 500, 500, 200} {
		r, err := b.call(sandbox.CallPINStatus, blockedCard)
		if err != nil || r.status != want {
			t.Errorf("call %d: status %d, %v, want %d", i+1, r.status, err, want)
		}
	}
}

func TestFault_FirstAddedIsTakenFirst(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Count: 1, Do: sandbox.DoStatus, Status: 500})
	b.addFault(sandbox.Fault{Do: sandbox.DoStatus, Status: 503})
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 500)
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 503)
	if got := b.last().Fault; got != "fault-2" {
		t.Errorf("ledger names %q, want fault-2", got)
	}
	b.box.ClearFaults()
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
}

func TestFault_ProbabilityIsThatShareAndRepeatable(t *testing.T) {
	t.Parallel()
	run := func() (pattern string, hits int) {
		b := start(t, sandbox.Config{Seed: 3})
		b.addFault(sandbox.Fault{Probability: 0.3, Do: sandbox.DoStatus, Status: 500})
		for range 300 {
			r := b.must(b.call(sandbox.CallPINStatus, blockedCard))
			if r.status == 500 {
				hits++
			}
			pattern += string(rune('0' + r.status/100))
		}
		return pattern, hits
	}
	first, hits := run()
	if second, _ := run(); first != second {
		t.Error("two runs with one seed differ")
	}
	if hits < 60 || hits > 120 {
		t.Errorf("%d of 300 calls hit, want about 90", hits)
	}
}

func TestFault_HeadersAndBodiesOfErrors(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	tests := []struct {
		fault sandbox.Fault
		kind  string // content type begins so
		has   string // a part of the body
	}{
		{sandbox.Fault{Status: 400}, "application/problem+json", `"traceId"`},
		{sandbox.Fault{Status: 500}, "application/json", `"activityId"`},
		{sandbox.Fault{Status: 500, Body: sandbox.BodyProblem}, "application/problem+json", `"status":500`},
		{sandbox.Fault{Status: 404, Body: sandbox.BodyAPIM}, "application/json", `"statusCode":404`},
		{sandbox.Fault{Status: 400, Body: sandbox.BodyEntra}, "application/json", `AADSTS90033`},
		{sandbox.Fault{Status: 502, Body: sandbox.BodyHTML}, "text/html", "<h1>Bad Gateway</h1>"},
		{sandbox.Fault{Status: 500, Body: sandbox.BodyEmpty}, "", ""},
		{sandbox.Fault{Status: 200, Body: sandbox.BodyRaw, Raw: "[]", Headers: map[string]string{"Content-Type": "text/csv"}}, "text/csv", "[]"},
		{sandbox.Fault{Status: 429, Headers: map[string]string{"Retry-After": "17"}}, "application/json", "17 seconds"},
		{sandbox.Fault{Status: 429, Headers: map[string]string{"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}}, "application/json", "Rate limit"},
	}
	for _, test := range tests {
		test.fault.Do, test.fault.Count = sandbox.DoStatus, 1
		b.addFault(test.fault)
		r := b.wantStatus(sandbox.CallPINStatus, blockedCard, test.fault.Status)
		if kind := r.header.Get("Content-Type"); !strings.HasPrefix(kind, test.kind) || !strings.Contains(string(r.body), test.has) {
			t.Errorf("%d %s: content type %q, body %.200s; want %q and %q", test.fault.Status, test.fault.Body, kind, r.body, test.kind, test.has)
		}
		if test.has == "" && len(r.body) != 0 {
			t.Errorf("%d %s: body %.200s, want none", test.fault.Status, test.fault.Body, r.body)
		}
		for name, want := range test.fault.Headers {
			if got := r.header.Get(name); got != want {
				t.Errorf("%d: header %s %q, want %q", test.fault.Status, name, got, want)
			}
		}
	}
}

func TestFault_HugeBodyIsAsLongAsAsked(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: sandbox.BodyHuge, Size: 3 << 20})
	r := b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
	if len(r.body) != 3<<20 || !json.Valid(r.body) {
		t.Errorf("body of %d bytes, valid JSON %v; want %d, true", len(r.body), json.Valid(r.body), 3<<20)
	}
}

func TestFault_CutBodyIsHalfOfWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Do: sandbox.DoCut})
	r, err := b.call(sandbox.CallPINStatus, blockedCard)
	if !errors.Is(err, io.ErrUnexpectedEOF) || r.status != 200 || len(r.body) == 0 || json.Valid(r.body) {
		t.Errorf("status %d, body %q, error %v; want 200, half a body, unexpected EOF", r.status, r.body, err)
	}
}

func TestFault_CloseAfterIsNotAnnounced(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{CloseAfter: true, Count: 1})
	r := b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
	if got := r.header.Get("Connection"); got != "" {
		t.Errorf("Connection header %q, want none", got)
	}
	if got := r.object(t)["status"]; got != "Blocked" {
		t.Errorf("status %v, want the true answer", got)
	}
	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	// A GET is re-sent by net/http when the closed connection was picked again.
	b.must(b.sendCtx(ctx, http.MethodGet, pathOf(sandbox.CallPINStatus, blockedCard), ""))
	if reused {
		t.Error("the second request went over the closed connection")
	}
}

func TestFault_ClientThatLeavesDuringTheDelayChangesNothing(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Delay: time.Minute})
	e := b.leaveDuring(sandbox.CallUnblockPIN, blockedCard, func(sandbox.Entry) bool { return true })
	if diff := cmp.Diff(truth{Outcome: sandbox.OutcomeAbandoned, Fault: "fault-1"}, truthOf(e)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestFault_ApplyAfterDisconnectChangesTheCardLate(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Delay: 500 * time.Millisecond, ApplyAfterDisconnect: true})
	e := b.leaveDuring(sandbox.CallUnblockPIN, blockedCard, func(sandbox.Entry) bool { return true })
	if diff := cmp.Diff(truth{Outcome: sandbox.OutcomeAbandoned, Applied: true, Fault: "fault-1"}, truthOf(e)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestFault_TokenEndpoint(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	form := credentials(sandbox.Config{})
	b.addFault(sandbox.Fault{Do: sandbox.DoReset}) // any call is any card call
	if r := b.postForm(form); r.status != 200 {
		t.Errorf("status %d, want 200: call any is not the token endpoint", r.status)
	}
	b.addFault(sandbox.Fault{Call: sandbox.CallToken, Count: 1, Do: sandbox.DoStatus, Status: 503})
	if r := b.postForm(form); r.status != 503 || r.object(t)["error"] != "temporarily_unavailable" {
		t.Errorf("status %d body %s, want 503 temporarily_unavailable", r.status, r.body)
	}
	b.addFault(sandbox.Fault{Call: sandbox.CallToken, Count: 1, Fields: map[string]any{"expires_in": -5}})
	if r := b.postForm(form); r.object(t)["expires_in"] != -5.0 || r.object(t)["access_token"] == nil {
		t.Errorf("body %s, want a token with expires_in -5", r.body)
	}
}

func TestAddFault_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	tests := []struct {
		fault sandbox.Fault
		want  string
	}{
		{sandbox.Fault{Call: "pin_unblock"}, `call "pin_unblock"`},
		{sandbox.Fault{Call: sandbox.CallOther}, `call "other"`},
		{sandbox.Fault{PublicToken: "1234567890"}, "public token has 10 characters"},
		{sandbox.Fault{Call: sandbox.CallToken, PublicToken: "1"}, "has no card"},
		{sandbox.Fault{Skip: -1}, "skip -1"},
		{sandbox.Fault{Probability: 1.5}, "probability 1.5"},
		{sandbox.Fault{At: "during"}, `at "during"`},
		{sandbox.Fault{Do: "explode"}, `do "explode"`},
		{sandbox.Fault{Do: sandbox.DoStatus}, "status 0"},
		{sandbox.Fault{Do: sandbox.DoStatus, Status: 100}, "status 100"},
		{sandbox.Fault{Do: sandbox.DoReset, Status: 500}, "use do status"},
		{sandbox.Fault{Do: sandbox.DoRedirect, Status: 200}, "300 to 399"},
		{sandbox.Fault{Do: sandbox.DoStatus, Status: 204, Body: sandbox.BodyHTML}, "which has none"},
		{sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Body: "xml"}, `body "xml"`},
		{sandbox.Fault{Do: sandbox.DoSlowBody, Body: sandbox.BodyHTML}, "without a status"},
		{sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Raw: "x"}, "raw without body raw"},
		{sandbox.Fault{Do: sandbox.DoStatus, Status: 200, Fields: map[string]any{"a": 1}}, "use do pass"},
		{sandbox.Fault{Do: sandbox.DoHang, CloseAfter: true}, "close_after"},
		{sandbox.Fault{Delay: time.Hour}, "delay 1h0m0s"},
		{sandbox.Fault{Size: 1 << 30}, "size"},
	}
	for _, test := range tests {
		// One bad fault refuses the good one beside it as well.
		err := b.box.AddFault(sandbox.Fault{}, test.fault)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("AddFault(%+v) = %v, want an error with %q", test.fault, err, test.want)
		}
	}
	if n := len(b.box.Faults()); n != 0 {
		t.Errorf("%d faults after refusals, want 0", n)
	}
}
