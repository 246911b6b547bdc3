package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestCodeOf_UnwrapsAnything(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		enqueue.ErrInvalidPublicToken:  "invalid_public_token",
		enqueue.ErrInvalidArgument:     "invalid_argument",
		enqueue.ErrIdempotencyMismatch: "idempotency_mismatch",
		enqueue.ErrUnblockLimitReached: "unblock_limit_reached",
		enqueue.ErrQueueUnavailable:    "queue_unavailable",
		enqueue.ErrNotFound:            "not_found",
		enqueue.ErrNotFailed:           "not_failed",
		enqueue.ErrBusy:                "busy",
		io.EOF:                         "",
		context.Canceled:               "",
	} {
		for _, wrapped := range []error{err, fmt.Errorf("deep: %w", fmt.Errorf("deeper: %w", err)), errors.Join(io.ErrUnexpectedEOF, err)} {
			if got := enqueue.CodeOf(wrapped); got != want {
				t.Errorf("CodeOf(%v) = %q, want %q", wrapped, got, want)
			}
		}
	}
	if got := enqueue.CodeOf(nil); got != "" {
		t.Errorf("CodeOf(nil) = %q, want nothing", got)
	}
}

// blackHole is the address of a server that takes connections and never answers.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

func TestRedisAway_IsSaidInTime(t *testing.T) {
	t.Parallel()
	dead := redistest.Start(t)
	dead.Kill()
	id := opstore.DerivedID(tasks.PublicToken{}, "a", "b")
	for what, addr := range map[string]string{"refuses": dead.Addr, "is silent": blackHole(t)} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn, err := redisconn.Open("redis://:hunter2@"+addr+"/0", redisconn.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			b := benchOn(t, conn.Client, enqueue.Config{})
			for name, call := range map[string]func(context.Context) error{
				"Accept": func(ctx context.Context) error { _, err := b.client.UnblockPIN(ctx, "Zq1234567"); return err },
				"Accept with a key": func(ctx context.Context) error {
					_, err := b.client.UnblockPIN(ctx, "Zq1234567", enqueue.IdempotencyKey("k"))
					return err
				},
				"Get":   func(ctx context.Context) error { _, err := b.client.Get(ctx, id); return err },
				"Retry": func(ctx context.Context) error { _, err := b.client.Retry(ctx, id); return err },
				"Wait":  func(ctx context.Context) error { _, err := b.client.Wait(ctx, id); return err },
			} {
				start := time.Now()
				err := call(within(t, 200*time.Millisecond))
				if enqueue.CodeOf(err) != "queue_unavailable" {
					t.Errorf("%s = %v, want queue_unavailable", name, err)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%s took %s with 200ms to go", name, took)
				}
				if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "Zq1234567")) {
					t.Errorf("%s = %q, which has a secret", name, err)
				}
			}
		})
	}
}

func TestRedisThatTakesNoWrites_IsUnavailable(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		command []any
		says    string
	}{
		"a read-only replica": {[]any{"REPLICAOF", "127.0.0.1", "1"}, "REDIS_URL should name its primary"},
		"out of memory":       {[]any{"CONFIG", "SET", "maxmemory", "1"}, "raise its maxmemory"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--maxmemory-policy", "noeviction")
			b := benchOn(t, server.Client(t), enqueue.Config{})
			if err := b.rdb.Do(t.Context(), tc.command...).Err(); err != nil {
				t.Fatal(err)
			}
			for _, opts := range [][]enqueue.Option{nil, {enqueue.IdempotencyKey("k")}} {
				_, err := b.client.UnblockPIN(t.Context(), "Zq1234567", opts...)
				if enqueue.CodeOf(err) != "queue_unavailable" || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "Zq1234567") {
					t.Errorf("Accept = %v, want queue_unavailable that says %s and no token", err, tc.says)
				}
			}
			if n := b.rdb.DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("a refused request left %d keys", n)
			}
		})
	}
}

func TestRedisThatIsClosed_IsUnavailable(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	if err := rdb.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := benchOn(t, rdb, enqueue.Config{}).client.UnblockPIN(t.Context(), "1"); enqueue.CodeOf(err) != "queue_unavailable" {
		t.Errorf("Accept = %v, want queue_unavailable", err)
	}
}
