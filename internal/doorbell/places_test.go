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

func TestPlaces_ThoseInHandAreLimitedAndThoseAwayAreNot(t *testing.T) {
	t.Parallel()
	p := NewPlaces(10)
	urgent, bulk := p.Share(0), p.Share(1)
	most := 3
	bulk.LimitInHand(func() int { return most })
	if got := bulk.try(100); got != 3 {
		t.Errorf("took %d, want the 3 that may be in hand", got)
	}
	// The server waits for one of them, and is told when it goes.
	taken := make(chan bool)
	go func() { taken <- bulk.take(nil) }()
	eventually(t, "the share waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return bulk.waiting
	})
	bulk.Away()
	if !receive(t, "one more is taken", taken) || bulk.Free() != 0 {
		t.Errorf("%d more are free with 3 in hand, want none", bulk.Free())
	}
	for range 3 {
		bulk.Away()
	}
	if got := bulk.try(100); got != 3 {
		t.Errorf("took %d, want 3: all others are away", got)
	}
	for range 4 {
		bulk.Back()
	}
	if got := bulk.Free(); got != 0 {
		t.Errorf("%d are free with 7 in hand, want none", got)
	}
	most = 100
	if got := bulk.Free(); got != 2 {
		t.Errorf("%d are free, want 2: of 10 places 7 are taken and 1 is kept", got)
	}
	if got := urgent.Free(); got != 3 {
		t.Errorf("%d are free for the urgent, want 3, whatever the others have in hand", got)
	}
	bulk.give(7)
	if bulk.busy != 0 || bulk.away != 0 || p.busy != 0 {
		t.Errorf("%d are busy and %d away at the end, want none", bulk.busy, bulk.away)
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
