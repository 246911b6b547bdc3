package faults

// pressureFaults are those of tasks and operations that are too many, or poison.
var pressureFaults = []form[fault]{
	{words: "poison of <count> tasks", asks: true, f: func(r *run, a args) { r.poison(a.count, poisons) }},
	{words: "poison of <count> huge tasks", asks: true, f: func(r *run, a args) {
		r.stopTaps()
		r.poison(a.count, hugePoisons)
	}},
	{words: "poison of <count> tasks of a release that never comes", asks: true, f: func(r *run, a args) { r.neverComes(a.count) }},

	{words: "backlog of <count> refreshes", asks: true, f: func(r *run, a args) { r.backlog(a.count) }},
	{
		words: "measure redis memory over <count> operations of each sort", untraced: true,
		f: func(r *run, a args) { r.measureMemory(a.count) },
	},
}
