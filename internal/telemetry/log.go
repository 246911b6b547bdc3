// Package telemetry is how a process of ours tells how it is: its log, its metrics, and its health over
// HTTP.
package telemetry

import (
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"
)

// NewLog returns a logger that writes to w. format is "json" or "text"; level is one of logrus's names,
// such as "info".
func NewLog(w io.Writer, format, level string) (*logrus.Logger, error) {
	lvl, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("%q is no log level; use debug, info, warn or error", level)
	}
	log := logrus.New()
	log.SetOutput(w)
	log.SetLevel(lvl)
	switch format {
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	case "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "15:04:05.000"})
	default:
		return nil, fmt.Errorf("%q is no log format; use text or json", format)
	}
	return log, nil
}
