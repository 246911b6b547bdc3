package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// check looks at a run that is over. It returns what is wrong, or "".
type check func(r *run, a args) string

// lastSecondOnly is the form whose runs may lose what was written in the second before Redis went.
const lastSecondOnly = "only the last second before redis went is lost"

// checks are all the expectations that a scenario can have.
var checks = slices.Concat(generalChecks, crashChecks, pressureChecks)

// generalChecks are about what every scenario is about.
var generalChecks = []form[check]{
	{words: "all end within <duration>", f: func(r *run, a args) string {
		open := 0
		for _, op := range r.result.Finals {
			if !op.Done {
				open++
			}
		}
		switch {
		case open > 0:
			return fmt.Sprintf("%d have not ended", open)
		case r.settled() > a.duration:
			return fmt.Sprintf("the last ended after %s", r.settled())
		}
		return ""
	}},
	{words: "<percent> succeed", f: func(r *run, a args) string {
		if got := r.succeeded(); got < a.share {
			return fmt.Sprintf("%.1f%% did: %v", 100*got, r.figures().Outcomes)
		}
		return ""
	}},
	{words: "audit clean", f: func(r *run, _ args) string {
		return r.broken(func(audit.Violation) bool { return false })
	}},
	{words: lastSecondOnly, f: func(r *run, _ args) string { return r.lostLastSecond() }},
	{words: "nothing is lost", f: func(r *run, _ args) string {
		if len(r.lost) > 0 {
			return fmt.Sprintf("%d of %d accepted operations are gone", len(r.lost), len(r.asked))
		}
		return ""
	}},
	{words: "recovery p99 <= <duration>", f: func(r *run, a args) string {
		q := QuantilesOf(recoveries(r.kills, r.result.Events))
		switch {
		case q.N == 0:
			return "no worker was killed while it had an operation in hand"
		case q.P99 > a.duration:
			return q.String()
		}
		return ""
	}},
	{words: "resumed <= <duration>", f: func(r *run, a args) string {
		if len(r.redisBack) == 0 {
			return "Redis never came back, or never went"
		}
		for _, at := range r.redisBack {
			if d, ok := resumption(at, r.result.Events); !ok || d > a.duration {
				return fmt.Sprintf("nothing happened for %s", d)
			}
		}
		return ""
	}},
	{words: "some are refused as queue_unavailable", f: func(r *run, _ args) string {
		if r.load.refusals["queue_unavailable"] == 0 {
			return "none was"
		}
		return ""
	}},
	{words: "at most <count> calls in any second", f: func(r *run, a args) string {
		return atMost(a.count, r.result.Calls)
	}},
	{words: "at most <count> calls while the api is down", f: func(r *run, a args) string {
		n := 0
		for _, c := range r.result.Calls {
			if c.Fault == outage {
				n++
			}
		}
		if n > a.count || n == 0 {
			return fmt.Sprintf("there were %d", n)
		}
		return ""
	}},
	{words: "no call during a pause of <count> seconds", f: func(r *run, a args) string {
		return duringPause(time.Duration(a.count)*time.Second, r.result.Calls)
	}},
	{words: "all poison is put aside", f: func(r *run, _ args) string { return r.poisonLeft() }},
}

// atMost finds the second with the most calls.
func atMost(limit int, calls []sandbox.Entry) string {
	var times []time.Time
	for _, c := range calls {
		if c.Call != sandbox.CallToken {
			times = append(times, c.ReceivedAt)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	first, most := 0, 0
	for i, at := range times {
		for at.Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	if most > limit {
		return fmt.Sprintf("there were %d", most)
	}
	return ""
}

// pauseNotice is how long it may take until the whole fleet knows of a pause.
const pauseNotice = 100 * time.Millisecond

// duringPause finds a call that was made although the API had asked for a pause.
func duringPause(length time.Duration, calls []sandbox.Entry) string {
	var asked time.Time
	for _, c := range calls {
		if c.Fault == pause && c.EndedAt != nil {
			asked = *c.EndedAt
		}
	}
	if asked.IsZero() {
		return "the API never asked for one"
	}
	for _, c := range calls {
		// Retry-After counts whole seconds, and is counted from when it was read.
		if after := c.ReceivedAt.Sub(asked); c.Call != sandbox.CallToken && after > pauseNotice && after < length {
			return fmt.Sprintf("a call came %s after the API had asked", after.Round(time.Millisecond))
		}
	}
	return ""
}

// lostLastSecond allows for what an asynchronous write to disk or to a replica may lose. An operation that
// is gone must have been accepted in the last second, and its key must still get an operation that ends.
// One that was alive then may have lost a step, so what is not known any more is done again: it must
// still end, and end truthfully.
func (r *run) lostLastSecond() string {
	gone := map[string]bool{}
	for _, q := range r.lost {
		gone[q.Card] = true
		if !r.inLostSecond(q.acceptedAt, q.acceptedAt) {
			return fmt.Sprintf("%s was accepted at %s and is gone, Redis went at %v", q.ID, q.acceptedAt, r.redisGone)
		}
	}
	if what := r.askAgain(); what != "" {
		return what
	}
	run := r.result
	run.Requests = slices.DeleteFunc(slices.Clone(run.Requests), func(q audit.Request) bool { return gone[q.Card] })
	run.Calls = slices.DeleteFunc(slices.Clone(run.Calls), func(c sandbox.Entry) bool { return gone[c.PublicToken] })
	whole := r.result
	defer func() { r.result = whole }()
	r.result = run
	return r.broken(func(v audit.Violation) bool {
		op, ok := run.Finals[v.ID]
		return ok && r.inLostSecond(op.CreatedAt, op.UpdatedAt) && slices.Contains([]string{"I4", "I5", "I6", "I12"}, v.Invariant)
	})
}

// inLostSecond reports whether something was going on between from and to when a write could get lost.
func (r *run) inLostSecond(from, to time.Time) bool {
	return slices.ContainsFunc(r.redisGone, func(at time.Time) bool {
		return from.Before(at.Add(clocks)) && to.After(at.Add(-unsynced-clocks))
	})
}

// askAgain has the lost operations accepted once more, with their keys, and waits for their ends.
func (r *run) askAgain() string {
	var again []request
	for _, q := range r.lost {
		acc, err := r.load.attempt(r.t.Context(), q.Request)
		if err != nil {
			return fmt.Sprintf("ask again with the key of a lost operation: %v", err)
		}
		q.ID = acc.ID
		again = append(again, q)
	}
	for id, op := range ends(r.t, r.load.client, again, patience) {
		if op.State != tasks.Succeeded {
			return fmt.Sprintf("%s, which was asked for again, has %s", id, outcome(op))
		}
	}
	return ""
}
