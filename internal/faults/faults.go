package faults

import (
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// fault is something that is done to a running system. The place it happened at is a.worker and so on.
type fault func(r *run, a args)

// powerOff is the form that needs the sizes of the append-only file.
const powerOff = "power off redis"

// unsynced is what appendfsync everysec may lose.
const unsynced = time.Second

// faults are all the faults that a scenario can ask for.
var faults = slices.Concat(generalFaults, crashFaults, pressureFaults)

// generalFaults are those of processes, Redis, the network and the API.
var generalFaults = []form[fault]{
	{words: "kill worker <worker>", f: func(r *run, a args) { r.killWorker(a.worker) }},
	{words: "start worker <worker>", f: func(r *run, a args) { r.fleet.start(r.t, a.worker) }},
	// A supervisor starts a worker again that was killed.
	{words: "bounce worker <worker>", f: func(r *run, a args) {
		r.killWorker(a.worker)
		r.fleet.start(r.t, a.worker)
	}},
	{words: "stop worker <worker>", f: func(r *run, a args) { r.fleet.stop(r.t, a.worker) }},
	// A rolling deploy: SIGTERM, and the next one is started when the old one has gone.
	{words: "restart worker <worker>", f: func(r *run, a args) {
		r.fleet.stop(r.t, a.worker)
		r.fleet.start(r.t, a.worker)
	}},
	{words: "freeze worker <worker>", f: func(r *run, a args) { r.fleet.signal(r.t, a.worker, syscall.SIGSTOP) }},
	{words: "thaw worker <worker>", f: func(r *run, a args) { r.fleet.signal(r.t, a.worker, syscall.SIGCONT) }},
	{words: "worker <worker> turns ready within <duration>", f: func(r *run, a args) {
		r.fleet.awaitReady(r.t, a.worker, true, a.duration)
	}},
	{words: "worker <worker> turns unready within <duration>", f: func(r *run, a args) {
		r.fleet.awaitReady(r.t, a.worker, false, a.duration)
	}},

	{words: "kill redis", f: func(r *run, _ args) { r.killRedis() }},
	{words: powerOff, f: func(r *run, _ args) {
		r.killRedis()
		r.backend.sizes.cut(r.t, r.redisGone[len(r.redisGone)-1].Add(-unsynced))
	}},
	{words: "start redis", f: func(r *run, _ args) {
		r.backend.servers[0].Restart(r.t)
		if r.backend.sentinel == nil {
			r.redisBack = append(r.redisBack, time.Now())
			r.watchCommands()
		}
	}},
	{words: "redis is promoted within <duration>", f: func(r *run, a args) {
		r.redisBack = append(r.redisBack, r.backend.awaitPromotion(r.t, a.duration))
	}},
	// It hears no more of the primary, until the sentinels put that right: for 8 seconds at least.
	{words: "replica is cut off", f: func(r *run, _ args) { r.backend.replicaOf(r.t, 1, "127.0.0.1", "1") }},
	{words: "redis is full", f: func(r *run, _ args) { r.backend.full(r.t) }},
	{words: "redis has room", f: func(r *run, _ args) { r.backend.set(r.t, "maxmemory", "0") }},
	{words: "redis is read-only", f: func(r *run, _ args) { r.backend.readOnly(r.t, true) }},
	{words: "redis is writable", f: func(r *run, _ args) { r.backend.readOnly(r.t, false) }},

	{words: "network latency <duration>", network: true, f: func(r *run, a args) {
		r.backend.proxy.spoil(r.t, "latency", "downstream", map[string]int64{"latency": a.duration.Milliseconds()})
	}},
	// Everything is swallowed, and no connection is closed.
	{words: "network black hole", network: true, f: func(r *run, _ args) {
		r.backend.proxy.spoil(r.t, "timeout", "upstream", map[string]int64{"timeout": 0})
		r.backend.proxy.spoil(r.t, "timeout", "downstream", map[string]int64{"timeout": 0})
	}},
	// A reset at the first byte that is sent.
	{words: "network resets", network: true, f: func(r *run, _ args) {
		r.backend.proxy.spoil(r.t, "reset_peer", "upstream", map[string]int64{"timeout": 0})
	}},
	// Each connection ends in the middle of a reply, once so much has been received.
	{words: "network cuts replies after <count> bytes", network: true, f: func(r *run, a args) {
		r.backend.proxy.spoil(r.t, "limit_data", "downstream", map[string]int64{"bytes": int64(a.count)})
	}},
	{words: "network heals", network: true, f: func(r *run, _ args) { r.backend.proxy.heal(r.t.Context()) }},

	{words: "api goes down", f: func(r *run, _ args) {
		r.script(sandbox.Fault{Name: outage, Do: sandbox.DoStatus, Status: 503})
	}},
	{words: "api comes back", f: func(r *run, _ args) {
		r.api.ClearFaults()
		r.apiBack = time.Now()
	}},
	// The call is carried out, and the connection is reset before the answer.
	{words: "api loses <percent> of answers", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "lost answer", At: sandbox.After, Do: sandbox.DoReset, Probability: a.share})
	}},
	{words: "api hangs in <percent> of calls", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "hanging call", Do: sandbox.DoHang, Probability: a.share})
	}},
	// Unlike chaos it lets the reads be, so that few operations fail again and again.
	{words: "api fails <percent> of unblocks", f: func(r *run, a args) {
		for _, c := range []sandbox.Call{sandbox.CallUnblockPIN, sandbox.CallUnblockCVV} {
			r.script(sandbox.Fault{Name: "failed unblock", Call: c, Do: sandbox.DoStatus, Status: 503, Probability: a.share})
		}
	}},
	{words: "api asks for a pause of <count> seconds", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: pause, Do: sandbox.DoStatus, Status: 429, Count: 1,
			Headers: map[string]string{"Retry-After": strconv.Itoa(a.count)},
		})
	}},
}

func (r *run) script(f sandbox.Fault) {
	r.t.Helper()
	if err := r.api.AddFault(f); err != nil {
		r.t.Errorf("add a fault to the API: %v", err)
	}
}

// killWorker kills worker n.
func (r *run) killWorker(n int) {
	p := r.fleet.kill(n)
	if p == nil {
		return
	}
	r.noteKill(n, p)
}

// noteKill notes what a worker had in hand that was just killed.
func (r *run) noteKill(n int, p *process) {
	at := time.Now()
	ids, err := leasedBy(r.t.Context(), r.backend.direct.Client, p.cmd.Process.Pid)
	if err != nil {
		r.t.Logf("killed worker %d; what it had in hand is not known: %v", n, err)
	}
	r.kills = append(r.kills, kill{at, ids})
}

// killRedis kills the first server. With sentinels it was the primary.
func (r *run) killRedis() {
	r.backend.servers[0].Kill()
	r.redisGone = append(r.redisGone, time.Now())
}
