package redistest_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// ahead returns how far the server's clock is ahead of this machine's.
func ahead(t testing.TB, client redis.UniversalClient) time.Duration {
	t.Helper()
	at, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatalf("TIME: %v", err)
	}
	return time.Until(at).Round(10 * time.Second)
}

func TestStartWithClock_TheTimeOfDayIsMovedAndCanBeSet(t *testing.T) {
	t.Parallel()
	s, clock := redistest.StartWithClock(t, -5*time.Minute)
	client := s.Client(t)
	if got := ahead(t, client); got != -5*time.Minute {
		t.Errorf("the server's clock is ahead by %s, want -5m", got)
	}
	if err := client.Set(t.Context(), "k", "1", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	clock.Set(t, 5*time.Minute)
	if got := ahead(t, client); got != 5*time.Minute {
		t.Errorf("the server's clock is ahead by %s, want 5m", got)
	}
	if n := exists(t, client, "k"); n != 0 {
		t.Error("a key outlived the time at which it ends")
	}
	s.Kill()
	s.Restart(t)
	if got := ahead(t, client); got != 5*time.Minute {
		t.Errorf("after a restart the server's clock is ahead by %s, want 5m", got)
	}
}
