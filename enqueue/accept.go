package enqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

// Accepted is an operation that was accepted. Its JSON is the operation's, with "joined" added when it
// is true.
type Accepted struct {
	tasks.Operation
	// Joined: another request's operation of the same kind is open for the card, and this request is
	// now part of it. No second call goes to the API. What can only expire, because its time is over, no
	// worker has it and no unblock of it may have been applied, is ended and not joined.
	Joined bool `json:"joined,omitempty"`
}

// Option says more about a request.
type Option func(*request)

type request struct {
	opstore.Request
	errs []error
}

// IdempotencyKey makes the request the same as any other with this key, for 24 hours: they get the same
// operation. 1 to 255 printable ASCII characters.
func IdempotencyKey(key string) Option {
	return func(r *request) { r.Key = key; r.check(tasks.CheckIdempotencyKey(key)) }
}

// ExpiresIn sets how long the operation lives: no call to the API starts after that. It lies between
// [tasks.MinExpiry] and [tasks.MaxExpiry].
func ExpiresIn(d time.Duration) Option {
	return func(r *request) {
		r.Lifetime = d
		if d < tasks.MinExpiry || d > tasks.MaxExpiry {
			r.check(fmt.Errorf("the expiry is %s, it must lie between %s and %s", d, tasks.MinExpiry, tasks.MaxExpiry))
		}
	}
}

// Reason says why the card is unblocked; the API keeps it. At most [tasks.MaxReason] characters. It
// must hold nothing secret. Refreshes ignore it.
func Reason(text string) Option {
	return func(r *request) { r.Reason = text; r.check(tasks.CheckReason(text)) }
}

// UpdatedBy says who has the card unblocked; the API keeps it. At most [tasks.MaxUpdatedBy] characters.
// Refreshes ignore it.
func UpdatedBy(name string) Option {
	return func(r *request) { r.UpdatedBy = name; r.check(tasks.CheckUpdatedBy(name)) }
}

func (r *request) check(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// UnblockPIN has the card's PIN unblocked and confirmed. See [Client.Accept].
func (c *Client) UnblockPIN(ctx context.Context, publicToken string, opts ...Option) (Accepted, error) {
	return c.Accept(ctx, tasks.UnblockPIN, publicToken, opts...)
}

// UnblockCVV has the card's CVV unblocked and confirmed. See [Client.Accept].
func (c *Client) UnblockCVV(ctx context.Context, publicToken string, opts ...Option) (Accepted, error) {
	return c.Accept(ctx, tasks.UnblockCVV, publicToken, opts...)
}

// RefreshPINStatus has the status of the card's PIN read. See [Client.Accept].
func (c *Client) RefreshPINStatus(ctx context.Context, publicToken string, opts ...Option) (Accepted, error) {
	return c.Accept(ctx, tasks.RefreshPINStatus, publicToken, opts...)
}

// RefreshCVVStatus has the status of the card's CVV read. See [Client.Accept].
func (c *Client) RefreshCVVStatus(ctx context.Context, publicToken string, opts ...Option) (Accepted, error) {
	return c.Accept(ctx, tasks.RefreshCVVStatus, publicToken, opts...)
}

// Accept has an operation of the given kind done for a card. When it returns without an error the
// operation is recorded in Redis and will come to an end, whatever happens to the caller or to a worker.
//
// The error is one of [ErrInvalidPublicToken], [ErrInvalidArgument], [ErrIdempotencyMismatch],
// [ErrUnblockLimitReached] and [ErrQueueUnavailable]; [CodeOf] tells which. After the last one it may be
// unknown whether the request was accepted, and asking again is safe.
func (c *Client) Accept(ctx context.Context, kind tasks.Kind, publicToken string, opts ...Option) (Accepted, error) {
	card, err := tasks.ParsePublicToken(publicToken)
	if err != nil {
		return Accepted{}, err
	}
	if !kind.Valid() {
		return Accepted{}, fmt.Errorf("%w: the kind is none of %v", ErrInvalidArgument, tasks.Kinds())
	}
	req := request{Request: opstore.Request{Kind: kind, Card: card, Lifetime: c.expiry(kind)}}
	for _, o := range opts {
		o(&req)
	}
	if err := errors.Join(req.errs...); err != nil {
		return Accepted{}, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	ctx, span := c.startAccept(ctx, kind)
	defer span.End()
	req.Traceparent = spans.Traceparent(ctx)
	if c.atOnce {
		req.Task = func(ctx context.Context, id string) (doorbell.Task, error) {
			first := kind.FirstType()
			return c.queue.Prepare(ctx, first, first.Policy().Queue, opstore.TaskID(id, 1), tasks.ByReference(id, 1))
		}
	}
	acc, err := c.store.Accept(ctx, req.Request)
	if err != nil {
		err = admissionError(err)
		refused(span, err)
		return Accepted{}, err
	}
	accepted(span, acc)
	failpoint.Hit(failpoint.AfterAccept)
	// A repeated request finds its operation recorded. Should the task be missing, because the first
	// request died in between, this puts it there; if it exists the call changes nothing.
	if acc.State == tasks.Accepted && !acc.Joined && !acc.Enqueued {
		c.dispatch(ctx, acc.Record)
	}
	return Accepted{Operation: acc.Operation(), Joined: acc.Joined}, nil
}
