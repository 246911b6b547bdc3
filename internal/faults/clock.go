package faults

import (
	"strings"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// redisClock begins the forms that set the clock of Redis.
	redisClock = "the clock of redis"
	// underWay is how long after its expiry an unblock may begin when the clock jumps: one that was let
	// through before goes by what it was told then.
	underWay = 2 * time.Second
)

// clockFaults set the clock of Redis, which is that of leases and expiry. Workers, producers and the API
// have the machine's.
var clockFaults = []form[fault]{
	{words: redisClock + " jumps ahead by <duration>", f: func(r *run, a args) { r.jump(a.duration) }},
	{words: redisClock + " jumps back by <duration>", f: func(r *run, a args) { r.jump(-a.duration) }},
}

// needsClock reports whether the clock of Redis is not the machine's.
func (s *Scenario) needsClock() bool {
	for _, st := range s.steps {
		if strings.HasPrefix(st.do.form.words, redisClock) {
			return true
		}
	}
	return s.Clock != 0
}

// setting is what the clock of Redis was set to: ahead of the machine's by offset from then on.
type setting struct {
	at     time.Time
	offset time.Duration
}

// jump sets the clock of Redis by d.
func (r *run) jump(d time.Duration) {
	offset := r.clock[len(r.clock)-1].offset + d
	r.backend.clock.Set(r.t, offset)
	r.clock = append(r.clock, setting{time.Now(), offset})
}

// machineTime returns when it was, by the machine's clock, that the clock of Redis showed x, or had jumped
// over it. A time that it showed twice is taken for the earlier one: scenarios are shorter than jumps.
func machineTime(clock []setting, x time.Time) time.Time {
	for i, s := range clock {
		shown := x.Add(-s.offset)
		last := i == len(clock)-1
		switch {
		case !shown.Before(s.at) && (last || shown.Before(clock[i+1].at)):
			return shown
		case i > 0 && shown.Before(s.at) && !x.Add(-clock[i-1].offset).Before(s.at):
			return s.at // It was jumped over.
		}
	}
	return x.Add(-clock[len(clock)-1].offset)
}

// byMachine makes the times of Redis the machine's, by which the API's ledger is kept. What readers saw stays
// as it was: its times are compared with none.
func (r *run) byMachine() {
	if r.backend.clock == nil {
		return
	}
	at := func(x time.Time) time.Time { return machineTime(r.clock, x) }
	finals := map[string]tasks.Operation{}
	for id, op := range r.result.Finals {
		op.CreatedAt, op.UpdatedAt, op.ExpiresAt = at(op.CreatedAt), at(op.UpdatedAt), at(op.ExpiresAt)
		if op.UnblockAcceptedAt != nil {
			op.UnblockAcceptedAt = new(at(*op.UnblockAcceptedAt))
		}
		finals[id] = op
	}
	r.result.Finals = finals
	events := map[string][]opstore.Event{}
	for id, es := range r.result.Events {
		for _, e := range es {
			e.At = at(e.At)
			events[id] = append(events[id], e)
		}
	}
	r.result.Events = events
	if len(r.clock) > 1 {
		r.result.Slack = underWay
	}
}
