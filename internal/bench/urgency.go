package bench

import (
	"context"
	"fmt"
	"time"
)

// apiTime is how long a call of the API takes where refreshes keep places busy.
const apiTime = 20 * time.Millisecond

// urgency measures how fast a mass of refreshes is accepted, and how long an unblock takes while they are
// worked off, compared with an idle system.
func (b *bench) urgency(ctx context.Context) error {
	at := setting{aof: "off", api: b.stub(apiTime), urgency: true}
	for run := range b.Runs {
		for _, name := range []string{nameWide, nameOurs} {
			n := int(float64(b.size.urgentRate) * b.size.urgent.Seconds())
			err := b.latencyBehind(ctx, "nothing else to do", run, name, at, 0, n)
			if err != nil {
				return err
			}
			err = b.latencyBehind(ctx, fmt.Sprintf("%d refreshes waiting", b.size.backlog), run, name, at, b.size.backlog, n)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// latencyBehind measures n unblocks while a backlog of refreshes is worked off.
func (b *bench) latencyBehind(ctx context.Context, label string, run int, name string, at setting, backlog, n int) error {
	return b.with(ctx, name, at, func(s system) (used, error) {
		u := used{unblocked: warmUp + n, refreshed: backlog}
		if backlog > 0 {
			took, err := acceptAll(ctx, s, cards(true, 0, backlog))
			if err != nil {
				return u, err
			}
			rate := float64(backlog) / took.Seconds()
			b.saying("urgency, run %d, %s: %.0f refreshes accepted/s", run+1, name, rate)
			b.report.add("urgency", label, name, "accepted/s", rate)
		}
		start := time.Now()
		if err := b.warm(ctx, s); err != nil {
			return u, err
		}
		took, err := openLoop(ctx, s, cards(false, warmUp, n), float64(b.size.urgentRate))
		if err != nil {
			return u, err
		}
		_, refreshed := s.ended()
		b.saying("urgency, %s, run %d, %s: p50 %s, p99 %s of %d; %d refreshes left", label, run+1, name,
			short(quantile(took, .5)), short(quantile(took, .99)), n, backlog-refreshed)
		b.addQuantiles("urgency", label, name, took)
		b.report.add("urgency", label, name, "refreshes left", float64(backlog-refreshed))
		if err := awaitEnd(ctx, s, u.unblocked, backlog); err != nil {
			return u, err
		}
		if backlog > 0 {
			b.report.add("urgency", label, name, "refreshes/s", float64(backlog)/time.Since(start).Seconds())
		}
		return u, nil
	})
}
