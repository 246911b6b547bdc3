package sandbox_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func TestPIN_IsDerivedFromSeedAndToken(t *testing.T) {
	t.Parallel()
	b1, b2 := start(t, sandbox.Config{Seed: 7}), start(t, sandbox.Config{Seed: 7})
	pins := map[string]bool{}
	for i := range 20 {
		token := fmt.Sprintf("1000000%02d", i)
		first, _ := b1.wantStatus(sandbox.CallPIN, token, 200).object(t)["pin"].(string)
		second := b2.wantStatus(sandbox.CallPIN, token, 200).object(t)["pin"]
		if first != second || !regexp.MustCompile(`^[0-9]{4}$`).MatchString(first) {
			t.Errorf("card %d: two sandboxes of one seed differ, or no four digits", i)
		}
		if known, ok := b1.box.PINOf(token); !ok || string(known) != first {
			t.Errorf("card %d: PINOf differs from the PIN call", i)
		}
		pins[first] = true
	}
	if len(pins) < 15 {
		t.Errorf("20 cards have %d different PINs, want about 20", len(pins))
	}
}

func TestPIN_LeavesTheSandboxOnlyByThePINCall(t *testing.T) {
	t.Parallel()
	const canary = "918273645546"
	var mu sync.Mutex
	var log strings.Builder
	b := start(t, sandbox.Config{Log: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		log.WriteString(line + "\n")
	}})
	r := b.must(b.send("POST", "/_sandbox/cards/"+blockedCard, `{"pin_value":"`+canary+`"}`))
	containsNone(t, "answer to the control call", string(r.body), canary)
	if got := b.wantStatus(sandbox.CallPIN, blockedCard, 200).object(t)["pin"]; got != canary {
		t.Fatal("the PIN call does not give the PIN that was set")
	}
	r = b.must(b.send("GET", "/_sandbox/ledger", ""))
	containsNone(t, "ledger", string(r.body), canary)
	card, _ := b.box.Card(blockedCard)
	pin, _ := b.box.PINOf(blockedCard)
	asJSON, err := json.Marshal(sandbox.Card{PINValue: pin})
	if err != nil {
		t.Fatal(err)
	}
	containsNone(t, "printed", fmt.Sprintf("%v %+v %#v %s %q %x %d %s", card, card, sandbox.Card{PINValue: pin}, pin, pin, pin, pin, asJSON), canary)
	mu.Lock()
	defer mu.Unlock()
	containsNone(t, "log", log.String(), canary, blockedCard, b.bearer)
	if !strings.Contains(log.String(), "pin ******946 answered 200") {
		t.Errorf("log has no line of the PIN call:\n%s", log.String())
	}
}

func TestPIN_BadValueIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for _, bad := range []string{"918", "9182736455463", "91x8"} {
		err := b.box.SetCard(sandbox.Card{PublicToken: "1", PINValue: sandbox.PIN(bad)})
		if err == nil {
			t.Errorf("a PIN of %d characters is accepted", len(bad))
			continue
		}
		containsNone(t, "error", err.Error(), bad)
	}
}
