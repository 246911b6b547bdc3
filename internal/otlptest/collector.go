// Package otlptest is a collector of OpenTelemetry for tests: it takes spans, and keeps them and the very bytes
// that they came in.
package otlptest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// patience bounds a wait for spans, on a machine that is busy with something else.
const patience = 60 * time.Second

// Collector takes spans. Make one with [Start] or [StartGRPC]. It is safe for concurrent use.
type Collector struct {
	collector.UnimplementedTraceServiceServer

	// URL is its endpoint.
	URL string

	protocol    string
	mu          sync.Mutex
	raw         bytes.Buffer
	spans       []Span
	connections int
	credentials []string
	grown       chan struct{} // closed when more has come
}

// Start serves a collector over HTTP, to the end of the test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{protocol: "http/protobuf", grown: make(chan struct{})}
	serve := func(w http.ResponseWriter, r *http.Request) { c.serve(t, w, r) }
	server := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.connections++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) serve(t testing.TB, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // Its sender was killed.
	}
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil || r.URL.Path != "/v1/traces" {
		t.Errorf("the collector cannot read what came to %s: %v", r.URL.Path, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.take(body, &req, r.Header.Get("Authorization"))
	w.Header().Set("Content-Type", "application/x-protobuf") // An empty body is the answer that says nothing.
}

// StartGRPC serves a collector over gRPC, to the end of the test.
func StartGRPC(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{protocol: "grpc", grown: make(chan struct{})}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve the collector: %v", err)
		}
	})
	c.URL = "http://" + listener.Addr().String()
	return c
}

// Export implements the service of a collector.
func (c *Collector) Export(
	ctx context.Context, req *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	c.take(body, req, strings.Join(md.Get("authorization"), ","))
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *Collector) take(body []byte, req *collector.ExportTraceServiceRequest, credential string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	c.spans = append(c.spans, spansOf(req)...)
	c.credentials = append(c.credentials, credential)
	close(c.grown)
	c.grown = make(chan struct{})
}

// Environ is what makes a process send its spans here, and soon.
func (c *Collector) Environ() []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=" + c.protocol, "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}

// Raw returns all that has come, as it came.
func (c *Collector) Raw() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw.Bytes())
}

// Spans returns the spans that have come, those of one sender in the order in which they ended.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Connections counts the connections that were made, over HTTP.
func (c *Collector) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connections
}

// Credentials returns the Authorization header of each request.
func (c *Collector) Credentials() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.credentials)
}

// Await returns the spans once enough says that they are all there.
func (c *Collector) Await(t testing.TB, enough func([]Span) bool) []Span {
	t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		spans, grown := slices.Clone(c.spans), c.grown
		c.mu.Unlock()
		if enough(spans) {
			return spans
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("the spans are not all there after %s:\n%s", patience, List(spans))
		}
	}
}
