package worker

import (
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// schedule decides whether a verdict that asks for another attempt gets it, and when. left is what is
// left of the operation's time. It is a pure function: the whole policy of giving up is here.
func schedule(t tasks.Type, rec opstore.Record, v verdict, left time.Duration, random float64) verdict {
	if v.end != again || v.interrupted {
		return v
	}
	if v.tooLate {
		return outOfTime(t, rec, v)
	}
	if v.blocked {
		delay, ok := reread(rec.Reads + 1)
		if !ok {
			v.end, v.code, v.message = fail, tasks.CodeStillBlocked, "the API accepted the unblock, but every status read since says blocked"
			return v
		}
		return delayed(t, rec, v, delay, left)
	}
	if v.unburned {
		return delayed(t, rec, v, spread(v.retryAfter, random), left)
	}
	switch {
	case t.Confirms():
		// Once accepted, the truth is worth every try until the operation expires.
	case rec.Tries >= t.Policy().Attempts,
		v.code == tasks.CodeUnauthorized && rec.Tries >= maxUnauthorized,
		v.code == tasks.CodeInternal && rec.Tries >= maxPanics:
		return giveUp(t, rec, v, "")
	}
	longest := longestDelay
	if t.Confirms() {
		longest = longestReread
	}
	return delayed(t, rec, v, backoff(rec.Tries, longest, v.retryAfter, random), left)
}

func delayed(t tasks.Type, rec opstore.Record, v verdict, delay, left time.Duration) verdict {
	d, ok := fit(delay, v.retryAfter, left)
	if !ok {
		return giveUp(t, rec, v, "; no time is left for another try")
	}
	v.delay = d
	return v
}

// giveUp ends an operation whose retries or time have run out. Its code is what is true of the card, not
// what happened last: an unblock that was accepted is unconfirmed, one that may have been applied is
// unavailable, and only otherwise does the last failure count.
func giveUp(t tasks.Type, rec opstore.Record, v verdict, why string) verdict {
	v.end, v.tooLate = fail, false
	switch {
	case t.Confirms() && (v.blocked || rec.Reads > 0):
		v.code, v.message = tasks.CodeStillBlocked, "the API accepted the unblock, but every status read until the operation expired says blocked"
	case t.Confirms():
		v.code, v.message = tasks.CodeUnconfirmed, "the API accepted the unblock, but no readable status arrived in time"
	case v.unknown:
		v.code, v.message = tasks.CodeUnavailable, "the reply to an unblock was lost, and no status read since says unblocked; it may have been applied all the same"
	case v.code == "":
		why := opstore.Overdue("")
		v.code, v.message = why.Code, why.Message
	default:
		v.message += why
	}
	return v
}

// expired is the verdict on an operation whose time was over when its task began.
func expired(t tasks.Type, rec opstore.Record) verdict {
	return outOfTime(t, rec, verdict{unknown: rec.Call != opstore.CallNone})
}

// outOfTime ends an operation whose time was over before this attempt could ask anything, so that what
// the earlier ones came to is what counts.
func outOfTime(t tasks.Type, rec opstore.Record, v verdict) verdict {
	why := opstore.Overdue(rec.LastCode)
	v.code, v.message = why.Code, why.Message
	return giveUp(t, rec, v, "")
}
