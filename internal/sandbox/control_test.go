package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// control makes a control request that must answer with a status.
func (b *bench) control(method, path, body string, want int) reply {
	b.t.Helper()
	r := b.must(b.send(method, "/_sandbox/"+path, body, "Authorization", ""))
	if r.status != want {
		b.t.Fatalf("%s %s: status %d, want %d; body %s", method, path, r.status, want, r.body)
	}
	return r
}

func TestControl_SetsTheGivenFieldsOfACard(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	got := b.control("POST", "cards/200000001", `{"pin":{"blocked":true,"remaining_tries":0,"remaining_offline_tries":2}}`, 200).object(t)
	want := map[string]any{
		"public_token": "200000001", "behaviour": "unblocked",
		"cvv": map[string]any{"blocked": false, "remaining_tries": 3.0, "remaining_offline_tries": nil, "lag_reads": 0.0},
		"pin": map[string]any{"blocked": true, "remaining_tries": 0.0, "remaining_offline_tries": 2.0, "lag_reads": 0.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, b.control("GET", "cards/200000001", "", 200).object(t)); diff != "" {
		t.Errorf("GET (-want +got):\n%s", diff)
	}
	b.wantSaid(sandbox.CallPINStatus, "200000001", "Blocked")
	b.wantSaid(sandbox.CallCVVStatus, "200000001", "Unblocked")
}

func TestControl_MakesCardsOfAnyTokenAndBehaviour(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.control("GET", "cards/AB12", "", 404)
	b.control("POST", "cards/AB12", `{"behaviour":"lost_reply","pin":{"blocked":true}}`, 200)
	b.wantBroken(sandbox.CallUnblockPIN, "AB12")
	b.wantSaid(sandbox.CallPINStatus, "AB12", "Unblocked")

	b.control("POST", "cards/404000001", `{}`, 200)
	b.wantSaid(sandbox.CallPINStatus, "404000001", "Unblocked")
	b.control("POST", "cards/100000001", `{"behaviour":"unknown"}`, 200)
	b.wantStatus(sandbox.CallUnblockPIN, "100000001", 404)
	b.control("POST", "cards/100000002", `{"pin":{"lag_reads":1}}`, 200)
	b.wantStatus(sandbox.CallUnblockPIN, "100000002", 204)
	b.wantSaid(sandbox.CallPINStatus, "100000002", "Blocked")
	b.wantSaid(sandbox.CallPINStatus, "100000002", "Unblocked")
}

func TestControl_SettingACardStartsItsCountsAfresh(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for range 2 {
		b.wantStatus(sandbox.CallPINStatus, "503000001", 503)
		b.wantStatus(sandbox.CallPINStatus, "503000001", 503)
		b.wantStatus(sandbox.CallPINStatus, "503000001", 200)
		b.control("POST", "cards/503000001", `{}`, 200)
	}
}

func TestControl_FaultsComeAndGo(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.control("POST", "faults", `{"name":"slow","call":"pin_status","count":1,"delay":"1ms","headers":{"X-Test":"1"}}`, 204)
	b.control("POST", "faults", ` [{"do":"status","status":503},{"do":"hang","hold":"2s"}]`, 204)
	var listed []sandbox.Fault
	if err := json.Unmarshal(b.control("GET", "faults", "", 200).body, &listed); err != nil {
		t.Fatal(err)
	}
	want := []sandbox.Fault{
		{Name: "slow", Call: "pin_status", Count: 1, At: "before", Do: "pass", Delay: time.Millisecond, Headers: map[string]string{"X-Test": "1"}},
		{Name: "fault-2", Call: "any", At: "before", Do: "status", Status: 503},
		{Name: "fault-3", Call: "any", At: "before", Do: "hang", Hold: 2 * time.Second},
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got := b.wantStatus(sandbox.CallPINStatus, blockedCard, 200).header.Get("X-Test"); got != "1" {
		t.Errorf("X-Test %q, want 1", got)
	}
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 503)
	b.control("DELETE", "faults", "", 204)
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
}

func TestControl_MirrorsChaosLedgerCountersTokensAndReset(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.control("PUT", "chaos", `{"rate":1,"kinds":["throttle"]}`, 204)
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 429)
	if diff := cmp.Diff(map[string]any{"rate": 1.0, "kinds": []any{"throttle"}}, b.control("GET", "chaos", "", 200).object(t)); diff != "" {
		t.Errorf("chaos (-want +got):\n%s", diff)
	}
	b.control("DELETE", "chaos", "", 204)
	b.wantStatus(sandbox.CallUnblockPIN, blockedCard, 204)

	var page sandbox.LedgerPage
	if err := json.Unmarshal(b.control("GET", "ledger?public_token="+blockedCard+"&since=2&call=unblock_pin", "", 200).body, &page); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.box.Ledger()[1:], page.Entries, equateTimes); diff != "" || page.LastSeq != 3 {
		t.Errorf("last seq %d, want 3; entries (-Go +HTTP):\n%s", page.LastSeq, diff)
	}
	if got := b.control("GET", "counters", "", 200).object(t)["fees"]; got != 1.0 {
		t.Errorf("fees %v, want 1", got)
	}
	b.control("DELETE", "ledger", "", 204)
	if n := len(b.box.Ledger()); n != 0 {
		t.Errorf("%d entries after a reset, want 0", n)
	}
	if got := b.control("DELETE", "tokens", "", 200).object(t)["revoked"]; got != 1.0 {
		t.Errorf("revoked %v, want 1", got)
	}
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 401)
	b.control("POST", "reset", "", 204)
	if c, _ := b.box.Card(blockedCard); !c.PIN.Blocked {
		t.Error("the card is still unblocked after a reset")
	}
	if got := b.control("GET", "health", "", 200).object(t)["status"]; got != "ok" {
		t.Errorf("health %v, want ok", got)
	}
	var table []sandbox.MagicCard
	if err := json.Unmarshal(b.control("GET", "magic-cards", "", 200).body, &table); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sandbox.MagicCards(), table); diff != "" {
		t.Errorf("magic cards (-Go +HTTP):\n%s", diff)
	}
}

// equateTimes compares instants: JSON loses the monotonic part and the zone.
var equateTimes = cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })

func TestControl_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "cards/1234567890", `{}`, "public token has 10 characters"},
		{"POST", "cards/a-b", `{}`, "something else than letters and digits"},
		{"POST", "cards/1", `{"public_token":"2"}`, "differs"},
		{"POST", "cards/1", `{"pin":{"remaining_tries":100}}`, "pin.remaining_tries is 100"},
		{"POST", "cards/1", `{"cvv":{"lag_reads":-2}}`, "cvv.lag_reads is -2"},
		{"POST", "cards/1", `{"behaviour":"odd"}`, `behaviour "odd" is unknown`},
		{"POST", "cards/1", `{"blocked":true}`, `unknown field "blocked"`},
		{"POST", "cards/1", `{} {}`, "something follows"},
		{"POST", "cards/1", "", "the body is empty"},
		{"POST", "faults", `{"cal":"pin"}`, `unknown field "cal"`},
		{"POST", "faults", `[{"call":"pin"},{"cal":"pin"}]`, `unknown field "cal"`},
		{"POST", "faults", `{"delay":"soon"}`, "delay: want a duration"},
		{"POST", "faults", `{"delay":3}`, "delay"},
		{"PUT", "chaos", `{"rates":1}`, `unknown field "rates"`},
		{"PUT", "chaos", `{"rate":2}`, "rate 2"},
		{"GET", "ledger?since=x", "", "since"},
		{"GET", "ledger?call=x", "", `call "x"`},
		{"GET", "ledger?card=1", "", `parameter "card"`},
	} {
		got, _ := b.control(test.method, test.path, test.body, 400).object(t)["error"].(string)
		if !strings.Contains(got, test.want) {
			t.Errorf("%s %s %s: error %q, want %q in it", test.method, test.path, test.body, got, test.want)
		}
	}
	if _, ok := b.box.Card("1"); ok {
		t.Error("a refused card exists")
	}
}

func TestControl_RefusesAnotherSite(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	r := b.must(b.send("POST", "/_sandbox/reset", "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"))
	if r.status != 403 {
		t.Errorf("status %d, want 403", r.status)
	}
}
