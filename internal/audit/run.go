package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// Request is one request of a producer and what it got.
type Request struct {
	Kind tasks.Kind
	// Card is the full public token.
	Card string
	// Key is the idempotency key, or "".
	Key string
	// ID is the operation that the request got, or "" when it was refused.
	ID string
	// Refusal is the code of the refusal, or "".
	Refusal string
}

// Run is everything that is known of a run after it has ended.
type Run struct {
	// Requests are the producers' ledger.
	Requests []Request
	// Finals are the operations as read at the end, by id.
	Finals map[string]tasks.Operation
	// Seen are what one reader saw of an operation while it went on, in order, by id. Optional.
	Seen map[string][]tasks.Operation
	// Calls are the API's ledger, in the order of arrival.
	Calls []sandbox.Entry
	// Events are the store's, oldest first, by operation. See [Events].
	Events map[string][]opstore.Event
	// Bound is how long after its expiry an operation may end.
	Bound time.Duration
	// Slack is how far the clocks of Redis and of the API may lie apart, the way of a request included.
	Slack time.Duration
}

// Violation is a promise that was not kept.
type Violation struct {
	// Invariant is its name, "I1" to "I12".
	Invariant string
	// ID is the operation, or "" when it is about several.
	ID string
	// What says what is wrong, without a public token.
	What string
	// History is what happened to the operation, one line for each event and each call.
	History string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: operation %s: %s\n%s", v.Invariant, v.ID, v.What, v.History)
}

// Check returns the violations, in the order of the requests and then of the invariants.
func (r Run) Check() []Violation {
	var out []Violation
	lives := r.lives()
	for _, l := range lives {
		for _, inv := range invariants {
			if what := inv.broken(r, l); what != "" {
				out = append(out, Violation{Invariant: inv.name, ID: l.id, What: what, History: l.history()})
			}
		}
	}
	out = append(out, r.dedup()...)
	return append(out, r.strays(lives)...)
}

// invariants are those that concern one operation.
var invariants = []struct {
	name   string
	broken func(Run, life) string
}{
	{"I1", noLoss},
	{"I2", noPhantom},
	{"I3", noWrongFailure},
	{"I4", noBlindRepeats},
	{"I5", monotone},
	{"I6", chained},
	{"I8", inTime},
	{"I12", legalPath},
}

// Events reads the events of all operations from the store.
func Events(ctx context.Context, s *opstore.Store) (map[string][]opstore.Event, error) {
	out := map[string][]opstore.Event{}
	for n := range tasks.Shards {
		events, err := s.Events(ctx, tasks.ShardName(n))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			out[e.ID] = append(out[e.ID], e)
		}
	}
	return out, nil
}
