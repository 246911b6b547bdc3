package tasks

// Code says why an operation failed. The list is closed; it is also the label of a metric. The zero
// value is no code and is not valid.
type Code string

// The codes of a failed operation.
const (
	// CodeCardNotFound: the API does not know this public token for this client.
	CodeCardNotFound Code = "card_not_found"
	// CodeNotAllowed: the API refuses this operation for this card.
	CodeNotAllowed Code = "not_allowed"
	// CodeRejected: the API refuses the request as sent; for a conflict, after the status was read again
	// and still says blocked.
	CodeRejected Code = "rejected"
	// CodeStillBlocked: the unblock was accepted, every confirming read says blocked.
	CodeStillBlocked Code = "still_blocked"
	// CodeUnconfirmed: the unblock was accepted, no readable status arrived in time.
	CodeUnconfirmed Code = "unconfirmed"
	// CodeExpired: the operation's time passed before the API accepted anything.
	CodeExpired Code = "expired"
	// CodeUnavailable: the API or its token endpoint could not be used until the retries or the time ran
	// out. When the last word on an unblock was lost and no status could be read, this is the code too:
	// the unblock may have been applied.
	CodeUnavailable Code = "unavailable"
	// CodeUnauthorized: the client credentials are refused. An operator must act.
	CodeUnauthorized Code = "unauthorized"
	// CodeBadResponse: the API kept answering something that cannot be read.
	CodeBadResponse Code = "bad_response"
	// CodeInternal: a defect of cardworker.
	CodeInternal Code = "internal"
)

// codes holds, for each code, whether the same request may succeed later without being changed.
var codes = map[Code]bool{
	CodeCardNotFound: false,
	CodeNotAllowed:   false,
	CodeRejected:     false,
	CodeStillBlocked: true,
	CodeUnconfirmed:  true,
	CodeExpired:      true,
	CodeUnavailable:  true,
	CodeUnauthorized: true,
	CodeBadResponse:  true,
	CodeInternal:     true,
}

// Codes lists every code.
func Codes() []Code {
	return []Code{
		CodeCardNotFound, CodeNotAllowed, CodeRejected, CodeStillBlocked, CodeUnconfirmed,
		CodeExpired, CodeUnavailable, CodeUnauthorized, CodeBadResponse, CodeInternal,
	}
}

// Valid reports whether c is one of [Codes].
func (c Code) Valid() bool { _, ok := codes[c]; return ok }

// Retryable reports whether the same request, or an operator's re-drive, may succeed later.
func (c Code) Retryable() bool { return codes[c] }
