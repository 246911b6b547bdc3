package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// answerChecks are expectations about the API's ledger, and about what the workers made of bad answers.
var answerChecks = []form[check]{
	{words: "at most <count> calls from a second after the api went down", f: func(r *run, a args) string {
		return probesWhileDown(a.count, r.result.Calls)
	}},
	{words: "at most <count> calls in any 100ms after the api came back", f: func(r *run, a args) string {
		if r.apiBack.IsZero() {
			return "it never went"
		}
		came := receivedBetween(r.apiBack, r.quiet.Add(patience), r.result.Calls)
		if n, may := r.late.crowded(came, 100*time.Millisecond, a.count); n > 0 {
			return fmt.Sprintf("there were %d, and with the machine as late as it was there may be %d", n, may)
		}
		return ""
	}},
	{words: "no attempt without a call", f: func(r *run, _ args) string { return r.burned() }},
	{words: "at most <count> token requests", f: func(r *run, a args) string {
		if n := len(tokenRequests(r.result.Calls)); n > a.count || n == 0 {
			return fmt.Sprintf("there were %d", n)
		}
		return ""
	}},
	{words: "at most <count> token requests at once", f: func(r *run, a args) string {
		if n := atOnce(tokenRequests(r.result.Calls)); n > a.count || n == 0 {
			return fmt.Sprintf("there were %d", n)
		}
		return ""
	}},
	{words: "at most <count> reads after an unblock", f: func(r *run, a args) string { return r.confirmingReads(a.count) }},
	{words: "<percent> fail as still_blocked", f: func(r *run, a args) string {
		return r.failures(a.share, tasks.CodeStillBlocked)
	}},
	{words: "<percent> fail as unauthorized", f: func(r *run, a args) string {
		return r.failures(a.share, tasks.CodeUnauthorized)
	}},
	{words: "<percent> fail for want of time", f: func(r *run, a args) string {
		return r.failures(a.share, tasks.CodeExpired, tasks.CodeUnconfirmed, tasks.CodeUnavailable)
	}},
}

// probesWhileDown is about a breaker that opens in time and then lets one worker ask now and then.
func probesWhileDown(limit int, calls []sandbox.Entry) string {
	var first time.Time
	n := 0
	for _, c := range calls {
		switch {
		case c.Fault != outage:
		case first.IsZero():
			first = c.ReceivedAt
		case c.ReceivedAt.Sub(first) > time.Second:
			n++
		}
	}
	if n > limit || first.IsZero() {
		return fmt.Sprintf("there were %d", n)
	}
	return ""
}

// receivedBetween returns when calls of cards arrived, in order.
func receivedBetween(from, to time.Time, calls []sandbox.Entry) []time.Time {
	var out []time.Time
	for _, c := range calls {
		if c.Call != sandbox.CallToken && c.ReceivedAt.After(from) && c.ReceivedAt.Before(to) {
			out = append(out, c.ReceivedAt)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

func tokenRequests(calls []sandbox.Entry) []sandbox.Entry {
	return slices.DeleteFunc(slices.Clone(calls), func(c sandbox.Entry) bool { return c.Call != sandbox.CallToken })
}

// atOnce returns how many of the calls were under way at the same time, at most.
func atOnce(calls []sandbox.Entry) int {
	n := 0
	for _, c := range calls {
		open := 0
		for _, o := range calls {
			if !o.ReceivedAt.After(c.ReceivedAt) && (o.EndedAt == nil || o.EndedAt.After(c.ReceivedAt)) {
				open++
			}
		}
		n = max(n, open)
	}
	return n
}

// burned finds an operation with more attempts than calls: one that was not let through has cost it one.
func (r *run) burned() string {
	calls := map[string]int{}
	for _, c := range r.result.Calls {
		calls[c.PublicToken]++
	}
	for _, q := range r.asked {
		if op := r.result.Finals[q.ID]; op.Attempts > calls[q.Card] {
			return fmt.Sprintf("%s has %d attempts and the API has seen %d calls of it", q.ID, op.Attempts, calls[q.Card])
		}
	}
	return ""
}

// confirmingReads finds an unblock whose status was read more often than allowed after it was carried out.
func (r *run) confirmingReads(limit int) string {
	reads := map[string]int{}
	applied := map[string]bool{}
	for _, c := range r.result.Calls {
		switch {
		case c.AppliedAt != nil:
			applied[c.PublicToken] = true
		case applied[c.PublicToken] && c.SaidBlocked != nil:
			reads[c.PublicToken]++
		}
	}
	for _, q := range r.asked {
		if reads[q.Card] > limit {
			return fmt.Sprintf("%s was read %d times", q.ID, reads[q.Card])
		}
	}
	if len(reads) == 0 {
		return "no status was read after an unblock"
	}
	return ""
}

// failures checks that so many have failed, at least, and no one for another reason.
func (r *run) failures(share float64, codes ...tasks.Code) string {
	n := 0
	for _, op := range r.result.Finals {
		switch {
		case op.Error == nil:
		case !slices.Contains(codes, op.Error.Code):
			return fmt.Sprintf("%s failed with %s", op.ID, op.Error.Code)
		default:
			n++
		}
	}
	if got := float64(n) / float64(max(1, len(r.asked))); got < share {
		return fmt.Sprintf("%.1f%% did: %v", 100*got, r.figures().Outcomes)
	}
	return ""
}
