package faults

import (
	"fmt"
	"syscall"
)

// crashFaults are those of processes that are interrupted at a point, and those of deploys.
var crashFaults = []form[fault]{
	// A worker that ends, or stands still, at a point of package failpoint, the nth time that it comes there.
	{words: "crash worker <worker> at hit <count> of <point>", needs: interruptible, f: func(r *run, a args) {
		r.crashWorker(a.worker, a, false)
	}},
	{words: "crash worker <worker> at hit <count> of <point> while it stops", needs: interruptible, f: func(r *run, a args) {
		r.crashWorker(a.worker, a, true)
	}},
	{words: "freeze worker <worker> at hit <count> of <point>", needs: interruptible, f: func(r *run, a args) {
		r.freezeWorker(a.worker, a, false)
	}},
	{words: "freeze worker <worker> at hit <count> of <point> while it stops", needs: interruptible, f: func(r *run, a args) {
		r.freezeWorker(a.worker, a, true)
	}},
	{words: "thaw worker <worker> and see it stop", f: func(r *run, a args) {
		r.fleet.signal(r.t, a.worker, syscall.SIGCONT)
		r.fleet.awaitStop(r.t, a.worker)
		r.fleet.start(r.t, a.worker)
	}},
	{words: "worker <worker> panics at every <count> hits of <point>", needs: interruptible, f: func(r *run, a args) {
		r.arm(a.worker, fmt.Sprintf("%s:*%d=panic", a.point, a.count))
	}},
	{words: "crash <count> producers at <point>", needs: interruptible, f: func(r *run, a args) {
		r.crashProducers(a.count, a.point)
	}},
	// A deploy of a release whose payloads this one cannot read.
	{words: "upgrade worker <worker>", needs: nextRelease, f: func(r *run, a args) { r.upgrade(a.worker) }},
	{words: "<count> tasks of the next release", asks: true, f: func(r *run, a args) { r.newer(a.count) }},
}
