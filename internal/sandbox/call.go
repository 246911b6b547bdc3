package sandbox

import (
	"fmt"
	"net/http"
	"strings"
)

// Call is one kind of request: what it asks for, whoever the card is. The
// values are the wire names in faults, the ledger and the counters.
type Call string

// The calls. CallAny is for a [Fault] only, where it and the empty value stand
// for the five card calls; the token endpoint is hit only by its own name,
// since a client that gets no token makes no call at all.
const (
	CallAny        Call = "any"
	CallToken      Call = "token"
	CallCVVStatus  Call = "cvv_status"
	CallPIN        Call = "pin"
	CallPINStatus  Call = "pin_status"
	CallUnblockCVV Call = "unblock_cvv" // every PUT of the CVV status, also one that blocks
	CallUnblockPIN Call = "unblock_pin"
	CallOther      Call = "other" // a request to no known route
)

// calls lists every kind that a ledger entry can have; a call's place in it
// indexes per-call counters.
var calls = [...]Call{CallToken, CallCVVStatus, CallPIN, CallPINStatus, CallUnblockCVV, CallUnblockPIN, CallOther}

// index is the place of c in calls; that of CallOther when c is not in it.
func (c Call) index() int {
	for i, known := range calls {
		if c == known {
			return i
		}
	}
	return len(calls) - 1
}

// isCard reports whether c is one of the five calls on a card.
func (c Call) isCard() bool {
	switch c {
	case CallCVVStatus, CallPIN, CallPINStatus, CallUnblockCVV, CallUnblockPIN:
		return true
	}
	return false
}

// isStatus reports whether c reads a status.
func (c Call) isStatus() bool { return c == CallCVVStatus || c == CallPINStatus }

// isUnblock reports whether c changes a card.
func (c Call) isUnblock() bool { return c == CallUnblockCVV || c == CallUnblockPIN }

// isCVV reports whether c is about the CVV; the others are about the PIN.
func (c Call) isCVV() bool { return c == CallCVVStatus || c == CallUnblockCVV }

// bearsFee reports whether a success of c can be charged to the card
// (PINCVVServiceFee, Thredd release note of 28 Oct 2022; reading the PIN is
// not in its table).
func (c Call) bearsFee() bool { return c.isStatus() || c.isUnblock() }

// checkCall refuses a name that no call has; extra names are allowed too.
func checkCall(c Call, extra ...Call) error {
	for _, known := range append(extra, calls[:len(calls)-1]...) {
		if c == known {
			return nil
		}
	}
	return fmt.Errorf("call %q is unknown: use one of token, cvv_status, pin, pin_status, unblock_cvv, unblock_pin", c)
}

const (
	tokenPath   = "/oauth2/v2.0/token"
	controlPath = "/_sandbox/"
	cvvPath     = "/thr/thredd/card-cvv/"
	pinPath     = "/thr/thredd/card-pin/"
)

// route is where a request goes.
type route struct {
	call        Call
	publicToken string
	allow       string // methods of the path when the request used another one, else empty
}

// routeOf finds the call of a method and a path. The path decides first: a
// known path with a wrong method is a 405 of the call that the path belongs to.
func routeOf(method, path string) route {
	if strings.HasSuffix(path, tokenPath) {
		return only(method, http.MethodPost, route{call: CallToken})
	}
	if rest, ok := strings.CutPrefix(path, cvvPath); ok {
		token, tail, _ := strings.Cut(rest, "/")
		switch {
		case token == "" || tail != "cvv/status":
			return route{call: CallOther}
		case method == http.MethodGet:
			return route{call: CallCVVStatus, publicToken: token}
		case method == http.MethodPut:
			return route{call: CallUnblockCVV, publicToken: token}
		}
		return route{call: CallCVVStatus, publicToken: token, allow: "GET, PUT"}
	}
	if rest, ok := strings.CutPrefix(path, pinPath); ok {
		token, tail, _ := strings.Cut(rest, "/")
		if token == "" {
			return route{call: CallOther}
		}
		switch tail {
		case "pin":
			return only(method, http.MethodGet, route{call: CallPIN, publicToken: token})
		case "pin/status":
			return only(method, http.MethodGet, route{call: CallPINStatus, publicToken: token})
		case "pin/unblock":
			return only(method, http.MethodPost, route{call: CallUnblockPIN, publicToken: token})
		}
	}
	return route{call: CallOther}
}

// only marks a route whose single method is not the one used.
func only(method, allowed string, rt route) route {
	if method != allowed {
		rt.allow = allowed
	}
	return rt
}
