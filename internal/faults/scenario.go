package faults

import (
	"time"

	"github.com/cardworker/cardworker/enqueue"
)

// Scenario is one run: a system, a load, what breaks and what has to hold. Make one with [Parse].
type Scenario struct {
	// Name is the file's, Title its first comment.
	Name, Title string

	// Redis is "single", "sentinel" or "cluster"; RedisArgs are settings for a single one, in the words of
	// its command line.
	Redis     string
	RedisArgs []string
	// Clock is how far the clock of Redis is ahead of the machine's.
	Clock time.Duration

	// Workers is how many worker processes there are, WorkerEnv their environment beyond the addresses.
	Workers   int
	WorkerEnv []string

	// Durability is what the producers wait for.
	Durability enqueue.Durability

	// Operations are asked for at Rate per second. Kinds is "operations", "unblocks" or "refreshes".
	// Expiry is how long each lives.
	Operations int
	Rate       int
	Kinds      string
	Expiry     time.Duration

	// Latency is added to every call of the API. Chaos is the share of calls that fail, Orphans that of
	// calls which are carried out although the caller has gone; both are of 1.
	Latency        time.Duration
	Chaos, Orphans float64

	steps        []step
	expectations []expectation
}

// step is a fault that happens once, or several times.
type step struct {
	at    time.Duration
	every time.Duration // 0: once
	times int
	do    call[fault]
}

// expectation is something that has to hold at the end.
type expectation struct {
	line  int
	check call[check]
}

// needsProxy reports whether the network in front of Redis is what breaks.
func (s *Scenario) needsProxy() bool {
	for _, st := range s.steps {
		if st.do.form.network {
			return true
		}
	}
	return false
}
