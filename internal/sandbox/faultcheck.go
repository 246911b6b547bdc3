package sandbox

import (
	"errors"
	"fmt"
	"net/http"
)

// validate reports everything that is wrong with a normalised fault, joined.
func (f Fault) validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if err := checkCall(f.Call, CallAny); err != nil {
		errs = append(errs, err)
	}
	if f.PublicToken != "" {
		if err := checkPublicToken(f.PublicToken); err != nil {
			errs = append(errs, err)
		}
		if f.Call == CallToken {
			refuse("public_token with call token: a token request has no card")
		}
	}
	if f.Skip < 0 || f.Count < 0 {
		refuse("skip %d, count %d: want 0 or more", f.Skip, f.Count)
	}
	if !isShare(f.Probability) {
		refuse("probability %v: want 0 to 1", f.Probability)
	}
	if f.At != Before && f.At != After {
		refuse("at %q: want before or after", f.At)
	}
	if f.Delay < 0 || f.Delay > maxFaultWait || f.Hold < 0 || f.Hold > maxFaultWait {
		refuse("delay %v, hold %v: want 0 to %v", f.Delay, f.Hold, maxFaultWait)
	}
	if f.Size < 0 || f.Size > maxHugeSize {
		refuse("size %d: want 0 to %d bytes", f.Size, maxHugeSize)
	}
	f.validateAnswer(refuse)
	if len(errs) > 0 {
		return fmt.Errorf("fault: %w", errors.Join(errs...))
	}
	return nil
}

// validateAnswer checks what depends on the action.
func (f Fault) validateAnswer(refuse func(string, ...any)) {
	switch f.Do {
	case DoPass, DoReset, DoClose, DoHang:
		if f.Status != 0 || f.Body != BodyAuto {
			refuse("status or body with do %s: use do status", f.Do)
		}
	case DoStatus, DoSlowBody, DoHeadersOnly, DoCut, DoRedirect:
		if (f.Do == DoStatus || f.Status != 0) && (f.Status < 200 || f.Status > 599) {
			refuse("status %d: want 200 to 599", f.Status)
		}
		if f.Do == DoRedirect && (f.Status < 300 || f.Status > 399) {
			refuse("status %d with do redirect: want 300 to 399", f.Status)
		}
	default:
		refuse("do %q: want pass, status, reset, close, hang, slow_body, headers_only, cut or redirect", f.Do)
	}
	switch f.Body {
	case BodyAuto, BodyEmpty:
	case BodyProblem, BodyAPIM, BodyEntra, BodyHTML, BodyTruncated, BodyHuge, BodyRaw:
		if f.Status == http.StatusNoContent || f.Status == http.StatusNotModified {
			refuse("body %s with status %d, which has none", f.Body, f.Status)
		}
		if f.Status == 0 {
			refuse("body %s without a status", f.Body)
		}
	default:
		refuse("body %q: want problem, apim, entra, html, empty, truncated, huge or raw", f.Body)
	}
	if f.Raw != "" && f.Body != BodyRaw {
		refuse("raw without body raw")
	}
	if len(f.Fields) > 0 && f.Do != DoPass {
		refuse("fields with do %s: they change the true answer, use do pass", f.Do)
	}
	if f.CloseAfter && f.Do != DoPass && f.Do != DoStatus && f.Do != DoRedirect {
		refuse("close_after with do %s: want do pass, status or redirect", f.Do)
	}
}
