package bench

import (
	"context"
	"fmt"
	"time"
)

// drainOrder is in which order the systems drain. They alternate, so that what changes on the machine in the
// course of minutes changes for all.
var drainOrder = []string{nameWide, nameOurs, nameStock}

// drain measures how fast requests are accepted while no worker runs, and how fast a worker then works them
// off, near to Redis and far from it, with each way of keeping an append-only file.
func (b *bench) drain(ctx context.Context) error {
	var at []setting
	for _, aof := range b.size.aofs {
		at = append(at, setting{aof: aof, api: b.stub(0)})
	}
	at = append(at, setting{aof: "off", api: b.stub(0), distance: b.size.distant})
	for _, s := range at {
		if err := b.pings(ctx, s); err != nil {
			return err
		}
		if err := b.drains(ctx, "drain", s); err != nil {
			return err
		}
	}
	return nil
}

// overHTTP does the same with an API that is another process and is spoken to over HTTP.
func (b *bench) overHTTP(ctx context.Context) error {
	p, err := startPart(ctx, b.Part, partAPI, "0s")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }() // What it saw has been checked.
	api, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer api.Close()
	return b.drains(ctx, "http", setting{aof: "off", api: api})
}

// drains has each system drain as often as there are runs.
func (b *bench) drains(ctx context.Context, measure string, at setting) error {
	chains := map[string]int{}
	for _, name := range drainOrder {
		if chains[name] = b.size.most; b.size.most <= b.size.calibrate {
			continue
		}
		_, rate, _, err := b.drainOnce(ctx, name, at, b.size.calibrate)
		if err != nil {
			return err
		}
		chains[name] = min(max(int(rate*b.size.drain.Seconds()), b.size.calibrate), b.size.most)
	}
	for run := range b.Runs {
		for _, name := range drainOrder {
			accepted, drained, trips, err := b.drainOnce(ctx, name, at, chains[name])
			if err != nil {
				return err
			}
			b.saying("%s, %s, run %d, %s: %.0f accepted/s, %.0f chains/s (%d chains)", measure, at, run+1, name, accepted, drained, chains[name])
			b.report.add(measure, at.String(), name, "accepted/s", accepted)
			b.report.add(measure, at.String(), name, "chains/s", drained)
			b.report.add(measure, at.String(), name, "round trips", trips)
		}
	}
	return nil
}

// drainOnce has n unblocks accepted and then worked off, and returns both rates, and how many round trips
// the work on one took.
func (b *bench) drainOnce(ctx context.Context, name string, at setting, n int) (accepted, drained, trips float64, err error) {
	err = b.with(ctx, name, at, func(s system) (used, error) {
		u := used{unblocked: n}
		took, err := acceptAll(ctx, s, cards(false, 0, n))
		if err != nil {
			return u, err
		}
		accepted = float64(n) / took.Seconds()
		before, start := s.asked().total(), time.Now()
		if err := s.start(ctx); err != nil {
			return u, err
		}
		if err := awaitEnd(ctx, s, n, 0); err != nil {
			return u, err
		}
		drained = float64(n) / time.Since(start).Seconds()
		trips = float64(s.asked().total()-before) / float64(n)
		return u, nil
	})
	return accepted, drained, trips, err
}

// pings measures how far away Redis is.
func (b *bench) pings(ctx context.Context, at setting) error {
	const pings = 300
	addr, err := b.addr(ctx, at)
	if err != nil {
		return err
	}
	rtt, err := roundTrip(ctx, addr, pings)
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	b.saying("%s: a PING takes %s", at, rtt.Round(time.Microsecond))
	b.report.add("ping", at.String(), "", "ms", millis(rtt))
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
