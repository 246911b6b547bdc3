package doorbell

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestPlaces_EachShareUsesWhatTheOthersLeave(t *testing.T) {
	t.Parallel()
	p := NewPlaces(10)
	urgent, bulk := p.Share(0), p.Share(2)
	if got := bulk.try(100); got != 8 {
		t.Errorf("the less urgent share took %d of 10 places, want 8", got)
	}
	if got := bulk.Free(); got != 0 {
		t.Errorf("%d are free for it, want 0", got)
	}
	if got := urgent.try(100); got != 2 {
		t.Errorf("the urgent share took %d, want the 2 that were kept", got)
	}
	bulk.give(8)
	if got := urgent.try(100); got != 8 {
		t.Errorf("the urgent share took %d, want the 8 that were given back", got)
	}
	urgent.give(2)
	if got := bulk.try(1); got != 0 {
		t.Errorf("the less urgent share took %d of 2, want none: they are kept", got)
	}
}

func TestPlaces_WhatIsGivenBackIsForTheUrgentFirst(t *testing.T) {
	t.Parallel()
	p := NewPlaces(1)
	urgent, bulk := p.Share(0), p.Share(0)
	bulk.take(nil)
	taken := make(chan *Share)
	for _, s := range []*Share{bulk, urgent} {
		go func() {
			s.take(nil)
			taken <- s
		}()
		eventually(t, "the share waits", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return s.waiting
		})
	}
	for _, want := range []*Share{urgent, bulk} {
		p.shares[0].give(1)
		if got := receive(t, "a place is taken", taken); got != want {
			t.Error("a share took the place before the more urgent one")
		}
	}
}

func TestPlaces_AWaitEndsWithTheServer(t *testing.T) {
	t.Parallel()
	p := NewPlaces(1)
	urgent, bulk := p.Share(0), p.Share(0)
	bulk.take(nil)
	end, ended := make(chan struct{}), make(chan bool)
	go func() { ended <- urgent.take(end) }()
	close(end)
	if receive(t, "the wait ends", ended) {
		t.Error("a place was taken, want none")
	}
	// It waits no more, and is in nobody's way.
	bulk.give(1)
	if !bulk.take(nil) || bulk.Free() != 0 {
		t.Error("no place for the other share")
	}
}

func TestPlaces_NeverMoreThanThereAre(t *testing.T) {
	t.Parallel()
	const total = 5
	p := NewPlaces(total)
	var busy, most atomic.Int64
	var all sync.WaitGroup
	for _, s := range []*Share{p.Share(0), p.Share(1)} {
		ends := make(chan struct{}, 1000)
		all.Go(func() { // One server: it takes one after the other, and they end whenever.
			for range 1000 {
				s.take(nil)
				n := busy.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				ends <- struct{}{}
			}
			close(ends)
		})
		for range total {
			all.Go(func() {
				for range ends {
					busy.Add(-1)
					s.give(1)
				}
			})
		}
	}
	all.Wait()
	if most.Load() > total || p.busy != 0 {
		t.Errorf("%d were busy at once and %d are left so, want at most %d and none", most.Load(), p.busy, total)
	}
}
