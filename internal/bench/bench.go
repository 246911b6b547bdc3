package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/worker"
)

// Config says what to measure.
type Config struct {
	// Runs is how often each measure is taken. Zero means 5, or 1 with Quick.
	Runs int
	// Quick takes each measure for a moment only.
	Quick bool
	// Only names the measures to take, of [Measures]. None means all.
	Only []string
	// Part is the command that calls [RunPart] with the arguments that are added to it.
	Part []string
	// Program is the command that is this program.
	Program []string
	// Version is that of this program.
	Version string
	// Progress takes a line for each thing that begins. Nil means none.
	Progress io.Writer

	size size // of a test; otherwise it follows from Quick
}

// Measures are the names of what can be measured.
func Measures() []string {
	var names []string
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

var measures = []struct {
	name string
	take func(*bench, context.Context) error
}{
	{"trips", (*bench).trips},
	{"drain", (*bench).drain},
	{"latency", (*bench).latency},
	{"idle", (*bench).idle},
	{"urgency", (*bench).urgency},
	{"bulk", (*bench).bulk},
	{"http", (*bench).overHTTP},
}

// bench is a run.
type bench struct {
	Config
	report Report
	redis  map[string]*redisServer // by the way of keeping an append-only file
	relays map[string]*part        // in front of them
	apis   map[time.Duration]*stub
}

// Run takes the measures. The error says what to do; what was measured until then is returned with it.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	for _, name := range cfg.Only {
		if !Measured(name) {
			return nil, fmt.Errorf("bench: there is no such measure; there are %s", strings.Join(Measures(), ", "))
		}
	}
	b := newBench(cfg)
	defer func() {
		b.report.Took = time.Since(b.report.At).Seconds()
		err = errors.Join(err, b.stop())
	}()
	if err := b.start(ctx); err != nil {
		return &b.report, fmt.Errorf("bench: %w", err)
	}
	for _, m := range measures {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, m.name) {
			continue
		}
		if err := b.lookAround(ctx); err != nil {
			return &b.report, err
		}
		if err := m.take(b, ctx); err != nil {
			return &b.report, fmt.Errorf("bench: %s: %w", m.name, err)
		}
	}
	return &b.report, b.lookAround(ctx)
}

// lookAround notes how busy the machine is with something else, while nothing of the run is under way.
func (b *bench) lookAround(ctx context.Context) error {
	share, err := busy(ctx)
	if share > tolerable {
		b.saying("other programs use %.0f%% of the processors: the figures are of little use", share*100)
	}
	b.report.Others = max(b.report.Others, share)
	return err
}

// tolerable is the share of the processors that the rest of an idle machine may use.
const tolerable = 0.1

// newBench returns a run of which nothing has started.
func newBench(cfg Config) *bench {
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	if cfg.size.aofs == nil {
		cfg.size = fullSize
		if cfg.Quick {
			cfg.size = quickSize
		}
	}
	if cfg.Runs == 0 {
		if cfg.Runs = 5; cfg.Quick {
			cfg.Runs = 1
		}
	}
	return &bench{
		Config: cfg, redis: map[string]*redisServer{}, relays: map[string]*part{}, apis: map[time.Duration]*stub{},
		report: Report{At: time.Now().UTC(), Version: cfg.Version, Quick: cfg.Quick, Runs: cfg.Runs, Machine: machine()},
	}
}

// start starts the first Redis, so that a machine without one is noticed before anything else.
func (b *bench) start(ctx context.Context) error {
	s, err := b.server(ctx, "off")
	if err != nil {
		return err
	}
	about, err := s.info(ctx, "server")
	b.report.Machine.Redis = about["redis_version"]
	return err
}

func (b *bench) stop() error {
	var errs []error
	for _, p := range b.relays {
		errs = append(errs, p.stop())
	}
	for _, s := range b.redis {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

func (b *bench) server(ctx context.Context, aof string) (*redisServer, error) {
	if s := b.redis[aof]; s != nil {
		return s, nil
	}
	s, err := startRedis(ctx, persistence(aof)...)
	if err == nil {
		b.redis[aof] = s
	}
	return s, err
}

func (b *bench) saying(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Progress, format+"\n", args...)
}

// api is what the systems call, and what tells afterwards what it saw.
type api interface {
	worker.API
	reset() error
	check(unblocked, refreshed int) error
}

// setting is where systems are compared.
type setting struct {
	distance time.Duration // to Redis and back
	aof      string
	api      api
	urgency  bool
	quiet    bool
	seen     *trips
}

func (s setting) String() string {
	where := "loopback"
	if s.distance > 0 {
		where = fmt.Sprintf("Redis %s away", s.distance)
	}
	return where + ", AOF " + s.aof
}

// stub returns an API without HTTP.
func (b *bench) stub(latency time.Duration) api {
	if b.apis[latency] == nil {
		b.apis[latency] = newStub(latency)
	}
	return b.apis[latency]
}

// addr returns where Redis is for a setting.
func (b *bench) addr(ctx context.Context, at setting) (string, error) {
	s, err := b.server(ctx, at.aof)
	if err != nil || at.distance == 0 {
		return s.addrOrNone(), err
	}
	key := at.aof + at.distance.String()
	if b.relays[key] == nil {
		p, err := startPart(ctx, b.Part, partRelay, s.addr, (at.distance / 2).String())
		if err != nil {
			return "", err
		}
		b.relays[key] = p
	}
	return b.relays[key].addr, nil
}

// used is how many cards a run has had unblocked and refreshed.
type used struct{ unblocked, refreshed int }

// with opens a system on an empty Redis, has f use it, and checks afterwards that everything was done exactly
// once.
func (b *bench) with(ctx context.Context, name string, at setting, f func(system) (used, error)) (err error) {
	addr, err := b.addr(ctx, at)
	if err != nil {
		return err
	}
	if err := errors.Join(b.redis[at.aof].clear(ctx), at.api.reset()); err != nil {
		return err
	}
	runtime.GC() // What the last run left behind is none of this one's business.
	s, err := open(name, place{redisAddr: addr, api: at.api, urgency: at.urgency, quiet: at.quiet, seen: at.seen})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	u, err := f(s)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", name, at, err)
	}
	if err := s.stop(ctx); err != nil {
		return err
	}
	all := append(cards(false, 0, u.unblocked), cards(true, 0, u.refreshed)...)
	if err := errors.Join(at.api.check(u.unblocked, u.refreshed), s.verify(ctx, all)); err != nil {
		return fmt.Errorf("%s, %s: not everything was done exactly once: %w", name, at, err)
	}
	return nil
}

// Measured reports whether there is a measure of that name.
func Measured(name string) bool { return slices.Contains(Measures(), name) }
