package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// life is one accepted operation with all that is known of it.
type life struct {
	id     string
	kind   tasks.Kind
	card   string
	final  tasks.Operation
	known  bool // final was read
	seen   []tasks.Operation
	events []opstore.Event
	// unblocks are the operation's unblock calls, reads the status reads of its card and credential
	// while it lived, which may also be another operation's.
	unblocks, reads []sandbox.Entry
}

// lives puts the ledgers together, one life for each operation, in the order of their first request.
func (r Run) lives() []life {
	byCard := map[string][]sandbox.Entry{}
	for _, c := range r.Calls {
		byCard[c.PublicToken] = append(byCard[c.PublicToken], c)
	}
	var out []life
	done := map[string]bool{}
	for _, q := range r.Requests {
		if q.ID == "" || done[q.ID] {
			continue
		}
		done[q.ID] = true
		final, known := r.Finals[q.ID]
		out = append(out, life{
			id: q.ID, kind: q.Kind, card: q.Card, final: final, known: known,
			seen: r.Seen[q.ID], events: r.Events[q.ID],
		})
	}
	born := map[cardAndKind][]time.Time{}
	for _, l := range out {
		k := cardAndKind{l.card, l.kind}
		born[k] = append(born[k], l.final.CreatedAt)
	}
	for i := range out {
		l := &out[i]
		next := nextAfter(born[cardAndKind{l.card, l.kind}], l.final.CreatedAt)
		from, to := l.final.CreatedAt.Add(-r.Slack), next.Add(-r.Slack)
		unblock, read := callsOf(l.kind.Credential())
		for _, c := range byCard[l.card] {
			if c.ReceivedAt.Before(from) || !c.ReceivedAt.Before(to) {
				continue
			}
			switch {
			case c.Call == unblock && l.kind.Unblocks():
				l.unblocks = append(l.unblocks, c)
			case c.Call == read:
				l.reads = append(l.reads, c)
			}
		}
	}
	return out
}

type cardAndKind struct {
	card string
	kind tasks.Kind
}

// nextAfter returns the first of times after t, or the end of time. Of the operations of one kind for one
// card only one is open at any moment, so the next one's begin is the end of what can be this one's.
func nextAfter(times []time.Time, t time.Time) time.Time {
	next := time.Unix(1<<40, 0)
	for _, o := range times {
		if o.After(t) && o.Before(next) {
			next = o
		}
	}
	return next
}

func callsOf(c tasks.Credential) (unblock, read sandbox.Call) {
	if c == tasks.CVV {
		return sandbox.CallUnblockCVV, sandbox.CallCVVStatus
	}
	return sandbox.CallUnblockPIN, sandbox.CallPINStatus
}

// history is the life in lines, in the order of time.
func (l life) history() string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, e := range l.events {
		lines = append(lines, line{e.At, strings.TrimSpace("  store  " + e.Name + " " + e.Detail)})
	}
	for _, c := range slices.Concat(l.unblocks, l.reads) {
		lines = append(lines, line{c.ReceivedAt, "  API    " + describe(c)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s, accepted %s, expires %s, %s\n", l.kind, clock(l.final.CreatedAt), clock(l.final.ExpiresAt), l.outcome())
	for _, x := range lines {
		fmt.Fprintf(&b, "  %s %s\n", clock(x.at), x.text)
	}
	return b.String()
}

func (l life) outcome() string {
	switch {
	case !l.known:
		return "not found at the end"
	case l.final.Error != nil:
		return fmt.Sprintf("%s with %s", l.final.State, l.final.Error.Code)
	default:
		return string(l.final.State)
	}
}

func describe(c sandbox.Entry) string {
	text := fmt.Sprintf("%s %s", c.Call, cmp.Or(string(c.Outcome), "?"))
	if c.Status != 0 {
		text += fmt.Sprintf(" %d", c.Status)
	}
	if c.AppliedAt != nil {
		text += ", applied"
	}
	if c.SaidBlocked != nil {
		text += fmt.Sprintf(", said blocked = %t", *c.SaidBlocked)
	}
	if c.Fault != "" {
		text += ", fault " + c.Fault
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
