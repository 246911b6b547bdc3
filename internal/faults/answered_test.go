package faults

import (
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// entry is a call of the ledger that took from begin to end, in ms after noon.
func entry(call sandbox.Call, fault string, begin, end int) sandbox.Entry {
	ended := noon.Add(time.Duration(end) * time.Millisecond)
	return sandbox.Entry{Call: call, PublicToken: "Zq0000001", Fault: fault, ReceivedAt: noon.Add(time.Duration(begin) * time.Millisecond), EndedAt: &ended}
}

func TestBurned_FindsAnAttemptThatMadeNoCall(t *testing.T) {
	t.Parallel()
	r := &run{asked: []request{{Request: audit.Request{ID: "op", Card: "Zq0000001"}}}}
	r.result.Calls = []sandbox.Entry{entry(sandbox.CallPINStatus, "", 0, 10)}
	r.result.Finals = map[string]tasks.Operation{"op": {Attempts: 1}}
	if got := r.burned(); got != "" {
		t.Errorf("one attempt and one call: %s", got)
	}
	r.result.Finals["op"] = tasks.Operation{Attempts: 2}
	if got := r.burned(); got == "" {
		t.Error("two attempts and one call were not found")
	}
}

func TestProbesWhileDown_CountsFromASecondAfterTheFirstFailure(t *testing.T) {
	t.Parallel()
	calls := []sandbox.Entry{
		entry(sandbox.CallPINStatus, "", 0, 1), entry(sandbox.CallPINStatus, outage, 100, 101),
		entry(sandbox.CallPINStatus, outage, 1000, 1001), entry(sandbox.CallPINStatus, outage, 1200, 1201),
		entry(sandbox.CallPINStatus, outage, 3200, 3201), entry(sandbox.CallPINStatus, "", 5000, 5001),
	}
	if got := probesWhileDown(2, calls); got != "" {
		t.Errorf("two probes: %s", got)
	}
	if probesWhileDown(1, calls) == "" || probesWhileDown(1, calls[:1]) == "" {
		t.Error("a second probe, or an outage that never was, was not found")
	}
}

func TestAtOnce_CountsWhatOverlaps(t *testing.T) {
	t.Parallel()
	calls := []sandbox.Entry{
		entry(sandbox.CallToken, "", 0, 100), entry(sandbox.CallToken, "", 50, 150), entry(sandbox.CallToken, "", 100, 200),
		entry(sandbox.CallPINStatus, "", 60, 70),
	}
	if got := atOnce(tokenRequests(calls)); got != 2 {
		t.Errorf("atOnce = %d, want 2", got)
	}
}
