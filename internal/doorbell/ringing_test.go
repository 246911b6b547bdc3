package doorbell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// writeCounter counts what goes out on the connections of a client. go-redis writes what it has to send
// at once at once, so each write is a round trip.
type writeCounter struct{ n atomic.Int64 }

func (w *writeCounter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		return countedConn{conn, w}, err
	}
}

func (*writeCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (*writeCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type countedConn struct {
	net.Conn
	w *writeCounter
}

func (c countedConn) Write(p []byte) (int, error) {
	c.w.n.Add(1)
	return c.Conn.Write(p)
}

// watch counts on each connection that the client makes from now on.
func (w *writeCounter) watch(rdb redis.UniversalClient) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(w) })
		return
	}
	rdb.AddHook(w)
}

func TestRinging_CostsNoRoundTripOfItsOwn(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		writes := &writeCounter{}
		writes.watch(rdb)
		for name, client := range map[string]redis.UniversalClient{"plain": rdb, "ringing": Ringing(rdb)} {
			producer := asynq.NewClientFromRedisClient(client)
			const n = 10
			var before int64
			for i := range n + 1 {
				_, err := producer.EnqueueContext(t.Context(), asynq.NewTask("test", nil), asynq.Queue(queue))
				if err != nil {
					t.Fatalf("%s: enqueue: %v", name, err)
				}
				if i == 0 { // Makes connections, names the queue, teaches the script.
					before = writes.n.Load()
				}
			}
			if got := writes.n.Load() - before; got != n {
				t.Errorf("%s: %d tasks took %d round trips, want one each", name, n, got)
			}
		}
	})
}

func TestRinging_WhoeverHearsTheRingFindsTheTask(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		sub := rdb.Subscribe(t.Context(), channel(queue))
		defer func() { _ = sub.Close() }()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatalf("subscribe: %v", err)
		}
		rings := sub.Channel()
		put(t, rdb, queue, "teaches the script") // One that is unknown is sent twice, and rings twice.
		ringing := Ringing(rdb)
		for i := range 100 {
			name := fmt.Sprint(i)
			put(t, ringing, queue, name)
			receive(t, "a ring for the task", rings)
			// The ring came behind it, so the task had been there when it was sent: Redis has it at the head.
			head, err := rdb.LIndex(t.Context(), pendingKey(queue), 0).Result()
			if err != nil || head != name {
				t.Fatalf("the newest task is %q, %v; want %s", head, err, name)
			}
		}
		select {
		case m := <-rings:
			t.Errorf("one ring too many: %v", m)
		default:
		}
	})
}

// pipelineRecorder notes the names of the commands that are sent together.
type pipelineRecorder struct {
	writeCounter
	pipelines chan []string
}

func (p *pipelineRecorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *pipelineRecorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		names := make([]string, len(cmds))
		for i, cmd := range cmds {
			names[i] = cmd.Name()
		}
		p.pipelines <- names
		return next(ctx, cmds)
	}
}

// In a cluster a ring can be sent to any node, and would overtake a task that goes to another.
func TestRinging_GoesToTheTasksNodeInACluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t, 3).Client(t)
	rec := &pipelineRecorder{pipelines: make(chan []string, 100)}
	rdb.(*redis.ClusterClient).OnNewNode(func(node *redis.Client) { node.AddHook(rec) })
	put(t, rdb, "q", "teaches the script")
	for i := range 20 {
		put(t, Ringing(rdb), "q", fmt.Sprint(i))
		got := receive(t, "the node's pipeline", rec.pipelines)
		if want := []string{"multi", "evalsha", "publish", "exec"}; !slices.Equal(got, want) {
			t.Fatalf("a node got %v, want %v", got, want)
		}
	}
}

func TestRinging_AnUnknownScriptIsTaughtAndRings(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	got := serve(t, listen(t, rdb, "q"), rdb, "q")
	subscribed(t, rdb, "q", 1)
	for range 3 {
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatalf("SCRIPT FLUSH: %v", err)
		}
		wantQuick(t, rdb, "q", "flushed", got)
	}
}

func TestRinging_RefusalsComeThrough(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		ringing := Ringing(rdb)
		put(t, ringing, queue, "1")
		producer := asynq.NewClientFromRedisClient(ringing)
		_, err := producer.EnqueueContext(t.Context(), asynq.NewTask("test", nil), asynq.Queue(queue), asynq.TaskID("1"))
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Errorf("enqueue again = %v, want %v", err, asynq.ErrTaskIDConflict)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = producer.EnqueueContext(ctx, asynq.NewTask("test", nil), asynq.Queue(queue))
		if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) { // asynq keeps the text alone.
			t.Errorf("enqueue with an ended context = %v, want %v", err, context.Canceled)
		}
	})
}

func TestRinging_OtherScriptsPassThroughUntouched(t *testing.T) {
	t.Parallel()
	var saw [][]string
	// It knows no pipelines: to use one would panic.
	c := Ringing(fakeRedis{answer: func(keys []string) (any, error) {
		saw = append(saw, keys)
		return "its answer", nil
	}})
	for _, keys := range [][]string{
		DequeueKeys("q"), forwardKeys("q"), {"asynq:{q}:t:1", "asynq:{q}:scheduled"}, {"mine"}, nil,
	} {
		for name, run := range map[string]func(context.Context, string, []string, ...any) *redis.Cmd{
			"EvalSha": c.EvalSha, "Eval": c.Eval,
		} {
			saw = nil
			got, err := run(t.Context(), "text", keys, "arg").Result()
			if err != nil || got != "its answer" || len(saw) != 1 || !slices.Equal(saw[0], keys) {
				t.Errorf("%s(%v) = %v, %v after scripts with the keys %v; want its answer to those keys", name, keys, got, err, saw)
			}
		}
	}
}
