package tasks

import (
	"fmt"
	"unicode/utf8"
)

// Bounds on what a caller says about an unblock, in characters. The API takes as much.
const (
	MaxReason    = 800
	MaxUpdatedBy = 100
)

// MaxIdempotencyKey is the length of the longest idempotency key, in bytes.
const MaxIdempotencyKey = 255

// CheckReason returns an error that names what is wrong when reason is too long, is not valid UTF-8, or
// holds what looks like a card number. It does not repeat the text.
func CheckReason(reason string) error { return checkText("reason", reason, MaxReason) }

// CheckUpdatedBy does the same for the name of whoever asks for an unblock.
func CheckUpdatedBy(name string) error { return checkText("updated-by", name, MaxUpdatedBy) }

func checkText(name, s string, most int) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("the %s is not valid UTF-8", name)
	}
	if n := utf8.RuneCountInString(s); n > most {
		return fmt.Errorf("the %s has %d characters, at most %d are allowed", name, n, most)
	}
	if HasCardNumber(s) {
		return fmt.Errorf("the %s holds what looks like a card number, which must never be given", name)
	}
	return nil
}

// CheckIdempotencyKey returns an error unless key is 1 to [MaxIdempotencyKey] printable ASCII
// characters. It does not repeat the key.
func CheckIdempotencyKey(key string) error {
	if key == "" || len(key) > MaxIdempotencyKey {
		return fmt.Errorf("the idempotency key has %d characters, 1 to %d are allowed", len(key), MaxIdempotencyKey)
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return fmt.Errorf("the idempotency key has a character at position %d that is not printable ASCII", i+1)
		}
	}
	return nil
}
