package payblr

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// fakeExchange stands in for the token endpoint; the tests run it in a synctest
// bubble, where time is fake and moves only when everyone waits.
type fakeExchange struct {
	started int
	takes   time.Duration
	life    time.Duration
	err     *Error
}

func (f *fakeExchange) exchange(ctx context.Context) (grant, *Error) {
	f.started++
	n, err := f.started, f.err
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return grant{}, &Error{Class: ClassUnavailable, Reason: ReasonTokenUnavailable, Err: context.Cause(ctx)}
	}
	if err != nil {
		return grant{}, err
	}
	return grant{value: NewSecret(fmt.Sprint("token-", n)), lifetime: f.life}, nil
}

// inBubble runs test with a token source on fake time.
func inBubble(t *testing.T, f *fakeExchange, test func(t *testing.T, s *tokenSource)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newTokenSource(f.exchange, 10*time.Second)
		defer s.close()
		test(t, s)
	})
}

func mustGet(t testing.TB, s *tokenSource, refused uint64, want string) *accessToken {
	t.Helper()
	token, err := s.get(t.Context(), refused)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if got := token.value.Reveal(); got != want {
		t.Fatalf("token = %s, want %s", got, want)
	}
	return token
}

func wantStarted(t testing.TB, f *fakeExchange, want int) {
	t.Helper()
	synctest.Wait()
	if f.started != want {
		t.Fatalf("exchanges started = %d, want %d", f.started, want)
	}
}

func TestToken_ManyCallersOneExchange(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: time.Second, life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		errs := make(chan *Error, 256)
		for range cap(errs) {
			go func() { _, err := s.get(t.Context(), 0); errs <- err }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		wantStarted(t, f, 1)
	})
}

func TestToken_CancelledWaiterLeavesTheExchangeToTheOthers(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: 2 * time.Second, life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		result := make(chan *Error)
		go func() { _, err := s.get(first, 0); result <- err }()
		synctest.Wait()
		begun := time.Now()
		go func() { _, err := s.get(t.Context(), 0); result <- err }()

		wantError(t, <-result, ClassNotSent, ReasonDeadlineBeforeSending)
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("the waiter left after %v, want 1s", waited)
		}
		if err := <-result; err != nil {
			t.Errorf("the other caller: %v, want a token", err)
		}
		wantStarted(t, f, 1)
	})
}

func TestToken_IsRefreshedInTheBackgroundBeforeItExpires(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: 2 * time.Second, life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		mustGet(t, s, 0, "token-1") // at 2 s; its hour began at 0
		advance(55*time.Minute - 3*time.Second)
		mustGet(t, s, 0, "token-1") // 54:59
		wantStarted(t, f, 1)
		advance(2 * time.Second)
		begun := time.Now()
		mustGet(t, s, 0, "token-1") // 55:01
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the caller waited %v for a refresh ahead of time, want 0", waited)
		}
		mustGet(t, s, 0, "token-1")
		wantStarted(t, f, 2)
		advance(3 * time.Second)
		mustGet(t, s, 0, "token-2")
		wantStarted(t, f, 2)
	})
}

func TestToken_NearItsEndCallersWaitForTheNext(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: 2 * time.Second, life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		mustGet(t, s, 0, "token-1")
		advance(time.Hour - 10*time.Second)
		mustGet(t, s, 0, "token-2")
		wantStarted(t, f, 2)
	})
}

func TestToken_LastSecondsAreUsedWhenThereIsNoOther(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		mustGet(t, s, 0, "token-1")
		f.err = &Error{Class: ClassUnavailable, Reason: ReasonTokenUnavailable}
		advance(time.Hour - 5*time.Second)
		mustGet(t, s, 0, "token-1") // after a failed exchange
		mustGet(t, s, 0, "token-1") // without another
		wantStarted(t, f, 2)
		advance(5 * time.Second)
		_, err := s.get(t.Context(), 0)
		wantError(t, err, ClassUnavailable, ReasonTokenUnavailable)
	})
}

func TestToken_FailureAnswersForASecond(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ retryAfter, quiet time.Duration }{
		"plain":                {0, time.Second},
		"Retry-After":          {5 * time.Second, 5 * time.Second},
		"Retry-After too long": {time.Hour, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeExchange{err: &Error{Class: ClassThrottled, Reason: ReasonTokenThrottled, RetryAfter: tc.retryAfter}, life: time.Hour}
			inBubble(t, f, func(t *testing.T, s *tokenSource) {
				fails := func(wait time.Duration) {
					t.Helper()
					_, err := s.get(t.Context(), 0)
					if e := wantError(t, err, ClassThrottled, ReasonTokenThrottled); e.RetryAfter != wait {
						t.Errorf("RetryAfter = %s, want the %s until the next exchange", e.RetryAfter, wait)
					}
				}
				fails(tc.quiet)
				fails(tc.quiet)
				advance(tc.quiet - 1)
				fails(1)
				wantStarted(t, f, 1)
				f.err = nil
				advance(1)
				mustGet(t, s, 0, "token-2")
			})
		})
	}
}

func TestToken_RefusedOneIsReplacedOnce(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{life: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		first := mustGet(t, s, 0, "token-1")
		if !first.worthReplacing(time.Now()) {
			t.Error("a first token that is refused is not worth replacing, want it is")
		}
		second := mustGet(t, s, first.generation, "token-2")
		mustGet(t, s, first.generation, "token-2") // another caller, refused with the first
		wantStarted(t, f, 2)

		if second.worthReplacing(time.Now()) {
			t.Error("a replacement refused at once is worth replacing, want it is not")
		}
		if !second.worthReplacing(time.Now().Add(time.Second)) {
			t.Error("a replacement refused after a second is not worth replacing, want it is")
		}
		second.accepted.Store(true)
		if !second.worthReplacing(time.Now()) {
			t.Error("a replacement that had been accepted is not worth replacing, want it is")
		}
	})
}

func TestToken_SlowExchangeHasItsOwnTimeLimit(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		begun := time.Now()
		_, err := s.get(t.Context(), 0)
		wantError(t, err, ClassUnavailable, ReasonTokenUnavailable)
		if waited := time.Since(begun); waited != 10*time.Second {
			t.Errorf("waited %v, want 10s", waited)
		}
	})
}

func TestToken_CloseEndsTheExchange(t *testing.T) {
	t.Parallel()
	f := &fakeExchange{takes: time.Hour}
	inBubble(t, f, func(t *testing.T, s *tokenSource) {
		result := make(chan *Error, 1)
		go func() { _, err := s.get(t.Context(), 0); result <- err }()
		synctest.Wait()
		s.close()
		wantError(t, <-result, ClassUnavailable, ReasonClosed)
		_, err := s.get(t.Context(), 0)
		wantError(t, err, ClassUnavailable, ReasonClosed)
		wantStarted(t, f, 1)
	})
}

func TestToken_AbsurdLifetimesStillGiveAUsableToken(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ given, usable time.Duration }{
		{0, defaultLifetime - waitMargin},
		{-time.Hour, defaultLifetime - waitMargin},
		{time.Second, 750 * time.Millisecond},
		{20 * time.Second, 15 * time.Second},
		{time.Hour, time.Hour - waitMargin},
		{1000 * time.Hour, maxLifetime - waitMargin},
	} {
		begun := time.Now()
		token := newAccessToken(grant{lifetime: tc.given}, 1, begun)
		if got := token.waitAt.Sub(begun); got != tc.usable {
			t.Errorf("lifetime %v: usable for %v, want %v", tc.given, got, tc.usable)
		}
		if token.refreshAt.After(token.waitAt) || !token.refreshAt.After(begun) {
			t.Errorf("lifetime %v: refresh after %v, want between the start and %v", tc.given, token.refreshAt.Sub(begun), tc.usable)
		}
	}
}
