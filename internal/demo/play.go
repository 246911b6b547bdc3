package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// sceneTime is how long a scene may take before it counts as gone wrong. The slowest takes two seconds.
const sceneTime = 20 * time.Second

// performance is how a scene went.
type performance struct {
	scene  scene
	began  time.Time
	took   time.Duration // from the first tap until every tap had its answer
	events []event       // in the order in which they happened
	calls  int           // of the API
	tally  tally
	end    tasks.Operation // as the first tap was told; its newest snapshot when it was never told
	// problems says what is not as it should be; empty means that all is well.
	problems []string
}

// play acts a scene out. What goes wrong is in the performance; the error is ctx's.
func (s *system) play(ctx context.Context, sc scene) (performance, error) {
	perf := performance{scene: sc}
	if sc.fault != nil {
		f := *sc.fault
		f.PublicToken = sc.card
		if err := s.api.AddFault(f); err != nil {
			perf.problems = append(perf.problems, err.Error())
			return perf, nil
		}
	}
	earlier := s.api.QueryLedger(sandbox.LedgerQuery{}).LastSeq

	timed, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	tl := new(timeline)
	perf.began = time.Now()
	taps := s.tapAll(timed, sc, tl)
	perf.took = time.Since(perf.began)
	if ctx.Err() != nil {
		return perf, context.Cause(ctx)
	}

	entries := s.api.QueryLedger(sandbox.LedgerQuery{PublicToken: sc.card, Since: earlier}).Entries
	for _, e := range entries {
		tl.addCall(sc, e)
	}
	perf.events, perf.calls = tl.ordered(), len(entries)
	perf.tally = count(entries)
	perf.tally.requests = len(taps)
	perf.tally.operations = differentIDs(taps)
	perf.end = taps[0].end
	perf.problems = s.check(sc, perf.tally, taps)
	return perf, nil
}

// tap is one request of the backend and what came of it.
type tap struct {
	id     string
	joined bool
	end    tasks.Operation
	err    error
}

// tapAll asks for the operation as often as the scene says, and returns when every tap has its answer.
func (s *system) tapAll(ctx context.Context, sc scene, tl *timeline) []tap {
	arrived := s.arrived.expect(sc.card)
	taps := make([]tap, sc.taps)
	var all sync.WaitGroup
	for i := range taps {
		all.Go(func() {
			if i > 0 {
				select {
				case <-arrived:
				case <-ctx.Done():
				}
			}
			taps[i] = s.tap(ctx, sc, i, tl)
		})
	}
	all.Wait()
	return taps
}

// tap asks for the operation and follows it to its end. The changes of an operation that is joined are
// those that the first tap sees.
func (s *system) tap(ctx context.Context, sc scene, i int, tl *timeline) (t tap) {
	who := ""
	if sc.taps > 1 {
		who = fmt.Sprintf("tap %d ", i+1)
	}
	say := func(what string, m mood) { tl.add(event{time.Now(), actorBackend, who + what, m}) }

	say(sc.request(), plain)
	acc, err := s.backend.Accept(ctx, sc.kind, sc.card)
	if err != nil {
		return tap{err: err}
	}
	t.id, t.joined, t.end = acc.ID, acc.Joined, acc.Operation
	if t.joined {
		say("joins "+t.id, plain)
	} else {
		say("accepted as "+t.id, plain)
	}
	for op, err := range s.backend.Watch(ctx, t.id) {
		if err != nil {
			t.err = err
			return t
		}
		if !t.joined {
			tl.addChange(t.end, op)
		}
		t.end = op
	}
	say(told(t.end))
	return t
}

func differentIDs(taps []tap) int {
	ids := map[string]bool{}
	for _, t := range taps {
		if t.id != "" {
			ids[t.id] = true
		}
	}
	return len(ids)
}

// check returns all that is not as it should be: what the API saw, what each tap was told, and whether
// that is true of the card.
func (s *system) check(sc scene, seen tally, taps []tap) []string {
	var problems []string
	for _, f := range sc.facts {
		if p := f.problem(seen); p != "" {
			problems = append(problems, p)
		}
	}
	if seen.others > 0 {
		problems = append(problems, fmt.Sprintf("%d calls that nobody asked for", seen.others))
	}
	for i, t := range taps {
		if p := s.checkEnd(sc, t); p != "" {
			problems = append(problems, fmt.Sprintf("tap %d: %s", i+1, p))
		}
		if want := i > 0; t.err == nil && t.joined != want {
			problems = append(problems, fmt.Sprintf("tap %d: joined is %t instead of %t", i+1, t.joined, want))
		}
	}
	return problems
}

func (s *system) checkEnd(sc scene, t tap) string {
	switch {
	case errors.Is(t.err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", sceneTime)
	case t.err != nil:
		return t.err.Error()
	case sc.code != "":
		if t.end.Error == nil || t.end.Error.Code != sc.code {
			return fmt.Sprintf("%s instead of %s", outcome(t.end), sc.code)
		}
		return ""
	case t.end.State != tasks.Succeeded:
		return fmt.Sprintf("%s instead of %s", outcome(t.end), tasks.Succeeded)
	case t.end.Status == nil:
		return "succeeded without a status"
	case sc.kind.Unblocks() && t.end.Status.Blocked:
		return "succeeded although the status says blocked"
	}
	if card, ok := s.api.Card(sc.card); !ok || t.end.Status.Blocked != blocked(sc, card) {
		return "the card is not as the backend was told"
	}
	return ""
}

// blocked tells the true state of what the scene is about.
func blocked(sc scene, card sandbox.Card) bool {
	if sc.kind.Credential() == tasks.CVV {
		return card.CVV.Blocked
	}
	return card.PIN.Blocked
}

// outcome names an operation's end in one word.
func outcome(op tasks.Operation) string {
	switch {
	case op.Error != nil:
		return string(op.Error.Code)
	case op.ID == "":
		return "not accepted"
	}
	return string(op.State)
}
