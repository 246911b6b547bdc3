package faults

// masterless is the setting that has a replica refuse whoever asks it while its primary is gone.
const masterless = "replica-serve-stale-data"

// wireFaults are further faults between the clients and Redis.
var wireFaults = []form[fault]{
	{words: "network bandwidth <count> KB/s", network: true, f: func(r *run, a args) {
		for _, direction := range []string{"upstream", "downstream"} {
			r.backend.proxy.spoil(r.t, "bandwidth", direction, map[string]int64{"rate": int64(a.count)})
		}
	}},
	// It refuses reads too, with MASTERDOWN.
	{words: "redis is a replica without its primary", f: func(r *run, _ args) {
		r.backend.set(r.t, masterless, "no")
		r.backend.readOnly(r.t, true)
	}},
	{words: "redis is a primary", f: func(r *run, _ args) {
		r.backend.readOnly(r.t, false)
		r.backend.set(r.t, masterless, "yes")
	}},
}
