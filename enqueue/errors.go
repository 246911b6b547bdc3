package enqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// Why a request is refused. Nothing was accepted, and nothing was changed.
var (
	// ErrInvalidPublicToken: the public token is malformed, or looks like a card number.
	ErrInvalidPublicToken = tasks.ErrInvalidPublicToken
	// ErrInvalidArgument: an option is out of its bounds.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrIdempotencyMismatch: the idempotency key was used for another kind or card.
	ErrIdempotencyMismatch = errors.New("idempotency mismatch")
	// ErrUnblockLimitReached: the card has had its unblocks for now.
	ErrUnblockLimitReached = errors.New("unblock limit reached")
	// ErrQueueUnavailable: Redis could not be used. Whether the request was accepted may be unknown;
	// asking again is safe.
	ErrQueueUnavailable = errors.New("queue unavailable")
)

// What can be wrong with an operation that is asked about.
var (
	// ErrNotFound: there is no operation with that id, or it is no longer kept.
	ErrNotFound = opstore.ErrNotFound
	// ErrNotFailed: only a failed operation can be retried.
	ErrNotFailed = opstore.ErrNotFailed
	// ErrBusy: another operation of the same kind is open for the card.
	ErrBusy = errors.New("card is busy")
)

var codes = []struct {
	err  error
	code string
}{
	{ErrInvalidPublicToken, "invalid_public_token"},
	{ErrInvalidArgument, "invalid_argument"},
	{ErrIdempotencyMismatch, "idempotency_mismatch"},
	{ErrUnblockLimitReached, "unblock_limit_reached"},
	{ErrQueueUnavailable, "queue_unavailable"},
	{ErrNotFound, "not_found"},
	{ErrNotFailed, "not_failed"},
	{ErrBusy, "busy"},
}

// CodeOf returns the stable code of an error of this package, for programs, however deep it is wrapped:
// "invalid_public_token", "invalid_argument", "idempotency_mismatch", "unblock_limit_reached",
// "queue_unavailable", "not_found", "not_failed" or "busy". It returns "" for nil and for other errors.
func CodeOf(err error) string {
	for _, c := range codes {
		if err != nil && errors.Is(err, c.err) {
			return c.code
		}
	}
	return ""
}

// admissionError makes an error of the store one of this package.
func admissionError(err error) error {
	var limit *opstore.LimitError
	var busy *opstore.BusyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limit):
		return fmt.Errorf("%w: %w", ErrUnblockLimitReached, limit)
	case errors.As(err, &busy):
		return fmt.Errorf("%w: %w", ErrBusy, busy)
	case errors.Is(err, opstore.ErrKeyReused):
		return fmt.Errorf("%w: %w; use a new key for a new request", ErrIdempotencyMismatch, opstore.ErrKeyReused)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNotFailed):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: gave up waiting for Redis: %w", ErrQueueUnavailable, err)
	default:
		return fmt.Errorf("%w: %w%s", ErrQueueUnavailable, err, hint(err))
	}
}

// hints are what to do about a Redis that answers and takes nothing, by what is in its reply.
var hints = []struct{ reply, advice string }{
	{"OOM ", "Redis has no memory left; raise its maxmemory, or ask again when finished operations have gone"},
	{"READONLY ", "this Redis is a replica; a failover is under way, or REDIS_URL should name its primary"},
	{"MASTERDOWN ", "this Redis is a replica that has lost its primary; a failover is under way, or REDIS_URL should name its primary"},
	{"LOADING ", "Redis has just been started and loads its data; ask again soon"},
}

// hint returns what to append to an error of Redis, or "".
func hint(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	for _, h := range hints {
		if strings.Contains(reply.Error(), h.reply) {
			return " (" + h.advice + ")"
		}
	}
	return ""
}
