package payblr

import (
	"context"
	"encoding/json"
)

// PIN is a card's PIN. Like [Secret] it prints, formats, marshals and logs as a
// placeholder; only Reveal returns the digits. It deliberately cannot be read
// back from text or JSON. The zero value is no PIN.
type PIN struct {
	hidden
}

// NewPIN wraps digits, unchecked, for code that stands in for a [Client].
func NewPIN(digits string) PIN { return PIN{hide(digits)} }

// Equal reports, in constant time, whether two PINs are the same.
func (p PIN) Equal(o PIN) bool { return p.equal(o.hidden) }

// PIN reads the card's current PIN. Deployments may not offer this call and then
// answer 404 ([ClassNotFound]) or 403 ([ClassNotAllowed]). Errors are [*Error].
// The buffer that the reply was read into is erased; copies that TLS and the
// transport made, and the returned PIN, are left to the garbage collector.
func (c *Client) PIN(ctx context.Context, publicToken string) (PIN, error) {
	var pin PIN
	err := c.call(ctx, CallPIN, publicToken, nil, func(body []byte) (reason Reason) {
		pin, reason = decodePIN(body)
		return reason
	})
	return pin, err
}

// A PIN has 4 digits in every example and 4 to 12 in the PIN Control fields. It
// must come as a string: a number has lost its leading zeros.
const (
	minPINDigits = 4
	maxPINDigits = 12
)

// decodePIN reads {"pin":"…"}, ignoring other fields. A key that comes twice
// must carry the same digits both times.
func decodePIN(body []byte) (PIN, Reason) {
	body, reason := trimBody(body)
	if reason != "" {
		return PIN{}, reason
	}
	var reply struct {
		PIN seenStrings `json:"pin"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return PIN{}, ReasonUnreadableBody
	}
	digits, ok := reply.PIN.only()
	if !ok || len(digits) < minPINDigits || len(digits) > maxPINDigits {
		return PIN{}, ReasonWrongShape
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return PIN{}, ReasonWrongShape
		}
	}
	return NewPIN(digits), ""
}
