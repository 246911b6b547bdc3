package gate

import "time"

// slots is how many slots of outcomes are weighed together.
const slots = 40

// tally counts outcomes by the slot of time in which they came, over the latest slots. Its memory is
// fixed: a process that sees nothing but successes keeps them here without ever sending them.
type tally struct {
	slot  time.Duration
	epoch time.Time // slot numbers count from here, by the monotonic clock
	cells [slots]cell
}

type cell struct {
	n       int64 // number of the slot
	ok, bad int
}

func (t *tally) add(now time.Time, r Result) {
	n := t.number(now)
	c := &t.cells[n%slots]
	if c.n != n {
		*c = cell{n: n}
	}
	if r == Worked {
		c.ok++
	} else {
		c.bad++
	}
}

// take returns the counts that are not too old and forgets them all: age in slots, then successes, then
// failures, for each slot that has any.
func (t *tally) take(now time.Time) []any {
	var out []any
	n := t.number(now)
	for i, c := range t.cells {
		if age := n - c.n; age < slots && c.ok+c.bad > 0 {
			out = append(out, age, c.ok, c.bad)
		}
		t.cells[i] = cell{}
	}
	return out
}

func (t *tally) number(now time.Time) int64 {
	if t.epoch.IsZero() {
		t.epoch = now
	}
	return int64(now.Sub(t.epoch) / t.slot)
}
