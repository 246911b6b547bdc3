package opstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// ErrNotFailed says that only a failed operation can be driven again.
var ErrNotFailed = errors.New("only a failed operation can be retried")

// BusyError says that the card has another open operation of the same kind.
type BusyError struct{ ID string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("operation %s of the same kind is open for the card", e.ID)
}

// Redrive gives a failed operation another life: same id, attempts counted anew, expiring a lifetime
// from now. An unblock that was accepted but never confirmed is only confirmed. The task is the
// caller's to enqueue; its name is in the record.
//
// Besides errors of Redis it returns [ErrNotFound], [ErrNotFailed], *[BusyError], *[LimitError] (a new unblock
// counts like any other) and [ErrNotDurable]: then it goes on, unless Redis loses it.
func (s *Store) Redrive(ctx context.Context, id string, lifetime time.Duration) (Record, error) {
	rec, err := s.Get(ctx, id)
	if err == nil {
		err = s.able(ctx, id, "")
	}
	if err != nil {
		return Record{}, err
	}
	first, confirm := rec.Kind.FirstType(), rec.Kind.ConfirmType()
	limit := 0
	if rec.Kind.Unblocks() {
		limit = max(0, s.cfg.UnblockLimit)
	}
	shard := tasks.ShardOf(id)
	rep, err := runScript(ctx, s.rdb, redriveScript,
		[]string{opKey(id), lockKey(rec.Token, rec.Kind), limitKey(rec.Token, rec.Kind), waitingKey(shard, rec.Kind), auditKey(shard)},
		id, lifetime.Milliseconds(), limit, LimitWindow.Milliseconds(),
		string(first), first.Policy().Queue, string(confirm), confirm.Policy().Queue,
		s.cfg.Grace.Milliseconds(), s.auditKeep(), opPrefix(shard), string(tasks.CodeStillBlocked), s.callNumber())
	if err != nil {
		return Record{}, fmt.Errorf("retry %s: %w", id, err)
	}
	if rep.outcome == "limit" {
		wait, err := rep.int(0)
		return Record{}, errors.Join(&LimitError{Limit: limit, RetryAfter: time.Duration(wait) * time.Millisecond}, err)
	}
	out, err := rep.record(0)
	if err != nil {
		return Record{}, err
	}
	switch rep.outcome {
	case "ok":
		if err := s.settle(ctx, out, "", "", ""); err != nil {
			return Record{}, err
		}
		return out, nil
	case "missing":
		return Record{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	case "busy":
		return Record{}, &BusyError{ID: out.ID}
	default:
		return Record{}, fmt.Errorf("%w: %s is %s", ErrNotFailed, id, out.State)
	}
}
