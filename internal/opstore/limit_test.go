package opstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

// unblockAndEnd accepts an unblock and takes it to its end, so that the next one does not join it.
func (f fixture) unblockAndEnd(c tasks.PublicToken, kind tasks.Kind) {
	f.Helper()
	f.done(f.accept(Request{Kind: kind, Card: c}).Record, Result{Error: failure(tasks.CodeNotAllowed)})
}

func limitCountsUnblocksOfCardAndKind(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 2})
	c := card(t)
	f.unblockAndEnd(c, tasks.UnblockPIN)
	f.unblockAndEnd(c, tasks.UnblockPIN)
	_, err := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: c, Lifetime: time.Minute})
	var limit *LimitError
	if !errors.As(err, &limit) {
		t.Fatalf("the third Accept = %v, want a LimitError", err)
	}
	if limit.Limit != 2 || limit.RetryAfter <= LimitWindow-time.Minute || limit.RetryAfter > LimitWindow {
		t.Errorf("LimitError %+v, want limit 2 and almost %s", limit, LimitWindow)
	}
	if !strings.Contains(err.Error(), "2 unblocks") || !strings.Contains(err.Error(), "24 hours") {
		t.Errorf("LimitError says %q, want it to say how many in which time", err)
	}
	f.unblockAndEnd(c, tasks.UnblockCVV)
	f.unblockAndEnd(card(t), tasks.UnblockPIN)
	for range 3 {
		f.done(f.accept(Request{Kind: tasks.RefreshPINStatus, Card: c}).Record, Result{Status: unblocked()})
	}
}

func limitWindowSlides(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 2})
	c := card(t)
	// As if unblocks had been accepted a window ago and almost a window ago.
	for member, age := range map[string]time.Duration{"old": LimitWindow, "older": LimitWindow + time.Hour, "recent": LimitWindow - 10*time.Second} {
		score := float64(f.now().Add(-age).UnixMilli())
		if err := f.rdb.ZAdd(t.Context(), limitKey(c, tasks.UnblockPIN), redis.Z{Score: score, Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	f.unblockAndEnd(c, tasks.UnblockPIN) // Beside the recent one there is room for one.
	_, err := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: c, Lifetime: time.Minute})
	var limit *LimitError
	if !errors.As(err, &limit) || limit.RetryAfter <= 0 || limit.RetryAfter > 10*time.Second {
		t.Errorf("Accept = %v, want a LimitError for at most 10s", err)
	}
	// Had the limit been higher before, more of them have to leave the window.
	f.zadd(limitKey(c, tasks.UnblockPIN), "more", -time.Hour)
	_, err = f.with(Config{UnblockLimit: 2}).store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: c, Lifetime: time.Minute})
	if !errors.As(err, &limit) || limit.RetryAfter < 22*time.Hour || limit.RetryAfter > 23*time.Hour {
		t.Errorf("Accept = %v, want a LimitError for almost 23h", err)
	}
	ttl := f.rdb.PTTL(t.Context(), limitKey(c, tasks.UnblockPIN)).Val()
	if ttl <= 0 || ttl > LimitWindow {
		t.Errorf("the window goes in %s, want at most %s", ttl, LimitWindow)
	}
}

func limitOffAndJoinsUncounted(t *testing.T, f fixture) {
	off := f.with(Config{UnblockLimit: -1})
	c := card(t)
	for range DefaultUnblockLimit + 2 {
		off.unblockAndEnd(c, tasks.UnblockPIN)
	}
	f = f.with(Config{UnblockLimit: 1})
	c = card(t)
	for range 3 { // One, and two that join it.
		f.accept(Request{Kind: tasks.UnblockPIN, Card: c})
	}
	f = f.with(Config{})
	c = card(t)
	for range DefaultUnblockLimit {
		f.unblockAndEnd(c, tasks.UnblockPIN)
	}
	var limit *LimitError
	if _, err := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: c}); !errors.As(err, &limit) || limit.Limit != 5 {
		t.Errorf("the sixth Accept = %v, want a LimitError of 5", err)
	}
}
