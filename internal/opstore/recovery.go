package opstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/tasks"
)

// shardTimeout bounds the look at one shard of a cluster: long enough for a node that is busy, and short enough
// that one that is silent does not keep the others' operations waiting.
const shardTimeout = time.Second

// Due returns up to limit ids of operations that somebody should have touched by now: those whose lease
// has lapsed first, then unblocks and then refreshes that wait for a task. Not all of them are in
// trouble; most may just be queued. On a cluster that order holds within each shard, and an error comes with
// the ids of the shards that could be reached.
//
// It also returns the time of Redis, for comparison with the records' times; when nothing is open there
// is nothing to compare, and it is zero.
func (s *Store) Due(ctx context.Context, limit int) (ids []string, now time.Time, err error) {
	var indexes [3][]string
	for n := range tasks.Shards {
		shard := tasks.ShardName(n)
		indexes[0] = append(indexes[0], leasedKey(shard))
		indexes[1] = append(indexes[1], waitingKey(shard, tasks.UnblockPIN))
		indexes[2] = append(indexes[2], waitingKey(shard, tasks.RefreshPINStatus))
	}
	// One script can look at every shard, except where the shards lie on different nodes.
	if _, cluster := coalesce.Cluster(s.rdb); cluster {
		return s.dueApart(ctx, indexes, limit)
	}
	keys := slices.Concat(indexes[0], indexes[1], indexes[2])
	// When nothing is open none of the keys exists, and an idle worker asks nothing more.
	if n, err := s.rdb.Exists(ctx, keys...).Result(); err != nil || n == 0 {
		return nil, time.Time{}, err
	}
	return s.due(ctx, keys, limit)
}

// dueApart asks the shards at the same time and apart, so that a node which cannot be reached costs only its
// own. Of the nodes' times it returns the earliest: by that nothing has expired too soon. The error is that of one
// shard.
func (s *Store) dueApart(ctx context.Context, indexes [3][]string, limit int) (ids []string, now time.Time, err error) {
	shards := make([]int, tasks.Shards)
	for n := range shards {
		shards[n] = n
	}
	var mu sync.Mutex
	err = inParallel(shards, func(n int) error {
		ctx, cancel := context.WithTimeout(ctx, shardTimeout)
		defer cancel()
		some, at, err := s.due(ctx, []string{indexes[0][n], indexes[1][n], indexes[2][n]}, limit/tasks.Shards+1)
		if err != nil {
			return fmt.Errorf("%s: %w", tasks.ShardName(n), err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, some...)
		if now.IsZero() || at.Before(now) {
			now = at
		}
		return nil
	})
	return ids, now, err
}

func (s *Store) due(ctx context.Context, keys []string, limit int) ([]string, time.Time, error) {
	rep, err := runScript(ctx, s.rdb, dueScript, keys, limit)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for due operations: %w", err)
	}
	ids, err := rep.strings(0)
	return ids, rep.now, err
}

// Load reads many operations in one round trip. The result has an entry for each id, in order; an
// operation that is gone, or whose record cannot be read, has the zero record.
func (s *Store) Load(ctx context.Context, ids []string) ([]Record, error) {
	cmds, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.HMGet(ctx, opKey(id), fieldNames[:]...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d operations: %w", len(ids), err)
	}
	out := make([]Record, len(ids))
	for i, c := range cmds {
		if rec, err := parseRecord(c.(*redis.SliceCmd).Val()); err == nil {
			out[i] = rec
		}
	}
	return out, nil
}

// Postpone has recovery look at the operation again after delay, or at its expiry when that is sooner.
// It also tidies up after operations that have ended or are gone. It returns [ErrStale] when the record
// has changed since it was read. The zero record stands for one that is gone or could not be read.
func (s *Store) Postpone(ctx context.Context, id string, rec Record, delay time.Duration) error {
	shard := tasks.ShardOf(id)
	for _, kind := range waitingKinds(rec.Kind) {
		rep, err := runScript(ctx, s.rdb, postponeScript,
			[]string{opKey(id), leasedKey(shard), waitingKey(shard, kind)},
			id, rec.Seq, rec.Fence, delay.Milliseconds(), flag(rec.ID == ""))
		if err == nil && (rep.outcome == "gone" || rec.ID == "") {
			continue
		}
		return writeError("postpone", Lease{ID: id, Fence: rec.Fence}, rep, err)
	}
	return nil
}

// waitingKinds returns the kinds whose waiting index may hold the operation: both, when its record is
// gone and with it the kind.
func waitingKinds(k tasks.Kind) []tasks.Kind {
	if k.Valid() {
		return []tasks.Kind{k}
	}
	return []tasks.Kind{tasks.UnblockPIN, tasks.RefreshPINStatus}
}

// Redispatch gives the operation a new task in place of one that is lost, and a new fence. The task is
// the caller's to enqueue. It returns [ErrStale] when the record has changed since it was read, so that
// of many workers one does it.
func (s *Store) Redispatch(ctx context.Context, rec Record) (Next, error) {
	shard := tasks.ShardOf(rec.ID)
	queue := rec.TaskType.Policy().Queue
	rep, err := runScript(ctx, s.rdb, redispatchScript,
		[]string{opKey(rec.ID), leasedKey(shard), waitingKey(shard, rec.Kind), auditKey(shard)},
		rec.ID, rec.Seq, rec.Fence, queue, s.cfg.Grace.Milliseconds(), s.callNumber())
	if err := writeError("redispatch", Lease{ID: rec.ID, Fence: rec.Fence}, rep, err); err != nil {
		return Next{}, err
	}
	return rep.next(rec.TaskType, queue)
}
