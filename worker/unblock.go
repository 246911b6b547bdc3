package worker

import (
	"context"
	"net/http"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// unblock sends the unblock and, when the API accepts it, passes the operation on to be confirmed.
//
// Safe to run twice, also at the same time: the lease admits one run, and a run that follows one whose
// call may have been applied reads the status before it sends anything.
func (a attempt) unblock(ctx context.Context) verdict {
	sentBefore := a.rec.Call == opstore.CallWas
	if sentBefore {
		if v, settled := a.lookFirst(ctx); settled {
			return v
		}
	}
	looked := *a.looked
	*a.looked = time.Time{} // There is another one to look for, unless the answer says that there is none.
	err := a.send(ctx)
	if err == nil {
		return verdict{end: chain, accepted: true, upstream: http.StatusNoContent}
	}
	j := judge(err)
	if !j.unknown {
		*a.looked = looked
	}
	if j.conflict {
		return a.conflict(ctx, j, sentBefore)
	}
	v := j.verdict()
	if sentBefore {
		// What was read is of no use for a later attempt, or for an operator's retry: the call that may be on
		// its way yet could have arrived by then. For the same reason a refusal of this one says nothing certain.
		v.unknown = true
		if v.end == fail {
			v = giveUp(a.rec.Kind.FirstType(), a.rec, v, "")
		}
	}
	return v
}

// lookFirst reads the status after an earlier call whose outcome is unknown. If the card is unblocked
// the call was applied, and this very read confirms it. If not, a second look a little later makes sure
// that the API does not just lag behind; only then is it worth sending another. The first look of an attempt
// that came no further counts, as each read may be billed: what is sent still follows a fresh look.
func (a attempt) lookFirst(ctx context.Context) (verdict, bool) {
	for look := 1; ; look++ {
		second := look == 2 || !a.looked.IsZero() && time.Since(*a.looked) >= secondLook
		st, err := a.status(ctx)
		if err != nil {
			v := judge(err).verdict()
			v.unknown = true
			v.unburned = v.unburned && look == 1 // The first look was a call of the API.
			if v.end == fail {
				v = giveUp(a.rec.Kind.FirstType(), a.rec, v, "")
			}
			return v, true
		}
		if !st.Blocked {
			return verdict{end: succeed, status: statusOf(st), accepted: true, upstream: http.StatusOK}, true
		}
		if second {
			return verdict{}, false
		}
		if a.looked.IsZero() {
			*a.looked = time.Now()
		}
		if !a.pause(ctx, secondLook) {
			return verdict{end: again, interrupted: true, unknown: true}, true
		}
	}
}

// conflict settles an unblock that the API refused because of the card's state: it may be unblocked
// already, and that is what was wanted.
func (a attempt) conflict(ctx context.Context, refused judged, sentBefore bool) verdict {
	st, err := a.status(ctx)
	if err != nil {
		v := judge(err).verdict()
		v.unburned = false     // The unblock was a call of the API, whatever let this read wait.
		v.unknown = sentBefore // The refused unblock applied nothing, but one before it may be why.
		switch {
		case v.end == fail && sentBefore:
			v = giveUp(a.rec.Kind.FirstType(), a.rec, v, "")
		case v.end == fail:
			v.code, v.message = refused.code, refused.message
		}
		return v
	}
	if !st.Blocked {
		return verdict{end: succeed, status: statusOf(st), accepted: sentBefore, upstream: http.StatusOK}
	}
	if sentBefore {
		// The one before may be what this one was in conflict with, and the status may lag behind it.
		v := verdict{status: statusOf(st), unknown: true, upstream: refused.upstream, cause: refused.cause}
		return giveUp(a.rec.Kind.FirstType(), a.rec, v, "")
	}
	return verdict{
		end: fail, status: statusOf(st), code: tasks.CodeRejected, upstream: refused.upstream,
		message: refused.message + ", and its status still says blocked", cause: refused.cause,
	}
}
