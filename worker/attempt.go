package worker

import (
	"context"
	"time"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// attempt is one try at one step of one operation.
type attempt struct {
	api API
	rec opstore.Record
	// pause waits; it returns false when the worker stops or the lease is lost before the time is over.
	pause func(ctx context.Context, d time.Duration) bool
	// looked is when this run first saw, after an unblock whose outcome is unknown, that the status says
	// blocked; zero when it has not, or has sent another since.
	looked *time.Time
}

// do makes the attempt.
func (a attempt) do(ctx context.Context, t tasks.Type) verdict {
	switch {
	case t.Confirms():
		return a.confirm(ctx)
	case t.Kind().Unblocks():
		return a.unblock(ctx)
	default:
		return a.refresh(ctx)
	}
}

func (a attempt) status(ctx context.Context) (payblr.Status, error) {
	read := a.api.PINStatus
	if a.rec.Kind.Credential() == tasks.CVV {
		read = a.api.CVVStatus
	}
	failpoint.Hit(failpoint.BeforeRead)
	away(ctx)
	defer back(ctx)
	st, err := read(ctx, a.rec.Token.Reveal())
	failpoint.Hit(failpoint.AfterRead)
	return st, err
}

func (a attempt) send(ctx context.Context) error {
	unblock := a.api.UnblockPIN
	if a.rec.Kind.Credential() == tasks.CVV {
		unblock = a.api.UnblockCVV
	}
	failpoint.Hit(failpoint.BeforeUnblock)
	away(ctx)
	defer back(ctx)
	err := unblock(ctx, a.rec.Token.Reveal(), payblr.Note{Description: a.rec.Reason, UpdatedBy: a.rec.UpdatedBy})
	failpoint.Hit(failpoint.AfterUnblock)
	return err
}
