package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// judged is what an error of the API means for an operation.
type judged struct {
	code    tasks.Code
	message string
	// permanent: another try would get the same answer.
	permanent bool
	// conflict: the card is not in a state for it; the status has to be read again.
	conflict bool
	// unknown: the unblock may have been applied.
	unknown bool
	// unsent: nothing was asked of the API.
	unsent bool
	// interrupted: the worker stops, or has lost the operation.
	interrupted bool
	// tooLate: the operation expired before the call could start.
	tooLate bool

	retryAfter time.Duration
	upstream   int
	cause      error
}

// judge says what an error of an API call means. The classes are the API client's; that it knows nothing
// of operations and this function nothing of HTTP is the point of having both.
func judge(err error) judged {
	// Only the worker itself cancels: because it stops, or because it has lost the lease.
	j := judged{cause: err, code: tasks.CodeUnavailable, interrupted: errors.Is(err, context.Canceled)}
	var pe *payblr.Error
	if !errors.As(err, &pe) {
		j.message = "the call to the API failed"
		j.unknown = true
		return j
	}
	j.upstream, j.retryAfter, j.unknown = pe.Status, pe.RetryAfter, pe.MayHaveApplied()
	switch pe.Class {
	case payblr.ClassNotFound:
		j.code, j.permanent = tasks.CodeCardNotFound, true
		j.message = "the API does not know this public token for this client"
	case payblr.ClassNotAllowed:
		j.code, j.permanent = tasks.CodeNotAllowed, true
		j.message = "the API refuses this operation for this card"
	case payblr.ClassRejected:
		j.code, j.permanent = tasks.CodeRejected, true
		j.message = "the API refuses the request as it was sent"
	case payblr.ClassConflict:
		j.code, j.permanent, j.conflict = tasks.CodeRejected, true, true
		j.message = "the API says that the card is not in a state for this"
	case payblr.ClassUnauthorized:
		j.code = tasks.CodeUnauthorized
		j.message = "the client credentials are refused; check PAYBLR_CLIENT_ID, PAYBLR_CLIENT_SECRET and PAYBLR_SCOPE"
		if pe.Reason == payblr.ReasonSubscriptionKeyRefused {
			j.message = "the subscription key is refused; check PAYBLR_SUBSCRIPTION_KEY"
		}
	case payblr.ClassBadResponse:
		j.code = tasks.CodeBadResponse
		j.message = "the API answered something that cannot be read"
	case payblr.ClassThrottled:
		j.message = "the API allows no more calls for now"
	case payblr.ClassNotSent:
		j.unsent = true
		j.message = "the call could not be sent"
		j.tooLate = pe.Reason == payblr.ReasonStartedTooLate
		var gate interface{ RetryAfter() time.Duration }
		if errors.As(err, &gate) {
			j.retryAfter = gate.RetryAfter()
		}
	default:
		j.message = "the API could not be used"
	}
	if pe.Status != 0 {
		j.message += fmt.Sprintf(" (HTTP %d)", pe.Status)
	} else if pe.Reason != "" && !j.permanent {
		j.message += fmt.Sprintf(" (%s)", pe.Reason)
	}
	return j
}

// verdict makes the error the end of an attempt: failed when it is permanent, and to be tried again when
// it is not. Whether another try is worth it is decided where the verdict is scheduled.
func (j judged) verdict() verdict {
	v := verdict{
		end: again, code: j.code, message: j.message, unknown: j.unknown, unburned: j.unsent,
		interrupted: j.interrupted, tooLate: j.tooLate, retryAfter: j.retryAfter,
		upstream: j.upstream, cause: j.cause,
	}
	if j.permanent {
		v.end = fail
	}
	return v
}
