package bench

import (
	"fmt"
	"math"
)

// target is a line of the table of what this program must be.
type target struct {
	what string
	// stock and ours are what was measured, nil if it was not.
	stock, ours func(*Report) string
	goal        string
	// met is what decides, and at most or at least how much it must be.
	met func(*Report) float64
	max bool
	is  float64
	// plain: met is no ratio.
	plain bool
	// also is the ratio to stock with as many places as there are here, nil where it is none.
	also func(*Report) float64
}

const (
	near = "loopback, AOF off"
	far  = "Redis 1ms away, AOF off"
)

func of(measure, at, name, figure, unit string) func(*Report) string {
	return func(r *Report) string { return cell(r.values(measure, at, name, figure), unit) }
}

// drained is what both stock systems drained.
func drained(at string) func(*Report) string {
	return func(r *Report) string {
		plain := cell(r.values("drain", at, nameStock, "chains/s"), "/s")
		return plain + "; with 256 places " + cell(r.values("drain", at, nameWide, "chains/s"), "/s")
	}
}

func drainRatio(at, stock string) func(*Report) float64 {
	return func(r *Report) float64 {
		return median(ratios(r.values("drain", at, nameOurs, "chains/s"), r.values("drain", at, stock, "chains/s")))
	}
}

func medianOf(measure, at, figure string) func(*Report) float64 {
	return func(r *Report) float64 { return median(r.values(measure, at, nameOurs, figure)) }
}

// urgencyRatios are the ratios of the p99 of unblocks behind refreshes and without.
func urgencyRatios(r *Report, name string) []float64 {
	at := r.settings("urgency")
	if len(at) < 2 {
		return nil
	}
	return ratios(r.values("urgency", at[1], name, "p99"), r.values("urgency", at[0], name, "p99"))
}

const oneAtATime = near + ", one at a time"

var targets = []target{
	{
		what: "accept → confirmed → readable, API time taken out, idle system: p50", goal: "≤ 3 ms",
		stock: of("latency", oneAtATime, nameStock, "p50", " ms"), ours: of("latency", oneAtATime, nameOurs, "p50", " ms"),
		met: medianOf("latency", oneAtATime, "p50"), max: true, is: 3,
	},
	{
		what: "the same: p99", goal: "≤ 15 ms",
		stock: of("latency", oneAtATime, nameStock, "p99", " ms"), ours: of("latency", oneAtATime, nameOurs, "p99", " ms"),
		met: medianOf("latency", oneAtATime, "p99"), max: true, is: 15,
	},
	{
		what: "commands Redis serves for one idle worker process", goal: "≤ 10/s",
		stock: of("idle", near, nameStock, "commands/s", "/s"), ours: of("idle", near, nameOurs, "commands/s", "/s"),
		met: medianOf("idle", near, "commands/s"), max: true, is: 10,
	},
	{
		what: "chains drained per second, one process, loopback, with every guarantee on", goal: "≥ 1.3 × stock",
		stock: drained(near), ours: of("drain", near, nameOurs, "chains/s", "/s"),
		met: drainRatio(near, nameStock), is: 1.3, also: drainRatio(near, nameWide),
	},
	{
		what: "the same with 1 ms of latency to Redis", goal: "≥ 8 × stock",
		stock: drained(far), ours: of("drain", far, nameOurs, "chains/s", "/s"),
		met: drainRatio(far, nameStock), is: 8, also: drainRatio(far, nameWide),
	},
	{
		what: "unblock latency while 100,000 refreshes wait: p99, against idle", goal: "≤ 2 × idle",
		stock: func(r *Report) string { return cell(urgencyRatios(r, nameWide), " × idle") },
		ours:  func(r *Report) string { return cell(urgencyRatios(r, nameOurs), " × idle") },
		met:   func(r *Report) float64 { return median(urgencyRatios(r, nameOurs)) }, max: true, is: 2,
	},
	{
		what: "cards of a file of 100,000 that `refresh --file` has accepted in a second", goal: "≥ 20,000/s",
		stock: of("bulk", near, nameStock, "accepted/s", "/s"), ours: of("bulk", near, nameOurs, "accepted/s", "/s"),
		met: medianOf("bulk", near, "accepted/s"), plain: true, is: 20_000,
	},
}

// targets compares what was measured with what it must be.
func (r *Report) targets() string {
	t := newTable("what", "stock asynq", "here", "target", "")
	for _, g := range targets {
		t.row(g.what, g.stock(r), g.ours(r), g.goal, g.verdict(r))
	}
	return t.String()
}

// verdict says whether a target is met, with the ratio where it is one.
func (g target) verdict(r *Report) string {
	v := g.met(r)
	met := v >= g.is
	if g.max {
		met = v <= g.is
	}
	verdict := "**not met**"
	switch {
	case math.IsNaN(v):
		return "not measured"
	case met:
		verdict = "met"
	}
	if !g.max && !g.plain {
		verdict += fmt.Sprintf(": %s ×", number(v))
	}
	if g.also != nil {
		verdict += fmt.Sprintf(" (%s × with 256 places)", number(g.also(r)))
	}
	return verdict
}
