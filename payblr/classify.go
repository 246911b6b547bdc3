package payblr

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// outcome is what is known about one exchange of request and reply.
type outcome struct {
	write bool
	// status is the final status, 0 when no reply arrived.
	status int
	// err is what ended the exchange early, nil when the reply was read whole.
	err error
	// connected is false only when no connection was had, so that not a byte of
	// the request can have left.
	connected bool
	hint      hint
	// unreadable is what is wrong with the content of a reply that came whole,
	// "" if nothing or not looked at.
	unreadable Reason
}

// classify decides the class and the reason of an outcome; ClassNone and "" when
// it went well. For a write any 2xx is well, whatever became of its body, which
// says nothing. A status that arrived outweighs the loss of its body, except
// where the body is what was asked for.
func classify(o outcome) (Class, Reason) {
	r := o.reason()
	return r.Class(), r
}

func (o outcome) reason() Reason {
	switch {
	case o.status == 0 && !o.connected:
		return unconnected(o.err)
	case o.status == 0:
		return interrupted(o.err)
	case o.status >= 200 && o.status <= 299:
		if o.write {
			return ""
		}
		if o.err == nil {
			return o.unreadable
		}
		return interrupted(o.err)
	case o.status >= 300 && o.status <= 399:
		return ReasonRedirect
	case o.status >= 400 && o.status <= 499:
		return refused(o.status, o.hint)
	case o.status >= 500 && o.status <= 599:
		return failed(o.status)
	}
	return ReasonUnexpectedStatus
}

func refused(status int, h hint) Reason {
	switch status {
	case http.StatusBadRequest:
		return ReasonBadRequest
	case http.StatusUnauthorized:
		if h == hintSubscriptionKey {
			return ReasonSubscriptionKeyRefused
		}
		return ReasonAccessTokenRefused
	case http.StatusForbidden:
		if h == hintQuota {
			return ReasonQuotaExceeded
		}
		return ReasonForbidden
	case http.StatusNotFound:
		return ReasonNotFound
	case http.StatusMethodNotAllowed:
		return ReasonMethodNotAllowed
	case http.StatusRequestTimeout:
		return ReasonRequestTimeout
	case http.StatusConflict:
		return ReasonConflict
	case http.StatusUnsupportedMediaType:
		return ReasonUnsupportedMediaType
	case http.StatusUnprocessableEntity:
		return ReasonUnprocessable
	case http.StatusTooManyRequests:
		return ReasonThrottled
	}
	return ReasonClientError
}

func failed(status int) Reason {
	switch status {
	case http.StatusBadGateway:
		return ReasonBadGateway
	case http.StatusServiceUnavailable:
		return ReasonServiceUnavailable
	case http.StatusGatewayTimeout:
		return ReasonGatewayTimeout
	}
	return ReasonServerError
}

// unconnected names what came in the way of a connection.
func unconnected(err error) Reason {
	switch {
	case errors.Is(err, errTooLate):
		return ReasonStartedTooLate
	case errors.Is(err, errCallTimeout):
		return ReasonConnectTimeout
	case errors.Is(err, context.Canceled):
		return ReasonCancelledBeforeSending
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonDeadlineBeforeSending
	case errors.Is(err, syscall.ECONNREFUSED):
		return ReasonConnectRefused
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ReasonDNSFailed
	}
	if _, ok := tlsError(err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return ReasonTLSFailed
	}
	if timedOut(err) {
		return ReasonConnectTimeout
	}
	return ReasonConnectFailed
}

// interrupted names what cut an exchange short after a connection was had. What
// it cannot name is a lost connection: of all readings the one that promises least.
func interrupted(err error) Reason {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return ReasonBodyTooLarge
	case errors.Is(err, errCallTimeout):
		return ReasonTimeout
	case errors.Is(err, errTooLate):
		// The limit passed in the instant in which the connection was had.
		return ReasonCancelled
	case errors.Is(err, context.Canceled):
		return ReasonCancelled
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonDeadlineExceeded
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonTruncated
	case timedOut(err):
		return ReasonTimeout
	}
	return ReasonConnectionLost
}
