package worker

import (
	"fmt"
	"slices"

	"github.com/cardworker/cardworker/tasks"
)

// option is something that may happen next.
type option struct {
	label string
	do    func()
}

// options are what may happen next, the plain thing first; nil means that nobody has anything to do.
func (w *world) options() []option {
	var ready, stalled []*actor
	for _, a := range w.runs {
		switch {
		case a.pending.Load() == nil:
		case a.proc.stalled.Load():
			stalled = append(stalled, a)
		default:
			ready = append(ready, a)
		}
	}
	if i := slices.Index(ready, w.last); i > 0 {
		ready[0], ready[i] = ready[i], ready[0] // Who is under way goes on.
	}
	var out []option
	for i, a := range ready {
		s := a.pending.Load()
		out = append(out, w.step(a, s, happens))
		if i > 0 {
			continue
		}
		for _, f := range s.fates[1:] {
			if w.sc.only != nil && !slices.Contains(w.sc.only, f) {
				continue
			}
			if f == stalls && (a.proc.worker == nil || w.anyStalled()) {
				// A producer that stands still is one whose turn comes late, and somebody has to recover.
				continue
			}
			out = append(out, w.step(a, s, f))
		}
	}
	tasks, fresh := w.deliveries()
	out = append(out, tasks...)
	for _, a := range stalled {
		out = append(out, option{a.name + " wakes: " + a.pending.Load().label, func() { a.proc.stalled.Store(false); w.last = a }})
		break
	}
	if len(ready) > 0 && w.due() && !w.recovering() {
		out = append(out, option{"recovery", w.recovery})
	}
	switch {
	case len(ready) > 0 || fresh || len(out) == 0:
		return out
	case len(stalled) > 0 && !w.open():
		return out // All is over; now they wake.
	default:
		return append([]option{{"peace", w.peace}}, out...)
	}
}

// peace is a while in which nothing happens, after which recovery comes round.
func (w *world) peace() {
	pass(DefaultRecoveryInterval)
	if !w.recovering() && w.due() {
		w.recovery()
	}
}

func (w *world) step(a *actor, s *step, f fate) option {
	label := a.name + ": " + s.label
	if f != happens {
		label += " (" + string(f) + ")"
	}
	return option{label, func() {
		w.last = a
		switch f {
		case crashes:
			w.crash(a.proc)
		case stalls:
			a.proc.stalled.Store(true)
		default:
			a.pending.Store(nil)
			a.grant <- f
		}
	}}
}

// deliveries are what asynq may hand to a worker that has nothing to do: the next task, or, as an anomaly,
// one that it gave out before. fresh says that the first is of the former.
func (w *world) deliveries() (out []option, fresh bool) {
	var idle *node
	for _, p := range w.procs {
		if p.stalled.Load() || slices.ContainsFunc(w.runs, func(a *actor) bool { return a.proc == p && a.task != nil }) {
			continue
		}
		if idle == nil {
			idle = p
		}
		if len(p.given) > 0 {
			fresh = true
			out = append(out, option{"hand to " + p.name + " what it has made", func() {
				d := p.given[0]
				p.given = p.given[1:]
				w.deliver(d, p)
			}})
		}
	}
	if idle == nil {
		return nil, false
	}
	for _, queue := range tasks.Queues() {
		if w.do("EXISTS", "asynq:{"+queue+"}:pending") == int64(1) {
			fresh = true
			out = append(out, option{"deliver from " + queue + " to " + idle.name, func() {
				if !w.sc.byQueue {
					w.take(queue, idle)
					return
				}
				id, _ := w.do("RPOP", "asynq:{"+queue+"}:pending").(string)
				w.deliver(delivery{queue, id}, idle)
			}})
			break
		}
	}
	for _, a := range w.runs {
		if a.task == nil || a.task.id == "" || a.pending.Load() == nil || w.doubled[a.task.id] {
			continue
		}
		out = append(out, option{"deliver again " + w.short(a.task.id) + " to " + idle.name, func() {
			w.doubled[a.task.id] = true
			w.deliver(*a.task, idle)
		}})
	}
	return out, fresh
}

// due reports whether recovery would find something.
func (w *world) due() bool {
	shard := tasks.ShardOf(w.first())
	now := fmt.Sprint(w.now().UnixMilli())
	for _, index := range []string{"leased", "waiting:urgent", "waiting:refresh"} {
		if w.do("ZCOUNT", "cardworker:{"+shard+"}:"+index, "-inf", now) != int64(0) {
			return true
		}
	}
	return false
}

func (w *world) first() string {
	if len(w.order) == 0 {
		return ""
	}
	return w.order[0]
}
