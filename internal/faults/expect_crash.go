package faults

import "fmt"

// crashChecks are about workers that end or stand still at a point.
var crashChecks = []form[check]{
	{words: "what was open at a crash ends within <duration>", f: func(r *run, a args) string {
		all, slowest := endsAfterCrash(r.kills, r.result.Finals, r.result.Events)
		q := QuantilesOf(all)
		r.t.Logf("what was open at a crash ended: %s", q)
		switch {
		case q.N == 0:
			return "nothing was open when a worker was killed"
		case q.Max > a.duration:
			return fmt.Sprintf("one took %s: %s", q.Max, r.life(r.result.Finals[slowest]))
		}
		return ""
	}},
	{words: "no unblock is applied twice", f: func(r *run, _ args) string { return r.appliedTwice() }},
	{words: "at least <count> late writes are refused", f: func(r *run, a args) string {
		if n := r.lateWrites(); n < a.count {
			return fmt.Sprintf("%d were", n)
		}
		return ""
	}},
	{words: "at least <count> panics", f: func(r *run, a args) string {
		if n := r.panics(); n < a.count {
			return fmt.Sprintf("there were %d", n)
		}
		return ""
	}},
}
