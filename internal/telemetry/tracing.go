package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/grpc/status"
)

const (
	// FlushTimeout bounds how long a stop waits for a collector that does not answer.
	FlushTimeout = 2 * time.Second
	// complaintInterval is how often it is said that spans cannot be delivered.
	complaintInterval = 5 * time.Minute
	// serviceName is what the process calls itself unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says
	// otherwise.
	serviceName = "cardworker"
)

// StartTracing makes the global tracer provider one that sends spans to the collector which the standard
// variables of OpenTelemetry name. The libraries read them from the process's own environment, so
// [CheckTracing] must have found it in order. No connection is made yet.
//
// A collector that cannot be reached slows nothing down: spans are queued, and dropped when the queue is full. It
// is told to warn, in words that hold no secret, once in five minutes.
//
// stop delivers what is queued and takes at most [FlushTimeout]. It is called once.
func StartTracing(ctx context.Context, version string, warn func(text string)) (stop func(), err error) {
	// The libraries' own log quotes variables that they cannot read, headers with credentials among them.
	otel.SetLogger(logr.Discard())
	c := &complaints{warn: warn}
	otel.SetErrorHandler(c)
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the exporter of traces: %w", err)
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(serviceName), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	otel.SetTracerProvider(provider)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), FlushTimeout)
		defer cancel()
		// The exporter is told as well: a provider whose time is over leaves it in the middle of a request.
		if err := errors.Join(provider.Shutdown(ctx), exporter.Shutdown(ctx)); err != nil {
			c.Handle(err)
		}
	}, nil
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if protocol(os.Getenv) == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// protocol returns what a collector is spoken to in.
func protocol(get func(string) string) string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := strings.TrimSpace(get(name)); v != "" {
			return v
		}
	}
	return "http/protobuf"
}

// complaints is the error handler of OpenTelemetry. It is safe for concurrent use.
type complaints struct {
	warn func(text string)

	mu   sync.Mutex
	next time.Time
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	now := time.Now()
	c.mu.Lock()
	due := !now.Before(c.next)
	if due {
		c.next = now.Add(complaintInterval)
	}
	c.mu.Unlock()
	if due {
		c.warn(fmt.Sprintf("spans are lost: %s; nothing else is affected, and this is said at most once in %s",
			whyLost(err), complaintInterval))
	}
}

// whyLost names the problem without the text of the error, which quotes the collector's address and answer.
func whyLost(err error) string {
	// The time limit comes last: the one of a stop is joined to whatever was wrong before.
	if e, ok := errors.AsType[*net.OpError](err); ok {
		if sys, ok := errors.AsType[*os.SyscallError](e); ok {
			return fmt.Sprintf("the collector cannot be reached: %s: %v", e.Op, sys.Err)
		}
		if dns, ok := errors.AsType[*net.DNSError](e); ok {
			return "the collector's name cannot be resolved: " + dns.Err
		}
		return "the collector cannot be reached"
	}
	if s, ok := status.FromError(err); ok && err != nil {
		return "the collector's gRPC status is " + s.Code().String()
	}
	if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
		return "the collector does not answer in time"
	}
	return "the collector refuses them, or its answer cannot be read"
}
