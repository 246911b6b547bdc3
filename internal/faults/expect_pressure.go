package faults

import "fmt"

// pressureChecks are about poison, backlogs and memory.
var pressureChecks = []form[check]{
	{words: "p99 of unblocks under poison <= <duration>", f: func(r *run, a args) string {
		before, under := r.poisonedLatency()
		b, u := QuantilesOf(before), QuantilesOf(under)
		r.t.Logf("unblocks before the poison: %s; under it: %s", b, u)
		if b.N == 0 || u.N == 0 || u.P99 > a.duration {
			return fmt.Sprintf("under it: %s", u)
		}
		return ""
	}},
	{words: "memory of a worker <= <count> MB", f: func(r *run, a args) string {
		n, err := r.residentPeak()
		r.t.Logf("a worker took %d MB at most", n>>20)
		if err != nil || n == 0 || n > a.count<<20 {
			return fmt.Sprintf("one took %d bytes (%v)", n, err)
		}
		return ""
	}},
	{words: "an operation takes <= <count> bytes of redis", f: func(r *run, a args) string { return r.memoryAbove(a.count) }},
	{words: "redis is back to its baseline within <duration>", f: func(r *run, a args) string { return r.backToBaseline(a.duration) }},
}
