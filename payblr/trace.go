package payblr

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// tracing makes a span of each HTTP request, with the global tracer provider of
// OpenTelemetry. A span names no card: where the conventions want the URL it has
// the template alone. Nothing of a trace is sent to the API, which is not
// documented to take it.
type tracing struct {
	tracer     trace.Tracer
	api, token []attribute.KeyValue // the servers
}

var asClient = trace.WithSpanKind(trace.SpanKindClient)

// callAttribute holds the CallName.
const callAttribute = attribute.Key("payblr.call")

// spanNames and templates are those of the calls.
var spanNames, templates = func() (names, templates map[CallName]string) {
	names, templates = map[CallName]string{CallToken: http.MethodPost + " token"}, map[CallName]string{}
	for name, e := range endpoints {
		templates[name] = e.before + "{publicToken}" + e.after
		names[name] = e.method + " " + templates[name]
	}
	return names, templates
}()

func newTracing(cfg *Config) *tracing {
	return &tracing{
		tracer: otel.Tracer("github.com/cardworker/cardworker/payblr"),
		api:    server(cfg.BaseURL), token: server(cfg.TokenURL),
	}
}

// server returns what a span says of the host that a request goes to.
func server(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil {
		return nil // Not with a valid configuration.
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		port = n
	}
	return []attribute.KeyValue{semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port)}
}

// startCall begins the span of a request to the API.
func (t *tracing) startCall(ctx context.Context, name CallName) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, spanNames[name], asClient)
	if span.IsRecording() {
		span.SetAttributes(semconv.HTTPRequestMethodKey.String(endpoints[name].method), semconv.URLTemplate(templates[name]),
			callAttribute.String(string(name)))
		span.SetAttributes(t.api...)
	}
	return ctx, span
}

// startExchange begins the span of a token request. It is part of what its
// caller does; one for nobody's call, as a readiness check makes it, has none.
func (t *tracing) startExchange(ctx context.Context) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanFromContext(ctx)
	}
	ctx, span := t.tracer.Start(ctx, spanNames[CallToken], asClient)
	if span.IsRecording() {
		span.SetAttributes(semconv.HTTPRequestMethodPost, callAttribute.String(string(CallToken)))
		span.SetAttributes(t.token...)
	}
	return ctx, span
}

// endSpan ends the span of a request with what came of it. A reason is of a
// closed set, so it can be shown, unlike the text of an error.
func endSpan(span trace.Span, status int, reason Reason) {
	if span.IsRecording() {
		if status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		}
		if reason != "" {
			span.SetAttributes(semconv.ErrorTypeKey.String(string(reason)))
			span.SetStatus(codes.Error, string(reason))
		}
	}
	span.End()
}
