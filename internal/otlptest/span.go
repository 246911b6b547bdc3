package otlptest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span as it came. Ids are in hexadecimal.
type Span struct {
	Name  string
	Kind  string // "client", "producer" and so on
	Trace string
	ID    string
	// Parent is "" for the root of a trace.
	Parent string
	// Attributes are as text.
	Attributes map[string]string
	// Links are the ids of linked spans.
	Links []string
	// Status is "unset", "ok" or "error", with what is said of it.
	Status, StatusMessage string
	// Service is the name of the process.
	Service string
}

func spansOf(req *collector.ExportTraceServiceRequest) []Span {
	var out []Span
	for _, r := range req.GetResourceSpans() {
		service := attributes(r.GetResource().GetAttributes())["service.name"]
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				out = append(out, spanOf(s, service))
			}
		}
	}
	return out
}

func spanOf(s *trace.Span, service string) Span {
	out := Span{
		Name: s.GetName(), Kind: word(s.GetKind().String(), "SPAN_KIND_"),
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent:     hex.EncodeToString(s.GetParentSpanId()),
		Attributes: attributes(s.GetAttributes()), Service: service,
		Status: word(s.GetStatus().GetCode().String(), "STATUS_CODE_"), StatusMessage: s.GetStatus().GetMessage(),
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, hex.EncodeToString(l.GetSpanId()))
	}
	return out
}

// word returns the name of a constant of the protocol as people write it.
func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.GetKey()] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			out[kv.GetKey()] = fmt.Sprint(v.BoolValue)
		default:
			out[kv.GetKey()] = fmt.Sprint(kv.GetValue())
		}
	}
	return out
}

// Named returns the spans with this name.
func Named(spans []Span, name string) []Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Name != name })
}

// Names returns the names of the spans, sorted.
func Names(spans []Span) []string {
	out := make([]string, 0, len(spans))
	for _, s := range spans {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

// List shows spans, for a failure.
func List(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%s %s in %s, child of %q, %s %v\n", s.ID, s.Name, s.Trace, s.Parent, s.Status, s.Attributes)
	}
	return b.String()
}
