package bench

import (
	"fmt"
	"math"
	"strings"
)

// Text is what was measured, to be read in a terminal: the targets, then all figures.
func (r *Report) Text() string {
	return r.about() + "\n" + r.targets() + "\n" + r.figures()
}

// about names the machine and the run.
func (r *Report) about() string {
	m := r.Machine
	note := ""
	if r.Others > tolerable {
		note = fmt.Sprintf(" Other programs used %.0f%% of the processors meanwhile, so the figures are of little use.", r.Others*100)
	}
	if r.Quick {
		note += " A quick run: its figures are rough, and fewer refreshes wait."
	}
	return fmt.Sprintf("Measured on %s in %.0f minutes: %s, %d cores, %s, %s, Redis %s, asynq %s. Median of %d, with the smallest and the largest.%s\n",
		r.At.Format("2006-01-02"), math.Ceil(r.Took/60), m.CPU, m.Cores, m.Kernel, m.Go, m.Redis, m.Asynq, r.Runs, note)
}

// table builds a table in Markdown, which is readable as it is.
type table struct {
	b strings.Builder
}

func newTable(head ...string) *table {
	t := &table{}
	t.row(head...)
	t.b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	return t
}

func (t *table) row(cells ...string) { t.b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

func (t *table) String() string { return t.b.String() }

// number writes a number with as many digits as mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 999.5:
		s := fmt.Sprintf("%.0f", v)
		return s[:len(s)-3] + "," + s[len(s)-3:]
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// cell writes the median of some values with their range.
func cell(values []float64, unit string) string {
	s := spreadOf(values)
	switch {
	case math.IsNaN(s.median):
		return "–"
	case len(values) == 1:
		return number(s.median) + unit
	default:
		return fmt.Sprintf("%s%s (%s–%s)", number(s.median), unit, number(s.min), number(s.max))
	}
}

// figures are the tables of all measures.
func (r *Report) figures() string {
	parts := []struct{ title, text string }{
		{"Accepting and draining, chains per second", r.drainTable("drain")},
		{"The same with the API over HTTP", r.drainTable("http")},
		{"Latency from request to readable result, milliseconds", r.latencyTable()},
		{"Unblocks while refreshes wait, milliseconds; each call of the API takes 20 ms", r.urgencyTable()},
		{"A file of refreshes, each program from its start to its end", r.bulkTable()},
		{"A worker with nothing to do", r.idleTable()},
		{"One operation", r.tripsTable()},
	}
	var b strings.Builder
	for _, p := range parts {
		if p.text != "" {
			fmt.Fprintf(&b, "### %s\n\n%s\n", p.title, p.text)
		}
	}
	return b.String()
}

func (r *Report) drainTable(measure string) string {
	at := r.settings(measure)
	if len(at) == 0 {
		return ""
	}
	t := newTable("Redis", "system", "PING", "accepted/s", "drained/s", "against the better stock", "round trips per chain while draining")
	for _, s := range at {
		for _, name := range []string{nameStock, nameWide, nameOurs} {
			ratio := ""
			if name == nameOurs {
				ratio = cell(ratios(r.values(measure, s, name, "chains/s"), r.bestStock(measure, s, "chains/s")), " ×")
			}
			t.row(s, name, cell(r.values("ping", s, "", "ms"), " ms"), cell(r.values(measure, s, name, "accepted/s"), ""),
				cell(r.values(measure, s, name, "chains/s"), ""), ratio, cell(r.values(measure, s, name, "round trips"), ""))
		}
	}
	return t.String()
}

func (r *Report) latencyTable() string {
	at := r.settings("latency")
	if len(at) == 0 {
		return ""
	}
	t := newTable("Redis, load", "system", "requests", "p50", "p90", "p99", "max")
	for _, s := range at {
		for _, name := range []string{nameStock, nameWide, nameOurs} {
			if r.values("latency", s, name, "p50") != nil {
				t.row(append([]string{s, name}, r.quantileCells("latency", s, name)...)...)
			}
		}
	}
	return t.String()
}

func (r *Report) quantileCells(measure, at, name string) []string {
	cells := []string{number(spreadOf(r.values(measure, at, name, "requests")).median)}
	for _, q := range quantiles {
		cells = append(cells, cell(r.values(measure, at, name, q.name), ""))
	}
	return cells
}

func (r *Report) urgencyTable() string {
	at := r.settings("urgency")
	if len(at) == 0 {
		return ""
	}
	t := newTable("load", "system", "requests", "p50", "p90", "p99", "max", "refreshes left at the end", "refreshes/s", "refreshes accepted/s")
	for i, s := range at {
		for _, name := range []string{nameWide, nameOurs} {
			cells := append([]string{s, name}, r.quantileCells("urgency", s, name)...)
			accepted := "–"
			if i > 0 {
				accepted = cell(r.values("urgency", s, name, "accepted/s"), "")
			}
			t.row(append(cells, cell(r.values("urgency", s, name, "refreshes left"), ""), cell(r.values("urgency", s, name, "refreshes/s"), ""), accepted)...)
		}
	}
	return t.String()
}

func (r *Report) bulkTable() string {
	return r.figuresTable("bulk", []string{"accepted/s", "producer µs", "Redis µs"},
		"accepted/s", "processor time of the program for each, µs", "of Redis, µs")
}

func (r *Report) idleTable() string {
	figures := []string{"commands/s", "by command/s", "round trips/s", "CPU ms/s"}
	return r.figuresTable("idle", figures, figures...)
}

// figuresTable shows figures of a measure, each under its title, of stock and of ours.
func (r *Report) figuresTable(measure string, figures []string, titles ...string) string {
	at := r.settings(measure)
	if len(at) == 0 {
		return ""
	}
	t := newTable(append([]string{"system"}, titles...)...)
	for _, name := range []string{nameStock, nameOurs} {
		cells := []string{name}
		for _, f := range figures {
			cells = append(cells, cell(r.values(measure, at[0], name, f), ""))
		}
		t.row(cells...)
	}
	return t.String()
}

func (r *Report) tripsTable() string {
	at := r.settings("trips")
	if len(at) == 0 {
		return ""
	}
	t := newTable("operations", "system", "round trips", "commands that Redis runs, those in scripts included")
	for _, way := range at {
		for _, name := range []string{nameStock, nameOurs} {
			if v := r.values("trips", way, name, "round trips"); v != nil {
				t.row(way, name, cell(v, ""), cell(r.values("trips", way, name, "commands"), ""))
			}
		}
	}
	return t.String()
}
