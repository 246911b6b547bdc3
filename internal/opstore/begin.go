package opstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// Outcome says what came of [Store.Begin].
type Outcome string

// The outcomes of a begin. With Go, Early and Expired the lease is the caller's.
const (
	// Go: do the step. The attempt is counted.
	Go Outcome = "go"
	// Early: wait until the record's Next, then begin again with the lease.
	Early Outcome = "early"
	// Expired: finish the operation; nothing may be sent any more.
	Expired Outcome = "expired"
	// Done: the operation has ended; there is nothing to do.
	Done Outcome = "done"
	// Held: another run holds the lease; there is nothing to do.
	Held Outcome = "held"
	// Stale: the task or the lease has been superseded; there is nothing to do.
	Stale Outcome = "stale"
	// Mismatch: the task is of a type that the operation does not wait for. It was made by somebody else.
	Mismatch Outcome = "mismatch"
	// Missing: there is no such record.
	Missing Outcome = "missing"
)

// Lease is the right to act on an operation. Every write carries its fence, and is refused once a higher
// one was given out.
type Lease struct {
	ID    string
	Seq   int64
	Fence int64
}

// Begun is the answer to a begin.
type Begun struct {
	Outcome Outcome
	Lease   Lease
	// Record is set with Go, Early, Expired and Done; Status and Error with Done alone.
	Record Record
	// Now is the time of Redis at the begin. With the record's times it gives durations, which hold
	// whatever the worker's own clock says.
	Now time.Time
}

// Begin takes the lease of an operation for a task. held is the zero lease for a new run, or the lease
// that the caller has, for the next attempt of the same run. run names the run, for whoever reads the
// record.
//
// Safe to call twice, also at the same time: one caller gets the lease, the others [Held].
func (s *Store) Begin(ctx context.Context, t tasks.Type, id string, seq int64, run string, held Lease) (Begun, error) {
	shard := tasks.ShardOf(id)
	rep, err := runScript(ctx, s.rdb, beginScript,
		[]string{opKey(id), leasedKey(shard), waitingKey(shard, t.Kind()), auditKey(shard)},
		id, seq, run, s.cfg.Lease.Milliseconds(), held.Fence,
		sends(t), counts(t), s.callNumber(), string(t))
	if err != nil {
		return Begun{}, fmt.Errorf("begin %s: %w", id, err)
	}
	rec, err := rep.record(0)
	return Begun{
		Outcome: Outcome(rep.outcome),
		Lease:   Lease{ID: id, Seq: seq, Fence: rec.Fence},
		Record:  rec,
		Now:     rep.now,
	}, err
}

// Extend prolongs leases by the store's lease time from now. It returns those that were extended and those
// that are lost: superseded, or of operations that have ended. With an error some are neither; the shards
// are asked at the same time and apart, so that one which cannot be reached costs only its own.
func (s *Store) Extend(ctx context.Context, leases []Lease) (kept, lost []Lease, err error) {
	byShard := map[string][]Lease{}
	for _, l := range leases {
		shard := tasks.ShardOf(l.ID)
		byShard[shard] = append(byShard[shard], l)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for shard, batch := range byShard {
		wg.Go(func() {
			extended, err := s.extendShard(ctx, shard, batch)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			for i, ok := range extended {
				if ok == 1 {
					kept = append(kept, batch[i])
				} else {
					lost = append(lost, batch[i])
				}
			}
		})
	}
	wg.Wait()
	return kept, lost, errors.Join(errs...)
}

// extendShard returns for each lease of one shard whether it was extended, or nothing and an error.
func (s *Store) extendShard(ctx context.Context, shard string, leases []Lease) ([]int64, error) {
	keys, args := []string{leasedKey(shard)}, []any{s.cfg.Lease.Milliseconds()}
	for _, l := range leases {
		keys, args = append(keys, opKey(l.ID)), append(args, l.ID, l.Fence)
	}
	extended, err := extendScript.Run(ctx, s.rdb, keys, args...).Int64Slice()
	switch {
	case err != nil:
		return nil, fmt.Errorf("extend %d leases of %s: %w", len(leases), shard, err)
	case len(extended) != len(leases):
		return nil, fmt.Errorf("%w: extended %d of %d leases", errReply, len(extended), len(leases))
	}
	return extended, nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
