package demo

import (
	"testing"
	"time"
)

// A page of any width holds the longest things that the story can say.
func TestPage_KeepsToItsWidth(t *testing.T) {
	t.Parallel()
	for _, width := range []int{narrowest, widest} {
		var out screen
		p := newPage(Config{Out: &out, Width: width})
		p.welcome(12345 * time.Microsecond)
		var played []performance
		for i, sc := range story() {
			perf := performance{scene: sc, took: 12345 * time.Millisecond, calls: 12}
			p.announce(i+1, sc)
			p.show(perf)
			played = append(played, perf)
			perf.problems = []string{"17 unblocks sent instead of 1", "tap 1: card_not_found instead of succeeded", "17 replies lost instead of 1"}
			p.show(perf)
		}
		p.summary(played, time.Minute)
		checkWidth(t, out.String(), width)
	}
}
