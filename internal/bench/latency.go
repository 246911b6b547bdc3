package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
)

// warmUp is how many requests open connections and load scripts before anything is measured.
const warmUp = 16

// latency measures the time from when an unblock is due to be asked for until its result can be read: one at a
// time on an idle system, and in an open loop at several rates.
func (b *bench) latency(ctx context.Context) error {
	for _, distance := range []time.Duration{0, b.size.distant} {
		at := setting{aof: "off", api: b.stub(0), distance: distance}
		for run := range b.Runs {
			for _, name := range []string{nameStock, nameOurs} {
				n := b.size.idleOurs
				if name == nameStock {
					n = b.size.idleStock
				}
				err := b.latencyOf(ctx, at.String()+", one at a time", run, name, at, func(s system, first int) ([]time.Duration, error) {
					return oneByOne(ctx, s, cards(false, first, n), b.size.idleGap)
				})
				if err != nil {
					return err
				}
			}
			rates := b.size.rates
			if distance == 0 {
				rates = append(append([]int(nil), rates...), b.size.nearRates...)
			}
			for _, rate := range rates {
				for _, name := range []string{nameStock, nameWide, nameOurs} {
					err := b.latencyOf(ctx, fmt.Sprintf("%s, %d/s", at, rate), run, name, at, func(s system, first int) ([]time.Duration, error) {
						return openLoop(ctx, s, cards(false, first, int(float64(rate)*b.size.loop.Seconds())), float64(rate))
					})
					if err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// latencyOf has a system that runs and is warm measured by f, whose cards begin with first.
func (b *bench) latencyOf(ctx context.Context, label string, run int, name string, at setting, f func(s system, first int) ([]time.Duration, error)) error {
	return b.with(ctx, name, at, func(s system) (used, error) {
		if err := b.warm(ctx, s); err != nil {
			return used{}, err
		}
		took, err := f(s, warmUp)
		if err != nil {
			return used{}, err
		}
		b.saying("latency, %s, run %d, %s: p50 %s, p99 %s of %d", label, run+1, name, short(quantile(took, .5)), short(quantile(took, .99)), len(took))
		b.addQuantiles("latency", label, name, took)
		return used{unblocked: warmUp + len(took)}, nil
	})
}

// warm starts a system and has it do some work.
func (b *bench) warm(ctx context.Context, s system) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	_, err := openLoop(ctx, s, cards(false, 0, warmUp), 1000)
	return err
}

// quantiles are the figures of a latency.
var quantiles = []struct {
	name string
	q    float64
}{{"p50", .5}, {"p90", .9}, {"p99", .99}, {"max", 1}}

func (b *bench) addQuantiles(measure, setting, name string, took []time.Duration) {
	for _, q := range quantiles {
		b.report.add(measure, setting, name, q.name, millis(quantile(took, q.q)))
	}
	b.report.add(measure, setting, name, "requests", float64(len(took)))
}

// followTimeout bounds the wait for one result. It is for systems that cannot keep up.
const followTimeout = 2 * time.Minute

// oneByOne asks for one unblock after the other, with random pauses, so that the system is idle each time.
func oneByOne(ctx context.Context, s system, all []card, gap time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout+time.Duration(len(all))*2*time.Second)
	defer cancel()
	var took []time.Duration
	for _, c := range all {
		if err := sleep(ctx, time.Duration(rand.ExpFloat64()*float64(gap))); err != nil {
			return nil, err
		}
		asked := time.Now()
		readable, err := s.follow(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("card %s: %w", c.token(), err)
		}
		took = append(took, readable.Sub(asked))
	}
	return took, nil
}

// openLoop asks for unblocks at random times that average to a rate, whatever became of those before. What it
// returns counts from when each was due to be asked for: a system that holds up those who ask is not rewarded
// for that with fewer requests.
func openLoop(ctx context.Context, s system, all []card, rate float64) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	took := make([]time.Duration, len(all))
	var done sync.WaitGroup
	next := time.Now()
	for i, c := range all {
		next = next.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		due := next
		if err := sleep(ctx, time.Until(due)); err != nil {
			break
		}
		done.Go(func() {
			readable, err := s.follow(ctx, c)
			if err != nil {
				fail(fmt.Errorf("card %s: %w", c.token(), err))
			}
			took[i] = readable.Sub(due)
		})
	}
	done.Wait()
	return took, context.Cause(ctx)
}

// sleep lets d pass, or less when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// roundTrip is the median time of a PING.
func roundTrip(ctx context.Context, addr string, n int) (time.Duration, error) {
	conn, err := redisconn.Open(redisURL(addr), redisconn.Options{})
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // it was only asked for PONG
	var took []time.Duration
	for range n {
		start := time.Now()
		if err := conn.Client.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return quantile(took, .5), nil
}

func short(d time.Duration) time.Duration {
	if d < 100*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
