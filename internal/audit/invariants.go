package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// noLoss is I1. A re-drive begins the count of terminal states anew.
func noLoss(r Run, l life) string {
	switch {
	case !l.known:
		return "it was accepted and is gone"
	case !l.final.Done || !l.final.State.Done():
		return fmt.Sprintf("it has not ended: it is %s", l.final.State)
	case l.final.UpdatedAt.After(l.final.ExpiresAt.Add(r.Bound)):
		return fmt.Sprintf("it ended %s after it expired, the bound is %s", l.final.UpdatedAt.Sub(l.final.ExpiresAt), r.Bound)
	}
	if l.events == nil {
		return "" // The store's events were not collected.
	}
	ends := 0
	for _, e := range l.events {
		switch e.Name {
		case "succeeded", "failed":
			ends++
		case "redriven":
			ends = 0
		}
	}
	if ends != 1 {
		return fmt.Sprintf("it ended %d times", ends)
	}
	return ""
}

// noPhantom is I2. An unblock that the API refuses because the card is not blocked has nothing to apply;
// a read after the refusal has to show it.
func noPhantom(_ Run, l life) string {
	if l.final.State != tasks.Succeeded {
		return ""
	}
	if l.final.Status == nil {
		return "it succeeded without a status"
	}
	var since time.Time
	if l.kind.Unblocks() {
		if l.final.Status.Blocked {
			return "it succeeded with a status that says blocked"
		}
		found := false
		for _, c := range l.unblocks {
			if c.AppliedAt != nil && !found {
				since, found = *c.AppliedAt, true
			}
			if c.Status == 409 && !found {
				since, found = c.ReceivedAt, true
			}
		}
		if !found {
			return "it succeeded and the API has applied no unblock"
		}
	}
	for _, c := range l.reads {
		if c.SaidBlocked != nil && *c.SaidBlocked == l.final.Status.Blocked && !readAt(c).Before(since) {
			return ""
		}
	}
	return fmt.Sprintf("it succeeded and no read after that said blocked = %t", l.final.Status.Blocked)
}

// readAt is when the API looked at the card. A read that was under way while the unblock was applied, and says so,
// is a read after that.
func readAt(c sandbox.Entry) time.Time {
	if c.ReadAt != nil {
		return *c.ReadAt
	}
	return c.ReceivedAt
}

// noWrongFailure is I3.
func noWrongFailure(_ Run, l life) string {
	if l.final.State != tasks.Failed {
		return ""
	}
	if l.final.Error == nil || !l.final.Error.Code.Valid() {
		return "it failed without a code of the list"
	}
	code := l.final.Error.Code
	if l.final.UnblockAcceptedAt != nil || code == tasks.CodeUnconfirmed || code == tasks.CodeUnavailable {
		return ""
	}
	for _, c := range l.unblocks {
		if c.AppliedAt != nil {
			return fmt.Sprintf("it failed with %s, but the API has applied its unblock", code)
		}
	}
	return ""
}

// noBlindRepeats is I4.
func noBlindRepeats(_ Run, l life) string {
	for i, next := range l.unblocks {
		if i == 0 {
			continue
		}
		last := l.unblocks[i-1]
		if last.EndedAt == nil || last.EndedAt.After(next.ReceivedAt) {
			return fmt.Sprintf("unblock %d began while unblock %d was in flight", i+1, i)
		}
		if refused(last) {
			continue
		}
		looked := slices.ContainsFunc(l.reads, func(c sandbox.Entry) bool {
			return c.SaidBlocked != nil && *c.SaidBlocked && !c.ReceivedAt.Before(last.ReceivedAt) && c.ReceivedAt.Before(next.ReceivedAt)
		})
		if !looked {
			return fmt.Sprintf("unblock %d was sent although unblock %d may have been applied and no read has said blocked since", i+1, i)
		}
	}
	return ""
}

// refused reports whether the client can know that a call was not applied: the API said no. (408 is said
// of a request that may have arrived.)
func refused(c sandbox.Entry) bool {
	return c.Outcome == sandbox.OutcomeAnswered && c.Status >= 400 && c.Status < 500 && c.Status != 408
}

// monotone is I5.
func monotone(_ Run, l life) string {
	var end *tasks.Operation
	all := l.seen
	if l.known {
		all = append(slices.Clone(all), l.final)
	}
	for i, op := range all {
		switch {
		case end == nil && op.Done:
			end = &all[i]
		case end == nil:
		case !op.Done:
			return fmt.Sprintf("a reader saw it %s after it had %s", op.State, end.State)
		case op.State != end.State || !cmp.Equal(op.Error, end.Error) || !cmp.Equal(op.Status, end.Status):
			return "two readers saw different ends"
		}
	}
	return ""
}

// chained is I6.
func chained(_ Run, l life) string {
	accepted, confirmed := false, false
	fence := int64(0)
	for _, e := range l.events {
		switch e.Name {
		case "unblock_accepted":
			accepted, confirmed = true, false
		case "begun", "expired":
			confirmed = confirmed || accepted
			var f int64
			if _, err := fmt.Sscan(e.Detail, &f); err != nil {
				continue
			}
			if f < fence {
				return fmt.Sprintf("fence %d began after fence %d", f, fence)
			}
			fence = f
		}
	}
	if accepted && !confirmed {
		return "its unblock was accepted and nobody has begun to confirm it"
	}
	if accepted && l.final.UnblockAcceptedAt == nil && l.known {
		return "its unblock was accepted, but the operation does not say when"
	}
	return ""
}

// inTime is I8 for unblocks. Reads cannot be told apart when several operations of a card are alive: the
// check of strays looks at those.
func inTime(r Run, l life) string {
	last := l.final.ExpiresAt.Add(r.Slack)
	for _, c := range l.unblocks {
		if c.ReceivedAt.After(last) {
			return fmt.Sprintf("an unblock began %s after it expired", c.ReceivedAt.Sub(l.final.ExpiresAt))
		}
	}
	return ""
}
