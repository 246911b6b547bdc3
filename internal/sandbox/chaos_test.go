package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// runChaos makes one unblock and one read on each of n cards and returns what
// the ledger says about each, by card and call.
func runChaos(t *testing.T, cfg sandbox.Config, chaos sandbox.Chaos, n int, backwards bool) map[string]truth {
	t.Helper()
	b := start(t, cfg)
	b.client.Transport.(*http.Transport).DisableKeepAlives = true // or net/http re-sends lost reads
	if err := b.box.SetChaos(chaos); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if backwards {
			i = n - 1 - i
		}
		card := fmt.Sprintf("1%08d", i)
		for _, kind := range []sandbox.Call{sandbox.CallUnblockPIN, sandbox.CallPINStatus} {
			if r, err := b.call(kind, card); err != nil && r.status != 0 {
				t.Fatalf("%s on %s: %v", kind, card, err)
			}
		}
	}
	got := map[string]truth{}
	for _, e := range b.box.Ledger() {
		got[e.PublicToken+"/"+string(e.Call)] = truthOf(e)
	}
	if len(got) != 2*n {
		t.Fatalf("the ledger has %d calls, want %d", len(got), 2*n)
	}
	return got
}

func TestChaos_FailsItsShareInEveryWayAndTellsTheTruth(t *testing.T) {
	t.Parallel()
	const n = 400
	hits := map[string]int{}
	for call, got := range runChaos(t, sandbox.Config{Seed: 1}, sandbox.Chaos{Rate: 0.25}, n, false) {
		kind, chaotic := strings.CutPrefix(got.Fault, "chaos:")
		if !chaotic {
			continue
		}
		hits[kind]++
		unblock := strings.HasSuffix(call, "unblock_pin")
		if after := strings.HasSuffix(kind, "_after"); got.Applied != (unblock && after) {
			t.Errorf("%s: %s with applied %v", call, kind, got.Applied)
		}
		if strings.HasPrefix(kind, "reset") != (got.Outcome == sandbox.OutcomeDropped) {
			t.Errorf("%s: %s with outcome %s", call, kind, got.Outcome)
		}
	}
	total := 0
	for _, kind := range []string{"status_before", "status_after", "reset_before", "reset_after", "throttle"} {
		if hits[kind] == 0 {
			t.Errorf("no call failed by %s", kind)
		}
		total += hits[kind]
	}
	if total < 140 || total > 260 {
		t.Errorf("%d of %d calls failed, want about 200", total, 2*n)
	}
}

func TestChaos_DoesNotDependOnTheOrderOfTheCards(t *testing.T) {
	t.Parallel()
	chaos := sandbox.Chaos{Rate: 0.3}
	forwards := runChaos(t, sandbox.Config{Seed: 5}, chaos, 60, false)
	if diff := cmp.Diff(forwards, runChaos(t, sandbox.Config{Seed: 5}, chaos, 60, true)); diff != "" {
		t.Errorf("another order fails other calls (-forwards +backwards):\n%s", diff)
	}
	if cmp.Equal(forwards, runChaos(t, sandbox.Config{Seed: 6}, chaos, 60, false)) {
		t.Error("another seed fails the same calls")
	}
}

func TestChaos_HitsOnlyTheNamedCallsAndKinds(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	err := b.box.SetChaos(sandbox.Chaos{
		Rate: 1, Kinds: []sandbox.ChaosKind{sandbox.ChaosThrottle}, Calls: []sandbox.Call{sandbox.CallPINStatus}, RetryAfter: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.wantStatus(sandbox.CallPINStatus, blockedCard, 429).header.Get("Retry-After"); got != "4" {
		t.Errorf("Retry-After %q, want 4", got)
	}
	b.wantStatus(sandbox.CallUnblockPIN, blockedCard, 204)

	if err := b.box.SetChaos(sandbox.Chaos{Rate: 1, Kinds: []sandbox.ChaosKind{sandbox.ChaosStatusBefore}}); err != nil {
		t.Fatal(err)
	}
	if r := b.postForm(credentials(sandbox.Config{})); r.status != 200 {
		t.Errorf("token: status %d, want 200: chaos hits the token endpoint only when named", r.status)
	}
	if r := b.must(b.call(sandbox.CallPINStatus, blockedCard)); r.status < 500 {
		t.Errorf("status %d, want 5xx", r.status)
	}
	if err := b.box.SetChaos(sandbox.Chaos{}); err != nil {
		t.Fatal(err)
	}
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
}

func TestSetChaos_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for want, chaos := range map[string]sandbox.Chaos{
		"rate 1.1":        {Rate: 1.1},
		"rate -1":         {Rate: -1},
		`kind "fire"`:     {Kinds: []sandbox.ChaosKind{"fire"}},
		`call "any"`:      {Calls: []sandbox.Call{sandbox.CallAny}},
		"retry_after -1:": {RetryAfter: -1},
	} {
		if err := b.box.SetChaos(chaos); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetChaos(%+v) = %v, want an error with %q", chaos, err, want)
		}
	}
}
