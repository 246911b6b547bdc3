package doorbell

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

const (
	// troubleBound is how many commands a second a server may send to a Redis that goes on refusing them.
	// go-redis repeats some of them.
	troubleBound = 10
	// troubleWindow is how long they are counted, after the pauses have become as long as they get.
	troubleWindow = 5 * time.Second
	troubleSettle = 2 * time.Second
)

// refuser refuses the looks, as a Redis does whose password has changed, and counts them.
type refuser struct {
	on    atomic.Bool
	count atomic.Int64
}

func (*refuser) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*refuser) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *refuser) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !r.on.Load() || !strings.HasPrefix(cmd.Name(), "eval") {
			return next(ctx, cmd)
		}
		r.count.Add(1)
		err := errors.New("NOAUTH Authentication required")
		cmd.SetErr(err)
		return err
	}
}

// A refusal comes at once, and asynq looks again at once: without the pauses that is ten thousand looks a
// second.
func TestTrouble_ARefusingRedisIsNotAskedHotly(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct{ begin, end []any }{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", closedPort(t)}, []any{"REPLICAOF", "NO", "ONE"}},
		"NOAUTH":   {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			rdb, operator := server.Client(t), server.Client(t)
			looker := server.Client(t)
			sent := &writeCounter{}
			sent.watch(rdb)
			sent.watch(looker)
			noauth := &refuser{}
			looker.AddHook(noauth)
			b := listen(t, rdb, "q")
			got := make(chan string, 100)
			asynqServer := newServer(b.Client(looker, "q"), "q")
			if err := asynqServer.Start(tell(got)); err != nil {
				t.Fatalf("Start: %v", err)
			}
			defer func() {
				b.Release()
				asynqServer.Shutdown()
			}()
			subscribed(t, rdb, "q", 1)
			wantQuick(t, rdb, "q", "before", got)

			do := func(args []any) {
				noauth.on.Store(args == nil && !noauth.on.Load())
				if args == nil {
					return
				}
				if err := operator.Do(t.Context(), args...).Err(); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
			}
			do(trouble.begin)
			if err := Ring(t.Context(), operator, "q"); err != nil { // A look begins the trouble.
				t.Fatalf("Ring: %v", err)
			}
			wait(t, troubleSettle)
			count := func() int64 { return sent.n.Load() + noauth.count.Load() }
			before, start := count(), time.Now()
			wait(t, troubleWindow)
			rate := float64(count()-before) / time.Since(start).Seconds()
			t.Logf("%.1f commands/s", rate)
			if rate > troubleBound {
				t.Errorf("%.1f commands/s, want at most %d", rate, troubleBound)
			}
			if rate < 1 {
				t.Errorf("%.1f commands/s: nobody looks; the test has missed its aim", rate)
			}

			do(trouble.end)
			start = time.Now()
			put(t, operator, "q", "after")
			receive(t, "the task is taken", got)
			if took := time.Since(start); took > longestErrorPause+jitter {
				t.Errorf("the first task after the trouble was taken after %s, want %s", took, longestErrorPause)
			}
			wantQuick(t, rdb, "q", "after", got)
		})
	}
}

// closedPort is one that nobody listens on.
func closedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// wait lets time pass in which a test counts what happens.
func wait(t testing.TB, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(d)
	defer tick.Stop()
	select {
	case <-tick.C:
	case <-t.Context().Done():
	}
}
