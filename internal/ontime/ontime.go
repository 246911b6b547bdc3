// Package ontime is for tests that measure how long something takes on a machine that does other things too. Such a
// machine may make late what was on time, but never makes on time what is always late.
package ontime

import (
	"testing"
	"time"
)

const (
	// rounds is how often something may be late before it is late by itself.
	rounds = 8
	// tick and lateness say when the machine is calm: so many ticks in a row were at most so late.
	tick, lateness, ticks = time.Millisecond, 2 * time.Millisecond, 50
	// longestWait bounds the wait for a calm machine before another round.
	longestWait = 5 * time.Second
)

// Once runs a round, which is given its number from 1 and returns an error when it was late, and again when the machine
// has calmed down, until one was on time. It fails the test when none of 8 was. What is wrong whatever the machine
// does, a round reports by itself, and there is no other then.
func Once(t testing.TB, round func(n int) error) {
	t.Helper()
	for n := 1; ; n++ {
		err := round(n)
		if err == nil || t.Failed() {
			return
		}
		if n == rounds {
			t.Errorf("late in each of %d rounds, the last time: %v", rounds, err)
			return
		}
		t.Logf("round %d: %v", n, err)
		calm()
	}
}

// During runs f and returns by how much the machine was late meanwhile with a timer of a millisecond, at most. What
// takes several steps, in more than one process, may have been late by several times that.
func During(f func()) (late time.Duration) {
	done := make(chan struct{})
	measured := make(chan time.Duration)
	go func() {
		var most time.Duration
		for {
			start := time.Now()
			select {
			case <-done:
				measured <- most
				return
			case <-time.After(tick):
				most = max(most, time.Since(start)-tick)
			}
		}
	}()
	f()
	close(done)
	return <-measured
}

// calm returns when the machine keeps its timers, or after a while.
func calm() {
	begin := time.Now()
	for kept := 0; kept < ticks && time.Since(begin) < longestWait; kept++ {
		start := time.Now()
		<-time.After(tick)
		if time.Since(start) > tick+lateness {
			kept = 0
		}
	}
}
