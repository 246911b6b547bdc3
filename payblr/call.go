package payblr

import "time"

// CallName names a call in errors and metrics. The set is closed.
type CallName string

// The five calls of the API, the token exchange, and the look whether the API is there at all.
const (
	CallPINStatus  CallName = "pin_status"
	CallCVVStatus  CallName = "cvv_status"
	CallUnblockPIN CallName = "unblock_pin"
	CallUnblockCVV CallName = "unblock_cvv"
	CallPIN        CallName = "pin"
	CallToken      CallName = "token"
	CallReach      CallName = "reach"
)

// writes reports whether the call changes a card.
func (n CallName) writes() bool { return n == CallUnblockPIN || n == CallUnblockCVV }

// Call is one HTTP request that was made, for metrics. It names no card.
type Call struct {
	Name CallName
	// Status is the HTTP status, 0 when none arrived.
	Status int
	// Class and Reason are those of the request's failure, ClassNone and "" when
	// it went well. A 401 that is answered with a new token is observed too.
	Class  Class
	Reason Reason
	// RetryAfter is how long the server asked to wait, 0 when it did not ask.
	RetryAfter time.Duration
	// Duration is from before the connection was sought to the end of the body.
	Duration time.Duration
}
