package worker

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

var asConsumer = trace.WithSpanKind(trace.SpanKindConsumer)

// startSpan begins the span of a run that has got the lease. Its parent is the request that the operation was
// accepted with, whichever worker runs it and however often. Where that was not traced it is what ctx has from the
// task: a confirmation is in the trace of its unblock at least. A run that finds nothing to do has no span.
func (w *Worker) startSpan(
	ctx context.Context, t tasks.Type, b opstore.Begun, since time.Time,
) (context.Context, trace.Span) {
	ctx, span := w.tracer.Start(spans.WithRemote(ctx, b.Record.Traceparent), "process "+b.Record.TaskQueue,
		asConsumer, trace.WithTimestamp(since))
	if span.IsRecording() {
		spans.Operation(span, b.Record.ID, t.Kind())
		spans.Message(span, "process", semconv.MessagingOperationTypeProcess, b.Record.TaskQueue, b.Record.TaskID)
	}
	return ctx, span
}

// traceAttempt says in the run's span what an attempt came to. The last of a run is that of the span as well.
func traceAttempt(span trace.Span, b opstore.Begun, v verdict) {
	if !span.IsRecording() {
		return
	}
	attributes := []attribute.KeyValue{spans.Attempt.Int(b.Record.Tries), spans.Result.String(v.result())}
	failed := v.end == fail || v.end == again && !v.interrupted && !v.blocked
	if failed {
		attributes = append(attributes, spans.Code.String(string(v.code)))
	}
	span.AddEvent("attempt", trace.WithAttributes(attributes...))
	span.SetAttributes(attributes...)
	switch {
	case failed:
		span.SetStatus(codes.Error, string(v.code))
	case v.end == succeed, v.end == chain:
		span.SetStatus(codes.Ok, "") // Also after an attempt that failed: this one made it good.
	}
}

// traceJoined makes the span of a self-contained task that became part of another request's operation: nothing else
// would be seen of it in its producer's trace.
func (w *Worker) traceJoined(ctx context.Context, acc opstore.Accepted) {
	if !acc.Joined {
		return
	}
	_, span := w.tracer.Start(ctx, "process "+acc.Kind.FirstType().Policy().Queue, asConsumer)
	defer span.End()
	spans.Operation(span, acc.ID, acc.Kind)
	span.SetAttributes(spans.Joined.Bool(true))
	spans.LinkTo(span, acc.Traceparent)
}
