package worker

import (
	"math/rand/v2"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// The schedule of retries. Without jitter, the delays after the attempts 1, 2, 3 … are
//
//	unblock, refresh   250ms 500ms 1s 2s 4s 8s 16s 30s 30s …
//	confirm            250ms 500ms 1s 2s 4s 5s 5s …
//
// so the twelve attempts of an unblock reach over 2½ minutes of its five, and the eight of a refresh over
// half a minute of its two. Jitter takes up to a fifth off, so that those who failed together do not come
// back together. What the API asks for with Retry-After is waited for in full.
const (
	firstDelay      = 250 * time.Millisecond
	longestDelay    = 30 * time.Second
	longestReread   = 5 * time.Second
	jitterShare     = 0.2
	lastTryMargin   = 250 * time.Millisecond
	maxUnauthorized = 3
	maxPanics       = 3
)

// rereadDelays are the pauses after the confirming reads 1, 2, 3 and 4 that said "blocked": the API may
// lag behind its own writes.
var rereadDelays = [tasks.MaxConfirmReads - 1]time.Duration{
	200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
}

// secondLook is the pause before the status is read again when, after an unblock whose reply was lost, it
// says "blocked". It may be that the API lags, and a second unblock would then be one too many.
const secondLook = 400 * time.Millisecond

// backoff returns how long to wait after a failed attempt: the attempt-th, counted from 1, of a step
// whose delays grow to longest. retryAfter is what the API asked for, or 0; random lies in [0,1).
func backoff(attempt int, longest, retryAfter time.Duration, random float64) time.Duration {
	d := longest
	if shift := max(0, attempt-1); shift < 16 {
		d = min(longest, firstDelay<<shift)
	}
	d -= time.Duration(float64(d) * jitterShare * random)
	return max(d, retryAfter)
}

// leastSpread is the least time over which those who were refused come back. With one second, the 750 that had waited
// out an outage of ten made bursts of 350 calls in a tenth of a second on a busy machine.
const leastSpread = 1500 * time.Millisecond

// spread returns when to ask again after a call was not even let out: not before the gate said, and up to
// a quarter or a second and a half later, whichever is more. Those who wait for the same moment do not all come at
// once then, to an API that is just back.
func spread(after time.Duration, random float64) time.Duration {
	after = max(after, firstDelay)
	return after + time.Duration(float64(max(after/4, leastSpread))*random)
}

// fit makes a delay fit into what is left of an operation's time. A wait that the API asked for is kept
// or, when it is too long, refused. Any other is cut short, so that the time is used for one last try.
func fit(delay, retryAfter, left time.Duration) (time.Duration, bool) {
	if delay < left {
		return delay, true
	}
	last := left - lastTryMargin
	if last < lastTryMargin || retryAfter > last {
		return 0, false
	}
	return last, true
}

// reread returns how long to wait after the n-th confirming read that said "blocked", or false when it was
// the last.
func reread(n int) (time.Duration, bool) {
	if n < 1 || n > len(rereadDelays) {
		return 0, false
	}
	return rereadDelays[n-1], true
}

func defaultRandom() float64 { return rand.Float64() }
