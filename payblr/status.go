package payblr

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// The two values of [Status.Value]: Thredd documents both for the CVV and shows
// "Unblocked" for the PIN.
const (
	StatusBlocked   = "Blocked"
	StatusUnblocked = "Unblocked"
)

// Status is what the API says about a card's PIN or CVV at one moment.
type Status struct {
	// Value is StatusBlocked or StatusUnblocked, in that spelling.
	Value string
	// Blocked is true unless the API said "Unblocked".
	Blocked bool
	// RemainingTries counts the wrong tries left before the block; nil when the
	// API did not say or said something that is no count.
	RemainingTries *int
	// RemainingOfflineTries counts those left on the card's chip, which an
	// unblock does not reset; nil as above.
	RemainingOfflineTries *int
	// Code and Description are the statusCode and statusDescription (or code and
	// description) that a deployment may add; nil when absent. They are the
	// API's free text, cut to 200 characters, with the public token and anything
	// that looks like a card number masked.
	Code, Description *string
}

// PINStatus reads the status of the card's PIN. A read may be billed to the
// cardholder by the programme. Errors are [*Error].
func (c *Client) PINStatus(ctx context.Context, publicToken string) (Status, error) {
	return c.readStatus(ctx, CallPINStatus, publicToken)
}

// CVVStatus reads the status of the card's CVV, as [Client.PINStatus] does the PIN's.
func (c *Client) CVVStatus(ctx context.Context, publicToken string) (Status, error) {
	return c.readStatus(ctx, CallCVVStatus, publicToken)
}

func (c *Client) readStatus(ctx context.Context, name CallName, publicToken string) (Status, error) {
	var status Status
	err := c.call(ctx, name, publicToken, nil, func(body []byte) (reason Reason) {
		status, reason = decodeStatus(body, publicToken)
		return reason
	})
	return status, err
}

// decodeStatus reads both status replies. It is tolerant of everything except
// the status itself: a reader acts on "Unblocked", so no doubt may become that.
func decodeStatus(body []byte, publicToken string) (Status, Reason) {
	body, reason := trimBody(body)
	if reason != "" {
		return Status{}, reason
	}
	var reply struct {
		Status                seenStrings `json:"status"`
		RemainingTries        tries       `json:"remainingTries"`
		RemainingOfflineTries tries       `json:"remainingOfflineTries"`
		StatusCode            remark      `json:"statusCode"`
		Code                  remark      `json:"code"`
		StatusDescription     remark      `json:"statusDescription"`
		Description           remark      `json:"description"`
	}
	if body[0] != '{' {
		return Status{}, ReasonUnreadableBody
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return Status{}, ReasonUnreadableBody
	}
	if len(reply.Status.values) == 0 {
		return Status{}, ReasonWrongShape
	}
	var value string
	for i, v := range reply.Status.values {
		canonical, ok := canonicalStatus(v)
		if !ok {
			return Status{}, ReasonUnknownStatus
		}
		if i > 0 && canonical != value {
			return Status{}, ReasonWrongShape
		}
		value = canonical
	}
	if reply.Status.other {
		return Status{}, ReasonWrongShape
	}
	return Status{
		Value:                 value,
		Blocked:               value != StatusUnblocked,
		RemainingTries:        reply.RemainingTries.count,
		RemainingOfflineTries: reply.RemainingOfflineTries.count,
		Code:                  firstRemark(publicToken, reply.StatusCode, reply.Code),
		Description:           firstRemark(publicToken, reply.StatusDescription, reply.Description),
	}, ""
}

func canonicalStatus(v string) (string, bool) {
	for _, known := range []string{StatusBlocked, StatusUnblocked} {
		if strings.EqualFold(strings.TrimSpace(v), known) {
			return known, true
		}
	}
	return "", false
}

// trimBody drops a byte order mark and white space, and refuses an empty body.
func trimBody(body []byte) ([]byte, Reason) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return nil, ReasonEmptyBody
	}
	return body, ""
}

// seenStrings keeps every value of a key that a JSON object may hold more than
// once, also in another letter case: encoding/json would keep the last alone.
type seenStrings struct {
	values []string
	other  bool // a value that is no string was among them
}

// UnmarshalJSON adds a value; encoding/json calls it once per occurrence.
func (s *seenStrings) UnmarshalJSON(raw []byte) error {
	var v string
	if string(raw) == "null" || json.Unmarshal(raw, &v) != nil {
		s.other = true
		return nil
	}
	s.values = append(s.values, v)
	return nil
}

// only returns the one value, however often it was given.
func (s seenStrings) only() (string, bool) {
	if s.other || len(s.values) == 0 {
		return "", false
	}
	for _, v := range s.values[1:] {
		if v != s.values[0] {
			return "", false
		}
	}
	return s.values[0], true
}

// maxTries bounds what is taken for a count of tries. Programmes allow three or
// so; a larger number than this is something else.
const maxTries = 9999

// tries reads a count given as string, integer or integral float. Whatever is no
// count leaves nil, never an error: the status beside it is worth more.
type tries struct {
	count *int
}

// UnmarshalJSON never fails.
func (t *tries) UnmarshalJSON(raw []byte) error {
	t.count = nil
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = strings.TrimSpace(quoted)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > maxTries || f != math.Trunc(f) {
		return nil
	}
	n := int(f)
	t.count = &n
	return nil
}
