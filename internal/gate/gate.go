package gate

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

var (
	readScript    = script("read")
	reportScript  = script("report")
	probeScript   = script("probe")
	reserveScript = script("reserve")
)

func script(name string) *redis.Script {
	return redis.NewScript(scriptFile("prelude") + scriptFile(name))
}

func scriptFile(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // The files are embedded: a missing one is a broken build.
	}
	return string(b)
}

// Gate is one process's part of the gate. Make one with [New]; it is safe for concurrent use. Close it
// when it is no longer needed.
type Gate struct {
	cfg  Config
	rdb  redis.UniversalClient
	rate *rate // nil: no limit
	name string

	// current is the copy of the shared state. It is replaced with mu held and read without.
	current atomic.Pointer[state]

	mu       sync.Mutex
	asOf     time.Time // when the state that the copy came from was asked for
	closedAt time.Time // when this process learned that the breaker closed
	seen     tally
	probe    probe
	news     news

	soon   chan struct{} // there is something to report, together with what else comes in a moment
	urgent chan struct{} // there is something to report at once

	pubsub *redis.PubSub
	stop   context.CancelFunc
	ended  sync.WaitGroup
	once   sync.Once
}

// New returns a gate on rdb, which stays the caller's to close, after the gate.
func New(rdb redis.UniversalClient, cfg Config) *Gate {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gate{
		cfg: cfg.withDefaults(), rdb: rdb, name: rand.Text(), stop: cancel,
		soon: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
	}
	g.current.Store(&state{})
	g.seen.slot = g.cfg.Slot
	if cfg.Rate > 0 {
		g.rate = newRate(rdb, g.cfg)
	}
	g.pubsub = rdb.Subscribe(ctx) // To name the channel here would be to wait for the connection.
	g.ended.Go(func() { g.follow(ctx) })
	g.ended.Go(func() { g.report(ctx) })
	return g
}

// Close ends the gate's background work, after it has passed on what the others must hear: a hold, or that
// its probe will not be made. That takes at most a second. It is safe to call twice.
func (g *Gate) Close() error {
	var err error
	g.once.Do(func() {
		g.stop()
		err = g.pubsub.Close()
		g.ended.Wait()
		g.dropProbe()
		if b := g.gather(time.Now()); b.matters() {
			err = errors.Join(err, g.send(context.Background(), b))
		}
	})
	return err
}

// Wait returns nil when one call may be made now. It waits for its turn within the rate; it does not wait
// for a hold or for the breaker, but returns a *[Refused] at once. Other errors are ctx's, say that the time for
// waits is over ([WaitUntil]), or that the rate cannot be held because Redis does not answer.
//
// Each nil has to be followed by an [Gate.Observe], or, when no call was made after all, by nothing: should
// that call have been a probe, another is made after ProbeTimeout.
func (g *Gate) Wait(ctx context.Context) error {
	if g.rate != nil {
		// Those who are refused take no turn, and those whose turn comes may have been overtaken by a
		// hold. A probe needs its turn too, and must not be taken before it.
		if err := g.rate.wait(ctx, g.refusal); err != nil {
			return err
		}
	}
	if err := g.refusal(); err != nil {
		return err
	}
	if !g.current.Load().open {
		return nil
	}
	return g.tryProbe(ctx)
}

// refusal says why no call may be made, as far as this process knows; nil also when it is time for a probe.
func (g *Gate) refusal() error {
	s := g.current.Load()
	if !s.open && s.holdUntil.IsZero() {
		return nil
	}
	now := time.Now()
	switch {
	case now.Before(s.holdUntil):
		return held(s.holdUntil.Sub(now))
	case s.open && now.Before(s.openUntil):
		return opened(s.openUntil.Sub(now))
	}
	return nil
}
