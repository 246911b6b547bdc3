package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// way is how operations are done whose round trips are counted.
type way string

const (
	// alone: one at a time, each of them to its end. Nothing is shared with others.
	alone way = "one at a time"
	// awaited is the same with a backend that waits for each.
	awaited way = "one at a time, waited for"
	// together: accepted and worked off as fast as it goes.
	together way = "many at once"
)

// trips counts the round trips of one operation from its request to its end, and writes down those of one.
// Stock is counted busy alone: most of what it asks on an idle system is whether there is work.
func (b *bench) trips(ctx context.Context) (err error) {
	for _, c := range []struct {
		way  way
		name string
		n    int
	}{
		{alone, nameOurs, b.size.trips},
		{awaited, nameOurs, b.size.trips},
		{together, nameStock, b.size.calibrate},
		{together, nameOurs, b.size.calibrate},
	} {
		got, err := b.countTrips(ctx, c.name, c.n, c.way)
		if err != nil {
			return err
		}
		b.saying("trips, %s, %s: %.1f round trips, %.1f commands for one operation", c.way, c.name, got.total, got.commands)
		b.report.add("trips", string(c.way), c.name, "round trips", got.total)
		b.report.add("trips", string(c.way), c.name, "commands", got.commands)
		for _, role := range slices.Sorted(maps.Keys(got.roles)) {
			b.report.add("trips", string(c.way), c.name, "round trips of "+role, got.roles[role])
		}
	}
	b.report.Steps, err = b.sequence(ctx)
	return err
}

// counted is what one operation takes on the average.
type counted struct {
	total, commands float64
	roles           map[string]float64
}

// countTrips has n operations done in a way and counts what each takes. What a worker does from time to
// time is left out where it can be, so that the figures are nearly whole numbers.
func (b *bench) countTrips(ctx context.Context, name string, n int, how way) (counted, error) {
	at := setting{aof: "off", api: b.stub(0), quiet: true}
	var c counted
	err := b.with(ctx, name, at, func(s system) (used, error) {
		u := used{unblocked: warmUp + n}
		if err := b.warm(ctx, s); err != nil {
			return u, err
		}
		before := s.asked().byRole()
		served, _, err := b.redis[at.aof].served(ctx)
		if err != nil {
			return u, err
		}
		if err := doAll(ctx, s, cards(false, warmUp, n), how); err != nil {
			return u, err
		}
		after := s.asked().byRole()
		servedNow, _, err := b.redis[at.aof].served(ctx)
		if err != nil {
			return u, err
		}
		c = counted{roles: map[string]float64{}, commands: float64(servedNow-served-2) / float64(n)}
		for role, v := range after {
			c.roles[role] = float64(v-before[role]) / float64(n)
			c.total += c.roles[role]
		}
		return u, nil
	})
	if err != nil {
		return c, fmt.Errorf("count round trips: %w", err)
	}
	return c, nil
}

// doAll has cards unblocked in a way, and returns when that is done.
func doAll(ctx context.Context, s system, all []card, how way) error {
	before, _ := s.ended()
	switch how {
	case together:
		if _, err := acceptAll(ctx, s, all); err != nil {
			return err
		}
		return awaitEnd(ctx, s, before+len(all), 0)
	case awaited:
		_, err := oneByOne(ctx, s, all, 0)
		return err
	}
	for i, c := range all {
		if err := s.accept(ctx, c); err != nil {
			return err
		}
		if err := awaitEnd(ctx, s, before+i+1, 0); err != nil {
			return err
		}
		if err := rest(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// rest waits until a system asks nothing of Redis for a moment: an operation that comes before that is found by
// the look that ends the one before, and takes one less.
func rest(ctx context.Context, s system) error {
	const moment = 10 * time.Millisecond
	for last := int64(-1); ; {
		now := s.asked().total()
		if now == last {
			return nil
		}
		last = now
		if err := sleep(ctx, moment); err != nil {
			return err
		}
	}
}
