package gate

import "time"

// Result is what a call says about the API.
type Result int

// The results.
const (
	// Unclear, the zero value, says nothing: the call was given up here, or turned away.
	Unclear Result = iota
	// Worked: the API answered like one that works; a refusal is such an answer.
	Worked
	// Failed: it did not.
	Failed
)

// Outcome is what came of one call.
type Outcome struct {
	Result Result
	// Took is how long the call was under way. It tells a probe from calls that started before the
	// breaker opened, and end when the API is long back, or still down.
	Took time.Duration
	// RetryAfter is how long the API asked to be left alone, or 0. It says nothing about whether the API
	// works.
	RetryAfter time.Duration
}

// Observe tells of the outcome of a call, when it ends. It does no I/O.
func (g *Gate) Observe(o Outcome) {
	now := time.Now()
	started := now.Add(-o.Took)
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.RetryAfter > 0 {
		g.hold(now, o.RetryAfter)
	}
	switch {
	case g.probe.id != "" && !started.Before(g.probe.since):
		g.settle(o.Result)
	case o.Result == Unclear, g.current.Load().open, started.Before(g.closedAt):
		// While the breaker is open only a probe counts, and what started before it closed says nothing
		// of the API since.
	default:
		g.seen.add(now, o.Result)
		if o.Result == Failed {
			nudge(g.soon) // Successes alone are no news.
		}
	}
}

// hold begins a hold in this process at once; the others are told. The caller holds mu.
func (g *Gate) hold(now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(g.news.holdUntil) {
		g.news.holdUntil = until
		nudge(g.urgent)
	}
	s := *g.current.Load()
	if until := now.Add(min(d, g.cfg.LongestHold)); until.After(s.holdUntil) {
		s.holdUntil = until
		g.current.Store(&s)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // It is due already.
	}
}
