package audit

import (
	"fmt"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// dedup is I7: who comes with a key first has it.
func (r Run) dedup() []Violation {
	var out []Violation
	first := map[string]Request{}
	for _, q := range r.Requests {
		if q.Key == "" || q.ID == "" {
			continue
		}
		f, ok := first[q.Key]
		if !ok {
			first[q.Key] = q
			continue
		}
		switch {
		case f.Kind != q.Kind || f.Card != q.Card:
			out = append(out, Violation{Invariant: "I7", ID: q.ID, What: fmt.Sprintf("its key was %s's, which is of another kind or card", f.ID)})
		case f.ID != q.ID:
			out = append(out, Violation{Invariant: "I7", ID: q.ID, What: fmt.Sprintf("its key was %s's", f.ID)})
		}
	}
	return out
}

// strays are calls that no operation accounts for: an unblock of a card without an operation, and a call
// that began before every operation of its card was accepted or after all of them had expired. The former would be a card
// unblocked that nobody asked for (I4), the latter is I8.
func (r Run) strays(lives []life) []Violation {
	type cardAndCall struct {
		card string
		call sandbox.Call
	}
	owners := map[cardAndCall][]life{}
	for _, l := range lives {
		unblock, read := callsOf(l.kind.Credential())
		if l.kind.Unblocks() {
			k := cardAndCall{l.card, unblock}
			owners[k] = append(owners[k], l)
		}
		k := cardAndCall{l.card, read}
		owners[k] = append(owners[k], l)
	}
	var out []Violation
	for _, c := range r.Calls {
		if !isCardCall(c.Call) {
			continue
		}
		ls := owners[cardAndCall{c.PublicToken, c.Call}]
		if len(ls) == 0 {
			out = append(out, Violation{Invariant: "I4", What: "a call that no operation asked for", History: "  " + clock(c.ReceivedAt) + " " + describe(c)})
			continue
		}
		if l, late := r.late(ls, c.ReceivedAt); late {
			out = append(out, Violation{
				Invariant: "I8", ID: l.id, History: l.history(),
				What: fmt.Sprintf("%s at %s, when no operation of the card was alive", c.Call, clock(c.ReceivedAt)),
			})
		}
	}
	return out
}

func isCardCall(c sandbox.Call) bool {
	switch c {
	case sandbox.CallUnblockCVV, sandbox.CallUnblockPIN, sandbox.CallCVVStatus, sandbox.CallPINStatus:
		return true
	default:
		return false
	}
}

// late reports that at lies outside the lives of all of ls, and names the last of them.
func (r Run) late(ls []life, at time.Time) (life, bool) {
	for _, l := range ls {
		if !at.Before(l.final.CreatedAt.Add(-r.Slack)) && !at.After(l.final.ExpiresAt.Add(r.Slack)) {
			return life{}, false
		}
	}
	return ls[len(ls)-1], true
}
