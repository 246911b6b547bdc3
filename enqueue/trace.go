package enqueue

import (
	"context"

	otelcodes "go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/spans"
	"github.com/cardworker/cardworker/tasks"
)

var asProducer = trace.WithSpanKind(trace.SpanKindProducer)

// startAccept begins the span of a request. The operation's whole trace hangs on it: what the workers do are its
// children.
func (c *Client) startAccept(ctx context.Context, k tasks.Kind) (context.Context, trace.Span) {
	return c.tracer.Start(ctx, "accept "+k.FirstType().Policy().Queue, asProducer)
}

// startRetry begins the span of an operator's retry. The operation stays in its trace. The span is in it too, or
// in that of whoever asks, and linked to it.
func (c *Client) startRetry(ctx context.Context, rec opstore.Record) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = spans.WithRemote(ctx, rec.Traceparent)
	}
	ctx, span := c.tracer.Start(ctx, "retry "+rec.TaskQueue, asProducer)
	spans.LinkTo(span, rec.Traceparent)
	return ctx, span
}

// accepted says in a span what became of the request.
func accepted(span trace.Span, acc opstore.Accepted) {
	if !span.IsRecording() {
		return
	}
	asked(span, "accept", acc.Record)
	if !acc.Created {
		span.SetAttributes(spans.Joined.Bool(acc.Joined))
		spans.LinkTo(span, acc.Traceparent)
	}
}

// asked says in a span which task was asked for.
func asked(span trace.Span, name string, rec opstore.Record) {
	if span.IsRecording() {
		spans.Operation(span, rec.ID, rec.Kind)
		spans.Message(span, name, semconv.MessagingOperationTypeSend, rec.TaskQueue, rec.TaskID)
	}
}

// refused says in a span why there is no operation. The text of the error is not for a span: it may have come
// from Redis.
func refused(span trace.Span, err error) {
	if span.IsRecording() {
		code := CodeOf(err)
		span.SetAttributes(semconv.ErrorTypeKey.String(code))
		span.SetStatus(otelcodes.Error, code)
	}
}
