package redisconn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// urls gives every kind of Redis that a URL can name.
var urls = map[string]func(testing.TB) string{
	"single":   func(t testing.TB) string { _, url := redistest.Shared(t); return url },
	"sentinel": func(t testing.TB) string { return redistest.StartSentinel(t).URL() },
	"cluster":  func(t testing.TB) string { return redistest.StartCluster(t, 3).URL() },
	"embedded": func(testing.TB) string { return redisconn.EmbeddedURL },
}

func TestOpen_EveryFormWorks(t *testing.T) {
	t.Parallel()
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := open(t, url(t), redisconn.Options{ClientName: "test"})
			if _, err := conn.Check(t.Context()); err != nil {
				t.Fatalf("Check: %v", err)
			}
			other := conn.New("other")
			if err := other.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatalf("SET: %v", err)
			}
			if got, err := conn.Client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
				t.Errorf("GET by the first client = %q, %v, want what the other one wrote", got, err)
			}
			if conn.Embedded != (name == "embedded") || (conn.EmbeddedURL() != "") != conn.Embedded {
				t.Errorf("Embedded = %t, EmbeddedURL = %q on %s", conn.Embedded, conn.EmbeddedURL(), name)
			}
		})
	}
}

// TestOpen_ClientsRunAsynq runs a task through clients of this package, in both protocols: asynq
// reads the replies of its scripts by their Go type.
func TestOpen_ClientsRunAsynq(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2", "3"} {
		t.Run("RESP"+protocol, func(t *testing.T) {
			t.Parallel()
			_, url := redistest.Shared(t)
			conn := open(t, url+"?protocol="+protocol, redisconn.Options{})

			ran := make(chan string, 1)
			server := asynq.NewServerFromRedisClient(conn.New("server"), asynq.Config{
				TaskCheckInterval: 5 * time.Millisecond,
				LogLevel:          asynq.FatalLevel,
			})
			handler := asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
				ran <- string(task.Payload())
				return nil
			})
			if err := server.Start(handler); err != nil {
				t.Fatalf("start the asynq server: %v", err)
			}
			defer server.Shutdown()
			if _, err := asynq.NewClientFromRedisClient(conn.Client).EnqueueContext(t.Context(), asynq.NewTask("kind", []byte("payload"))); err != nil {
				t.Fatalf("enqueue: %v", err)
			}
			select {
			case got := <-ran:
				if got != "payload" {
					t.Errorf("the task ran with %q, want payload", got)
				}
			case <-time.After(20 * time.Second):
				t.Error("the task did not run in 20s")
			}
			if _, err := asynq.NewInspectorFromRedisClient(conn.Client).GetQueueInfo("default"); err != nil {
				t.Errorf("GetQueueInfo: %v", err)
			}
		})
	}
}

func TestNew_ClientsAreNamedByRole(t *testing.T) {
	t.Parallel()
	conn := open(t, redistest.Start(t).URL(), redisconn.Options{ClientName: "cardworker"})
	worker := conn.New("worker")
	if got, err := worker.ClientGetName(t.Context()).Result(); err != nil || got != "cardworker-worker" {
		t.Errorf("name of the connection = %q, %v, want cardworker-worker", got, err)
	}
}

// TestNew_ConnectionCostsNoFailingCommand: an ACL log that fills with refused commands, or an error
// count that grows with every connection, hides the errors that matter.
func TestNew_ConnectionCostsNoFailingCommand(t *testing.T) {
	t.Parallel()
	conn := open(t, redistest.Start(t).URL(), redisconn.Options{ClientName: "cardworker"})
	info, err := conn.Client.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatalf("INFO: %v", err)
	}
	if !strings.Contains(info, "total_error_replies:0\r\n") {
		t.Errorf("INFO stats = %s, want total_error_replies:0", info)
	}
}

func TestConn_DeadlineOfTheContextHolds(t *testing.T) {
	t.Parallel()
	conn := open(t, redistest.Start(t).URL(), redisconn.Options{})
	if err := conn.Client.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("PING: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := conn.Client.Do(ctx, "BLPOP", "nothing", 0).Err()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a command with 50ms left took %v", took)
	}
	if got := redisconn.KindOf(conn.Explain(ctx, err)); got != redisconn.Timeout {
		t.Errorf("KindOf(%v) = %v, want %v", err, got, redisconn.Timeout)
	}
}

func TestClose_ClosesEveryClientAndTwiceIsFine(t *testing.T) {
	t.Parallel()
	conn, err := redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	early, late := conn.New("early"), conn.New("late")
	if err := early.Close(); err != nil {
		t.Fatalf("close one client: %v", err)
	}
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
	}
	for _, client := range []redis.UniversalClient{conn.Client, late, conn.New("after")} {
		if err := client.Ping(t.Context()).Err(); !errors.Is(err, redis.ErrClosed) {
			t.Errorf("PING after Close = %v, want %v", err, redis.ErrClosed)
		}
	}
}

func TestEmbedded_KeysExpire(t *testing.T) {
	t.Parallel()
	conn := open(t, redisconn.EmbeddedURL, redisconn.Options{})
	if err := conn.Client.Set(t.Context(), "k", "v", 200*time.Millisecond).Err(); err != nil {
		t.Fatalf("SET: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		n, err := conn.Client.Exists(ctx, "k").Result()
		if err != nil {
			t.Fatalf("the key did not expire: %v", err)
		}
		if n == 0 {
			return
		}
	}
}

func TestEmbedded_LargePipelineGoesThrough(t *testing.T) {
	t.Parallel()
	conn := open(t, redisconn.EmbeddedURL, redisconn.Options{})
	value := strings.Repeat("x", 1000)
	_, err := conn.Client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for range 2000 {
			p.Set(t.Context(), "k", value, 0)
			p.Get(t.Context(), "k")
		}
		return nil
	})
	if err != nil {
		t.Errorf("a pipeline of 4 MB: %v", err)
	}
}

func TestEmbedded_ListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.org:0", "nonsense"} {
		_, err := redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{EmbeddedAddr: addr})
		if got := redisconn.KindOf(err); err == nil || got != redisconn.EmbeddedFailed {
			t.Errorf("Open with EmbeddedAddr %s = %v, want %v", addr, err, redisconn.EmbeddedFailed)
		}
	}
	taken := open(t, redisconn.EmbeddedURL, redisconn.Options{})
	addr := strings.TrimSuffix(strings.TrimPrefix(taken.EmbeddedURL(), "redis://"), "/0")
	_, err := redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{EmbeddedAddr: addr})
	if got := redisconn.KindOf(err); err == nil || got != redisconn.EmbeddedFailed {
		t.Errorf("Open on a taken port = %v, want %v", err, redisconn.EmbeddedFailed)
	}
}
