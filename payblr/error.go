package payblr

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Error is what every method of [Client] returns on failure. Its text and all
// its fields are free of secrets, of the public token and of the reply's body.
// errors.Is and errors.As see through it to context.Canceled,
// context.DeadlineExceeded, system errors, and whatever Config.Gate returned.
type Error struct {
	// Call is the method that failed; CallToken for Client.CheckToken.
	Call CallName
	// Class and Reason say what happened; Class is always Reason.Class().
	Class  Class
	Reason Reason
	// Status is the HTTP status that decided, 0 when none arrived. With a Reason
	// about the token endpoint it is that endpoint's.
	Status int
	// RetryAfter is how long the server asked to wait, at most an hour; 0 = it
	// did not ask. When there is no access token, it is how long it takes until
	// this client asks for one again, at most half a minute.
	RetryAfter time.Duration
	// Code is the Microsoft Entra error code, such as AADSTS7000215 for a wrong
	// client secret, or "".
	Code string
	// TraceID identifies the failed request to the API's support, or "".
	TraceID string
	// Err is the cause where one can be shown; may be nil.
	Err error
}

// MayHaveApplied reports whether the failed call may nevertheless have changed
// the card: an unblock left for the API and no definite answer came back. It is
// false for reads, for definite refusals, and where the request provably did not
// leave. A Reason outside the set counts as unknown, hence true for an unblock.
func (e *Error) MayHaveApplied() bool {
	if !e.Call.writes() {
		return false
	}
	f, ok := reasons[e.Reason]
	return !ok || f.mayHaveApplied
}

// Error says which call failed, how it is classified, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("payblr: ")
	b.WriteString(string(e.Call))
	b.WriteString(": ")
	b.WriteString(e.Class.String())
	b.WriteString(" (")
	b.WriteString(string(e.Reason))
	if e.Status != 0 {
		b.WriteString(", status ")
		b.WriteString(strconv.Itoa(e.Status))
	}
	for _, id := range []string{e.Code, e.TraceID} {
		if id != "" {
			b.WriteString(", ")
			b.WriteString(id)
		}
	}
	b.WriteString(")")
	if text := reasons[e.Reason].text; text != "" {
		b.WriteString(": ")
		b.WriteString(text)
	}
	if e.Reason == ReasonTokenUnavailable && e.Status == 0 {
		b.WriteString(", and check the token URL and the network")
	}
	if e.MayHaveApplied() {
		b.WriteString("; the card may have been unblocked all the same")
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(brief(e.Err.Error()))
	}
	return b.String()
}

// GoString is Error quoted, so that %#v prints no more than %v.
func (e *Error) GoString() string { return "&payblr.Error{" + strconv.Quote(e.Error()) + "}" }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// during returns a copy of e that names the call it stopped.
func (e *Error) during(call CallName) *Error {
	c := *e
	c.Call = call
	return &c
}

// ClassOf returns the class of the [*Error] in err's chain, ClassNone for nil,
// and ClassUnavailable for an error that is not this package's.
func ClassOf(err error) Class {
	if err == nil {
		return ClassNone
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return ClassUnavailable
}

// maxCause bounds the text of a cause inside an error, in bytes.
const maxCause = 200

// brief makes a cause's text one short line of valid UTF-8.
func brief(text string) string {
	if len(text) > maxCause {
		text = text[:maxCause] + "…"
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
}
