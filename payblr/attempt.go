package payblr

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// attempt is the life of one HTTP request: its context, its time limits, and
// whether it came as far as a connection.
type attempt struct {
	parent, ctx context.Context
	cancel      context.CancelCauseFunc
	phase       atomic.Int32
	timers      []*time.Timer
	conn        *conn // that the request goes out on; nil with HTTP/2
}

// The phases of an attempt. From waiting it goes to connected or to late,
// whichever comes first.
const (
	phaseWaiting int32 = iota
	phaseConnected
	phaseLate
)

// errLapsed ends a request whose right to start was gone before its first byte.
var errLapsed = fmt.Errorf("the right to send the request has lapsed: %w", context.Canceled)

// errNoResend ends a request that net/http was about to send a second time.
var errNoResend = errors.New("the connection broke; the request is not sent again")

func newAttempt(parent context.Context, timeout time.Duration) *attempt {
	a := &attempt{parent: parent}
	a.ctx, a.cancel = context.WithCancelCause(parent)
	a.timers = append(a.timers, time.AfterFunc(timeout, func() { a.cancel(errCallTimeout) }))
	if t, ok := startLimit(parent); ok {
		// Dialling takes time, and so may waiting for a free connection: the
		// request must not start after the limit because it was built before.
		a.timers = append(a.timers, time.AfterFunc(time.Until(t), func() {
			if a.phase.CompareAndSwap(phaseWaiting, phaseLate) {
				a.cancel(errTooLate)
			}
		}))
	}
	a.ctx = httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{GotConn: a.gotConn})
	return a
}

// gotConn runs in the request's goroutine, before a byte of it is written to the
// connection. From then on the outcome of a failure is open, unless the
// connection can be muted because the request must not leave.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	c := exclusive(info.Conn)
	switch {
	case a.phase.CompareAndSwap(phaseWaiting, phaseConnected):
	case c == nil:
		a.phase.Store(phaseConnected)
	case a.phase.Load() == phaseLate:
		c.muted.Store(true)
	case a.conn != nil && a.conn.wrote.Load():
		c.muted.Store(true)
		a.cancel(errNoResend)
	}
	if a.conn = c; c != nil {
		may := a.mayStart
		c.mayStart.Store(&may)
		c.wrote.Store(false)
	}
}

// mayStart is asked in the instant before the first byte is written.
func (a *attempt) mayStart() bool {
	reason, _ := cannotStart(a.parent)
	if reason == "" {
		return true
	}
	a.phase.Store(phaseLate)
	if reason == ReasonStartedTooLate {
		a.cancel(errTooLate)
	} else {
		a.cancel(errLapsed)
	}
	return false
}

func (a *attempt) connected() bool { return a.phase.Load() == phaseConnected }

// cause says why the attempt failed with err: the caller's context, one of our
// own limits, or err itself.
func (a *attempt) cause(err error) error {
	if errors.Is(err, errBodyTooLarge) {
		return err
	}
	if e := a.parent.Err(); e != nil {
		return e
	}
	why := context.Cause(a.ctx)
	if limit, ok := errors.AsType[timeLimit](why); ok {
		return limit
	}
	if errors.Is(why, errLapsed) {
		return errLapsed
	}
	return err
}

func (a *attempt) end() {
	for _, t := range a.timers {
		t.Stop()
	}
	a.cancel(nil)
}
