package tasks

import "fmt"

// Kind says what a backend asked for. The zero value is no kind and is not valid.
type Kind string

// The kinds of operation. Each works on one card.
const (
	// UnblockCVV unblocks the card's CVV and confirms it by reading the status back.
	UnblockCVV Kind = "unblock_cvv"
	// UnblockPIN unblocks the card's PIN, which resets its try counter, and confirms it by reading the
	// status back.
	UnblockPIN Kind = "unblock_pin"
	// RefreshCVVStatus reads the status of the card's CVV once.
	RefreshCVVStatus Kind = "refresh_cvv_status"
	// RefreshPINStatus reads the status of the card's PIN once.
	RefreshPINStatus Kind = "refresh_pin_status"
)

// Kinds lists every kind, in the order of their names.
func Kinds() []Kind {
	return []Kind{RefreshCVVStatus, RefreshPINStatus, UnblockCVV, UnblockPIN}
}

// Valid reports whether k is one of [Kinds].
func (k Kind) Valid() bool {
	_, ok := firstTypes[k]
	return ok
}

// Unblocks reports whether an operation of this kind changes the card. Only such operations are
// confirmed, and only they count against the velocity limit.
func (k Kind) Unblocks() bool { return k == UnblockCVV || k == UnblockPIN }

// Credential is the thing on the card that a kind is about.
type Credential string

// The credentials.
const (
	PIN Credential = "pin"
	CVV Credential = "cvv"
)

// Credential returns what the kind works on, or "" for an invalid kind.
func (k Kind) Credential() Credential {
	switch k {
	case UnblockPIN, RefreshPINStatus:
		return PIN
	case UnblockCVV, RefreshCVVStatus:
		return CVV
	default:
		return ""
	}
}

// UnblockKind returns the kind that unblocks c. The error names what was given: "pin" and "cvv" are
// what there is.
func UnblockKind(c Credential) (Kind, error) {
	return kindOf(c, UnblockPIN, UnblockCVV)
}

// RefreshKind returns the kind that reads the status of c. The error names what was given.
func RefreshKind(c Credential) (Kind, error) {
	return kindOf(c, RefreshPINStatus, RefreshCVVStatus)
}

func kindOf(c Credential, pin, cvv Kind) (Kind, error) {
	switch c {
	case PIN:
		return pin, nil
	case CVV:
		return cvv, nil
	default:
		return "", fmt.Errorf("%q is neither pin nor cvv", string(c))
	}
}
