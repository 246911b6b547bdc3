package worker

import (
	"context"
	"net/http"
)

// confirm reads the status back after the API accepted the unblock. Only what is read here, and says
// unblocked, is a success.
//
// Safe to run twice, also at the same time: it only reads, and the lease keeps reads, which may be
// billed, to one run.
func (a attempt) confirm(ctx context.Context) verdict {
	st, err := a.status(ctx)
	if err != nil {
		v := judge(err).verdict()
		v.unknown = false // A read changes nothing.
		if v.end == fail {
			v = giveUp(a.rec.Kind.ConfirmType(), a.rec, v, "")
		}
		return v
	}
	v := verdict{end: succeed, status: statusOf(st), upstream: http.StatusOK}
	if st.Blocked {
		v.end, v.blocked = again, true
	}
	return v
}
