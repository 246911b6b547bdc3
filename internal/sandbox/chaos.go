package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// ChaosKind is one way in which chaos fails a call.
type ChaosKind string

// The kinds of chaos. Status stands for one of 500, 502, 503 and 504.
const (
	ChaosStatusBefore ChaosKind = "status_before" // a status, nothing executed
	ChaosStatusAfter  ChaosKind = "status_after"  // a status, although the call was executed
	ChaosResetBefore  ChaosKind = "reset_before"  // connection reset, nothing executed
	ChaosResetAfter   ChaosKind = "reset_after"   // connection reset after executing the call
	ChaosThrottle     ChaosKind = "throttle"      // 429 with Retry-After, nothing executed
)

var (
	chaosKinds    = []ChaosKind{ChaosStatusBefore, ChaosStatusAfter, ChaosResetBefore, ChaosResetAfter, ChaosThrottle}
	chaosStatuses = [...]int{
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}
)

// Chaos fails a share of all calls at random. Which calls it hits follows from
// the seed, the card, the kind of call and its number alone.
type Chaos struct {
	// Rate is the share of calls to fail, 0 (none) to 1 (all).
	Rate float64 `json:"rate"`
	// Kinds are the ways to fail, equally likely; empty means all of them.
	Kinds []ChaosKind `json:"kinds,omitempty"`
	// Calls are the calls to fail; empty means the five card calls. The token
	// endpoint fails only when it is named.
	Calls []Call `json:"calls,omitempty"`
	// RetryAfter is the Retry-After of a 429 in seconds; 0 means 1.
	RetryAfter int `json:"retry_after,omitempty"`
}

func (c Chaos) validate() error {
	var errs []error
	if !isShare(c.Rate) {
		errs = append(errs, fmt.Errorf("rate %v: want 0 to 1", c.Rate))
	}
	for _, kind := range c.Kinds {
		if !slices.Contains(chaosKinds, kind) {
			errs = append(errs, fmt.Errorf("kind %q: want some of %v", kind, chaosKinds))
		}
	}
	for _, call := range c.Calls {
		if err := checkCall(call); err != nil {
			errs = append(errs, err)
		}
	}
	if c.RetryAfter < 0 {
		errs = append(errs, fmt.Errorf("retry_after %d: want seconds, 0 or more", c.RetryAfter))
	}
	if len(errs) > 0 {
		return fmt.Errorf("chaos: %w", errors.Join(errs...))
	}
	return nil
}

// clone copies c with nothing shared.
func (c Chaos) clone() Chaos {
	c.Kinds, c.Calls = slices.Clone(c.Kinds), slices.Clone(c.Calls)
	return c
}

// pick rolls for the nth call of a kind on a card and returns the fault it
// meets, or nil.
func (c *Chaos) pick(seed uint64, call Call, publicToken string, nth uint64) *Fault {
	if c == nil || c.Rate == 0 {
		return nil
	}
	if len(c.Calls) == 0 && !call.isCard() || len(c.Calls) > 0 && !slices.Contains(c.Calls, call) {
		return nil
	}
	name := string(call) + "/" + publicToken
	if unit(roll(seed, "chaos", name, nth)) >= c.Rate {
		return nil
	}
	kinds := c.Kinds
	if len(kinds) == 0 {
		kinds = chaosKinds
	}
	kind := kinds[roll(seed, "chaos kind", name, nth)%uint64(len(kinds))]
	f := Fault{Name: "chaos:" + string(kind), At: Before}
	switch kind {
	case ChaosStatusAfter, ChaosResetAfter:
		f.At = After
	}
	switch kind {
	case ChaosStatusBefore, ChaosStatusAfter:
		f.Do = DoStatus
		f.Status = chaosStatuses[roll(seed, "chaos status", name, nth)%uint64(len(chaosStatuses))]
	case ChaosResetBefore, ChaosResetAfter:
		f.Do = DoReset
	case ChaosThrottle:
		f.Do, f.Status = DoStatus, http.StatusTooManyRequests
		f.Headers = map[string]string{"Retry-After": strconv.Itoa(max(c.RetryAfter, 1))}
	}
	return &f
}
