package worker

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// retryLater asks asynq to run the task again after a delay.
type retryLater struct {
	delay time.Duration
	cause error
	// free says that the task did not fail: it came too early, or nothing was tried. The operation counts no
	// attempt for it, so asynq must count none.
	free bool
}

func (e *retryLater) Error() string { return e.cause.Error() }
func (e *retryLater) Unwrap() error { return e.cause }

// quarantine asks asynq to archive the task, with the reason, where an operator sees it.
type quarantine struct {
	reason error
	// drop asks asynq to delete the task instead, because its payload must not be kept.
	drop bool
}

func (e *quarantine) Error() string { return e.reason.Error() }
func (e *quarantine) Unwrap() error { return e.reason }

// fate says what becomes of the task.
func (e *quarantine) fate() string {
	if e.drop {
		return "deleted, since it holds what looks like a card number"
	}
	return "archived"
}

// maxErrorText is how long an error text may be that asynq stores with a task, in bytes.
const maxErrorText = 500

// forAsynq turns the outcome of a run into what asynq acts on. It is the only place where asynq's control
// flow is spoken. asynq stores the text and fails to store one that is not UTF-8, after which the task
// would run again, so the text is made safe here.
func forAsynq(err error) error {
	if err == nil {
		return nil
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	var q *quarantine
	if errors.As(err, &q) {
		if q.drop {
			return fmt.Errorf("%w: %w", &plain{text, err}, asynq.RevokeTask)
		}
		return fmt.Errorf("%w: %w", &plain{text, err}, asynq.SkipRetry)
	}
	return &plain{text, err}
}

// plain is an error with a text of its own.
type plain struct {
	text string
	err  error
}

func (e *plain) Error() string { return e.text }
func (e *plain) Unwrap() error { return e.err }

// asynq keeps times in whole seconds, cut down. Asking for a second more makes it late rather than early:
// an alarm brings the task back on time, and asynq's own time is the fallback.
const asynqLateness = time.Second

// delayForAsynq is asynq's RetryDelayFunc.
func delayForAsynq(_ int, err error, _ *asynq.Task) time.Duration {
	var r *retryLater
	if errors.As(err, &r) {
		return r.delay + asynqLateness
	}
	return time.Second
}
