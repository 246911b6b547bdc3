package payblr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// timeLimit is the cause with which this package cancels a request of its own
// accord. To errors.Is it is a deadline that was exceeded.
type timeLimit string

func (t timeLimit) Error() string        { return string(t) }
func (t timeLimit) Timeout() bool        { return true }
func (t timeLimit) Is(target error) bool { return target == context.DeadlineExceeded }

// The limits this package sets on a request.
const (
	errCallTimeout timeLimit = "the call's time limit passed"
	errTooLate     timeLimit = "the time to start passed"
)

// errBodyTooLarge ends the reading of a reply that exceeds maxBody.
var errBodyTooLarge = errors.New("reply too large")

// showable reduces a transport's error to a cause whose text is known to be
// harmless, nil if there is none. What net/http returns may quote the URL (with
// the public token in its path), or bytes of a malformed reply, so only types
// with known texts pass.
func showable(err error) error {
	for _, known := range []error{
		errCallTimeout, errTooLate, context.Canceled, context.DeadlineExceeded, http.ErrSchemeMismatch,
	} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && systemError(e.Err) {
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := tlsError(err); ok {
		return e
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return known
		}
	}
	if timedOut(err) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// systemError reports whether err comes from the operating system or the
// resolver, not from a peer's words (as a proxy's status line would).
func systemError(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*os.SyscallError](err)
	return ok
}

// tlsError finds the reason of a failed handshake.
func tlsError(err error) (error, bool) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Err, true
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e, true
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return e, true
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e, true
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return e, true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New("the server does not speak TLS"), true
	}
	return nil, false
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
