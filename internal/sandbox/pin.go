package sandbox

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// PIN is a card's PIN as the API would give it: 4 to 12 digits, leading zeros
// kept. It prints as [redacted] with every verb and in JSON; convert it to a
// string to get at it.
type PIN string

// String hides the PIN.
func (PIN) String() string { return redacted }

// Format hides the PIN whatever the verb.
func (PIN) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON hides the PIN.
func (PIN) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// check refuses what no card can have as its PIN, without repeating it.
func (p PIN) check() error {
	if p == "" {
		return nil
	}
	if len(p) < 4 || len(p) > 12 {
		return fmt.Errorf("pin_value has %d characters: want 4 to 12 digits", len(p))
	}
	for _, c := range []byte(p) {
		if c < '0' || c > '9' {
			return fmt.Errorf("pin_value holds something that is not a digit: want 4 to 12 digits")
		}
	}
	return nil
}

// derivePIN is the four-digit PIN of a card that was given none: the same for
// one seed and token in every run.
func derivePIN(seed uint64, publicToken string) PIN {
	return PIN(fmt.Sprintf("%04d", roll(seed, "pin", publicToken, 0)%10_000))
}
