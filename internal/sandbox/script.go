package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// script is the list of faults that were added and are not used up.
type script struct {
	seed  uint64
	live  atomic.Int64 // len(faults), so that calls of a sandbox without faults take no lock
	mu    sync.Mutex
	added int
	// faults are tried in the order in which they were added.
	faults []*scripted
}

// scripted is a fault and how far it has come.
type scripted struct {
	Fault
	seen uint64 // matching calls so far
	hits int
}

// add appends faults: all of them, or none when one is wrong.
func (s *script) add(faults ...Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults)+len(faults) > maxFaults {
		return fmt.Errorf("more than %d faults: remove some first", maxFaults)
	}
	next := make([]*scripted, 0, len(faults))
	for i, f := range faults {
		f = f.normalise()
		if f.Name == "" {
			f.Name = fmt.Sprintf("fault-%d", s.added+i+1)
		}
		if err := f.validate(); err != nil {
			return err
		}
		next = append(next, &scripted{Fault: f.clone()})
	}
	s.added += len(faults)
	s.faults = append(s.faults, next...)
	s.live.Store(int64(len(s.faults)))
	return nil
}

// take returns the fault that hits the nth call of a kind on a card, or nil. A fault that has hit its
// count is removed.
func (s *script) take(call Call, publicToken string, nth uint64) *Fault {
	if s.live.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.matches(call, publicToken) {
			continue
		}
		f.seen++
		if f.seen <= uint64(f.Skip) {
			continue
		}
		if f.Probability > 0 && unit(roll(s.seed, "fault", f.Name+"/"+string(call)+"/"+publicToken, nth)) >= f.Probability {
			continue
		}
		f.hits++
		if f.Count > 0 && f.hits >= f.Count {
			s.faults = slices.Delete(s.faults, i, i+1)
			s.live.Store(int64(len(s.faults)))
		}
		return &f.Fault
	}
	return nil
}

// matches reports whether f is about a call on a card.
func (f *Fault) matches(call Call, publicToken string) bool {
	if f.Call == CallAny {
		if !call.isCard() {
			return false
		}
	} else if f.Call != call {
		return false
	}
	return f.PublicToken == "" || f.PublicToken == publicToken
}

// clone copies f with its maps.
func (f Fault) clone() Fault {
	f.Headers, f.Fields = maps.Clone(f.Headers), maps.Clone(f.Fields)
	return f
}

// list returns copies of the faults that are left.
func (s *script) list() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		left = append(left, f.clone())
	}
	return left
}

// clear removes every fault.
func (s *script) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.live.Store(0)
}
