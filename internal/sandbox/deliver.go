package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	defaultByteGap = 100 * time.Millisecond // between the bytes of a slow body
	redirectTarget = "/thr/thredd/moved"    // where no route is
)

// deliver does to the answer what the fault says.
func (x *exchange) deliver(f *Fault, a answer) {
	if !f.executes() || f.Status != 0 {
		a = f.madeUp(x.route.call)
		if f.Body != BodyHuge {
			a.said = saidBy(a.body)
		}
	}
	switch f.Do {
	case DoReset, DoClose:
		x.drop(f.Do == DoReset)
	case DoHang:
		x.hang(f, 0)
	case DoSlowBody, DoHeadersOnly:
		if len(a.body) == 0 {
			x.send(a, f)
			return
		}
		x.trickle(f, a)
	case DoCut:
		if len(a.body) == 0 {
			x.drop(true)
			return
		}
		x.cut(f, a)
	case DoRedirect:
		a.header = http.Header{"Location": {redirectTarget}}
		x.send(a, f)
	default:
		x.send(a.withFields(f.Fields), f)
	}
}

// send writes a whole answer and notes it.
func (x *exchange) send(a answer, f *Fault) {
	x.end(OutcomeAnswered, a.status, a.said)
	if f != nil && f.CloseAfter && x.sendAndClose(a, f) {
		return
	}
	h := x.w.Header()
	a.headers(h, f)
	if len(a.body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	x.w.WriteHeader(a.status)
	if len(a.body) == 0 {
		return
	}
	if _, err := x.w.Write(a.body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) { // HEAD
		x.end(OutcomeAbandoned, a.status, nil)
	}
}

// sendAndClose writes the answer and closes the connection without announcing
// it, so that the client may try to use it again. It returns false, having
// written nothing, where the connection cannot be had.
func (x *exchange) sendAndClose(a answer, f *Fault) bool {
	conn, buf := x.hijack()
	if conn == nil {
		return false
	}
	defer func() { _ = conn.Close() }() // there is nobody to tell
	h := http.Header{}
	a.headers(h, f)
	if err := writeRaw(buf.Writer, a, h); err != nil {
		x.end(OutcomeAbandoned, a.status, nil)
	}
	return true
}

func writeRaw(w *bufio.Writer, a answer, h http.Header) error {
	if len(a.body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	} else if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h.Set("Content-Length", "0")
	}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if _, err := fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status)); err != nil {
		return err
	}
	if err := h.Write(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	if _, err := w.Write(a.body); err != nil {
		return err
	}
	return w.Flush()
}

// trickle sends the headers and then a byte at a time, or nothing more.
func (x *exchange) trickle(f *Fault, a answer) {
	a.headers(x.w.Header(), f)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	x.w.WriteHeader(a.status)
	out := http.NewResponseController(x.w)
	if err := out.Flush(); err != nil {
		x.abort(OutcomeAbandoned, a.status)
	}
	if f.Do == DoHeadersOnly {
		x.hang(f, a.status)
		return
	}
	gap := f.Hold
	setDefault(&gap, defaultByteGap)
	for i := range a.body {
		if !x.s.sleep(x.r.Context(), gap) {
			x.abort(x.unanswered(), a.status)
		}
		if i == len(a.body)-1 {
			x.end(OutcomeAnswered, a.status, a.said)
		}
		if _, err := x.w.Write(a.body[i : i+1]); err != nil {
			x.abort(OutcomeAbandoned, a.status)
		}
		if err := out.Flush(); err != nil {
			x.abort(OutcomeAbandoned, a.status)
		}
	}
}

// cut sends the headers of a whole body and half of it.
func (x *exchange) cut(f *Fault, a answer) {
	a.headers(x.w.Header(), f)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	x.end(OutcomeDropped, a.status, nil)
	x.w.WriteHeader(a.status)
	// Whether the half arrives makes no difference to the outcome.
	_, _ = x.w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(x.w).Flush()
	panic(http.ErrAbortHandler)
}

// hang holds the connection until the client leaves, the hold ends or the
// sandbox stops, and drops it.
func (x *exchange) hang(f *Fault, status int) {
	hold := f.Hold
	setDefault(&hold, maxFaultWait)
	x.s.sleep(x.r.Context(), hold)
	x.abort(x.unanswered(), status)
}

// unanswered is the outcome of a request that gets no answer any more.
func (x *exchange) unanswered() Outcome {
	if x.r.Context().Err() != nil {
		return OutcomeAbandoned
	}
	return OutcomeDropped
}

// abort ends the exchange and its connection. It does not return: this panic
// is how net/http is told to close a connection whose answer has begun.
func (x *exchange) abort(outcome Outcome, status int) {
	x.end(outcome, status, nil)
	panic(http.ErrAbortHandler)
}

// drop ends the connection without an answer, by a TCP reset if asked for and
// possible.
func (x *exchange) drop(reset bool) {
	x.end(OutcomeDropped, 0, nil)
	conn, _ := x.hijack()
	if conn == nil {
		panic(http.ErrAbortHandler)
	}
	if reset {
		setReset(conn)
	}
	_ = conn.Close() // there is nobody to tell
}

// setReset makes the next close of a TCP connection a reset.
func setReset(conn net.Conn) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn() // below TLS
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // on failure the close is a plain one
	}
}

// hijack takes the connection over; nil where there is none to be had, as
// with HTTP/2.
func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter) {
	conn, buf, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil, nil
	}
	return conn, buf
}

// end notes the outcome in the ledger and the log.
func (x *exchange) end(outcome Outcome, status int, said *bool) {
	if !x.route.call.isStatus() || status != http.StatusOK {
		said = nil
	}
	x.s.ledger.end(x.rec, outcome, status, said)
	if x.s.cfg.Log == nil {
		return
	}
	e := x.s.ledger.copyOf(x.rec)
	line := fmt.Sprintf("%s %s %s %d %v", e.Call, mask(e.PublicToken), e.Outcome, e.Status, e.EndedAt.Sub(e.ReceivedAt).Round(time.Microsecond))
	if e.AppliedAt != nil {
		line += " applied"
	}
	if e.Fault != "" {
		line += " fault=" + strconv.Quote(e.Fault)
	}
	x.s.cfg.Log(line)
}

// mask shows the last three characters of a token that has more than three.
func mask(token string) string {
	if token == "" {
		return "-"
	}
	if len(token) <= 3 {
		return "***"
	}
	return "******" + token[len(token)-3:]
}
