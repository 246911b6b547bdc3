package tasks

import (
	"strings"
	"testing"
)

func TestHasCardNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"4111111111111111":                    true,
		"card 4111 1111 1111 1111 verified":   true,
		"card 4111-1111-1111-1111":            true,
		"(378282246310005)":                   true, // 15 digits
		`{"public_token":"5555555555554444"}`: true,
		"4111111111111112":                    false, // the check digit is wrong
		"case 4711, 2026-11-22 10:00:00":      false,
		"103169946":                           false,
		"41111111111111110000000":             false, // 23 digits are no card number
		"case 4711 4111 1111 1111 1111":       true,  // among other groups
		"1 4111111111111111":                  true,
		"4111-1111-1111-1111 2026":            true,
		"2026.11.28 4111.1111.1111.1112 10":   false,
		"":                                    false,
	} {
		if got := HasCardNumber(text); got != want {
			t.Errorf("HasCardNumber(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestCheckReason_RefusesACardNumberAndDoesNotRepeatIt(t *testing.T) {
	t.Parallel()
	for what, check := range map[string]func(string) error{"reason": CheckReason, "updated-by": CheckUpdatedBy} {
		err := check("card 4111 1111 1111 1111 verified")
		if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "card number") {
			t.Errorf("%s with a card number: %v, want an error that says so", what, err)
		}
		if err != nil && strings.Contains(err.Error(), "1111") {
			t.Errorf("the error repeats the card number: %v", err)
		}
	}
}
