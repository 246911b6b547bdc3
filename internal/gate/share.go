package gate

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// reportInterval is how long failures are gathered before they are reported together.
	reportInterval = 100 * time.Millisecond
	// redisTimeout bounds one exchange with Redis in the background.
	redisTimeout = time.Second
	// redisPause is the time between two tries when Redis does not answer.
	redisPause = 500 * time.Millisecond
)

// news is what the others have to hear, and what is told again until they have.
type news struct {
	holdUntil time.Time
	probe     string // id of the probe that ended, or ""
	result    Result
}

// batch is one report.
type batch struct {
	news
	counts []any
}

// matters reports whether the batch holds more than counts.
func (b batch) matters() bool { return b.probe != "" || time.Now().Before(b.holdUntil) }

// gather takes what there is to report.
func (g *Gate) gather(now time.Time) batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := batch{news: g.news, counts: g.seen.take(now)}
	g.news = news{}
	return b
}

// putBack keeps the news of a batch that did not arrive. Its counts are of the past by the time Redis is
// back.
func (g *Gate) putBack(n news) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.holdUntil.After(g.news.holdUntil) {
		g.news.holdUntil = n.holdUntil
	}
	if g.news.probe == "" {
		g.news.probe, g.news.result = n.probe, n.result
	}
}

// report sends what this process saw whenever there is something to tell.
func (g *Gate) report(ctx context.Context) {
	lost := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.urgent:
		case <-g.soon:
			g.moment(ctx)
		}
		b := g.gather(time.Now())
		err := g.send(ctx, b)
		switch {
		case err == nil:
			lost = false
			continue
		case b.matters():
			g.putBack(b.news)
			nudge(g.urgent)
		}
		if ctx.Err() != nil {
			return // What was put back is Close's to send.
		}
		if !lost {
			lost = true
			g.cfg.Warn("what the API does is not shared with other workers until Redis answers: %v", err)
		}
		pause(ctx, redisPause)
	}
}

// moment lets a report fill, unless something comes that cannot wait.
func (g *Gate) moment(ctx context.Context) {
	t := time.NewTimer(reportInterval)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.urgent:
	case <-ctx.Done():
	}
}

func (g *Gate) send(ctx context.Context, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	var result string
	switch {
	case b.probe == "":
	case b.result == Worked:
		result = "worked"
	case b.result == Failed:
		result = "failed"
	default:
		result = "unclear"
	}
	var hold int64
	if left := time.Until(b.holdUntil); left > 0 {
		hold = left.Milliseconds() + 2 // Two are cut off: one here, and one of the time in the script.
	}
	args := append([]any{
		g.cfg.Slot.Milliseconds(), slots, g.cfg.MinFailures, g.cfg.MinShare,
		g.cfg.FirstOpen.Milliseconds(), g.cfg.LongestOpen.Milliseconds(),
		hold, g.cfg.LongestHold.Milliseconds(), channel, b.probe, result,
	}, b.counts...)
	sent := time.Now()
	s, err := parseState(reportScript.Run(ctx, g.rdb, []string{stateKey, windowKey, probeKey}, args...).Int64Slice())
	if err != nil {
		return err
	}
	g.set(sent, s)
	return nil
}

// follow keeps the copy of the shared state up to date.
func (g *Gate) follow(ctx context.Context) {
	// go-redis may have made a new connection by the time it says that this failed, one that is subscribed to
	// nothing.
	for g.pubsub.Subscribe(ctx, channel) != nil {
		if pause(ctx, redisPause); ctx.Err() != nil {
			return
		}
	}
	for m := range g.pubsub.ChannelWithSubscriptions() {
		// A message says that something changed; a subscription, that something may have.
		switch m.(type) {
		case *redis.Message, *redis.Subscription:
		default:
			continue
		}
		for warned := false; ctx.Err() == nil; pause(ctx, redisPause) {
			sent := time.Now()
			s, err := g.load(ctx)
			if err == nil {
				g.set(sent, s)
				break
			}
			if !warned && ctx.Err() == nil {
				warned = true
				g.cfg.Warn("whether the API may be called is as it was last known until Redis answers: %v", err)
			}
		}
	}
}

func (g *Gate) load(ctx context.Context) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return parseState(readScript.Run(ctx, g.rdb, []string{stateKey}, g.cfg.lengths()...).Int64Slice())
}

// set makes s, which was asked for at sent, the copy, and tells when something changed.
func (g *Gate) set(sent time.Time, s state) {
	g.mu.Lock()
	if sent.Before(g.asOf) {
		// An answer that took long. If it was the newer one all the same, its change was published.
		g.mu.Unlock()
		return
	}
	g.asOf = sent
	old := g.current.Load()
	if old.holdUntil.After(s.holdUntil) {
		s.holdUntil = old.holdUntil // One that the others have not heard of yet.
	}
	now := time.Now()
	if old.open && !s.open {
		g.closedAt = now
	}
	g.current.Store(&s)
	g.mu.Unlock()

	// Later holds by a hair come with each answer; only those that begin one are told.
	if now.Before(s.holdUntil) && now.After(old.holdUntil) {
		g.cfg.Warn("the API asked to be left alone: no call for %s", s.holdUntil.Sub(now).Round(time.Millisecond))
	}
	switch {
	case s.open && (!old.open || s.level > old.level) && s.openUntil.After(s.holdUntil):
		g.cfg.Warn("the API fails: the circuit breaker is open, next try in %s", s.openUntil.Sub(now).Round(time.Millisecond))
	case !s.open && old.open:
		g.cfg.Warn("the API works again: the circuit breaker is closed")
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
