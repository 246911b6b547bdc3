package redisconn_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// With the settings of the program, not those of the impatient tests.
func TestCheckSentinels_NobodyListensIsSaidAtOnceOfEach(t *testing.T) {
	t.Parallel()
	one, other := deadAddr(t), deadAddr(t)
	conn := open(t, "redis-sentinel://:"+canary+"@"+one+","+other+"/mymaster/0?sentinel_password="+canary, redisconn.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	_, err := conn.Check(ctx)
	if redisconn.KindOf(err) != redisconn.NoPrimary || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("Check = %v, want NoPrimary, because the connection is refused", err)
	}
	if text := err.Error(); !strings.HasSuffix(text, ": "+one+", "+other+": connection refused") || strings.Contains(text, canary) {
		t.Errorf("error = %q, want it to name the sentinels and what is wrong with them, and no password", text)
	}
}

func TestCheckSentinels_OneThatAnswersIsEnough(t *testing.T) {
	t.Parallel()
	group := redistest.StartSentinel(t)
	url := strings.Replace(group.URL(), group.Addrs[0], deadAddr(t), 1)
	if err := open(t, url, redisconn.Options{}).CheckSentinels(t.Context()); err != nil {
		t.Errorf("CheckSentinels = %v, want nil", err)
	}
	_, plain := redistest.Shared(t)
	if err := open(t, plain, redisconn.Options{}).CheckSentinels(t.Context()); err != nil {
		t.Errorf("CheckSentinels without sentinels = %v, want nil", err)
	}
}
