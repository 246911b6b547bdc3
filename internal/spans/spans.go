// Package spans is what producers and workers agree on about traces: how the context of a trace travels in an
// operation's record, and what is said of an operation in a span.
//
// It uses the API of OpenTelemetry alone and takes the global tracer provider, so a backend that sets one up for
// itself finds our spans in it, and where nobody does nothing is traced. Spans hold ids, names and codes of ours,
// and never a public token, a text of the API or the text of an error.
package spans

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/tasks"
)

// Header is the name of the header and of the record's field that hold the context of a trace, as the W3C's
// Trace Context has it.
const Header = "traceparent"

// Attributes of our own.
const (
	// OperationID and OperationKind name the operation.
	OperationID   = attribute.Key("cardworker.operation.id")
	OperationKind = attribute.Key("cardworker.operation.kind")
	// Joined: the request became part of an operation that another one had asked for.
	Joined = attribute.Key("cardworker.operation.joined")
	// Attempt counts the attempts of the current step, from 1.
	Attempt = attribute.Key("cardworker.attempt")
	// Result is what the attempt came to; see the metric cardworker_attempts_total.
	Result = attribute.Key("cardworker.result")
	// Code is the code of the failed attempt or operation; see docs/CONTRACT.md.
	Code = attribute.Key("cardworker.code")
)

// Tracer returns the tracer of a package of ours.
func Tracer(pkg string) trace.Tracer { return otel.Tracer("github.com/cardworker/cardworker/" + pkg) }

// Traceparent returns the context of the span in ctx, or "" when there is none.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[Header]
}

// WithRemote returns a context under which spans are children of the one that traceparent names. One that is
// empty, or is none, as what a stranger sent may be, changes nothing.
func WithRemote(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{Header: traceparent})
}

// LinkTo links a span to the one that traceparent names, if there is one and it is in another trace.
func LinkTo(span trace.Span, traceparent string) {
	other := trace.SpanContextFromContext(WithRemote(context.Background(), traceparent))
	if other.IsValid() && other.TraceID() != span.SpanContext().TraceID() {
		span.AddLink(trace.Link{SpanContext: other})
	}
}

// Operation says in a span which operation it is about.
func Operation(span trace.Span, id string, kind tasks.Kind) {
	span.SetAttributes(OperationID.String(id), OperationKind.String(string(kind)))
}

// Message says in a span what was done with which task, after the conventions for messaging systems.
func Message(span trace.Span, name string, typ attribute.KeyValue, queue, taskID string) {
	span.SetAttributes(semconv.MessagingSystemKey.String("asynq"), semconv.MessagingOperationName(name), typ,
		semconv.MessagingDestinationName(queue), semconv.MessagingMessageID(taskID))
}
