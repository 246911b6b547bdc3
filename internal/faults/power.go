package faults

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// sizes remembers how long the append-only file was, and when. A killed redis-server loses nothing that it
// has given to the kernel; a machine without power loses what was not on disk, which with appendfsync
// everysec is the last second. Cutting the file to what it was a second ago is the same.
type sizes struct {
	mu   sync.Mutex
	seen []size
}

type size struct {
	at    time.Time
	file  string
	bytes int64
}

// followSizes looks at the files of a server until the test ends.
func followSizes(t testing.TB, dir string) *sizes {
	s := &sizes{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for every(ctx, 10*time.Millisecond) {
			s.look(filepath.Join(dir, "appendonlydir"))
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

func (s *sizes) look(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.incr.aof"))
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			s.seen = append(s.seen, size{time.Now(), f, info.Size()})
		}
	}
}

// cut makes the newest file as short as it was at that time.
func (s *sizes) cut(t testing.TB, at time.Time) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		t.Error("there is no append-only file to cut: the scenario needs appendonly=yes")
		return
	}
	newest, bytes := s.seen[len(s.seen)-1].file, int64(0)
	for _, x := range s.seen {
		if x.file == newest && !x.at.After(at) {
			bytes = x.bytes
		}
	}
	if err := os.Truncate(newest, bytes); err != nil {
		t.Errorf("cut the append-only file: %v", err)
	}
	s.seen = nil
}
