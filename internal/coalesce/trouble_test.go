package coalesce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestEval_ARestartUnderLoadAnswersEveryCallerInTime(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := New(server.Client(t))
	const (
		callers = 300
		bound   = 2 * time.Second
		grace   = 3 * time.Second // for a machine that is busy
	)
	end := make(chan struct{})
	var answered, failed atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), bound)
				start, want := time.Now(), fmt.Sprint(i, "/", n)
				got, err := c.Eval(ctx, echo, nil, want).Text()
				cancel()
				if took := time.Since(start); took > bound+grace {
					t.Errorf("a caller with %s waited %s", bound, took)
				}
				switch {
				case err != nil:
					failed.Add(1)
				case got != want:
					t.Errorf("Eval = %q, want %q", got, want)
				default:
					answered.Add(1)
				}
			}
		})
	}
	more := func(what string, n *atomic.Int64) {
		t.Helper()
		enough := n.Load() + callers
		until(t, what, func() bool { return n.Load() >= enough })
	}
	more("calls are answered", &answered)
	for range 2 {
		server.Kill()
		more("calls fail", &failed)
		server.Restart(t)
		more("calls are answered again", &answered)
	}
	close(end)
	all.Wait()
	t.Logf("%d were answered, %d failed", answered.Load(), failed.Load())
	until(t, "nothing flies and nothing waits", func() bool {
		w := c.(*client).only
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.flying == 0 && len(w.waiting) == 0
	})
}

func TestClose_WhoWaitsIsToldSo(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	c, w, first := grounded(t, rdb)
	const n = most + 10
	closed := make(chan error, n)
	for range n {
		go func() { closed <- c.Eval(context.Background(), echo, nil, "x").Err() }()
	}
	await(t, c, n)
	if err := c.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	w.land()
	for range n {
		if err := receive(t, "a caller is told", closed); !errors.Is(err, redis.ErrClosed) {
			t.Errorf("Eval = %v, want %v", err, redis.ErrClosed)
		}
	}
	for range flights {
		receive(t, "a first caller is told", first)
	}
}

func TestEval_ARefusalOfRedisIsEachCallersOwn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	c, w, _ := grounded(t, rdb)
	if err := server.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatalf("REPLICAOF: %v", err)
	}
	writes, reads := make(chan error, 1), make(chan string, 1)
	go func() { reads <- fmt.Sprint(c.Eval(t.Context(), echo, nil, "read").Val()) }()
	await(t, c, 1)
	go func() { writes <- c.Eval(t.Context(), count, []string{"n"}).Err() }()
	await(t, c, 2)
	w.land()
	if err := receive(t, "the write is refused", writes); !redis.HasErrorPrefix(err, "READONLY") {
		t.Errorf("the write on a replica = %v, want READONLY", err)
	}
	if got := receive(t, "the read is answered", reads); got != "read" {
		t.Errorf("the read on a replica = %s, want read", got)
	}
}
