package gate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// probe is what a process knows of the right to try the API while the breaker is open.
type probe struct {
	asking   bool      // one caller asks for the right; the others need not
	askAgain time.Time // not before then
	count    int       // makes each id new
	id       string    // of the right that this process has, or ""
	since    time.Time // the call that is the probe starts later
}

// tryProbe asks for the right to make one call although the breaker is open. One caller of each process
// asks at a time, so that a crowd at the door does not become a crowd at Redis.
func (g *Gate) tryProbe(ctx context.Context) error {
	g.mu.Lock()
	asked := time.Now()
	if g.probe.asking || asked.Before(g.probe.askAgain) {
		g.mu.Unlock()
		return g.probed()
	}
	g.probe.asking = true
	g.probe.count++
	id := fmt.Sprintf("%s/%d", g.name, g.probe.count)
	g.mu.Unlock()

	args := append([]any{id, g.cfg.ProbeTimeout.Milliseconds()}, g.cfg.lengths()...)
	v, err := probeScript.Run(ctx, g.rdb, []string{stateKey, probeKey}, args...).Int64Slice()
	if err == nil && len(v) != 5 {
		err = fmt.Errorf("unexpected reply of %d elements", len(v))
	}
	granted := err == nil && v[0] == 1

	g.mu.Lock()
	g.probe.asking = false
	// Whoever probes needs a moment; and a Redis that did not answer, too.
	g.probe.askAgain = time.Now().Add(g.cfg.FirstOpen / 2)
	if granted && v[2] != 0 {
		g.probe.id, g.probe.since = id, asked
	}
	if err != nil && g.probe.id == "" && g.news.probe == "" {
		// It may have been granted all the same, and nobody else may try until it is given back.
		g.news.probe, g.news.result = id, Unclear
		nudge(g.urgent)
	}
	g.mu.Unlock()
	if err != nil {
		return g.probed()
	}
	g.set(asked, stateFrom(time.Now(), v[1], v[2], v[3], v[4]))
	if !granted {
		if err := g.refusal(); err != nil {
			return err
		}
		return g.probed()
	}
	if err := ctx.Err(); err != nil {
		g.dropProbe()
		return fmt.Errorf("wait for the API: %w", context.Cause(ctx))
	}
	return nil
}

// probed is the refusal of those who come while another probes. They come back at different moments, as
// the API may be just back on its feet.
func (g *Gate) probed() error {
	half := g.cfg.FirstOpen / 2
	return opened(half + rand.N(half+1))
}

// dropProbe gives the right back, if this process has it.
func (g *Gate) dropProbe() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settle(Unclear)
}

// settle notes what came of the probe, to be reported at once. The caller holds mu.
func (g *Gate) settle(r Result) {
	if g.probe.id == "" {
		return
	}
	g.news.probe, g.news.result = g.probe.id, r
	g.probe.id = ""
	nudge(g.urgent)
}
