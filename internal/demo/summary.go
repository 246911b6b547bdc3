package demo

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// What the columns right of the scene's title take, the space before each included.
const (
	resultColumn = len("  * card_not_found")
	timeColumn   = len("  12345.6 ms")
	callsColumn  = len("  calls")
)

// summary prints a table of all scenes and how long everything took.
func (p *page) summary(played []performance, took time.Duration) {
	titles := p.width - resultColumn - timeColumn - callsColumn - len("1  ")
	p.line()
	p.line(p.paint.in(dim, "   "+pad("scene", titles)+"  "+pad("result", resultColumn-2)+
		fmt.Sprintf("%*s%*s", timeColumn, "time", callsColumn, "calls")))
	well := 0
	for i, perf := range played {
		mark, style := "✓ ", green
		if len(perf.problems) > 0 {
			mark, style = "✗ ", red
		} else {
			well++
		}
		lines := wrap(perf.scene.title, titles)
		p.line(fmt.Sprintf("%d  %s  ", i+1, pad(lines[0], titles)),
			p.paint.in(style, pad(mark+outcome(perf.end), resultColumn-2)),
			fmt.Sprintf("%*s%*d", timeColumn, milliseconds(perf.took), callsColumn, perf.calls))
		for _, l := range lines[1:] {
			p.line("   ", l)
		}
	}
	p.line()
	style := green
	if well < len(played) {
		style = red
	}
	p.line(p.paint.in(style, fmt.Sprintf("%d of %d scenes went as they should, in %.1f s", well, len(played), took.Seconds())))
}

// pad fills text up to width columns.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
