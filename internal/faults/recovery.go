package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// kill is the end of a worker by SIGKILL, and the operations that it had the lease of.
type kill struct {
	at  time.Time
	ids []string
}

// leasedBy returns the operations whose lease is held by the worker with that process id. A lease carries
// the name of its run, which holds the process id.
func leasedBy(ctx context.Context, rdb redis.UniversalClient, pid int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	prefix := func(shard string) string { return "cardworker:{" + shard + "}:" }
	lists, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range tasks.Shards {
			p.ZRange(ctx, prefix(tasks.ShardName(n))+"leased", 0, -1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, l := range lists {
		ids = append(ids, l.(*redis.StringSliceCmd).Val()...)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	names, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.HGet(ctx, prefix(tasks.ShardOf(id))+"op:"+id, "run")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) { // One that has ended since has no run any more.
		return nil, err
	}
	var out []string
	for i, id := range ids {
		if strings.Contains(names[i].(*redis.StringCmd).Val(), fmt.Sprintf(":%d:", pid)) {
			out = append(out, id)
		}
	}
	return out, nil
}

// recoveries returns how long each operation of a killed worker waited until it ran again. One whose helper
// was killed while it helped is left out: it was hit twice.
func recoveries(kills []kill, events map[string][]opstore.Event) []time.Duration {
	var out []time.Duration
	for _, k := range kills {
		for _, id := range k.ids {
			var helped time.Time
			for _, e := range events[id] {
				// The store counts in whole milliseconds.
				if e.At.Before(k.at.Truncate(time.Millisecond)) {
					continue
				}
				if e.Name == "redispatched" && helped.IsZero() {
					helped = e.At
				}
				if e.Name != "begun" && e.Name != "expired" {
					continue
				}
				if !killedBetween(kills, helped, e.At) {
					out = append(out, e.At.Sub(k.at))
				}
				break
			}
		}
	}
	return out
}

// killedBetween reports whether a worker was killed between two times. The first may be zero, for never.
func killedBetween(kills []kill, from, to time.Time) bool {
	return !from.IsZero() && slices.ContainsFunc(kills, func(k kill) bool { return k.at.After(from) && k.at.Before(to) })
}

// resumption returns how long after at the first operation went on.
func resumption(at time.Time, events map[string][]opstore.Event) (time.Duration, bool) {
	first, found := time.Duration(0), false
	for _, es := range events {
		for _, e := range es {
			switch e.Name {
			case "begun", "unblock_accepted", "succeeded", "failed":
			default:
				continue
			}
			if d := e.At.Sub(at.Truncate(time.Millisecond)); d >= 0 && (!found || d < first) {
				first, found = d, true
			}
		}
	}
	return first, found
}

// Quantiles are of a set of durations.
type Quantiles struct {
	N             int
	P50, P99, Max time.Duration
}

// QuantilesOf sorts the durations. Of none the quantiles are zero.
func QuantilesOf(ds []time.Duration) Quantiles {
	if len(ds) == 0 {
		return Quantiles{}
	}
	ds = slices.Clone(ds)
	slices.Sort(ds)
	at := func(q float64) time.Duration { return ds[min(len(ds)-1, int(q*float64(len(ds))))] }
	return Quantiles{len(ds), at(0.50), at(0.99), ds[len(ds)-1]}
}

func (q Quantiles) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("n=%d p50=%s p99=%s max=%s", q.N, ms(q.P50), ms(q.P99), ms(q.Max))
}
