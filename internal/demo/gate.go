package demo

import (
	"io"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// gate is a logger that keeps everything to itself until it is opened, and passes it on from then: log
// lines between those of the story would make neither readable.
type gate struct {
	*logrus.Logger
	out    logrus.FieldLogger // nil when nobody wants to know
	opened atomic.Bool
}

func newGate(out logrus.FieldLogger) *gate {
	g := &gate{Logger: logrus.New(), out: out}
	g.SetOutput(io.Discard)
	g.SetFormatter(unformatted{})
	g.SetLevel(logrus.DebugLevel) // What is worth a line is for out to decide.
	g.AddHook(g)
	return g
}

// open lets through what comes from now on.
func (g *gate) open() { g.opened.Store(true) }

// Levels and Fire make the gate a hook of its own logger.
func (g *gate) Levels() []logrus.Level { return logrus.AllLevels }

// Fire passes an entry on when the gate is open. It never fails, and never ends the process.
func (g *gate) Fire(e *logrus.Entry) error {
	if g.out == nil || !g.opened.Load() {
		return nil
	}
	log := g.out.WithFields(e.Data)
	switch e.Level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		log.Error(e.Message)
	case logrus.WarnLevel:
		log.Warn(e.Message)
	case logrus.InfoLevel:
		log.Info(e.Message)
	default:
		log.Debug(e.Message)
	}
	return nil
}

// unformatted saves the work of formatting what is discarded.
type unformatted struct{}

func (unformatted) Format(*logrus.Entry) ([]byte, error) { return nil, nil }
