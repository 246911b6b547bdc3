package tasks

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unique"
)

// MaxPublicToken is the length of the longest public token, in characters.
const MaxPublicToken = 9

// ErrInvalidPublicToken says that a string is no public token. The errors that wrap it say what is
// wrong with it and never repeat it: what was typed may be a card number.
var ErrInvalidPublicToken = errors.New("invalid public token")

// PublicToken identifies a card towards the card processor: 1 to 9 ASCII letters or digits. It is not a
// card number, but it alone addresses the card for this client, so it is confidential. However it is
// printed, formatted, marshalled or logged, only its last three characters show; [PublicToken.Reveal]
// is the one way to the whole.
//
// The zero value is no token. Make one with [ParsePublicToken]. Equal tokens compare as equal with ==.
type PublicToken struct {
	// A handle, because fmt ignores the methods of a value that it finds in an unexported field, or
	// that it prints with a verb that does not fit (%p), and would print a plain string. Of a handle it
	// prints an address.
	h unique.Handle[string]
}

// ParsePublicToken checks s and returns it as a token. The error wraps [ErrInvalidPublicToken].
func ParsePublicToken(s string) (PublicToken, error) {
	if err := CheckPublicToken(s); err != nil {
		return PublicToken{}, err
	}
	return PublicToken{unique.Make(s)}, nil
}

// CheckPublicToken reports what [ParsePublicToken] would find wrong with s.
func CheckPublicToken(s string) error {
	digits, foreign := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			// Counting goes on: card numbers are often typed in groups, or come with a line's end, and
			// then the message has to say so.
			foreign = true
		}
	}
	switch {
	case digits >= 12:
		return fmt.Errorf("%w: this looks like a card number, which must never be given; use the card's public token (1 to %d letters or digits)", ErrInvalidPublicToken, MaxPublicToken)
	case s == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidPublicToken)
	case foreign:
		return fmt.Errorf("%w: it has a character that is no ASCII letter or digit", ErrInvalidPublicToken)
	case len(s) > MaxPublicToken:
		return fmt.Errorf("%w: it has %d characters, at most %d are allowed", ErrInvalidPublicToken, len(s), MaxPublicToken)
	}
	return nil
}

// Reveal returns the whole token, for the path of an API call and for the operation record, and for
// nothing else.
func (t PublicToken) Reveal() string {
	if t.IsZero() {
		return ""
	}
	return t.h.Value()
}

// IsZero reports whether t is the zero value.
func (t PublicToken) IsZero() bool { return t == PublicToken{} }

// Masked returns the token with all but its last three characters replaced by asterisks. A token of
// three characters or fewer is masked whole.
func (t PublicToken) Masked() string {
	s := t.Reveal()
	if len(s) <= 3 {
		return strings.Repeat("*", len(s))
	}
	return strings.Repeat("*", len(s)-3) + s[len(s)-3:]
}

// String returns the masked token.
func (t PublicToken) String() string { return t.Masked() }

// Format writes the masked token whatever the verb, so that %#v and %d keep the secret too.
func (t PublicToken) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.Masked())) }

// MarshalText returns the masked token.
func (t PublicToken) MarshalText() ([]byte, error) { return []byte(t.Masked()), nil }

// LogValue returns the masked token.
func (t PublicToken) LogValue() slog.Value { return slog.StringValue(t.Masked()) }
