package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

const (
	defaultLease = opstore.DefaultLease
	minLease     = 300 * time.Millisecond
)

// Why a run lost its lease.
var (
	errLeaseLost   = errors.New("another run took the operation over")
	errLeaseLapsed = errors.New("the lease could not be extended in time")
)

// extender extends leases in Redis: *opstore.Store.
type extender interface {
	Extend(ctx context.Context, leases []opstore.Lease) (kept, lost []opstore.Lease, err error)
}

// leases keeps the leases of all running tasks alive, and cancels those it could not keep before they
// lapse in Redis: nobody else may start while a call of ours is still under way.
type leases struct {
	store extender
	ttl   time.Duration
	log   logrus.FieldLogger
	lost  func()

	mu   sync.Mutex
	held map[opstore.Lease]*heldLease
	busy map[string]bool // the shards whose leases are being extended

	extending sync.WaitGroup
}

type heldLease struct {
	cancel context.CancelCauseFunc // under the lock of the leases while it is held
	lapse  *time.Timer
	until  atomic.Pointer[time.Time] // it ends here
	parked time.Time                 // since when nobody has picked it up; zero: a run has it. Under the lock, too
	ending bool                      // whoever holds it is giving it up. Under the lock, too
}

// valid reports whether the lease lasts. A process that was suspended finds out by it before its timers have
// run.
func (h *heldLease) valid() bool { return time.Now().Before(*h.until.Load()) }

// last makes the lease last until t.
func (h *heldLease) last(t time.Time) { h.until.Store(&t) }

func newLeases(store extender, ttl time.Duration, log logrus.FieldLogger, lost func()) *leases {
	return &leases{
		store: store, ttl: ttl, log: log, lost: lost,
		held: map[opstore.Lease]*heldLease{}, busy: map[string]bool{},
	}
}

// safety is how long before its end in Redis a lease ends here: time for a cancelled call to be torn
// down, and for the two clocks to run differently.
func (ls *leases) safety() time.Duration { return ls.ttl / 10 }

// hold keeps a lease that was taken by a request sent at since. The context it returns ends when the
// lease is lost, and no call of the API starts under it after that; release must be called when the run is
// over.
func (ls *leases) hold(ctx context.Context, l opstore.Lease, since time.Time) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	h := ls.add(l, since, cancel)
	return payblr.StartWhile(ctx, h.valid), func() { ls.drop(l, context.Canceled) }
}

// longestParked is how long a lease is kept that nobody picks up. Whatever has become of the run that was to do it, the
// operation must go on.
const longestParked = 10 * time.Second

// park keeps a lease for a run that is yet to come, and picks it up.
func (ls *leases) park(l opstore.Lease, since time.Time) {
	h := ls.add(l, since, func(error) {})
	ls.mu.Lock()
	defer ls.mu.Unlock()
	h.parked = time.Now()
}

// pickUp is hold for a lease that was parked. It reports false when that was lost meanwhile.
func (ls *leases) pickUp(ctx context.Context, l opstore.Lease) (_ context.Context, release func(), ok bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	h, ok := ls.held[l]
	if !ok || !h.valid() {
		return nil, nil, false
	}
	ctx, h.cancel = context.WithCancelCause(ctx)
	h.parked = time.Time{}
	return payblr.StartWhile(ctx, h.valid), func() { ls.drop(l, context.Canceled) }, true
}

// giveUp notes that the next write of whoever holds the lease gives it up. An extension that comes behind that write
// finds it gone, which is no news; if another run has the operation, the write finds out.
func (ls *leases) giveUp(l opstore.Lease) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if h, ok := ls.held[l]; ok {
		h.ending = true
	}
}

// gone is what to do about a lease that Redis does not extend.
func (ls *leases) gone(l opstore.Lease) {
	ls.mu.Lock()
	h, ok := ls.held[l]
	ending := ok && h.ending
	ls.mu.Unlock()
	if !ending {
		ls.drop(l, errLeaseLost)
	}
}

// add begins to keep a lease. cancel is called when that ends.
func (ls *leases) add(l opstore.Lease, since time.Time, cancel context.CancelCauseFunc) *heldLease {
	h := &heldLease{cancel: cancel}
	end := since.Add(ls.ttl - ls.safety())
	h.last(end)
	h.lapse = time.AfterFunc(time.Until(end), func() { ls.drop(l, errLeaseLapsed) })
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.held[l] = h
	return h
}

// drop ends a lease on this side, if it has not ended yet.
func (ls *leases) drop(l opstore.Lease, why error) {
	ls.mu.Lock()
	h, ok := ls.held[l]
	delete(ls.held, l)
	ls.mu.Unlock()
	if !ok {
		return
	}
	h.lapse.Stop()
	h.cancel(why) // Nobody changes it any more: the lease is not among those held.
	if errors.Is(why, context.Canceled) {
		return
	}
	ls.lost()
	ls.log.WithFields(logrus.Fields{"operation": l.ID, "fence": l.Fence}).Warnf("lease lost: %v", why)
}

// keep extends all leases at regular times until ctx ends.
func (ls *leases) keep(ctx context.Context) {
	tick := time.NewTicker(ls.ttl / 3)
	defer tick.Stop()
	defer ls.extending.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ls.extend(ctx)
		}
	}
}

// extend begins to extend all leases, those of each shard apart: the shards may be on different nodes, and
// one that is silent must cost no others their leases. A shard whose last extension is still under way is left
// out, so that none is asked twice at a time and answers count in the order of their requests.
func (ls *leases) extend(ctx context.Context) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	shards := map[string][]opstore.Lease{}
	for l, h := range ls.held {
		if !h.parked.IsZero() && time.Since(h.parked) > longestParked {
			continue // It lapses.
		}
		shard := tasks.ShardOf(l.ID)
		shards[shard] = append(shards[shard], l)
	}
	for shard, some := range shards {
		if ls.busy[shard] {
			continue
		}
		ls.busy[shard] = true
		ls.extending.Go(func() {
			ls.extendShard(ctx, some)
			ls.mu.Lock()
			defer ls.mu.Unlock()
			delete(ls.busy, shard)
		})
	}
}

// extendShard extends leases of one shard.
func (ls *leases) extendShard(ctx context.Context, some []opstore.Lease) {
	sent := time.Now()
	// An answer that comes later than this cannot prolong anything any more.
	ctx, cancel := context.WithTimeout(ctx, ls.ttl-ls.safety())
	defer cancel()
	kept, lost, err := ls.store.Extend(ctx, some)
	for _, l := range lost {
		ls.gone(l)
	}
	if err != nil {
		// What was not extended lapses by itself unless the next round succeeds.
		ls.log.Warnf("could not extend %d of %d leases: %v", len(some)-len(kept)-len(lost), len(some), err)
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range kept {
		if h, ok := ls.held[l]; ok {
			end := sent.Add(ls.ttl - ls.safety())
			h.last(end)
			h.lapse.Reset(time.Until(end))
		}
	}
}
