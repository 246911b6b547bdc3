package bench

import (
	"context"
	"time"
)

// settle is how long a worker is left alone before it counts as idle.
const settle = 2 * time.Second

// idle measures what a worker costs that has nothing to do.
func (b *bench) idle(ctx context.Context) error {
	at := setting{aof: "off", api: b.stub(0)}
	for run := range b.Runs {
		for _, name := range []string{nameStock, nameOurs} {
			err := b.with(ctx, name, at, func(s system) (used, error) {
				u := used{unblocked: warmUp}
				if err := b.warm(ctx, s); err != nil {
					return u, err
				}
				if err := sleep(ctx, settle); err != nil {
					return u, err
				}
				return u, b.idleOnce(ctx, run, name, at, s)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) idleOnce(ctx context.Context, run int, name string, at setting, s system) error {
	// Between the readings of each count lie two commands of the counting itself.
	const own = 2
	redis := b.redis[at.aof]
	total, sum, err := redis.served(ctx)
	if err != nil {
		return err
	}
	trips, cpu, start := s.asked().total(), cpuUsed(), time.Now()
	if err := sleep(ctx, b.size.idle); err != nil {
		return err
	}
	elapsed := time.Since(start).Seconds()
	cpu, trips = cpuUsed()-cpu, s.asked().total()-trips
	total2, sum2, err := redis.served(ctx)
	if err != nil {
		return err
	}
	for figure, v := range map[string]float64{
		"commands/s":    float64(total2-total-own) / elapsed,
		"by command/s":  float64(sum2-sum-own) / elapsed,
		"round trips/s": float64(trips) / elapsed,
		"CPU ms/s":      millis(cpu) / elapsed,
	} {
		b.report.add("idle", at.String(), name, figure, v)
	}
	b.saying("idle, run %d, %s: %.1f commands/s, %.1f round trips/s, %.1f ms of CPU/s", run+1, name,
		float64(total2-total-own)/elapsed, float64(trips)/elapsed, millis(cpu)/elapsed)
	return nil
}
