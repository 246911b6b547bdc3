package sandbox

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzDecodeFaults(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `[{"do":"reset"},{"do":"hang","hold":"2s"}]`, `{"delay":"1h"}`, `{"fields":{"a":null}}`,
		`{"call":"pin","count":2,"at":"after","do":"status","status":502,"body":"html","headers":{"Retry-After":"-1"}}`,
		`{"probability":1e309}`, `[`, `{"delay":"-1s"}`, `{"size":99999999999}`, `{"headers":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		faults, err := decodeFaults(data)
		if err != nil {
			return
		}
		s := script{}
		if s.add(faults...) != nil {
			return
		}
		// What was accepted can be written, read again and is then the same;
		// and making its answer neither panics nor goes past its bounds.
		text, err := json.Marshal(s.list())
		if err != nil {
			t.Fatalf("accepted faults cannot be marshalled: %v", err)
		}
		again, err := decodeFaults(text)
		if err != nil {
			t.Fatalf("decodeFaults(%s) = %v", text, err)
		}
		if diff := cmp.Diff(s.list(), again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after a round trip (-first +second):\n%s", diff)
		}
		for _, fault := range again {
			if a := fault.madeUp(CallPINStatus); len(a.body) > maxHugeSize {
				t.Errorf("an answer of %d bytes", len(a.body))
			}
		}
	})
}

func FuzzDecodeCard(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"pin":{"blocked":true}}`, `{"pin_value":"0000"}`, `{"cvv":{"remaining_offline_tries":-1}}`,
		`{"behaviour":"stuck","pin":{"lag_reads":-1}}`, `{"public_token":"x"}`, `{}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := cards{byToken: map[string]*card{}, maxTries: 3}
		err := s.update("103169946", func(c *Card) error { return decodeCard(data, c) })
		c := s.find("103169946")
		if c == nil {
			t.Fatal("the card of a magic range is gone")
		}
		if problem := c.state.settle(); problem != nil {
			t.Errorf("update = %v left a card that is wrong: %v", err, problem)
		}
		if err != nil && !cmp.Equal(c.state, s.fresh("103169946", BehaviourBlocked)) {
			t.Errorf("update = %v changed the card", err)
		}
	})
}
