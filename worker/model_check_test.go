package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// neverBegun is the stage of an operation that no worker has begun.
var neverBegun = tasks.Stage{State: tasks.Accepted, Phase: tasks.Waiting}

// check compares the ledgers as after any other fault run, and looks for what was left behind.
func (w *world) check(cover func(tasks.Transition)) (broken []string) {
	run := audit.Run{
		Finals: map[string]tasks.Operation{}, Seen: w.seen, Calls: w.card.calls,
		Events: map[string][]opstore.Event{}, Bound: 10 * time.Second, Slack: time.Millisecond, // a step
	}
	run.Requests = slices.Clone(w.requests)
	for _, id := range w.order {
		ops := w.seen[id]
		run.Finals[id] = ops[len(ops)-1]
		// One whose producer has died has no request, but is accepted all the same.
		run.Requests = append(run.Requests, audit.Request{Kind: w.sc.kind, Card: testCard, ID: id})
		for i := 1; i < len(ops); i++ {
			if from, to := ops[i-1].State, ops[i].State; !from.CanBecome(to) {
				broken = append(broken, fmt.Sprintf("I5: %s became %s", from, to))
			}
		}
		events, err := w.look.EventsOf(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		run.Events[id] = events
		var at tasks.Stage
		for _, e := range events {
			if e.Name == string(tasks.EventJoined) && at == neverBegun && !e.At.Before(run.Finals[id].ExpiresAt) {
				broken = append(broken, "a request joined an operation that had expired before anybody began it")
			}
			for _, tr := range tasks.Transitions() {
				if tr.From == at && tr.Event == tasks.Event(e.Name) {
					cover(tr)
					at = tr.To
					break
				}
			}
		}
	}
	if err := w.keys.Failed(); err != nil && w.sc.rewrite == nil {
		broken = append(broken, fmt.Sprintf("a script fails: %v", err))
	}
	broken = append(broken, w.promptly(run.Finals)...)
	for _, v := range run.Check() {
		broken = append(broken, v.String())
	}
	for _, key := range w.keys.Keys() {
		for _, left := range []string{":lock:", ":leased", ":waiting:", ":pending", ":retry"} {
			if strings.Contains(key, left) {
				broken = append(broken, "I11: left behind: "+key)
			}
		}
	}
	return broken
}

// promptness is how soon an operation succeeds when the API works, whatever fault the worker or Redis had:
// the time of a lease or two, and of a few retries.
const promptness = 30 * time.Second

// promptly reports the operations that did not succeed in time although nothing lasting was wrong.
func (w *world) promptly(finals map[string]tasks.Operation) (broken []string) {
	if w.sc.down || w.sc.lifetime != 0 {
		return nil
	}
	for _, op := range finals {
		if took := op.UpdatedAt.Sub(op.CreatedAt); op.State != tasks.Succeeded || took > promptness {
			broken = append(broken, fmt.Sprintf("I1: %s after %s with error %+v, want succeeded within %s", op.State, took, op.Error, promptness))
		}
	}
	return broken
}
