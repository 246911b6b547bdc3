// Package demo shows cardworker at work, with nothing installed: it runs Redis, a sandbox of the API, a
// worker and a backend in one process, plays a story of seven scenes with them, and checks from the
// sandbox's ledger that what it shows is what happened.
//
// The files: scene.go holds the story, play.go acts a scene out, timeline.go says what happened and when,
// tally.go holds the facts against what they should be, page.go and summary.go print, system.go starts
// and stops the parts, invitation.go is what [Config.Serve] adds.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// Addresses that [Run] prefers with [Config.Serve], so that what one has pasted works the next time too.
const (
	DefaultSandboxAddr = "127.0.0.1:8089"
	DefaultMonitorAddr = "127.0.0.1:8081"
	DefaultRedisAddr   = "127.0.0.1:16379"
)

const (
	narrowest      = 80 // An operation id and what is said of it need that much.
	widest         = 100
	defaultProgram = "cardworker"
)

// Config says how the demo is shown. Out is required; the zero value of any other field means its
// default.
type Config struct {
	// Out takes the story as UTF-8 text.
	Out io.Writer
	// Color has the text coloured by ANSI escape sequences.
	Color bool
	// Width is how many columns the text may take. Zero means 80; the bounds are 80 and 100, and a value
	// beyond them counts as the nearer one.
	Width int

	// Serve keeps everything up after the story until the context ends, with a console of the queues, and
	// prints what one can do with it from another terminal.
	Serve bool
	// SandboxAddr, MonitorAddr and RedisAddr are where the parts listen, host:port, on loopback; the
	// monitor runs with Serve only. Empty means a free port, and with Serve the default address above
	// when it is free.
	SandboxAddr, MonitorAddr, RedisAddr string

	// Log takes what the worker, the sandbox and the monitor have to say once the story is over, with
	// Serve. Nil means that nothing is logged.
	Log logrus.FieldLogger
	// Program is the name of the command as it was typed, for the lines to paste. Empty means cardworker.
	Program string
}

func (c Config) withDefaults() (Config, error) {
	if c.Out == nil {
		return c, errors.New("demo: Out is missing")
	}
	c.Width = min(max(c.Width, narrowest), widest)
	if c.Program == "" {
		c.Program = defaultProgram
	}
	return c, nil
}

// Run starts everything, plays the story, prints it to cfg.Out scene by scene, and stops everything. With
// cfg.Serve it stays up after the story until ctx ends, and returns nil then.
//
// The error tells which scenes did not go as they should (after the summary, and without serving), which
// part could not be started or stopped, that cfg.Out failed, or, wrapping ctx's, that ctx ended before the
// story did. Several demos may run at the same time.
func Run(ctx context.Context, cfg Config) error { return run(ctx, cfg, story()) }

func run(ctx context.Context, cfg Config, scenes []scene) (err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()

	p := newPage(cfg)
	p.welcome(time.Since(began))
	played := make([]performance, 0, len(scenes))
	for i, sc := range scenes {
		p.announce(i+1, sc)
		perf, err := s.play(ctx, sc)
		if err != nil {
			return fmt.Errorf("demo: stopped before its end: %w", err)
		}
		p.show(perf)
		if p.err != nil {
			return fmt.Errorf("demo: write the story: %w", p.err)
		}
		played = append(played, perf)
	}
	p.summary(played, time.Since(began))
	if err := verdictOf(played); err != nil {
		return err
	}
	if cfg.Serve {
		p.invite(s, cfg.Program, played)
		s.log.open()
		<-ctx.Done()
	}
	if p.err != nil {
		return fmt.Errorf("demo: write the story: %w", p.err)
	}
	return nil
}

// verdictOf returns an error that names the scenes that went wrong, or nil.
func verdictOf(played []performance) error {
	var wrong []string
	for _, perf := range played {
		if len(perf.problems) > 0 {
			wrong = append(wrong, fmt.Sprintf("%q: %s", perf.scene.title, strings.Join(perf.problems, ", ")))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("demo: %d of %d scenes did not go as they should: %s",
		len(wrong), len(played), strings.Join(wrong, "; "))
}
