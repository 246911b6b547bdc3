package gate

import "time"

// Config sets a gate up. The zero value of each field means its default. All gates of one Redis should be
// given the same.
type Config struct {
	// Rate is how many calls per second are made over all workers. Zero means no limit.
	Rate float64
	// Slot is the grain in which outcomes are counted; the last 40 slots are weighed, and any number of
	// the latest of them is enough to open the breaker. So it opens a moment after an API under load
	// began to fail, and also when a slow one fails a few calls each second. Zero means 250 ms.
	Slot time.Duration
	// MinFailures is how many failures it takes at least to open the breaker. It keeps a few unlucky
	// calls of a quiet hour from stopping everybody. Zero means 20.
	MinFailures int
	// MinShare is the share of failures that it takes. It is well above one half, because a breaker does
	// more harm than an API that does half of its work. Zero means 0.7.
	MinShare float64
	// FirstOpen and LongestOpen are how long the breaker stays open before a probe: the first time, and
	// at most, as it doubles each time a probe fails. Zero means 1 s and 15 s.
	FirstOpen   time.Duration
	LongestOpen time.Duration
	// ProbeTimeout is when another process may probe because the first never said what came of it. It
	// must be longer than a call takes. Zero means 30 s.
	ProbeTimeout time.Duration
	// LongestHold bounds what a single Retry-After does to the fleet: the payblr client believes up to an
	// hour, which one stray answer must not cost everybody. A longer one opens the breaker besides, so
	// that at the end of the hold one call asks again before all others do. The operation that got the
	// answer waits for the full time, whatever the bound. Zero means 60 s.
	LongestHold time.Duration
	// Warn, when not nil, is told in a sentence when the gate changes or cannot be shared. It must be safe
	// for concurrent use.
	Warn func(format string, args ...any)
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Slot, 250*time.Millisecond)
	def(&c.FirstOpen, time.Second)
	def(&c.LongestOpen, 15*time.Second)
	def(&c.ProbeTimeout, 30*time.Second)
	def(&c.LongestHold, time.Minute)
	if c.MinFailures <= 0 {
		c.MinFailures = 20
	}
	if c.MinShare <= 0 {
		c.MinShare = 0.7
	}
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	return c
}

// lengths are the arguments by which the scripts know how long the breaker can stay open, and a hold last.
func (c Config) lengths() []any {
	return []any{c.FirstOpen.Milliseconds(), c.LongestOpen.Milliseconds(), c.LongestHold.Milliseconds()}
}
