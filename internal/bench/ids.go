package bench

import (
	"fmt"
	"slices"
	"sync"
)

// ids are the operations' ids by card. They hold no pointers: producer and worker share a process here, and
// what the producer remembers of 100,000 operations must not be what the worker's collector walks through,
// since no worker has it. The zero value has none. It is safe for concurrent use.
type ids struct {
	mu sync.Mutex
	// of is by card. Index 0 is for cards that are unblocked, 1 for refreshes.
	of [2][]idText
}

// idText is an id, of n bytes. One of none is not known.
type idText struct {
	n    uint8
	text [47]byte
}

func (s *ids) keep(c card, id string) error {
	var t idText
	if len(id) > len(t.text) {
		return fmt.Errorf("the id %q is longer than the %d bytes that there is room for", id, len(t.text))
	}
	t.n = uint8(copy(t.text[:], id))
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &s.of[sortOf(c)]
	if more := c.n + 1 - len(*list); more > 0 {
		*list = slices.Grow(*list, more)[:c.n+1]
	}
	(*list)[c.n] = t
	return nil
}

// get returns "" for a card whose id is not known.
func (s *ids) get(c card) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.of[sortOf(c)]
	if c.n >= len(list) {
		return ""
	}
	t := &list[c.n]
	return string(t.text[:t.n])
}

func sortOf(c card) int {
	if c.refresh {
		return 1
	}
	return 0
}
