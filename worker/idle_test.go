package worker

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

const (
	// idleBound is how many commands a second an idle worker may cost Redis, those inside scripts included.
	idleBound = 10
	// idleWindow is how long they are counted. It holds whole rounds of whatever the worker does every five
	// seconds.
	idleWindow = 5 * time.Second
)

func TestIdle_AWorkerCostsRedisFewCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rigOn(t, server.URL())
	r.work(&fakeAPI{}, func(c *Config) { c.RecoveryInterval = 0 }) // The default.
	observer := server.Client(t)
	// What it does once, at its start, does not count.
	await(t, time.Second)
	before, start := commandsServed(t, observer), time.Now()
	await(t, idleWindow)
	n := commandsServed(t, observer) - before - 1 // Without the observer's own.
	rate := float64(n) / time.Since(start).Seconds()
	t.Logf("an idle worker costs %.1f commands/s", rate)
	if rate > idleBound {
		t.Errorf("an idle worker costs %.1f commands/s, want at most %d\n%s", rate, idleBound,
			observer.Info(t.Context(), "commandstats").Val())
	}
	if rate < 1 {
		t.Errorf("an idle worker costs %.1f commands/s: it does not look for lost tasks", rate)
	}
}

// await lets time pass: the test is about what happens while nothing is asked for.
func await(t testing.TB, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(d)
	defer tick.Stop()
	select {
	case <-tick.C:
	case <-t.Context().Done():
		t.Fatal("the test has ended")
	}
}

// commandsServed is how many commands Redis has served since its start.
func commandsServed(t testing.TB, rdb redis.UniversalClient) int {
	t.Helper()
	info, err := rdb.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatalf("INFO: %v", err)
	}
	for line := range strings.Lines(info) {
		if s, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil {
				t.Fatalf("INFO says %q: %v", line, err)
			}
			return n
		}
	}
	t.Fatal("INFO does not say total_commands_processed")
	return 0
}
