package bench

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The picture: widths in pixels, colours that can be told apart without seeing red and green.
const (
	plotWidth  = 860
	plotLabel  = 300 // where the labels end and the bars begin
	plotBars   = 420
	plotRow    = 22
	plotTitle  = 44
	plotMargin = 16
)

var plotColours = map[string]string{nameStock: "#b0b0b0", nameWide: "#7f8fa6", nameOurs: "#0072b2"}

// plot builds an SVG from the top down.
type plot struct {
	b strings.Builder
	y int
}

// picture draws the drain rates and the latencies.
func (r *Report) picture() string {
	p := &plot{y: plotMargin}
	if at := r.settings("drain"); len(at) > 0 {
		p.bars(r, at)
	}
	if at := r.settings("latency"); len(at) > 0 {
		p.latencies(r, at)
	}
	height := p.y + plotMargin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">
<title>Chains drained per second, and latency from request to readable result, of stock asynq and here</title>
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, plotWidth, height, plotWidth, height, p.b.String())
}

func (p *plot) text(x, y int, anchor, more, s string) {
	fmt.Fprintf(&p.b, `<text x="%d" y="%d" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}

func (p *plot) title(s string) {
	p.text(plotMargin, p.y+22, "start", ` font-weight="bold" font-size="15"`, s)
	p.y += plotTitle
}

// row writes the label of a row and returns the middle of it.
func (p *plot) row(at, name string, first bool) int {
	if first {
		p.y += 6
		p.text(plotMargin, p.y+14, "start", ` fill="#555"`, at)
		p.y += plotRow
	}
	p.text(plotLabel-8, p.y+15, "end", "", name)
	p.y += plotRow
	return p.y - plotRow/2
}

// bars draws the drain rates, with the smallest and the largest of the runs.
func (p *plot) bars(r *Report, at []string) {
	p.title("Chains drained per second (more is better)")
	most := 1.0
	for _, s := range at {
		for name := range plotColours {
			if v := spreadOf(r.values("drain", s, name, "chains/s")); v.max > most {
				most = v.max
			}
		}
	}
	for _, s := range at {
		for i, name := range []string{nameStock, nameWide, nameOurs} {
			v := spreadOf(r.values("drain", s, name, "chains/s"))
			if math.IsNaN(v.median) {
				continue
			}
			mid := p.row(s, name, i == 0)
			x := func(v float64) float64 { return plotLabel + v/most*plotBars }
			fmt.Fprintf(&p.b, `<rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/>`+"\n", plotLabel, mid-7, x(v.median)-plotLabel, plotColours[name])
			fmt.Fprintf(&p.b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#000"/>`+"\n", x(v.min), x(v.max), mid, mid)
			p.text(int(x(v.max))+6, mid+4, "start", "", number(v.median))
		}
	}
	p.y += plotMargin
}

// The ends of the logarithmic axis of latencies, in milliseconds.
const (
	plotLeast = 0.5
	plotMost  = 5000
)

// latencies draws a line from the p50, a dot, to the p99, on a logarithmic axis.
func (p *plot) latencies(r *Report, at []string) {
	p.title("Request to readable result, ms: ● p50, ┤ p99 (less is better, logarithmic)")
	x := func(ms float64) float64 {
		ms = min(max(ms, plotLeast), plotMost)
		return plotLabel + math.Log(ms/plotLeast)/math.Log(plotMost/plotLeast)*plotBars
	}
	top := p.y
	var rows plot
	rows.y = p.y
	for _, s := range at {
		first := true
		for _, name := range []string{nameStock, nameWide, nameOurs} {
			p50, p99 := median(r.values("latency", s, name, "p50")), median(r.values("latency", s, name, "p99"))
			if math.IsNaN(p50) {
				continue
			}
			mid := rows.row(s, name, first)
			first = false
			fmt.Fprintf(&rows.b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="3"/>`+"\n", x(p50), x(p99), mid, mid, plotColours[name])
			fmt.Fprintf(&rows.b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="2"/>`+"\n", x(p99), x(p99), mid-6, mid+6, plotColours[name])
			fmt.Fprintf(&rows.b, `<circle cx="%.1f" cy="%d" r="5" fill="%s"/>`+"\n", x(p50), mid, plotColours[name])
			rows.text(int(x(p99))+8, mid+4, "start", "", number(p50)+" / "+number(p99))
		}
	}
	for _, ms := range []float64{1, 10, 100, 1000} {
		fmt.Fprintf(&p.b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/>`+"\n", x(ms), x(ms), top, rows.y)
		p.text(int(x(ms)), top, "middle", ` fill="#555" font-size="11"`, fmt.Sprintf("%.0f", ms))
	}
	p.b.WriteString(rows.b.String())
	p.y = rows.y
}
