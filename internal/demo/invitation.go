package demo

import (
	"slices"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// A card to play with and one that fails: examples of their ranges, and no card of the story.
const (
	blockedCard = "103169946"
	unknownCard = "404000001"
)

// shownCards are the behaviours that are worth a try first. The sandbox tells of all of them.
var shownCards = []sandbox.Behaviour{
	sandbox.BehaviourBlocked, sandbox.BehaviourNotAllowed, sandbox.BehaviourUnknown, sandbox.BehaviourFailsTwice,
	sandbox.BehaviourSlow, sandbox.BehaviourLagging, sandbox.BehaviourStuck, sandbox.BehaviourLostReply,
}

// invite prints what one can do with the system from another terminal. The lines to paste have nothing
// after them, not even a comment, which some shells do not take in what is typed.
func (p *page) invite(s *system, program string, played []performance) {
	p.line()
	p.line(p.paint.in(bold, "Everything stays up until you press Ctrl-C."))
	p.line()
	for _, a := range []struct{ name, addr, what string }{
		{"Queues", s.monitor.URL(), "in a browser"},
		{"Sandbox", s.api.URL(), "the API, with faults on demand"},
		{"Redis", s.redis.EmbeddedURL(), "keeps nothing"},
	} {
		p.line("   ", pad(a.name, 10), p.paint.in(cyan, pad(a.addr, 34)), p.paint.in(dim, a.what))
	}
	p.line()
	p.line(p.paint.in(bold, "Paste into a second terminal:"))
	p.line()
	lines := []string{
		"export REDIS_URL=" + s.redis.EmbeddedURL(),
		program + " unblock pin " + blockedCard + " --wait",
		program + " refresh cvv " + blockedCard + " --wait",
		program + " unblock pin " + unknownCard + " --wait",
	}
	if len(played) > 0 {
		lines = append(lines, program+" operation get "+played[0].end.ID)
	}
	for _, l := range lines {
		p.line("   ", p.paint.in(cyan, l))
	}
	p.line()
	p.line(p.paint.in(bold, "Cards to try instead"), p.paint.in(dim, " (the first digits decide)"))
	p.line()
	for _, c := range sandbox.MagicCards() {
		if slices.Contains(shownCards, c.Behaviour) {
			p.prose("   "+c.Example+"  ", c.Description, normal)
		}
	}
	p.line()
	p.line(p.paint.in(dim, "All of them: "+s.api.URL()+"/_sandbox/magic-cards"))
	p.line()
}
