package demo

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// patience bounds every wait of these tests. It is no expectation of how long anything takes.
const patience = 30 * time.Second

// await returns what comes through c, or fails the test.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

// launch returns a running system, which is stopped with the test.
func launch(t testing.TB) *system {
	t.Helper()
	s, err := start(t.Context(), Config{})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if err := s.stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// screen is an output that can be read while it is written. It calls found once when it holds needle.
type screen struct {
	needle string
	found  func()

	mu   sync.Mutex
	text bytes.Buffer
	seen bool
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	if s.found != nil && !s.seen && strings.Contains(s.text.String(), s.needle) {
		s.seen = true
		s.found()
	}
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
