package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// Figures are what a run measured.
type Figures struct {
	// Kills is how many workers were killed, Recoveries how long their operations waited to run again.
	Kills      int
	Recoveries []time.Duration
	// Resumptions are the times from a Redis that is there again to the next step of an operation.
	Resumptions []time.Duration
	// Settled is the time from the end of load and faults to the end of the last operation.
	Settled time.Duration
	// Operations were accepted, Lost of them have gone. Calls is how many calls the API saw.
	Operations, Lost, Calls int
	// Outcomes counts how the operations ended, Refusals why a request was not accepted at once.
	Outcomes, Refusals map[string]int
}

func (r *run) figures() Figures {
	f := Figures{
		Kills: len(r.kills), Recoveries: recoveries(r.kills, r.result.Events),
		Operations: len(r.asked), Lost: len(r.lost), Calls: len(r.result.Calls),
		Outcomes: map[string]int{}, Refusals: r.load.refusals, Settled: r.settled(),
	}
	for _, at := range r.redisBack {
		if d, ok := resumption(at, r.result.Events); ok {
			f.Resumptions = append(f.Resumptions, d)
		}
	}
	for _, op := range r.result.Finals {
		f.Outcomes[outcome(op)]++
	}
	return f
}

// last returns the operation that ended last.
func (r *run) last() tasks.Operation {
	var last tasks.Operation
	for _, op := range r.result.Finals {
		if op.UpdatedAt.After(last.UpdatedAt) {
			last = op
		}
	}
	return last
}

// settled is how long after load and faults the last operation ended.
func (r *run) settled() time.Duration { return max(0, r.last().UpdatedAt.Sub(r.quiet)) }

// life tells what happened to an operation and when, from its acceptance.
func (r *run) life(op tasks.Operation) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, e := range r.result.Events[op.ID] {
		lines = append(lines, line{e.At, strings.TrimSpace(e.Name + " " + e.Detail)})
	}
	card := ""
	for _, q := range r.asked {
		if q.ID == op.ID {
			card = q.Card
		}
	}
	for _, c := range r.result.Calls {
		if c.PublicToken == card {
			lines = append(lines, line{c.ReceivedAt, fmt.Sprintf("API %s %d %s %s", c.Call, c.Status, c.Outcome, c.Fault)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	text := fmt.Sprintf("%s %s %s", op.Kind, op.ID, outcome(op))
	for _, l := range lines {
		text += fmt.Sprintf("\n  +%-8s %s", l.at.Sub(op.CreatedAt).Round(time.Millisecond), l.text)
	}
	return text
}

func outcome(op tasks.Operation) string {
	if op.Error != nil {
		return string(op.Error.Code)
	}
	return string(op.State)
}

// succeeded is the share of the operations that have.
func (r *run) succeeded() float64 {
	n := 0
	for _, op := range r.result.Finals {
		if op.State == tasks.Succeeded {
			n++
		}
	}
	return float64(n) / float64(max(1, len(r.asked)))
}
