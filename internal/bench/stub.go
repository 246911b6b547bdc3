package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/worker"
)

// stub is the API: each call takes the same time and works, and is counted for its card. It is safe for
// concurrent use.
type stub struct {
	latency time.Duration
	counts  atomic.Pointer[counts]
}

// mostCards bounds the cards of a run.
const mostCards = 1 << 18

// counts are the calls that the API saw, by card. Index 0 is for cards that are unblocked, 1 for refreshes.
type counts struct {
	unblocks, reads [2][]atomic.Int32
}

var _ worker.API = (*stub)(nil)

func newStub(latency time.Duration) *stub {
	s := &stub{latency: latency}
	_ = s.reset()
	return s
}

// reset forgets all calls.
func (s *stub) reset() error {
	c := &counts{}
	for i := range 2 {
		c.unblocks[i], c.reads[i] = make([]atomic.Int32, mostCards), make([]atomic.Int32, mostCards)
	}
	s.counts.Store(c)
	return nil
}

// check reports calls for the first so many cards of each sort, and for others, that are not exactly those
// expected: one unblock and one read for a card that is unblocked, one read for one that is refreshed.
func (s *stub) check(unblocked, refreshed int) error {
	c := s.counts.Load()
	wrong := 0
	var first error
	for sort, want := range [2]int{unblocked, refreshed} {
		for i := range mostCards {
			wantUnblocks, wantReads := int32(0), int32(0)
			if i < want {
				wantUnblocks, wantReads = int32(1-sort), 1
			}
			unblocks, reads := c.unblocks[sort][i].Load(), c.reads[sort][i].Load()
			if unblocks == wantUnblocks && reads == wantReads {
				continue
			}
			wrong++
			if first == nil {
				first = fmt.Errorf("for %s it saw %d unblocks and %d reads, want %d and %d",
					card{sort == 1, i}.token(), unblocks, reads, wantUnblocks, wantReads)
			}
		}
	}
	if first != nil {
		return fmt.Errorf("the API saw wrong calls for %d cards: %w", wrong, first)
	}
	return nil
}

func (s *stub) call(ctx context.Context, token string, read bool) error {
	c, err := cardOf(token)
	if err != nil {
		return err
	}
	if c.n >= mostCards {
		return errors.New("a card beyond those of any run")
	}
	sort := sortOf(c)
	counts := s.counts.Load()
	if read {
		counts.reads[sort][c.n].Add(1)
	} else {
		counts.unblocks[sort][c.n].Add(1)
	}
	if s.latency <= 0 {
		return nil
	}
	timer := time.NewTimer(s.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stub) read(ctx context.Context, token string) (payblr.Status, error) {
	tries := 3
	return payblr.Status{Value: payblr.StatusUnblocked, RemainingTries: &tries}, s.call(ctx, token, true)
}

// PINStatus says that the PIN is not blocked.
func (s *stub) PINStatus(ctx context.Context, token string) (payblr.Status, error) {
	return s.read(ctx, token)
}

// CVVStatus says that the CVV is not blocked.
func (s *stub) CVVStatus(ctx context.Context, token string) (payblr.Status, error) {
	return s.read(ctx, token)
}

// UnblockPIN accepts.
func (s *stub) UnblockPIN(ctx context.Context, token string, _ payblr.Note) error {
	return s.call(ctx, token, false)
}

// UnblockCVV accepts.
func (s *stub) UnblockCVV(ctx context.Context, token string, _ payblr.Note) error {
	return s.call(ctx, token, false)
}

// CheckToken has nothing to check.
func (s *stub) CheckToken(context.Context) error { return nil }
