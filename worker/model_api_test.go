package worker

import (
	"context"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
)

// cardAPI is the API of a world: one card, blocked until it is unblocked, and the ledger. A call takes no
// time, so that it is one step; what a worker that stands still has sent is over for the API.
type cardAPI struct {
	world *world
	calls []sandbox.Entry
	open  bool
	lag   int
}

var (
	sendFates = []fate{happens, crashes, vanishes, mute, stalls}
	readFates = []fate{happens, crashes, vanishes, stalls}
)

// call is one call, up to its effect. A process that wakes from a standstill finds its timers over before it
// sends anything.
func (c *cardAPI) call(ctx context.Context, name payblr.CallName, fates []fate, act func(e *sandbox.Entry)) error {
	a := ctx.Value(actorKey{}).(*actor)
	f := a.ask(step{string(name), fates})
	switch {
	case f == crashes || a.proc.dead.Load():
		return errDead
	case ctx.Err() != nil:
		e := apiError(name, payblr.ReasonCancelledBeforeSending, 0)
		e.Err = ctx.Err()
		return e
	case startsTooLate(ctx):
		return apiError(name, payblr.ReasonStartedTooLate, 0)
	case f == vanishes:
		return apiError(name, payblr.ReasonConnectionLost, 0)
	}
	now := c.world.now()
	e := sandbox.Entry{
		Seq: uint64(len(c.calls) + 1), Call: callNames[name], PublicToken: testCard, ReceivedAt: now, EndedAt: &now,
		Outcome: sandbox.OutcomeAnswered, Status: 200,
	}
	if c.world.sc.down {
		e.Status = 503
		c.calls = append(c.calls, e)
		return apiError(name, payblr.ReasonServiceUnavailable, 503)
	}
	act(&e)
	if f == mute {
		e.Outcome, e.Status = sandbox.OutcomeDropped, 0
	}
	c.calls = append(c.calls, e)
	if f == mute {
		return apiError(name, payblr.ReasonConnectionLost, 0)
	}
	return nil
}

// startsTooLate reports whether the context's limit for starting a call has come: a limit of now then changes
// nothing any more.
func startsTooLate(ctx context.Context) bool {
	return payblr.StartBefore(ctx, time.Now().Add(1)) == ctx
}

var callNames = map[payblr.CallName]sandbox.Call{
	payblr.CallPINStatus: sandbox.CallPINStatus, payblr.CallCVVStatus: sandbox.CallCVVStatus,
	payblr.CallUnblockPIN: sandbox.CallUnblockPIN, payblr.CallUnblockCVV: sandbox.CallUnblockCVV,
}

func (c *cardAPI) status(ctx context.Context, name payblr.CallName) (payblr.Status, error) {
	st := says(payblr.StatusBlocked)
	err := c.call(ctx, name, readFates, func(e *sandbox.Entry) {
		switch {
		case c.open && c.lag > 0:
			c.lag--
		case c.open:
			st = says(payblr.StatusUnblocked)
		}
		e.SaidBlocked = &st.Blocked
	})
	if err != nil {
		return payblr.Status{}, err
	}
	return st, nil
}

func (c *cardAPI) unblock(ctx context.Context, name payblr.CallName) error {
	return c.call(ctx, name, sendFates, func(e *sandbox.Entry) {
		if e.AppliedAt, e.Status = e.EndedAt, 204; !c.open {
			c.open, c.lag = true, c.world.sc.lag
		}
	})
}

func (c *cardAPI) PINStatus(ctx context.Context, _ string) (payblr.Status, error) {
	return c.status(ctx, payblr.CallPINStatus)
}

func (c *cardAPI) CVVStatus(ctx context.Context, _ string) (payblr.Status, error) {
	return c.status(ctx, payblr.CallCVVStatus)
}

func (c *cardAPI) UnblockPIN(ctx context.Context, _ string, _ payblr.Note) error {
	return c.unblock(ctx, payblr.CallUnblockPIN)
}

func (c *cardAPI) UnblockCVV(ctx context.Context, _ string, _ payblr.Note) error {
	return c.unblock(ctx, payblr.CallUnblockCVV)
}

func (c *cardAPI) CheckToken(context.Context) error { return nil }
