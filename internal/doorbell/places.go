package doorbell

import "sync"

// Places are how many tasks the servers of a process run at once, all of them together. What one server leaves free
// the others use. Make them with [NewPlaces]; they are safe for concurrent use.
type Places struct {
	mu     sync.Mutex
	total  int
	busy   int
	shares []*Share // the most urgent first
}

// Share is the part in the places that one server has.
type Share struct {
	places *Places
	kept   int           // places that it leaves to the shares before it
	most   func() int    // tasks that it may have in hand; nil for any number
	freed  chan struct{} // holds one word that a place may be free

	// Under the places' lock:
	waiting bool // for a place
	busy    int  // places that it has
	away    int  // of its tasks, how many wait for somebody else
}

// NewPlaces returns so many places, at least one.
func NewPlaces(total int) *Places { return &Places{total: total} }

// Share returns a share for a server that is less urgent than those of the earlier shares: when they wait for a place
// it gets none, and it always leaves as many free for them as are kept, less than all.
func (p *Places) Share(kept int) *Share {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Share{places: p, kept: kept, freed: make(chan struct{}, 1)}
	p.shares = append(p.shares, s)
	return s
}

// LimitInHand has the share begin no task while it has so many in hand as most returns then, or more: those that run
// and are not away. It is called before the share is used; most must be quick and safe for concurrent use.
//
// Tasks that wait for somebody else cost the others little but their places. Those in hand are what the others wait
// behind, for a processor and for Redis, and more of them than keep these two busy bring nothing. When many come back at
// once there are more all the same, until those have ended.
func (s *Share) LimitInHand(most func() int) { s.most = most }

// Away notes that a task of the share begins to wait for somebody else, until [Share.Back].
func (s *Share) Away() { s.move(1) }

// Back notes that a task is back. It goes on at once, however many are in hand.
func (s *Share) Back() { s.move(-1) }

func (s *Share) move(n int) {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	s.away += n
	if n > 0 && s.most != nil {
		s.places.tell()
	}
}

// Free returns how many more tasks the server could begin now.
func (s *Share) Free() int {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	return s.free()
}

// Idle reports whether no server has a place.
func (s *Share) Idle() bool {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	return s.places.busy == 0
}

// free is Free under the lock.
func (s *Share) free() int {
	for _, before := range s.places.shares {
		if before == s {
			break
		}
		if before.waiting {
			return 0
		}
	}
	n := s.places.total - s.kept - s.places.busy
	if s.most != nil {
		n = min(n, s.most()-(s.busy-s.away))
	}
	return max(0, n)
}

// try takes up to n places and returns how many.
func (s *Share) try(n int) int {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	n = min(n, s.free())
	s.places.busy += n
	s.busy += n
	return n
}

// take takes a place as soon as there is one. It reports false when it was to end before.
func (s *Share) take(end <-chan struct{}) bool {
	defer s.await(false)
	for s.try(1) == 0 {
		if s.await(true); s.try(1) == 1 { // It may have become free before the wait was known.
			return true
		}
		select {
		case <-s.freed:
		case <-end:
			return false
		}
	}
	return true
}

// await notes whether the share waits for a place. Those behind it may go on when it does no more.
func (s *Share) await(waiting bool) {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	if s.waiting && !waiting {
		defer s.places.tell()
	}
	s.waiting = waiting
}

// give gives places back.
func (s *Share) give(n int) {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	s.places.busy -= n
	s.busy -= n
	s.places.tell()
}

// tell has those who wait look again. It is called under the lock.
func (p *Places) tell() {
	for _, s := range p.shares {
		select {
		case s.freed <- struct{}{}:
		default: // One word is enough.
		}
	}
}
