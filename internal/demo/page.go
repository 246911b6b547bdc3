package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// page prints. After a failed write it prints no more; err is that failure.
type page struct {
	out   io.Writer
	width int
	paint paint
	err   error
}

func newPage(cfg Config) *page {
	return &page{out: cfg.Out, width: cfg.Width, paint: paint(cfg.Color)}
}

// line prints the parts as one line.
func (p *page) line(parts ...string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.out, strings.TrimRight(strings.Join(parts, ""), " ")+"\n")
	}
}

// prose prints words in as many lines as they need, after a first and under an indent, in one style.
func (p *page) prose(first, text, style string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(first))
	for i, l := range wrap(text, p.width-len(indent)) {
		if i > 0 {
			first = indent
		}
		p.line(p.paint.in(style, first+l))
	}
}

func (p *page) welcome(ready time.Duration) {
	p.line(p.paint.in(bold, "cardworker demo"))
	p.prose("", "Redis, an API sandbox, a worker and a backend in one process: up in "+milliseconds(ready), dim)
}

// announce prints the title of a scene before it is played.
func (p *page) announce(n int, sc scene) {
	title, card := fmt.Sprintf("%d  %s", n, sc.title), sc.credential()+" of "+sc.masked()
	p.line()
	if gap := p.width - utf8.RuneCountInString(title+card); gap >= 2 {
		p.line(p.paint.in(bold, title), strings.Repeat(" ", gap), p.paint.in(dim, card))
	} else {
		p.prose(fmt.Sprintf("%d  ", n), sc.title, bold)
		p.line("   ", p.paint.in(dim, card))
	}
	if sc.note != "" {
		p.prose("   ", sc.note, dim)
	}
}

// show prints the timeline of a scene and the verdict on it.
func (p *page) show(perf performance) {
	for _, e := range perf.events {
		at := fmt.Sprintf("%13s", "+"+milliseconds(e.at.Sub(perf.began)))
		who := p.paint.in(actorStyle[e.who], fmt.Sprintf("%-12s", e.who))
		p.line(p.paint.in(dim, at), "  ", who, "  ", p.paint.in(moodStyle[e.mood], e.what))
	}
	if len(perf.problems) > 0 {
		p.prose("   ✗ ", strings.Join(perf.problems, ", "), red)
		return
	}
	found := make([]string, len(perf.scene.facts))
	for i, f := range perf.scene.facts {
		found[i] = f.say(perf.tally)
	}
	p.prose("   ✓ ", strings.Join(found, ", "), green)
}

// The styles: the parameters of ANSI's "select graphic rendition".
const (
	normal = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

var (
	moodStyle  = map[mood]string{plain: normal, good: green, bad: yellow, quiet: dim}
	actorStyle = map[actor]string{actorBackend: cyan} // The others are plain.
)

// paint tells whether text is coloured.
type paint bool

// in returns the text in a style.
func (on paint) in(style, text string) string {
	if !bool(on) || style == normal || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// wrap breaks text between words into lines of at most width columns; a longer word has a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
