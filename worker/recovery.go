package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/taskqueue"
)

const (
	// recoveryPage is how many operations are looked at in one round.
	recoveryPage = 500
	// lookAgain is when an operation whose task waits in its queue is looked at again, and
	// lookAgainBusy the same while there are more of them than one round takes.
	lookAgain     = 3 * time.Second
	lookAgainBusy = 20 * time.Second
	// recoveryTimeout bounds a round, and so how long what a silent Redis holds up keeps the next one from
	// the rest. What a round did not come to is due in the next.
	recoveryTimeout = 10 * time.Second
	// recoverers is how many operations of a round are helped at once. Their scripts share round trips, so a
	// slow way to Redis is not gone once for each of them.
	recoverers = 32
)

// recover looks for operations in need until ctx ends. The rounds of several workers are spread by
// chance.
func (w *Worker) recover(ctx context.Context) {
	for {
		wait := w.cfg.RecoveryInterval/2 + rand.N(w.cfg.RecoveryInterval)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := w.recoverOnce(ctx); err != nil && ctx.Err() == nil {
			w.log.Warnf("recovery: %v", err)
		}
	}
}

// recoverOnce helps the operations that somebody should have touched by now: those whose worker died,
// whose task was never enqueued or is lost, and those that expired while they waited.
//
// Safe to run twice, also at the same time: each help is one script that does nothing when the record
// has changed since it was read.
//
// On a cluster, a node that cannot be reached keeps back its own operations alone: the others are helped, and
// the error says what was left.
func (w *Worker) recoverOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
	defer cancel()
	ids, now, unseen := w.store.Due(ctx, recoveryPage)
	if now.IsZero() {
		return unseen // Nothing is open, or nothing can be reached.
	}
	due := len(ids)
	active, unlisted := taskqueue.Taken(ctx, w.rdb)
	ids = append(ids, w.unbegun.suspects(active, ids)...)
	if len(ids) == 0 {
		return errors.Join(unseen, unlisted)
	}
	recs, err := w.store.Load(ctx, ids)
	if err != nil {
		return errors.Join(unseen, unlisted, err)
	}
	refs := make([]taskqueue.Ref, len(recs))
	for i, rec := range recs {
		refs[i] = taskqueue.Ref{Queue: rec.TaskQueue, ID: rec.TaskID}
	}
	states, err := taskqueue.States(ctx, w.rdb, refs)
	w.unbegun.doubt(recs, states, time.Now())
	errs := []error{unseen, unlisted, err}
	later := lookAgain
	if due >= recoveryPage {
		later = lookAgainBusy
	}
	var (
		mu   sync.Mutex
		pool errgroup.Group
	)
	pool.SetLimit(recoverers)
	for i, rec := range recs {
		if ctx.Err() != nil {
			break
		}
		if i >= due && (states[i] != taskqueue.Active || !rec.LeaseEnds.IsZero() || rec.ID == "" || rec.State.Done()) {
			continue // It is in order, or will be due.
		}
		pool.Go(func() error {
			err := w.help(ctx, ids[i], rec, states[i], now, later)
			if err != nil && !errors.Is(err, opstore.ErrStale) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil // One operation's trouble is not the others'.
		})
	}
	_ = pool.Wait()
	return errors.Join(errs...)
}

func (w *Worker) help(ctx context.Context, id string, rec opstore.Record, state taskqueue.State, now time.Time, later time.Duration) error {
	switch {
	case rec.ID == "" || rec.State.Done():
		return w.store.Postpone(ctx, id, rec, later) // Only tidies up.
	case !rec.LeaseEnds.Before(now):
		return nil
	case !now.Before(rec.Expires):
		// Nothing will be sent any more, so there is no need to wait for a task.
		return w.run(ctx, rec.TaskType, id, rec.Seq)
	case state == taskqueue.Unknown:
		return nil // It may be queued, or about to be begun; another round will know.
	case state == taskqueue.Pending:
		return w.store.Postpone(ctx, id, rec, later)
	case state.Comes():
		// Its time has come, and whoever had set the alarm for it has died.
		w.alarms.ring(rec.TaskQueue, rec.TaskID)
		return w.store.Postpone(ctx, id, rec, later)
	}
	failpoint.Hit(failpoint.BeforeRedispatch)
	next, err := w.store.Redispatch(ctx, rec)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.AfterRedispatch)
	w.cfg.Metrics.recovered.WithLabelValues(string(rec.Kind)).Inc()
	w.log.WithFields(logrus.Fields{
		"operation": id, "kind": rec.Kind, "state": rec.State, "task": string(state), "seq": next.Seq,
	}).Warn("recovered: the operation had lost its worker or its task")
	return w.enqueue(ctx, id, next)
}
