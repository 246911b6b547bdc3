package worker

import (
	"time"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// ending is what an attempt came to. The zero value is no ending: an attempt that forgot to decide is a
// defect, and is treated as one.
type ending int

const (
	undecided ending = iota
	// succeed ends the operation well; the verdict has the status that says so.
	succeed
	// fail ends it with the verdict's code.
	fail
	// chain passes an accepted unblock on to its confirming task.
	chain
	// again asks for another attempt after the verdict's delay.
	again
)

// verdict is what one attempt came to, and all that it learned.
type verdict struct {
	end ending
	// status is what was read, or nil.
	status *tasks.Status
	// code and message say why it failed, or would have if this attempt were the last.
	code    tasks.Code
	message string
	// accepted: the API is known to have accepted the unblock.
	accepted bool
	// unknown: an unblock may have been applied without our knowing.
	unknown bool
	// blocked: a confirming read said blocked.
	blocked bool
	// unburned: nothing was asked of the API, so the attempt does not count.
	unburned bool
	// interrupted: the worker stops, or has lost the operation. Another run has to go on, at once.
	interrupted bool
	// tooLate: the operation's time was over before the call could start.
	tooLate bool
	// retryAfter is how long the API asked to be left alone, or 0.
	retryAfter time.Duration
	// delay is how long until the next attempt; it is set when the verdict is scheduled.
	delay time.Duration
	// upstream is the HTTP status of the last answer, 0 when there was none.
	upstream int
	// cause is the error behind it, for the log.
	cause error
}

// statusOf makes the API's answer the contract's. The time of observation is set where it is stored.
func statusOf(s payblr.Status) *tasks.Status {
	return &tasks.Status{
		Value: s.Value, Blocked: s.Blocked,
		RemainingTries: s.RemainingTries, RemainingOfflineTries: s.RemainingOfflineTries,
		Code: s.Code, Description: s.Description,
	}
}

// failure returns the error of a failed operation.
func failure(code tasks.Code, message string) *tasks.Error {
	return &tasks.Error{Code: code, Message: message, Retryable: code.Retryable()}
}
