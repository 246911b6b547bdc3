package faults

import (
	"math/rand/v2"
	"slices"
	"time"
)

// moment is one fault at its time from the beginning of the load.
type moment struct {
	at time.Duration
	do call[fault]
}

// schedule is what happens when, in order. What is random about it follows from the seed.
func (s *Scenario) schedule(random *rand.Rand) []moment {
	var out []moment
	for _, st := range s.steps {
		for n := range st.times {
			at := st.at + time.Duration(n)*st.every
			if st.every > 0 {
				at += time.Duration(random.Int64N(int64(st.every)/2 + 1))
			}
			do := st.do
			if hasWorker(do.form.words) && do.args.worker == anyWorker {
				do.args.worker = 1 + random.IntN(s.Workers)
			}
			out = append(out, moment{at, do})
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int { return int(a.at - b.at) })
	return out
}
