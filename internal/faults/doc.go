// Package faults breaks a running cardworker on purpose and looks whether it kept its promises.
//
// A [Scenario] is a text file: which Redis, how many workers, which load, what breaks when, and what has
// to hold. [Scenario.Run] plays it with real processes (redis-server, and the built binary as worker), with
// the sandbox as the API, and with a proxy in front of Redis where the network is what breaks. At the end
// it hands what the producers asked for, what the API saw and what the store wrote down to package audit,
// and looks for secrets in everything that was written on the way.
//
// Everything random follows from one seed, which a failure prints.
//
// # The language
//
// A line is a comment (#), a setting, a fault or an expectation:
//
//	# SIGKILL of a worker in the middle of its calls
//	redis: single appendonly=yes appendfsync=always
//	workers: 2 WORKER_CONCURRENCY=64
//	producers: durability disk
//	load: 400 operations at 100/s, each for 60s
//	api: latency 50ms, chaos 10%, orphans 50%
//	every 700ms from 500ms, 5 times: bounce worker any
//	at 6s: freeze worker 1
//	expect: all end within 30s
//	expect: recovery p99 <= 5s
//
// The first comment is the title. redis is single, sentinel or cluster, with settings of redis.conf for
// single, and clock=5m or clock=-5m for one whose clock goes ahead of the machine's or behind it. Each of workers
// is given the variables that follow. The producers wait for that durability (memory, disk or replica). A load
// is of operations (all four kinds in
// turn), unblocks or refreshes; each is of a card of its own and lives for as long as it says. Of the API's
// faults, chaos fails that share of the calls at random, with a status or a reset, before or after they are
// carried out, and orphans is the share of calls that are carried out even when the caller has gone. Repeated faults come at a random moment of
// the first half of each period, and a worker "any" is a random one. The faults and expectations that exist
// are in faults*.go, answers.go (of the API), wire.go and clock.go (of Redis), and in expect*.go and answered.go;
// a word that is not known is an error that lists them.
//
// Faults happen one after the other: while one takes its time, such as a worker that has to come to a point,
// the next ones wait.
//
// # Points
//
// Package failpoint names the places between two steps of an operation. A scenario has a worker killed, or
// suspended, when it comes to one for the nth time:
//
//	at 1s: crash worker 1 at hit 5 of after-chain
//	at 1s: crash worker 1 at hit 1 of before-hand-back while it stops
//	at 1s: freeze worker 2 at hit 3 of before-finish
//	at 9s: thaw worker 2
//	at 9s: crash 3 producers at after-accept
//
// For that a worker of another build, with the tag faultpoints, takes the place of the one that was there; all
// others are the binary that users run, which holds nothing of this. "upgrade worker 1" starts a third build,
// whose payloads are of the next version.
package faults
