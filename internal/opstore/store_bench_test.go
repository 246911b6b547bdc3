package opstore

import (
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// The steps of one unblock against a Redis of its own, each by itself. What comes before a step is done
// before its time is taken.
func BenchmarkStore_Step(b *testing.B) {
	for _, step := range []struct {
		name        string
		before, run func(o *benchOperation, f fixture)
	}{
		{"accept", func(*benchOperation, fixture) {}, (*benchOperation).accept},
		{"begin", (*benchOperation).accept, (*benchOperation).begin},
		{"chain", (*benchOperation).begun, (*benchOperation).chain},
		{"finish", (*benchOperation).confirming, (*benchOperation).finish},
	} {
		b.Run(step.name, func(b *testing.B) {
			f := newFixture(b, redistest.Start(b).Client(b))
			all := make([]benchOperation, b.N)
			for i := range all {
				all[i].card = card(b)
				step.before(&all[i], f)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range all {
				step.run(&all[i], f)
			}
		})
	}
}

// benchOperation is an unblock on its way.
type benchOperation struct {
	card tasks.PublicToken
	rec  Record
	run  Begun
}

func (o *benchOperation) accept(f fixture) {
	o.rec = f.accept(Request{Kind: tasks.UnblockPIN, Card: o.card}).Record
}

func (o *benchOperation) begin(f fixture) { o.run = f.begun(o.rec, Lease{}, Go) }

func (o *benchOperation) chain(f fixture) {
	next, err := f.store.Chain(f.Context(), o.run.Lease, tasks.UnblockPIN)
	if err != nil {
		f.Fatalf("Chain = %v", err)
	}
	o.rec.TaskType, o.rec.Seq = next.Type, next.Seq
}

func (o *benchOperation) finish(f fixture) {
	f.finish(o.run, Result{Status: &tasks.Status{Value: "Unblocked"}})
}

// begun is an operation whose unblock was sent.
func (o *benchOperation) begun(f fixture) {
	o.accept(f)
	o.begin(f)
}

// confirming is an operation whose status was read back.
func (o *benchOperation) confirming(f fixture) {
	o.begun(f)
	o.chain(f)
	o.begin(f)
}
