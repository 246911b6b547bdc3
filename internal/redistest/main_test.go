package redistest_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// Not parallel to the others, whose goroutines it would see.
func TestLeaked_WaitsForAClosedClientToNotice(t *testing.T) {
	before := goleak.IgnoreCurrent()
	rdb := redis.NewClient(&redis.Options{
		Addr: "redis:0", PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
	})
	redials := func() bool {
		_ = rdb.Ping(t.Context()).Err() // Fails, and the next one has the pool ask in the background.
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "tryDial")
	}
	for deadline := time.Now().Add(5 * time.Second); !redials(); {
		if time.Now().After(deadline) {
			t.Fatal("the client does not dial in the background: the test has missed its aim")
		}
	}
	if err := rdb.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := redistest.Leaked(redistest.LeakPatience, before); err != nil {
		t.Errorf("Leaked = %v, want nil: the client is closed", err)
	}
}

func TestLeaked_NamesWhatIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	end := make(chan struct{})
	defer close(end)
	go leftBehind(end)
	if err := redistest.Leaked(0, before); err == nil || !strings.Contains(err.Error(), "leftBehind") {
		t.Errorf("Leaked = %v, want it to name the goroutine", err)
	}
}

func leftBehind(end <-chan struct{}) { <-end }
