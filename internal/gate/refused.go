package gate

import (
	"fmt"
	"time"
)

// Refused says that no call may be made now.
type Refused struct {
	// After is how long until it is worth asking again; it is positive.
	After time.Duration
	// Why is for a log: "the API asked to be left alone", "the circuit breaker is open: the API fails".
	Why string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s; no call for %s", r.Why, r.After.Round(time.Millisecond))
}

// RetryAfter returns how long until it is worth asking again.
func (r *Refused) RetryAfter() time.Duration { return r.After }

// leastRefusal keeps a refusal at the very end of a hold from being an invitation to ask in a loop.
const leastRefusal = 10 * time.Millisecond

func held(after time.Duration) error {
	return &Refused{After: max(after, leastRefusal), Why: "the API asked to be left alone"}
}

func opened(after time.Duration) error {
	return &Refused{After: max(after, leastRefusal), Why: "the circuit breaker is open: the API fails"}
}
