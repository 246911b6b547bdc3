package enqueue_test

import (
	"slices"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// TestTrace_IsInTheBackendsOwnProvider: a backend that traces itself finds what it asks for in its own traces.
func TestTrace_IsInTheBackendsOwnProvider(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	otel.SetTracerProvider(provider)
	b := newBench(t, enqueue.Config{UnblockLimit: 1})
	ctx, request := provider.Tracer("backend").Start(t.Context(), "request")
	spanOf := func() sdk.ReadOnlySpan {
		t.Helper()
		for _, s := range slices.Backward(recorder.Ended()) {
			// Other tests of this process use the provider as well.
			if s.Parent().SpanID() == request.SpanContext().SpanID() {
				return s
			}
		}
		t.Fatal("there is no span below the backend's own")
		return nil
	}
	says := func(s sdk.ReadOnlySpan, want ...attribute.KeyValue) {
		t.Helper()
		for _, kv := range want {
			if !slices.Contains(s.Attributes(), kv) {
				t.Errorf("%s says %v, want %v among it", s.Name(), s.Attributes(), kv)
			}
		}
	}

	acc, err := b.client.UnblockPIN(ctx, "103169946")
	if err != nil {
		t.Fatal(err)
	}
	first := spanOf()
	if first.Name() != "accept unblock" || first.SpanKind() != trace.SpanKindProducer {
		t.Errorf("the span is %s of kind %s, want accept unblock of a producer", first.Name(), first.SpanKind())
	}
	says(first, attribute.String("cardworker.operation.id", acc.ID), attribute.String("messaging.message.id", acc.ID+":1"))
	rec, err := b.store.Get(t.Context(), acc.ID)
	sc := first.SpanContext()
	if want := "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01"; err != nil || rec.Traceparent != want {
		t.Errorf("the record has the trace %q, %v, want %q", rec.Traceparent, err, want)
	}

	if _, err := b.client.UnblockPIN(ctx, "103169946"); err != nil {
		t.Fatal(err)
	}
	says(spanOf(), attribute.String("cardworker.operation.id", acc.ID),
		attribute.Bool("cardworker.operation.joined", true))

	fail(b, rec)
	if _, err := b.client.UnblockPIN(ctx, "103169946"); err == nil {
		t.Fatal("an unblock above the limit is accepted")
	}
	refused := spanOf()
	says(refused, attribute.String("error.type", "unblock_limit_reached"))
	if got := refused.Status().Description; got != "unblock_limit_reached" {
		t.Errorf("the status of the refusal says %q, want its code", got)
	}

	// Somebody who asks from another trace, or from none, is led to the operation's.
	foreign, other := provider.Tracer("backend").Start(t.Context(), "other request")
	joined := b.accept(tasks.UnblockPIN, "103169947")
	if _, err := b.client.UnblockPIN(foreign, "103169947"); err != nil {
		t.Fatal(err)
	}
	own, err := b.store.Get(t.Context(), joined.ID)
	if err != nil {
		t.Fatal(err)
	}
	linked := false
	for _, s := range recorder.Ended() {
		if s.Parent().SpanID() == other.SpanContext().SpanID() && len(s.Links()) == 1 {
			l := s.Links()[0].SpanContext
			linked = own.Traceparent == "00-"+l.TraceID().String()+"-"+l.SpanID().String()+"-01"
		}
	}
	if !linked {
		t.Error("the span of a request that joined has no link to that of the operation")
	}

	retried := enqueue.Config{UnblockLimit: -1}
	b2 := benchOn(t, b.rdb, retried)
	if _, err := b2.client.Retry(t.Context(), acc.ID); err != nil {
		t.Fatal(err)
	}
	// The provider is the process's, so that other tests may be retrying as well.
	if !slices.ContainsFunc(recorder.Ended(), func(s sdk.ReadOnlySpan) bool {
		return s.Name() == "retry unblock" && s.SpanContext().TraceID() == first.SpanContext().TraceID()
	}) {
		t.Error("the retry is not in the operation's trace")
	}
}

// fail ends an operation as a worker does when the API does not know the card.
func fail(b bench, rec opstore.Record) {
	b.Helper()
	begun, err := b.store.Begin(b.Context(), rec.TaskType, rec.ID, rec.Seq, "test", opstore.Lease{})
	if err != nil {
		b.Fatal(err)
	}
	failure := &tasks.Error{Code: tasks.CodeCardNotFound, Message: "unknown"}
	if _, err := b.store.Finish(b.Context(), begun.Lease, begun.Record, opstore.Result{Error: failure}); err != nil {
		b.Fatal(err)
	}
}
