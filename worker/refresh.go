package worker

import (
	"context"
	"net/http"
)

// refresh reads a status, and whatever it says is the answer.
//
// Safe to run twice, also at the same time: it only reads, and the lease keeps reads, which may be
// billed, to one run.
func (a attempt) refresh(ctx context.Context) verdict {
	st, err := a.status(ctx)
	if err != nil {
		v := judge(err).verdict()
		v.unknown = false // A read changes nothing.
		return v
	}
	return verdict{end: succeed, status: statusOf(st), upstream: http.StatusOK}
}
