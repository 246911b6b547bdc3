package gate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// longestWait is how far ahead a moment is reserved. Bulk calls reserve no further than bulkWait, or
	// one moment, so that an unblock never waits behind more of them than that.
	longestWait = 10 * time.Second
	bulkWait    = 200 * time.Millisecond
	// bulkPause is about how often a bulk call that found no moment asks again.
	bulkPause = 500 * time.Millisecond
	// rateShare of the rate is used. The rest, 150 ms in each second, makes up for calls that reach the API
	// closer together than their moments are. With 100 ms a busy machine made 11 calls of 10 now and then.
	rateShare = 0.85
	// latest is how late a call may start after its moment. One that is later, because this machine was
	// busy, would come together with those whose moments are now; it takes another. The rest of the 150 ms
	// is for the way to the API.
	latest = 40 * time.Millisecond
	// mostMissed is how many moments a call misses before it is refused for a while.
	mostMissed = 10
	// busyPause is that while.
	busyPause = time.Second
)

// rate holds the calls of all workers of one Redis together under one rate.
//
// Each call reserves a moment of its own, so nobody asks twice and the calls are spread evenly instead of
// coming in bursts. A counter per window, or a bucket, would let through up to twice the rate within a
// second, and the API counts in windows we do not know. As each call comes by Redis anyway, it learns
// there of a hold that the copy may not have heard of.
type rate struct {
	rdb      redis.UniversalClient
	interval time.Duration
	lengths  []any // for the script
	// trip is about the shortest round trip to Redis, in ns. A reply that took longer was late by the
	// difference, as far as one can know.
	trip atomic.Int64
}

// newRate returns a limit of cfg.Rate calls a second, over all limits on the same Redis. The rate must be
// positive. All of them should be given the same; if not, each spaces its own calls by its own.
func newRate(rdb redis.UniversalClient, cfg Config) *rate {
	interval := time.Duration(float64(time.Second) / (cfg.Rate * rateShare))
	return &rate{rdb: rdb, interval: interval, lengths: cfg.lengths()}
}

// wait returns nil when the caller may make one call. It returns an error when ctx ends first or its waits
// are over, Redis cannot be used, or refusal, which is asked before each try, is not nil; then no call may be made.
//
// A moment that was reserved and is not used is lost, and not given back: nobody else can have it too then.
func (r *rate) wait(ctx context.Context, refusal func() error) error {
	over := waitsEnd(ctx)
	for missed := 0; missed < mostMissed; {
		select {
		case <-over:
			return errWaitsEnded
		default:
		}
		if err := refusal(); err != nil {
			return err
		}
		asked := time.Now()
		what, wait, err := r.reserve(ctx, r.horizon(ctx))
		if err != nil {
			return fmt.Errorf("reserve a call within PAYBLR_RATE_LIMIT: %w", err)
		}
		moment := asked.Add(r.tripOf(time.Since(asked)) + wait)
		switch what {
		case turnHeld:
			return held(wait)
		case turnNone:
			// Those who were turned away come back spread out, and not all at the same moment.
			moment = asked.Add(max(wait, bulkPause))
			moment = moment.Add(-rand.N(moment.Sub(asked)/2 + 1))
		}
		if err := sleep(ctx, over, time.Until(moment)); err != nil {
			return fmt.Errorf("wait for a call within PAYBLR_RATE_LIMIT: %w", err)
		}
		if what == turnNone {
			continue
		}
		if time.Since(moment) <= latest {
			return nil
		}
		missed++
		r.trip.Add(r.trip.Load()/4 + int64(time.Millisecond)) // Redis may have become more distant.
	}
	return &Refused{After: busyPause, Why: "this machine is too busy to keep to PAYBLR_RATE_LIMIT"}
}

// tripOf returns the usual round trip to Redis, given the latest.
func (r *rate) tripOf(d time.Duration) time.Duration {
	for {
		old := r.trip.Load()
		if old > 0 && old <= int64(d) {
			return time.Duration(old)
		}
		if r.trip.CompareAndSwap(old, int64(d)) {
			return d
		}
	}
}

// What reserve comes to; the numbers are the script's.
const (
	turnNone  = 0
	turnGiven = 1
	turnHeld  = 2
)

// horizon returns how far ahead the call may reserve.
func (r *rate) horizon(ctx context.Context) time.Duration {
	if isBulk(ctx) {
		return max(bulkWait, r.interval)
	}
	return longestWait
}

func (r *rate) reserve(ctx context.Context, horizon time.Duration) (what int64, wait time.Duration, err error) {
	args := append([]any{
		r.interval.Microseconds(), horizon.Microseconds(), max(longestWait, r.interval).Microseconds(),
	}, r.lengths...)
	v, err := reserveScript.Run(ctx, r.rdb, []string{rateKey, stateKey}, args...).Int64Slice()
	if err != nil {
		return 0, 0, err
	}
	if len(v) != 2 {
		return 0, 0, fmt.Errorf("unexpected reply of %d elements", len(v))
	}
	return v[0], time.Duration(v[1]) * time.Microsecond, nil
}

// sleep waits for d. It returns an error when ctx ends or over is closed before that.
func sleep(ctx context.Context, over <-chan struct{}, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over:
		return errWaitsEnded
	}
}
