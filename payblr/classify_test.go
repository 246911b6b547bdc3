package payblr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"syscall"
	"testing"
)

// wantStatus is the table of statuses, written down a second time by ranges.
func wantStatus(status int, write bool) (class Class, unknownOutcome bool) {
	switch {
	case status >= 200 && status <= 299:
		return ClassNone, false
	case status == 401:
		return ClassUnauthorized, false
	case status == 403:
		return ClassNotAllowed, false
	case status == 404:
		return ClassNotFound, false
	case status == 408:
		return ClassUnavailable, write
	case status == 409:
		return ClassConflict, false
	case status == 429:
		return ClassThrottled, false
	case status >= 400 && status <= 499:
		return ClassRejected, false
	case status >= 500 && status <= 599:
		return ClassUnavailable, write
	}
	return ClassBadResponse, write
}

func TestClassify_EveryStatus(t *testing.T) {
	t.Parallel()
	for status := 100; status <= 999; status++ {
		for name, write := range map[CallName]bool{CallPINStatus: false, CallUnblockPIN: true} {
			class, reason := classify(outcome{write: write, status: status, connected: true})
			wantClass, wantUnknown := wantStatus(status, write)
			e := &Error{Call: name, Class: class, Reason: reason}
			if class != wantClass || class != ClassNone && e.MayHaveApplied() != wantUnknown {
				t.Errorf("%s, status %d: class = %v (%s), MayHaveApplied = %v, want %v, %v",
					name, status, class, reason, e.MayHaveApplied(), wantClass, wantUnknown)
			}
			if class == ClassNone && reason != "" || class != ClassNone && reason == "" {
				t.Errorf("status %d: class %v with reason %q", status, class, reason)
			}
		}
	}
}

func TestClassify_SpecificStatusesHaveTheirOwnReason(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Reason{
		101: ReasonUnexpectedStatus, 302: ReasonRedirect, 307: ReasonRedirect,
		400: ReasonBadRequest, 401: ReasonAccessTokenRefused, 403: ReasonForbidden, 404: ReasonNotFound,
		405: ReasonMethodNotAllowed, 408: ReasonRequestTimeout, 409: ReasonConflict, 410: ReasonClientError,
		415: ReasonUnsupportedMediaType, 422: ReasonUnprocessable, 429: ReasonThrottled, 499: ReasonClientError,
		500: ReasonServerError, 501: ReasonServerError, 502: ReasonBadGateway, 503: ReasonServiceUnavailable,
		504: ReasonGatewayTimeout, 599: ReasonServerError, 600: ReasonUnexpectedStatus,
	} {
		if _, got := classify(outcome{status: status, connected: true}); got != want {
			t.Errorf("status %d: reason = %s, want %s", status, got, want)
		}
	}
	if _, got := classify(outcome{status: 403, hint: hintQuota}); got != ReasonQuotaExceeded {
		t.Errorf("403 quota: reason = %s, want %s", got, ReasonQuotaExceeded)
	}
	if _, got := classify(outcome{status: 401, hint: hintSubscriptionKey}); got != ReasonSubscriptionKeyRefused {
		t.Errorf("401 subscription key: reason = %s, want %s", got, ReasonSubscriptionKeyRefused)
	}
}

func TestClassify_WithoutReply(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		name      string
		err       error
		connected bool
		want      Reason
		unknown   bool
	}{
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), false, ReasonConnectRefused, false},
		{"no route", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), false, ReasonConnectFailed, false},
		{"dial timeout", dial(os.ErrDeadlineExceeded), false, ReasonConnectTimeout, false},
		{"no such host", dial(&net.DNSError{IsNotFound: true}), false, ReasonDNSFailed, false},
		{"certificate", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false, ReasonTLSFailed, false},
		{"plain http", http.ErrSchemeMismatch, false, ReasonTLSFailed, false},
		{"our limit while dialling", errCallTimeout, false, ReasonConnectTimeout, false},
		{"start limit while dialling", errTooLate, false, ReasonStartedTooLate, false},
		{"cancelled while dialling", context.Canceled, false, ReasonCancelledBeforeSending, false},
		{"deadline while dialling", context.DeadlineExceeded, false, ReasonDeadlineBeforeSending, false},
		{"something else while dialling", errors.New("x"), false, ReasonConnectFailed, false},
		{"our limit", errCallTimeout, true, ReasonTimeout, true},
		{"start limit as the connection came", errTooLate, true, ReasonCancelled, true},
		{"cancelled", fmt.Errorf("x: %w", context.Canceled), true, ReasonCancelled, true},
		{"deadline", context.DeadlineExceeded, true, ReasonDeadlineExceeded, true},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true, ReasonConnectionLost, true},
		{"closed", io.EOF, true, ReasonConnectionLost, true},
		{"cut in half", fmt.Errorf("x: %w", io.ErrUnexpectedEOF), true, ReasonTruncated, true},
		{"something else", errors.New("x"), true, ReasonConnectionLost, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, write := range map[CallName]bool{CallCVVStatus: false, CallUnblockCVV: true} {
				class, reason := classify(outcome{write: write, err: tc.err, connected: tc.connected})
				e := &Error{Call: name, Class: class, Reason: reason}
				if reason != tc.want || e.MayHaveApplied() != (write && tc.unknown) {
					t.Errorf("%s: reason = %s, MayHaveApplied = %v, want %s, %v", name, reason, e.MayHaveApplied(), tc.want, write && tc.unknown)
				}
			}
		})
	}
}

func TestClassify_BodyCutShortCountsForReadsAlone(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]Reason{
		io.ErrUnexpectedEOF: ReasonTruncated, errCallTimeout: ReasonTimeout, context.Canceled: ReasonCancelled,
		context.DeadlineExceeded: ReasonDeadlineExceeded, errBodyTooLarge: ReasonBodyTooLarge, syscall.ECONNRESET: ReasonConnectionLost,
	} {
		if _, got := classify(outcome{status: 200, err: err, connected: true}); got != want {
			t.Errorf("read, 200, %v: reason = %s, want %s", err, got, want)
		}
		if class, got := classify(outcome{write: true, status: 200, err: err, connected: true}); class != ClassNone || got != "" {
			t.Errorf("write, 200, %v: %v (%s), want none: the status line said accepted", err, class, got)
		}
		if _, got := classify(outcome{status: 404, err: err, connected: true}); got != ReasonNotFound {
			t.Errorf("read, 404, %v: reason = %s, want %s: the status arrived", err, got, ReasonNotFound)
		}
	}
}

func TestReasons_AreMetricLabelsWithAClassAndASentence(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for r, f := range reasons {
		if !form.MatchString(string(r)) || len(r) > 32 {
			t.Errorf("reason %q is no short snake_case string", r)
		}
		if f.class == ClassNone || f.text == "" {
			t.Errorf("reason %s: class = %v, text = %q, want both", r, f.class, f.text)
		}
		if !form.MatchString(f.class.String()) {
			t.Errorf("class %q is no snake_case string", f.class)
		}
		if definite := f.class != ClassUnavailable && f.class != ClassBadResponse; definite && f.mayHaveApplied {
			t.Errorf("reason %s of class %v leaves the outcome open, want definite", r, f.class)
		}
	}
	if got := Reason("made_up").Class(); got != ClassUnavailable {
		t.Errorf("class of an unknown reason = %v, want %v", got, ClassUnavailable)
	}
	if e := (&Error{Call: CallUnblockPIN, Reason: "made_up"}); !e.MayHaveApplied() {
		t.Error("unknown reason of an unblock: MayHaveApplied = false, want true")
	}
	if got := Class(200).String(); got != "invalid_class" {
		t.Errorf("Class(200) = %q, want invalid_class", got)
	}
}

func TestClassOf_SeesThroughWrapping(t *testing.T) {
	t.Parallel()
	e := &Error{Call: CallPIN, Class: ClassThrottled, Reason: ReasonThrottled}
	for _, tc := range []struct {
		err  error
		want Class
	}{{nil, ClassNone}, {e, ClassThrottled}, {fmt.Errorf("x: %w", e), ClassThrottled}, {errors.New("x"), ClassUnavailable}} {
		if got := ClassOf(tc.err); got != tc.want {
			t.Errorf("ClassOf(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}
