package worker

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// Metrics are the worker's Prometheus series. No label holds anything about a card. Make them with
// [NewMetrics]; they are safe for concurrent use.
type Metrics struct {
	operations  *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	attempts    *prometheus.CounterVec
	retries     *prometheus.CounterVec
	inFlight    prometheus.Gauge
	recovered   *prometheus.CounterVec
	leasesLost  prometheus.Counter
	quarantined prometheus.Counter
	panics      prometheus.Counter
	upstream    *prometheus.CounterVec
	upstreamDur *prometheus.HistogramVec
}

// NewMetrics makes the series and registers them. It panics when reg has them already, as the
// constructors of Prometheus do.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	quick := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cardworker_" + name, Help: help}, labels)
	}
	plain := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "cardworker_" + name, Help: help})
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cardworker_" + name, Help: help, Buckets: quick}, labels)
	}
	m := &Metrics{
		operations: counter("operations_total", "Operations that ended, by kind and outcome: succeeded, or the code of the failure.", "kind", "outcome"),
		duration:   histogram("operation_duration_seconds", "Time from acceptance to the end of an operation.", "kind", "outcome"),
		attempts:   counter("attempts_total", "Attempts at a step, by task type and what they came to.", "task", "result"),
		retries:    counter("retries_total", "Attempts that asked for another one, by kind of operation and code.", "kind", "code"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cardworker_tasks_in_flight", Help: "Tasks that this process runs now.",
		}),
		recovered:   counter("recovered_total", "Operations that were given a new task because their worker or task was lost.", "kind"),
		leasesLost:  plain("leases_lost_total", "Leases that this process lost while a task ran."),
		quarantined: plain("quarantined_total", "Tasks that were archived because they can never succeed."),
		panics:      plain("panics_total", "Panics that were caught in a task."),
		upstream:    counter("upstream_requests_total", "HTTP requests to the API, by call and status class: 2xx to 5xx, or none.", "call", "status"),
		upstreamDur: histogram("upstream_request_duration_seconds", "Duration of HTTP requests to the API.", "call"),
	}
	reg.MustRegister(m.operations, m.duration, m.attempts, m.retries, m.inFlight, m.recovered, m.leasesLost,
		m.quarantined, m.panics, m.upstream, m.upstreamDur)
	m.zero()
	return m
}

// zero makes the series of every outcome exist from the start, so that a rate over them sees the first
// event as well.
func (m *Metrics) zero() {
	m.panics.Add(0)
	for _, k := range tasks.Kinds() {
		m.operations.WithLabelValues(string(k), string(tasks.Succeeded))
		m.recovered.WithLabelValues(string(k))
		for _, c := range tasks.Codes() {
			m.operations.WithLabelValues(string(k), string(c))
		}
	}
}

// ObserveCall counts one HTTP request to the API; see [payblr.Config].
func (m *Metrics) ObserveCall(c payblr.Call) {
	class := "none"
	if c.Status > 0 {
		class = strconv.Itoa(c.Status/100) + "xx"
	}
	m.upstream.WithLabelValues(string(c.Name), class).Inc()
	m.upstreamDur.WithLabelValues(string(c.Name)).Observe(c.Duration.Seconds())
}
