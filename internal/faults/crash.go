package faults

import (
	"bytes"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// reachedWithin is how long a worker may take to come to a point that every operation comes to.
	reachedWithin = 15 * time.Second
	// stopsAfter is when a worker that shall come to a point while it stops is told to: it needs some
	// operations in hand.
	stopsAfter = 700 * time.Millisecond
	// stopTries is how often a worker is told to stop until it comes to such a point.
	stopTries = 12
)

// crashWorker puts a worker in the place of worker n that kills itself at a point, and waits until it has.
// The place is empty then.
func (r *run) crashWorker(n int, a args, stopping bool) {
	r.t.Helper()
	p := r.reach(n, a, "kill", stopping)
	if p == nil {
		return
	}
	select {
	case <-p.gone:
	case <-time.After(reachedWithin):
		r.t.Errorf("worker %d said that it kills itself at %s, and still runs", n, a.point)
		return
	}
	r.fleet.slots[n-1] = nil
	r.noteKill(n, p)
}

// freezeWorker puts a worker in the place of worker n that suspends itself at a point, and waits until it has.
func (r *run) freezeWorker(n int, a args, stopping bool) {
	r.t.Helper()
	if p := r.reach(n, a, "stop", stopping); p != nil {
		r.frozen = append(r.frozen, p)
	}
}

// reach starts a worker with a failpoint in the place of worker n and waits until it has come there. With
// stopping it is told to stop before; when it has stopped without coming there another is started.
func (r *run) reach(n int, a args, action string, stopping bool) *process {
	r.t.Helper()
	tries := 1
	if stopping {
		tries = stopTries
	}
	for range tries {
		p := r.arm(n, fmt.Sprintf("%s:%d=%s", a.point, a.count, action))
		if p == nil {
			return nil
		}
		if stopping {
			r.fleet.awaitReady(r.t, n, true, readyWithin)
			every(r.t.Context(), stopsAfter)
			r.fleet.signal(r.t, n, syscall.SIGTERM)
		}
		said := fmt.Appendf(nil, "failpoint %s: %s\n", a.point, action)
		if p.awaitOutput(r.t.Context(), said, reachedWithin) {
			return p
		}
		if !stopping {
			break
		}
		r.fleet.slots[n-1] = nil
		<-p.gone // It has been told to, and nothing holds it up.
	}
	r.t.Errorf("worker %d did not come to %s within %s", n, a.point, reachedWithin)
	return nil
}

// arm starts a worker with failpoints in the place of worker n.
func (r *run) arm(n int, triggers string) *process {
	r.t.Helper()
	r.fleet.stop(r.t, n)
	r.fleet.launch(r.t, n, binaryFor(r.t, interruptible), failpoint.Env+"="+triggers)
	return r.fleet.slots[n-1]
}

// lateWrites counts the writes of workers that were suspended, and refused when they came back.
func (r *run) lateWrites() int {
	n := 0
	for _, p := range r.frozen {
		n += bytes.Count(p.output.bytes(), []byte("superseded (fence "))
	}
	return n
}

// panics counts what the workers' logs say of panics.
func (r *run) panics() int {
	n := 0
	for _, p := range r.fleet.all {
		n += bytes.Count(p.output.bytes(), []byte(`"msg":"panic (`))
	}
	return n
}

// endsAfterCrash returns how long each operation that was open when a worker was killed took to end: from the
// last kill of a worker that had it in hand or, when it was in nobody's, from the first that it was open at. It
// also names the one that took longest.
//
// A worker has in hand what it has the lease of, and what recovery has just given a new task: that may have died with
// whoever was about to enqueue it, or with whoever had taken it.
func endsAfterCrash(kills []kill, finals map[string]tasks.Operation, events map[string][]opstore.Event) (all []time.Duration, slowest string) {
	longest := time.Duration(-1)
	for _, op := range finals {
		var from time.Time
		inHand := false
		for _, k := range kills {
			if op.CreatedAt.After(k.at) || op.UpdatedAt.Before(k.at) {
				continue
			}
			had := slices.Contains(k.ids, op.ID) || justRedispatched(events[op.ID], k.at)
			if had || !inHand && from.IsZero() {
				from, inHand = k.at, inHand || had
			}
		}
		if from.IsZero() {
			continue
		}
		d := op.UpdatedAt.Sub(from)
		all = append(all, d)
		if d > longest {
			slowest, longest = op.ID, d
		}
	}
	return all, slowest
}

// redispatchTime is how long after recovery has given an operation a new task that is taken and begun, and much more.
const redispatchTime = time.Second

// justRedispatched reports whether an operation had got a new task shortly before a time, and nobody had begun it by then.
func justRedispatched(events []opstore.Event, by time.Time) bool {
	var last opstore.Event
	for _, e := range events {
		if e.At.After(by) {
			break
		}
		last = e
	}
	return last.Name == "redispatched" && by.Sub(last.At) < redispatchTime
}

// appliedTwice returns a card whose unblock the API has applied more than once, by its end, or "".
func (r *run) appliedTwice() string {
	applied := map[string]int{}
	for _, c := range r.result.Calls {
		if c.AppliedAt != nil {
			applied[string(c.Call)+c.PublicToken]++
		}
	}
	for _, q := range r.asked {
		for _, call := range []sandbox.Call{sandbox.CallUnblockPIN, sandbox.CallUnblockCVV} {
			if n := applied[string(call)+q.Card]; n > 1 {
				return fmt.Sprintf("that of %s was, %d times\n%s", q.ID, n, r.life(r.result.Finals[q.ID]))
			}
		}
	}
	return ""
}
