package spans_test

import (
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cardworker/cardworker/internal/spans"
)

const (
	sampled   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func TestTraceparent_IsKeptOrIsNone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ given, want string }{
		{"", ""},
		{sampled, sampled},
		{unsampled, unsampled}, // So that no worker samples what the producer has not.
		{"canary", ""},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-canary", ""},
		{"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-canary", sampled}, // A version to come.
	} {
		if got := spans.Traceparent(spans.WithRemote(t.Context(), tc.given)); got != tc.want {
			t.Errorf("%q is kept as %q, want %q", tc.given, got, tc.want)
		}
	}
	ctx := spans.WithRemote(t.Context(), sampled)
	if got := spans.Traceparent(spans.WithRemote(ctx, "canary")); got != sampled {
		t.Errorf("what is none takes the place of %q: %q", sampled, got)
	}
}

func TestLinkTo_LinksToOtherTracesAlone(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	_, other := tracer.Start(t.Context(), "other")
	spans.LinkTo(other, sampled)
	spans.LinkTo(other, "canary")
	other.End()
	_, same := tracer.Start(spans.WithRemote(t.Context(), sampled), "same")
	spans.LinkTo(same, sampled)
	same.End()
	for i, want := range []int{1, 0} {
		if s := recorder.Ended()[i]; len(s.Links()) != want {
			t.Errorf("%s has the links %v, want %d", s.Name(), s.Links(), want)
		}
	}
}
