package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds the body of a request; a longer one is a 413.
const maxBody = 64 << 10

// serve routes every request.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPath) {
		s.control.ServeHTTP(w, r)
		return
	}
	rt := routeOf(r.Method, r.URL.Path)
	// Read to its end, or net/http would not notice when the client leaves.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	x := &exchange{s: s, w: w, r: r, route: rt, body: body}
	if rt.call.isUnblock() && rt.allow == "" && err == nil {
		x.fields, x.fieldsErr = parseEntryBody(body)
	}
	x.rec = s.ledger.open(x.arrival())
	switch tooLong := (*http.MaxBytesError)(nil); {
	case errors.As(err, &tooLong):
		x.send(problem(http.StatusRequestEntityTooLarge, "Payload Too Large", nil), nil)
	case err != nil:
		x.abort(OutcomeAbandoned, 0)
	case rt.call == CallOther:
		x.send(notRouted(), nil)
	default:
		x.run()
	}
}

// exchange is one request of the API on its way to an answer.
type exchange struct {
	s         *Sandbox
	w         http.ResponseWriter
	r         *http.Request
	route     route
	body      []byte
	fields    *EntryBody // of an unblock, nil when fieldsErr is set
	fieldsErr error
	rec       *record
}

// arrival is the entry of the request as it came in.
func (x *exchange) arrival() Entry {
	h := x.r.Header
	e := Entry{
		Call: x.route.call, PublicToken: x.route.publicToken, Body: x.fields,
		ContentType: h.Get("Content-Type"), CorrelationID: h.Get("X-Correlation-Id"), Traceparent: h.Get("Traceparent"),
		IdempotencyKey: h.Get("Idempotency-Key"), RemoteAddr: x.r.RemoteAddr,
	}
	if e.IdempotencyKey == "" {
		e.IdempotencyKey = h.Get("X-Idempotency-Key")
	}
	if len(e.PublicToken) > maxPublicToken {
		e.PublicToken = mask(e.PublicToken) // no public token: perhaps a card number
	}
	if x.route.call == CallOther {
		e.Request = x.r.Method + " " + x.r.URL.Path
	}
	return e
}

// run authorizes, chooses the fault, waits, executes and answers.
func (x *exchange) run() {
	s, call := x.s, x.route.call
	if call.isCard() {
		if refusal, ok := s.authorize(x.r); !ok {
			x.send(refusal, nil)
			return
		}
	}
	c, f := x.meet()
	if f != nil {
		s.ledger.fault(x.rec, f.Name)
	}
	if !x.wait(f) {
		x.abort(x.unanswered(), 0)
	}
	var a answer
	if f == nil || f.executes() {
		a = x.execute(c)
	}
	if x.r.Context().Err() != nil {
		x.abort(OutcomeAbandoned, 0)
	}
	if f == nil {
		x.send(a, nil)
		return
	}
	x.deliver(f, a)
}

// meet finds the card and the fault of the call: scripted, else the card's own,
// else chaos.
func (x *exchange) meet() (*card, *Fault) {
	s, call, token := x.s, x.route.call, x.route.publicToken
	var c *card
	if call.isCard() {
		c = s.cards.find(token)
	}
	var nth uint64
	var b Behaviour
	if c != nil {
		nth, b = c.count(call)
	} else {
		nth = s.strays[call.index()].Add(1)
	}
	if behaviours[b].unknown {
		c = nil
	}
	f := s.script.take(call, token, nth)
	if f == nil && c != nil {
		f = b.fault(call, nth)
	}
	if f == nil {
		f = s.chaos.Load().pick(s.cfg.Seed, call, token, nth)
	}
	return c, f
}

// wait lets latency and a fault's delay pass. It returns false when the call
// must not be executed any more: the client has left, or the sandbox stops.
func (x *exchange) wait(f *Fault) bool {
	var d time.Duration
	ctx := x.r.Context()
	if x.route.call.isCard() {
		d = x.s.cfg.Latency
	}
	if f != nil {
		d += f.Delay
		if f.ApplyAfterDisconnect {
			ctx = context.WithoutCancel(ctx)
		}
	}
	return d == 0 || x.s.sleep(ctx, d)
}

// sleep waits for d; false when ctx ended or the sandbox stopped before.
func (s *Sandbox) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.stopping:
		return false
	}
}

// execute runs the call and returns its true answer.
func (x *exchange) execute(c *card) answer {
	call := x.route.call
	if x.route.allow != "" {
		a := problem(http.StatusMethodNotAllowed, "Method Not Allowed", nil)
		a.header = http.Header{"Allow": {x.route.allow}}
		return a
	}
	switch {
	case call == CallToken:
		return x.s.issueToken(x.r, x.body)
	case call == CallPIN:
		return x.s.readPIN(c)
	case call.isUnblock():
		return x.s.unblock(x.r, call, c, x.fields, x.fieldsErr, x.rec)
	case c == nil:
		return unknownCard()
	}
	return x.s.readStatus(c, call, x.rec)
}
