package payblr

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is what a hidden value prints as, everywhere.
const redacted = "[redacted]"

// hidden holds a string that fmt, encoding and log packages cannot get at. The
// value sits behind a pointer because fmt ignores the String and Format methods
// of a value it reaches through an unexported field, and would print a plain
// string there; of a nested pointer it prints the address.
type hidden struct {
	value *string
}

func hide(s string) hidden {
	if s == "" {
		return hidden{}
	}
	return hidden{value: &s}
}

// Reveal returns the value itself. Its callers are the places to review.
func (h hidden) Reveal() string {
	if h.value == nil {
		return ""
	}
	return *h.value
}

// IsZero reports whether there is no value.
func (h hidden) IsZero() bool { return h.value == nil }

// String returns a placeholder, also for the zero value: whether a secret is
// set is not for a log to tell.
func (h hidden) String() string { return redacted }

// GoString returns a placeholder.
func (h hidden) GoString() string { return redacted }

// Format writes a placeholder whatever the verb and flags.
func (h hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns a placeholder; it covers XML, YAML and map keys.
func (h hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a placeholder.
func (h hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns a placeholder to log/slog.
func (h hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

func (h hidden) equal(o hidden) bool {
	return subtle.ConstantTimeCompare([]byte(h.Reveal()), []byte(o.Reveal())) == 1
}

// Secret is a credential that prints, formats, marshals and logs as a
// placeholder; Reveal returns it. The zero value is the empty secret. Compare
// with Equal: == compares identity. Safe for concurrent use.
type Secret struct {
	hidden
}

// NewSecret wraps s. The string it was made from is not erased.
func NewSecret(s string) Secret { return Secret{hide(s)} }

// Equal reports, in time that does not depend on where they differ, whether two
// secrets are the same.
func (s Secret) Equal(o Secret) bool { return s.equal(o.hidden) }

// UnmarshalText lets configuration readers fill a Secret. It keeps every byte.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
