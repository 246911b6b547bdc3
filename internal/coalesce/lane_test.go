package coalesce

import (
	"context"
	"errors"
	"testing"
)

// over is a context that has ended, of whose end nobody is told in time.
type over struct{ context.Context }

func (over) Err() error            { return context.Canceled }
func (over) Done() <-chan struct{} { return nil }

func TestLane_WhoLeftIsNotDoneAndIsToldSo(t *testing.T) {
	t.Parallel()
	land, flown := make(chan struct{}), make(chan []int, 1)
	l := NewLane(func(context.Context, int) { <-land }, func(_ context.Context, calls []*Call[int]) {
		var all []int
		for _, c := range calls {
			all = append(all, c.What)
		}
		flown <- all
	})
	for range flights {
		go func() { _ = l.Do(t.Context(), 0) }() // It ends with land.
	}
	until(t, "the flights are up", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.flying == flights
	})
	here, left := make(chan error, 1), make(chan error, 1)
	go func() { here <- l.Do(t.Context(), 1) }()
	go func() { left <- l.Do(over{t.Context()}, 2) }()
	until(t, "both wait", func() bool { return l.Waiting() == 2 })
	close(land)
	if got := receive(t, "the flight", flown); len(got) != 1 || got[0] != 1 {
		t.Errorf("%v was done, want what the one wanted who is there", got)
	}
	if err := receive(t, "its end", here); err != nil {
		t.Errorf("who is there was told %v", err)
	}
	if err := receive(t, "the end of the other", left); !errors.Is(err, context.Canceled) {
		t.Errorf("who left was told %v, want that its context has ended", err)
	}
}
