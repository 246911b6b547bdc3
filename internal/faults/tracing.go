package faults

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/cardworker/cardworker/internal/otlptest"
)

// tracedOperations is how many operations of a run are traced, about: enough to look into, and too few to slow
// down a load.
const tracedOperations = 300

// tracing is what the workers and the producers of a run send to a collector.
type tracing struct {
	collector *otlptest.Collector
	ratio     float64             // of the traces that are kept
	provider  *sdk.TracerProvider // of the producers in this process
}

// startTracing starts the collector for a scenario.
func startTracing(t testing.TB, sc *Scenario) *tracing {
	t.Helper()
	tr := &tracing{collector: otlptest.Start(t), ratio: min(1, tracedOperations/float64(max(1, sc.requests())))}
	if sc.untraced() {
		tr.ratio = 0
	}
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(tr.collector.URL+"/v1/traces"))
	if err != nil {
		t.Fatalf("start the exporter of traces: %v", err)
	}
	sampler := sdk.ParentBased(sdk.TraceIDRatioBased(tr.ratio))
	tr.provider = sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithSampler(sampler))
	t.Cleanup(func() { tr.stop(t) })
	return tr
}

// requests returns how many operations are asked for, about: by the load, and by the faults that say a number.
func (s *Scenario) requests() int {
	n := s.Operations
	for _, st := range s.steps {
		if st.do.form.asks {
			n += st.do.args.count * max(1, st.times)
		}
	}
	return n
}

// untraced reports whether it is what operations take without a trace that is looked at.
func (s *Scenario) untraced() bool {
	for _, st := range s.steps {
		if st.do.form.untraced {
			return true
		}
	}
	return false
}

// env makes a process send its spans here.
func (tr *tracing) env() []string {
	if tr.ratio == 0 {
		return nil
	}
	return append(tr.collector.Environ(),
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio", fmt.Sprintf("OTEL_TRACES_SAMPLER_ARG=%g", tr.ratio))
}

// stop returns all that has come, once the producers have sent the last of theirs. It may be called twice.
func (tr *tracing) stop(t testing.TB) []byte {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := tr.provider.Shutdown(ctx); err != nil {
		t.Errorf("send the last spans: %v", err)
	}
	return tr.collector.Raw()
}
