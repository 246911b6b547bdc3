package faults

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func TestRecoveries_CountFromTheKillToTheNextBegin(t *testing.T) {
	t.Parallel()
	events := map[string][]opstore.Event{
		"a": {{At: at(0), Name: "begun"}, {At: at(2500), Name: "redispatched"}, {At: at(2600), Name: "begun"}, {At: at(9000), Name: "begun"}},
		"b": {{At: at(0), Name: "begun"}, {At: at(4000), Name: "expired"}},
		"c": {{At: at(0), Name: "begun"}},
	}
	got := recoveries([]kill{{at(100), []string{"a", "b", "c"}}, {at(8000), []string{"a"}}}, events)
	want := []time.Duration{2500 * time.Millisecond, 3900 * time.Millisecond, time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recoveries (-want +got):\n%s", diff)
	}
}

func TestResumption_IsTheFirstStepAfterwards(t *testing.T) {
	t.Parallel()
	events := map[string][]opstore.Event{
		"a": {{At: at(0), Name: "begun"}, {At: at(900), Name: "succeeded"}},
		"b": {{At: at(500), Name: "accepted"}, {At: at(700), Name: "begun"}},
	}
	if d, ok := resumption(at(300), events); !ok || d != 400*time.Millisecond {
		t.Errorf("resumption = %s, %t, want 400ms", d, ok)
	}
	if d, ok := resumption(at(1000), events); ok {
		t.Errorf("resumption = %s although nothing happened", d)
	}
}

func TestQuantilesOf_AreOfTheSorted(t *testing.T) {
	t.Parallel()
	var ds []time.Duration
	for i := range 100 {
		ds = append(ds, time.Duration(100-i)*time.Second)
	}
	want := Quantiles{N: 100, P50: 51 * time.Second, P99: 100 * time.Second, Max: 100 * time.Second}
	if got := QuantilesOf(ds); got != want {
		t.Errorf("QuantilesOf = %+v, want %+v", got, want)
	}
	if got := QuantilesOf(nil); got != (Quantiles{}) {
		t.Errorf("QuantilesOf(nil) = %+v", got)
	}
}

func TestAtMost_FindsTheFullestSecond(t *testing.T) {
	t.Parallel()
	var calls []sandbox.Entry
	for _, ms := range []int{0, 900, 950, 1000, 1950} {
		calls = append(calls, sandbox.Entry{Call: sandbox.CallPINStatus, ReceivedAt: at(ms)})
	}
	calls = append(calls, sandbox.Entry{Call: sandbox.CallToken, ReceivedAt: at(960)})
	if what := atMost(3, calls); what != "" {
		t.Errorf("atMost(3) = %q", what)
	}
	if what := atMost(2, calls); what != "there were 3" {
		t.Errorf("atMost(2) = %q, want there were 3", what)
	}
}

// lossyRun is a run in which Redis went at 5 s and took an operation with it.
func lossyRun(acceptedAt time.Time) *run {
	q := request{audit.Request{Kind: tasks.UnblockPIN, Card: "Zq0000001", ID: "gone"}, acceptedAt}
	return &run{asked: []request{q}, lost: []request{q}, redisGone: []time.Time{at(5000)}}
}

func TestLostLastSecond_RefusesALossFromBefore(t *testing.T) {
	t.Parallel()
	if what := lossyRun(at(3000)).lostLastSecond(); !strings.Contains(what, "gone") {
		t.Errorf("an operation that was accepted two seconds before is gone: %q", what)
	}
}

func TestInLostSecond_IsTheSecondBefore(t *testing.T) {
	t.Parallel()
	r := lossyRun(at(0))
	for _, tc := range []struct {
		from, to int
		want     bool
	}{
		{0, 3000, false}, {0, 4500, true}, {4500, 4600, true}, {0, 9000, true}, {5500, 9000, false},
	} {
		if got := r.inLostSecond(at(tc.from), at(tc.to)); got != tc.want {
			t.Errorf("inLostSecond(%dms, %dms) = %t, want %t", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestDuringPause_FindsACallThatCouldNotWait(t *testing.T) {
	t.Parallel()
	ended := at(0)
	asked := sandbox.Entry{Call: sandbox.CallPINStatus, ReceivedAt: at(-20), EndedAt: &ended, Fault: pause}
	call := func(ms int) sandbox.Entry { return sandbox.Entry{Call: sandbox.CallPINStatus, ReceivedAt: at(ms)} }
	for _, tc := range []struct {
		name  string
		calls []sandbox.Entry
		want  string
	}{
		{"kept", []sandbox.Entry{asked, call(50), call(2000)}, ""},
		{"broken", []sandbox.Entry{asked, call(1900)}, "a call came 1.9s after the API had asked"},
		{"never asked for", []sandbox.Entry{call(50)}, "the API never asked for one"},
	} {
		if got := duringPause(2*time.Second, tc.calls); got != tc.want {
			t.Errorf("%s: duringPause = %q, want %q", tc.name, got, tc.want)
		}
	}
}

// eventsOf makes the events of an operation from "name milliseconds".
func eventsOf(id string, lines ...string) map[string][]opstore.Event {
	var out []opstore.Event
	for _, l := range lines {
		name, ms, _ := strings.Cut(l, " ")
		n, _ := strconv.Atoi(ms)
		out = append(out, opstore.Event{At: at(n), ID: id, Name: name})
	}
	return map[string][]opstore.Event{id: out}
}
