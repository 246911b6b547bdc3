package worker

import (
	"time"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// result names what an attempt came to, for the log and as a metric label.
func (v verdict) result() string {
	switch {
	case v.end == succeed:
		return "succeeded"
	case v.end == fail:
		return "failed"
	case v.end == chain:
		return "unblock_accepted"
	case v.interrupted:
		return "interrupted"
	case v.blocked:
		return "read_blocked"
	default:
		return "retry"
	}
}

// observe counts an attempt, and logs it in one line unless it ends the operation: then the line is that of
// the end.
func (w *Worker) observe(t tasks.Type, b opstore.Begun, v verdict, took time.Duration) {
	m, rec := w.cfg.Metrics, b.Record
	m.attempts.WithLabelValues(string(t), v.result()).Inc()
	switch v.end {
	case succeed, fail:
	case chain:
		w.entry(t, rec, v, took).Info("attempt")
	default:
		if !v.interrupted && !v.blocked {
			m.retries.WithLabelValues(string(rec.Kind), string(v.code)).Inc()
		}
		w.entry(t, rec, v, took).WithField("retry_in_ms", millis(v.delay)).Warn("attempt")
	}
}

// finished counts an operation that ended with an attempt of type t, and logs it in one line.
func (w *Worker) finished(t tasks.Type, rec opstore.Record, v verdict, took time.Duration) {
	outcome := string(tasks.Succeeded)
	if rec.Error != nil {
		outcome = string(rec.Error.Code)
	}
	total := rec.Updated.Sub(rec.Created)
	w.cfg.Metrics.operations.WithLabelValues(string(rec.Kind), outcome).Inc()
	w.cfg.Metrics.duration.WithLabelValues(string(rec.Kind), outcome).Observe(total.Seconds())
	log := w.entry(t, rec, v, took)
	log.Data["outcome"], log.Data["attempts"], log.Data["total_ms"] = outcome, rec.Attempts, millis(total)
	if v.end == succeed {
		log.Info("operation ended")
	} else {
		log.Warn("operation ended")
	}
}

// entry is a line of the log on an attempt.
func (w *Worker) entry(t tasks.Type, rec opstore.Record, v verdict, took time.Duration) *logrus.Entry {
	fields := logrus.Fields{
		"operation": rec.ID, "kind": rec.Kind, "task": t, "attempt": rec.Tries, "fence": rec.Fence,
		"public_token": rec.Token.Masked(), "duration_ms": millis(took), "result": v.result(),
	}
	if v.upstream != 0 {
		fields["upstream_status"] = v.upstream
	}
	if v.code != "" && (v.end == fail || v.end == again) {
		fields["code"] = v.code
	}
	if v.cause != nil {
		fields["error"] = v.cause.Error()
	}
	return w.log.WithFields(fields)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
